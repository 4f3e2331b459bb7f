"""Memory and speed of the paper's trainings on four machines, computed as `s4v plan` does; nothing is measured.

For each machine the keys of `compute` that `s4v plan` names where the preset does not fit. Steps per hour are those of
the share of the peak that the paper's own run reached, and of half the peak, which is this project's goal.

Example:  python benchmarks/memory_table.py
"""

from __future__ import annotations

from sharegpt4v.catalogues.hardware import read_hardware
from sharegpt4v.config import Config, load
from sharegpt4v.config.compute import Compute
from sharegpt4v.models.family import DEFAULT, family_named
from sharegpt4v.plan.fitting import fitting_keys
from sharegpt4v.plan.tables import read_assumptions
from sharegpt4v.project import PROJECT

MACHINES = (("A100-80G", 1, 1), ("A100-80G", 1, 8), ("A100-80G", 2, 8), ("H200", 1, 1))
GOAL = 0.5


def rows(config: Config, device: str, nodes: int, processes: int) -> list[str]:
    """Return a line of the table for each size and stage on a machine."""
    compute = config.compute.model_copy(update={"nodes": nodes, "processes_per_node": processes})
    return [
        row(config, device, compute, size, stage) for size in ("7b", "13b") for stage in ("pretraining", "finetuning")
    ]


def row(config: Config, device: str, compute: Compute, size: str, stage: str) -> str:
    """Return one line: machine, model, stage, bytes, keys, steps per hour."""
    recipe, known = getattr(config, stage), read_hardware()[device]
    assumed = read_assumptions()
    text = assumed["caption_tokens" if stage == "pretraining" else "instruction_tokens"]
    changed, memory, fits = fitting_keys(config.base_models, size, recipe, compute, text, device)
    flops = family_named(DEFAULT).training_flops(config.base_models, size, recipe, text) * recipe.batch_size
    steps = [
        f"{3600 * compute.processes * known.flops * share / flops:,.0f}" if fits else "-"
        for share in (assumed[f"mfu_{stage}"], GOAL)
    ]
    keys = ", ".join(f"`{key}: {str(value).lower()}`" for key, value in changed.items()) or "as in the preset"
    said = f"{memory.device / 1e9:,.0f} GB" if fits else f"{memory.device / 1e9:,.0f} GB: does not fit"
    machine = f"{compute.processes} x {device}"
    return f"| {machine} | {size} | {stage} | {said} | {memory.host / 1e9:,.0f} GB | {keys} | {steps[0]} | {steps[1]} |"


def table() -> str:
    """Return the whole table, in Markdown."""
    config = load(PROJECT / "config/paper-7b.yaml")
    lines = ["| Machine | Model | Stage | A device | A node's host | Keys of `compute` | Steps/h | at 50 % |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for device, nodes, processes in MACHINES:
        lines += rows(config, device, nodes, processes)
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
