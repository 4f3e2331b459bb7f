"""`s4v doctor --write-profile`: the profile of the project, with the partitions of the cluster that it is run on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from sharegpt4v import layout
from sharegpt4v.doctor.partitions import Node, usable_nodes
from sharegpt4v.errors import UserError

TEMPLATE = layout.PROJECT / "profiles/slurm/config.yaml"


def write_new_profile(folder: Path) -> Path:
    """Write `config.yaml` in `folder` and return its path; a `UserError` when there is one, or Slurm has no GPUs."""
    file = folder / "config.yaml"
    if file.exists():
        raise UserError(f"{file} exists; name another folder, or remove it")
    text = profile_of(TEMPLATE.read_text("utf-8"), usable_nodes())
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    return file


def profile_of(template: str, nodes: Sequence[Node]) -> str:
    """Return the template with the keys of a cluster set.

    GPU jobs go to the partition whose nodes have most GPUs, and of those to the one with most nodes; others to the
    default partition, or to one without GPUs where the default has some. Whether nodes reach the internet Slurm does
    not know, so what needs it stays on the submit host. The longest time is that of the GPU jobs' partition.
    """
    gpu_nodes = [node for node in nodes if node.gpus]
    if not gpu_nodes:
        raise UserError("sinfo lists no usable node with GPUs; expected one with a gres such as gpu:8: see `sinfo`")
    # Of two that are alike, the one that is not for all comers.
    size = Counter(node.partition for node in nodes)
    best = max(gpu_nodes, key=lambda node: (node.gpus, size[node.partition], not node.default))
    with_gpus = {node.partition for node in gpu_nodes}
    cpu = min(nodes, key=lambda node: (node.partition in with_gpus, not node.default, -size[node.partition]))
    of_type = _commonest_type(node for node in gpu_nodes if node.partition == best.partition)
    for key, value in {
        "slurm_partition": cpu.partition,
        "gpu_partition": best.partition,
        "gpu_type": of_type,
        "longest_minutes": best.minutes,
    }.items():
        template = _with(template, key, value)
    return template


def _commonest_type(nodes: Iterable[Node]) -> str | None:
    """The type of GPU to ask for, the one of which there are most; None where there is only one."""
    types = Counter[str]()
    for node in nodes:
        types += node.gpu_types
    return max(types, key=lambda name: types[name]) or None if len(types) > 1 else None


def _with(text: str, key: str, value: str | int | None) -> str:
    """The text with one key set, or commented out; what is said beside it stays."""
    line = re.compile(rf"^  (?:# )?{key}: \S+", re.MULTILINE)
    found = line.search(text)
    assert found, f"{key} is not in {TEMPLATE}"
    new = f"  {key}: {value}" if value is not None else "  # " + found[0].removeprefix("  ").removeprefix("# ")
    return line.sub(lambda _: new, text, count=1)
