"""The text that models learn from: pre-training corpus, instruction mixes, and their statistics (paper §3.3, §4.3)."""
