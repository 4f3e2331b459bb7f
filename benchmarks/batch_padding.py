"""How much of what a training computes is samples and not padding, from lengths alone, by stage and processes.

    python benchmarks/batch_padding.py

draws lengths like those of the pre-training corpus and of the fine-tuning mix at the paper's preset (576 visual tokens,
batches of 256 and 128 samples), or reads them, one a line, from `--lengths FILE` (a minus marks text alone). It lays
out the steps of an epoch for 1, 8 and 16 processes as training does, and prints the share of computed positions that
are samples; the same for rows of one constant length, dealt out in turn; and how long the longest part of a step is
beside the mean, for which all processes wait. Then the share of text alone in the loss: by steps of one modality,
and by the mean over all tokens of shuffled batches. Exit code 1 when less than 95 % is samples.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

from sharegpt4v.config.loading import load
from sharegpt4v.config.training import Recipe
from sharegpt4v.layout import PROJECT
from sharegpt4v.training.batching import Dealer, Step
from sharegpt4v.training.packing import pack
from sharegpt4v.training.ranks import Ranks

VISUAL = 576
PROCESSES = (1, 8, 16)
WANTED = 0.95
TEXT_ALONE = 40_688 / 665_058
LEARNED = {"pretraining": 1.0, "image": 0.3, "text": 0.8}  # of the words: about the share that is answers


def main() -> None:
    """Draw or read lengths, lay them out, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=40_000, help="how many lengths to draw for each stage")
    parser.add_argument("--lengths", type=Path, metavar="FILE", help="lengths of the fine-tuning mix to use")
    options = parser.parse_args()
    config = load(PROJECT / "config" / "paper-7b.yaml")
    lengths = [int(line) for line in options.lengths.read_text().split()] if options.lengths else None
    shares: list[float] = []
    for name, recipe in (("pretraining", config.pretraining), ("finetuning", config.finetuning)):
        words = (name == "finetuning" and lengths) or draw(name, options.samples)
        dealer = dealer_of(words, recipe, config.seed)
        for processes in PROCESSES:
            share, longest = laid_out(dealer, processes, config.compute.rows_at_once)
            shares.append(share)
            print(
                f"{name}, {processes:2} processes: {share:.1%} samples (rows of one length: "
                f"{constant_rows(dealer, processes):.1%}), longest part {longest:.3f} of the mean"
            )
    print(f"text alone is {TEXT_ALONE:.1%} of the mix; of the loss {loss_of_text(dealer):.1%}", end=" ")
    unlike = dealer_of(words, recipe.model_copy(update={"loss_parts": 1, "group_by_modality_length": False}), 0)
    print(f"(by the mean over all tokens of shuffled batches: {loss_of_text(unlike):.1%})")
    sys.exit(min(shares) < WANTED)


def draw(stage: str, count: int) -> list[int]:
    """Lengths of text in tokens, below 0 for text alone; about as long as the published rows are."""
    random = Random(stage)
    if stage == "pretraining":  # captions of 826 characters on average
        return [max(20, round(random.gauss(190, 45))) for _ in range(count)]
    drawn = []
    for _ in range(count):
        if random.random() < TEXT_ALONE:
            drawn.append(-min(2048, round(random.lognormvariate(6.9, 0.8)) + 60))
        else:
            drawn.append(min(2048, round(random.lognormvariate(5.2, 0.7)) + 60))
    return drawn


def dealer_of(words: Sequence[int], recipe: Recipe, seed: int) -> Dealer:
    """Deal samples of so many tokens of text, with the visual ones beside them."""
    kinds = ["pretraining" if recipe.template == "plain" else "text" if one < 0 else "image" for one in words]
    return Dealer(
        [-one if one < 0 else one - 1 + VISUAL for one in words],
        [max(1, round(LEARNED[kind] * abs(one))) for kind, one in zip(kinds, words, strict=True)],
        [one > 0 for one in words],
        recipe,
        seed,
        recipe.sequence_length - 1 + VISUAL,
    )


def laid_out(dealer: Dealer, processes: int, rows_at_once: int | None) -> tuple[float, float]:
    """The share of computed positions that are samples, and the longest part of a step beside the mean."""
    computed = longest = 0
    for step in dealer.steps(0, dealer.step_count()):
        parts = [dealer.rows(step, Ranks(rank, processes), rows_at_once) for rank in range(processes)]
        totals = [sum(len(rows) * length for rows, length in part) for part in parts]
        computed += sum(totals)
        longest += max(totals) * processes
    return sum(dealer.lengths) / computed, longest / computed


def constant_rows(dealer: Dealer, processes: int) -> float:
    """The same share when a step's samples are packed into rows of one length, as many for each process."""
    computed = 0
    for step in dealer.steps(0, dealer.step_count()):
        rows = pack(dealer.lengths, [index for part in step for index in part], dealer.row_length)
        computed += math.ceil(len(rows) / processes) * processes * dealer.row_length
    return sum(dealer.lengths) / computed


def loss_of_text(dealer: Dealer) -> float:
    """The share of rows of text alone in the loss of an epoch."""

    def share(step: Step) -> float:
        weights = dealer.weights(step)
        return sum(
            weight * dealer.supervised[index] for index, weight in weights.items() if not dealer.with_image[index]
        )

    return sum(map(share, dealer.steps(0, dealer.step_count()))) / dealer.step_count()


if __name__ == "__main__":
    main()
