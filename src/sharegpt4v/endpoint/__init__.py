"""The client of any OpenAI-compatible endpoint: the teacher of the seed captions (paper §3.2), and the judge.

`client` asks, directly or through the Batch API. `budget` and `account` bound what is spent. `pacing` and `retrying`
say when a request is sent. `completion` checks what comes back.
"""
