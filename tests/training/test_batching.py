"""Steps hold the samples that the released code deals them, count as there, and are shared evenly by processes."""

from __future__ import annotations

import subprocess
import sys
from random import Random
from typing import Any

import pytest

from conftest import PROJECT
from sharegpt4v.config.training import Recipe
from sharegpt4v.training.batching import Dealer
from sharegpt4v.training.packing import deal
from sharegpt4v.training.ranks import Ranks

FINETUNING: dict[str, Any] = {
    "learning_rate": 2e-5, "batch_size": 128, "loss_parts": 16, "group_by_modality_length": True,
    "sequence_length": 2048, "template": "v1", "image_aspect_ratio": "pad",
}  # fmt: skip
TEXT_ALONE = 40_688 / 665_058  # of the fine-tuning mix
OFFICIAL_SHARE_OF_TEXT = (0.0763, 0.0777)
"""The share of text alone in the loss of the lengths of `drawn`: least and most over 20 seeds of the released sampler,
`get_modality_length_grouped_indices(lengths, 8, world_size=16)` with the loss as the mean over 16 GPUs of each GPU's
mean over its supervised tokens. Of the samples it is 0.0624; the last two batches are mixed and hold much of it."""


def drawn(count: int = 8000) -> list[int]:
    """Tokens of text as the fine-tuning mix has them; below 0 for text alone."""
    random = Random("mix")
    return [
        -round(random.lognormvariate(6.9, 0.8)) - 60
        if random.random() < TEXT_ALONE
        else round(random.lognormvariate(5.2, 0.7)) + 60
        for _ in range(count)
    ]


def dealer_of(words: list[int], **recipe: Any) -> Dealer:
    """With no visual tokens, as the released sampler counts; of text alone 80 % is supervised, else 30 %."""
    supervised = [max(1, round((0.8 if one < 0 else 0.3) * abs(one))) for one in words]
    with_image = [one > 0 for one in words]
    return Dealer([abs(one) for one in words], supervised, with_image, Recipe(**(FINETUNING | recipe)), 0, 10_000)


def share_of_text(dealer: Dealer) -> float:
    total = 0.0
    for step in dealer.steps(0, dealer.step_count()):
        weights = dealer.weights(step)
        counted = {index: weight * dealer.supervised[index] for index, weight in weights.items()}
        assert sum(counted.values()) == pytest.approx(1)
        total += sum(share for index, share in counted.items() if not dealer.with_image[index])
    return total / dealer.step_count()


def test_text_alone_counts_as_much_as_officially() -> None:
    words = drawn()
    least, most = OFFICIAL_SHARE_OF_TEXT
    assert least - 0.001 < share_of_text(dealer_of(words)) < most + 0.001
    # the mean over all tokens of shuffled batches is another thing
    assert share_of_text(dealer_of(words, loss_parts=1, group_by_modality_length=False)) > 0.2


def test_steps_hold_one_modality_and_parts_of_like_length() -> None:
    dealer = dealer_of(drawn())
    steps = list(dealer.steps(0, dealer.step_count()))
    assert sorted(index for step in steps for part in step for index in part) == list(range(8000))
    *whole, _, _ = steps
    assert all(len({dealer.with_image[index] for part in step for index in part}) == 1 for step in whole)
    assert {len(part) for step in whole for part in step} == {8} and {len(step) for step in whole} == {16}
    totals = [[sum(dealer.lengths[index] for index in part) for part in step] for step in whole]
    assert sum(max(each) for each in totals) * 16 < 1.1 * sum(sum(each) for each in totals)
    again = list(dealer.steps(5, 9))
    assert again == steps[5:9] and list(dealer_of(drawn()).steps(63, 64)) != steps[:1]  # the next epoch is dealt anew


@pytest.mark.parametrize("processes", [1, 3, 16])
def test_every_process_has_an_even_part_of_a_step(processes: int) -> None:
    dealer = dealer_of(drawn(1000))
    longest_parts = 0
    for step in dealer.steps(0, dealer.step_count()):
        samples = sorted(index for part in step for index in part)
        parts = [deal(dealer.lengths, samples, processes, 4096) for _ in range(2)]
        assert parts[0] == parts[1] and len({len(rows) for rows in parts[0]}) == 1
        assert sorted(index for rows in parts[0] for row in rows for index in row) == samples
        totals = [[sum(dealer.lengths[index] for index in row) for row in rows] for rows in parts[0]]
        longest = max(dealer.lengths[index] for index in samples)
        assert all(0 < total <= max(4096, longest) for rows in totals for total in rows)
        longest_parts += max(map(sum, totals))
    assert longest_parts * processes < 1.1 * sum(dealer.lengths)


def test_a_step_of_fewer_samples_than_processes_is_whole() -> None:
    dealer = dealer_of([10, 20, 30], batch_size=4, loss_parts=2)
    (step,) = dealer.steps(0, 1)
    dealt = [dealer.rows(step, Ranks(rank, 8), 1) for rank in range(8)]
    assert all(len(part) == 1 for part in dealt)
    assert sorted(index for part in dealt for rows, _ in part for row in rows for index in row) == [0, 1, 2]


def test_hardly_a_computed_position_is_padding() -> None:
    command = [sys.executable, "benchmarks/batch_padding.py", "--samples", "3000"]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    lines = ended.stdout.splitlines()
    assert len(lines) == 7 and lines[5].startswith("finetuning, 16 processes: 9")
