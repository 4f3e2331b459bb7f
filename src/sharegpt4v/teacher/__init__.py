"""The teacher: detailed seed captions from a strong vision model behind an OpenAI-compatible endpoint (paper §3.2).

`prompts` writes the question per image, `client` asks it, `budget` watches the money, `quality` sets bad captions
aside and `seed` is the stage that puts them together.
"""
