"""The benchmarks of the results table (paper, section 5.1), one file each.

All are of one shape: `questions(data)` and `score(data, answers)`. Adding a benchmark is one such file and one row of
`config/benchmarks.tsv`.
"""
