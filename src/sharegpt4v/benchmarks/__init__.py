"""The benchmarks of the results table (paper, section 5.1): questions, answers, scores, and the table itself.

One module per benchmark, all of one shape: `questions(data)` and `score(data, answers)`. Adding a benchmark is
one such module and one row of `config/benchmarks.tsv`.
"""
