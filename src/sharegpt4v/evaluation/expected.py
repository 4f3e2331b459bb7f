"""What the miniature shows in place of the paper's numbers: which direction the paper's claim expects of each gain."""

from __future__ import annotations

from sharegpt4v.config import Config
from sharegpt4v.miniature import is_miniature


def expected_of(config: Config) -> str:
    """Return a line that names the model of each pair that is to score higher; empty where images are real, or for a
    config without pairs."""
    pairs = [f"{pair.after} above {pair.before}" for pair in config.substitution] if is_miniature(config) else []
    return f"Direction expected by the paper’s claim, in every column: {'; '.join(pairs)}." if pairs else ""


def direction(gain: float) -> str:
    """Return the mark of a gain, in a sign and in words."""
    return "▲ as expected" if gain > 0 else "▼ not as expected" if gain < 0 else "= no change"
