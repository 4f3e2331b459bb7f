"""Section ``judge``: the language model that grades the answers to LLaVA-Bench and MM-Vet (paper §5.1)."""

from __future__ import annotations

from pydantic import Field

from sharegpt4v.config.section import Count, Fraction, Positive, Section, Text
from sharegpt4v.config.teacher import LONGEST_WAIT, Address, Budget, VariableName


class Judge(Section):
    """GPT-4 in the paper. Prompts and temperatures are the benchmarks' own. Scores by unlike judges do not compare."""

    base_url: Address = Field(
        description="Address of an OpenAI-compatible endpoint, without user, password, key or query; `mini` starts the "
        "synthetic world's own on this machine."
    )
    model: Text = Field(
        description="Name of the model, as the endpoint calls it (officially gpt-4-0314 and gpt-4-0613)."
    )
    api_key_variable: VariableName | None = Field(
        default=None,
        description="Name of the environment variable that holds the key; never the key itself. null: no key.",
    )
    concurrency: Count = Field(default=8, description="Requests under way at a time.")
    requests_per_minute: Count | None = Field(default=None, description="Limit on requests per minute. null: no limit.")
    tokens_per_minute: Count | None = Field(
        default=None, description="Limit on tokens of messages and replies per minute. null: no limit."
    )
    timeout_seconds: Positive = Field(
        default=120, description="Seconds after which one request is given up that has no whole reply."
    )
    longest_wait_seconds: Positive = LONGEST_WAIT
    attempts: Count = Field(default=6, description="Attempts per message, the first one counted.")
    budget: Budget | None = Field(
        default=None,
        description="Prices and a limit on what grading one model's answers to one benchmark may cost. null: no limit.",
    )
    llava_bench_runs: Count = Field(
        default=1,
        description="Times that LLaVA-Bench is graded (LLaVA's published numbers: 3); the score is a mean.",
    )
    mm_vet_runs: Count = Field(
        default=1, description="Times that MM-Vet is graded (its paper: 5); the score is a mean."
    )
    largest_failed_fraction: Fraction = Field(
        default=0.01,
        description="Share of a column's verdicts that may be unreadable; with more, nothing is scored. Below it the "
        "official rule counts them: -1 for both answers of LLaVA-Bench, 0 in MM-Vet.",
    )

    def runs(self, benchmark: str) -> int:
        """How often the answers to a benchmark are graded."""
        return {"llava-bench": self.llava_bench_runs, "mm-vet": self.mm_vet_runs}[benchmark]
