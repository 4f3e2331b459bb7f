"""What all clients of web addresses ask about one."""

from __future__ import annotations

from urllib.parse import urlsplit


def is_loopback(address: str) -> bool:
    """Tell an address on this machine, which no proxy may be asked for."""
    return urlsplit(address).hostname in ("127.0.0.1", "localhost", "::1")
