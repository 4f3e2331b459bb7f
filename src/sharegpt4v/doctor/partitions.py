"""What `sinfo` says of a cluster: its partitions, their nodes, and what the nodes have."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from sharegpt4v.pipeline.slurm import ask

USABLE = ("idle", "mix", "alloc", "comp", "plnd")  # as sinfo calls nodes that take jobs now or soon
FORMAT = "%P|%t|%G|%m|%c|%l"


@dataclass(frozen=True)
class Node:
    """A usable node as a member of a partition. `minutes`, the partition's time limit, is None where there is none."""

    partition: str
    default: bool
    gres: str
    mem_mb: int
    cpus: int
    minutes: int | None

    @property
    def gpus(self) -> int:
        """How many it has, of all types."""
        return sum(self.gpu_types.values())

    @property
    def gpu_types(self) -> Counter[str]:
        """How many of each type, '' for one without a name."""
        found: Counter[str] = Counter()
        for kind, count in re.findall(r"\bgpu(?::([^:,()]+(?=:)))?:(\d+)", self.gres):
            found[kind] += int(count)
        return found


def usable_nodes() -> list[Node]:
    """Ask Slurm; a `UserError` when it does not answer. A node is there once for each partition that it is in."""
    return [parse_node(line) for line in ask("sinfo", "--noheader", "--Node", f"--format={FORMAT}").splitlines()
            if line.split("|")[1] in USABLE]  # fmt: skip


def parse_node(line: str) -> Node:
    """Parse a line of sinfo as in `FORMAT`, such as ``gpu*|idle|gpu:a100:8(S:0-1)|1031000|128|2-00:00:00``."""
    partition, _, gres, memory, cpus, limit = line.split("|")
    number = int(re.sub(r"\D", "", memory)), int(re.sub(r"\D", "", cpus))  # "+": others of the partition have more
    return Node(partition.rstrip("*"), partition.endswith("*"), gres, *number, minutes_of(limit))


def minutes_of(limit: str) -> int | None:
    """Return the minutes of a time limit as Slurm writes it, `[days-]hours:minutes:seconds`; None for infinite ones."""
    if not limit[:1].isdigit():
        return None
    days, _, clock = limit.rpartition("-")
    parts = [0, 0, *map(int, clock.split(":"))][-3:]
    return int(days or 0) * 1440 + parts[0] * 60 + parts[1]
