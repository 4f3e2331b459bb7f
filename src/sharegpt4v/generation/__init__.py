"""Generating text with a model: captions and answers, many rows at a time."""
