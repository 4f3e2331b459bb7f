"""How the tests damage a file: bytes flipped, overwritten, cut, doubled, swapped with those of another."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random


def mutated(content: bytes, random: Random, others: Sequence[bytes] = ()) -> bytes:
    """Return `content` with one to three damages."""
    for _ in range(random.randint(1, 3)):
        content = random.choice(DAMAGES)(content, random, others)
    return content


def _flip(content: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    changed = bytearray(content)
    for _ in range(random.choice([1, 1, 2, 8, 40])):
        if changed:
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _flip_in_the_head(content: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    head = random.choice([16, 64, 512, 1_024])
    return _flip(content[:head], random, others) + content[head:]


def _flip_in_the_tail(content: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    tail = len(content) - random.choice([16, 64, 512, 1_024])
    return content[: max(0, tail)] + _flip(content[max(0, tail) :], random, others)


def _overwrite(content: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    start, length = random.randrange(len(content) + 1), random.choice([1, 2, 4, 8, 100])
    filling = random.choice([b"\0", b"\xff", b"\x7f", b"\x80", b"9", b" ", random.randbytes(1)]) * length
    return content[:start] + filling + content[start + length :]


def _cut(content: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    return content[: random.randrange(len(content) + 1)]


def _remove(content: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    start = random.randrange(len(content) + 1)
    return content[:start] + content[start + random.choice([1, 3, 50, 512]) :]


def _repeat(content: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    start, length = random.randrange(len(content) + 1), random.choice([1, 30, 512])
    return content[: start + length] + content[start:]


def _splice(content: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    other = random.choice(others) if others else random.randbytes(200)
    here, there = random.randrange(len(content) + 1), random.randrange(len(other) + 1)
    return content[:here] + other[there:] if random.random() < 0.5 else other[:there] + content[here:]


DAMAGES = (_flip, _flip, _flip_in_the_head, _flip_in_the_tail, _overwrite, _cut, _remove, _repeat, _splice)
