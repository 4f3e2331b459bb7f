"""Evaluation (paper, section 5.1): a model's answers, the judge's replies, scores, and the results table.

What all benchmarks share is here; each benchmark has a file in `benchmarks/`.
"""
