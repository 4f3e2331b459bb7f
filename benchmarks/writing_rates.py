"""Published rates of engines, as shares of what the plan's formula allows, and the hours of the paper's captions.

    python benchmarks/writing_rates.py

For each published rate: bytes that a step reads (weights, keys and values of all sequences at mean length), tokens per
second if the whole bandwidth were reached, the published rate, and the share of the bandwidth that this is, which is
what `bandwidth_vllm` and `bandwidth_local` in config/assumptions.tsv stand for. Then hours for the paper's 1.2 million
captions with each engine. Nothing is measured here.
"""

from __future__ import annotations

from typing import NamedTuple

from sharegpt4v.catalogues.hardware import read_hardware
from sharegpt4v.config import load
from sharegpt4v.models.family import DEFAULT, family_named
from sharegpt4v.plan.estimate import Estimate
from sharegpt4v.plan.generation import Written
from sharegpt4v.project import PROJECT

AT_ONCE, PROMPT, REPLY = 256, 150, 1024
"""vLLM's max_num_seqs in the published runs, tokens of a prompt (our guess), and of a reply (their limit, which models
that think aloud reach)."""


class Published(NamedTuple):
    """A model of config.json's sizes, and output tokens per second on one H100 (vLLM 0.15, bfloat16, its defaults).

    Source: README of examples/inference/benchmark in huggingface/datatrove.
    """

    name: str
    weights: float
    layers: int
    key_width: int  # heads of keys times their width
    rate: float


RATES = (
    Published("Qwen3-14B", 14.8e9, 40, 1024, 4414),
    Published("Qwen3-8B", 8.2e9, 36, 1024, 6338),
    Published("Qwen3-4B", 4.0e9, 36, 1024, 7919),
    Published("Qwen3-1.7B", 1.7e9, 28, 1024, 11710),
    Published("SmolLM2-1.7B", 1.7e9, 24, 2048, 5255),
)


def rows() -> list[str]:
    """Return the table of published rates, in Markdown."""
    bandwidth = read_hardware()["H100"].bandwidth
    lines = ["| Model | A step reads | Tokens/s at the whole bandwidth | Published | Share |", "|---|---|---|---|---|"]
    for one in RATES:
        written = Written(2 * one.weights, 2 * 2 * one.layers * one.key_width)
        step = written.step_bytes(AT_ONCE, PROMPT + REPLY / 2)
        most = AT_ONCE * bandwidth / step
        lines.append(f"| {one.name} | {step / 1e9:.0f} GB | {most:,.0f} | {one.rate:,.0f} | {one.rate / most:.2f} |")
    return lines


def paper_row() -> str:
    """Return the row of the paper's captioner: 4 images of 3 beams at a time on an A100 (released tool)."""
    plan = Estimate(load(PROJECT / "config/paper-7b.yaml"), "A100-80G")
    family, models, assumed = family_named(DEFAULT), plan.models, plan.assumed
    reply, text = assumed["caption_tokens"], assumed["question_tokens"]
    seconds = 44 * 86_400 / 1_246_901 - family.reading_flops(models, "7b", text) / (
        plan.device.flops * assumed["mfu_reading"]
    )
    written = Written(2 * family.weights(models, "7b"), family.cache_bytes(models, "7b"))
    step = written.step_bytes(4 * 3, family.prompt_tokens(models, text) + reply / 2)
    most, rate = 4 * plan.device.bandwidth / step, reply / seconds
    return f"| the paper's 44 A100-days | {step / 1e9:.0f} GB | {most:,.0f} | {rate:,.0f} | {rate / most:.3f} |"


def hours() -> list[str]:
    """Return the hours of the paper's captions by engine and device, in Markdown."""
    config, lines = load(PROJECT / "config/paper-7b.yaml"), ["| Engine | A100-80G | H100 | H200 |", "|---|---|---|---|"]
    for engine in ("local", "vllm"):
        chosen = config.model_copy(update={"captions": config.captions.model_copy(update={"engine": engine})})
        costs = [Estimate(chosen, device).costs()["captions"] for device in ("A100-80G", "H100", "H200")]
        lines.append(f"| {engine} | {' | '.join(f'{cost.gpu_hours:,.0f}' for cost in costs)} |")
    return lines


if __name__ == "__main__":
    print("\n".join([*rows(), paper_row(), "", *hours()]))
