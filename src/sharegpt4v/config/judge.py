"""Section ``judge``: the language model that grades the answers to LLaVA-Bench and MM-Vet (paper §5.1)."""

from __future__ import annotations

from pydantic import Field

from sharegpt4v.config.endpoint import Endpoint
from sharegpt4v.config.section import Count, Fraction, Text


class Judge(Endpoint):
    """GPT-4 in the paper. Prompts and temperatures are the benchmarks' own. Scores by unlike judges do not compare."""

    model: Text = Field(
        default="gpt-4-0613",
        description="Name of the model, as the endpoint calls it. Officially gpt-4-0613 for MM-Vet and gpt-4-0314 for "
        "LLaVA-Bench; both are gone: `s4v doctor` says what replaces them.",
    )
    llava_bench_runs: Count = Field(
        default=3,
        description="Times that LLaVA-Bench is graded (LLaVA's published numbers: 3); the score is a mean.",
    )
    mm_vet_runs: Count = Field(
        default=5, description="Times that MM-Vet is graded (its paper: 5); the score is a mean."
    )
    largest_failed_fraction: Fraction = Field(
        default=0.01,
        description="Share of a column's verdicts that may be unreadable; with more, nothing is scored. Below it the "
        "official rule counts them: -1 for both answers of LLaVA-Bench, 0 in MM-Vet.",
    )

    def runs(self, benchmark: str) -> int:
        """How often the answers to a benchmark are graded."""
        return {"llava-bench": self.llava_bench_runs, "mm-vet": self.mm_vet_runs}[benchmark]
