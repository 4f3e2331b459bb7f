"""The quality gate of captions."""

from __future__ import annotations

from typing import Any

import pytest

from seed_stage import GOOD, PROMPTS
from sharegpt4v.config.quality import Quality
from sharegpt4v.corpora.prompts import PromptBook
from sharegpt4v.corpora.quality import REASONS, Caption, count_reasons, examine, reject_reason


@pytest.mark.parametrize(
    ("caption", "reason"),
    [
        (GOOD, None),
        (GOOD + " Nothing on it is sorry or unable; it can be seen by anyone. The number 123456 is on the bus.", None),
        ("The red, red, red, red roof is very, very, very steep. " + GOOD, None),
        ("", "empty"),
        (" \n . ", "empty"),
        ("I'm sorry, but I can't assist with that request.", "refusal"),
        ("I’m sorry, but I cannot identify people. " + GOOD, "refusal"),
        ("As an AI language model I see no image. " + GOOD, "refusal"),
        (GOOD + " The description contains no imaginary content.", "prompt echo"),
        (GOOD + " As requested, the text is free of any imagined or invented details.", "prompt echo"),
        (
            GOOD + " State only what you can tell from the picture with confidence, and leave out the rest.",
            "prompt echo",
        ),
        ("This is the image sa_17478, a landmark. " + GOOD, "file name"),
        (GOOD + " " + "The bus is red and it stands in the road. " * 4, "repetition"),
        (GOOD + " and then" + " and on" * 12, "repetition"),
        (GOOD + " " + "red " * 10, "repetition"),
        ("A red bus.", "too short"),
        (" ".join(f"{GOOD} Thing {n} is here." for n in range(2)) + " x" + "yz" * 2000, "too long"),
    ],
)
def test_gate_names_what_is_wrong_with_a_caption(caption: Any, reason: str | None) -> None:
    prompt = PromptBook.load(PROMPTS).render("coco", aesthetic=True)
    assert reject_reason(caption, prompt, "sam/images/sa_17478.jpg", Quality()) == reason
    assert reason is None or reason in REASONS


def test_gate_without_a_prompt_serves_for_the_captioner() -> None:
    assert reject_reason(GOOD, "", "coco/train2017/000000000009.jpg", Quality()) is None
    echo = GOOD + " No imaginary content is included."
    assert reject_reason(echo, "", "coco/train2017/000000000009.jpg", Quality()) == "prompt echo"


def test_gate_knows_cut_off_and_filtered_replies_by_the_finish_reason() -> None:
    assert reject_reason(GOOD, "", "a.jpg", Quality(), "length") == "cut off"
    assert reject_reason(GOOD, "", "a.jpg", Quality(), "content_filter") == "refusal"


def test_ordinary_words_and_names_are_no_file_names() -> None:
    assert reject_reason(GOOD + " A dog of 2017.", "", "a/dog.jpg", Quality()) is None
    assert reject_reason(GOOD + " A dog of 2017.", "", "a/2017.jpg", Quality()) is None
    assert reject_reason(GOOD + " This is Choi Min-sik.", "", "a/Choi_Min-sik.jpg", Quality()) is None
    assert reject_reason(GOOD + " This is dog.jpg.", "", "a/dog.jpg", Quality()) == "file name"
    assert reject_reason(GOOD + " This is Choi_Min-sik.", "", "a/Choi_Min-sik.jpg", Quality()) == "file name"


def test_one_text_on_many_images_is_rejected_everywhere_and_counted_by_source() -> None:
    captions = [Caption(f"{n}.jpg", "coco", GOOD) for n in range(4)]
    captions += [Caption(f"other{n}.jpg", "sam", f"{GOOD} Number {n % 2}.") for n in range(6)]
    reasons = examine(captions, Quality(most_copies=3))
    assert reasons == ["duplicate"] * 4 + [None] * 6
    table = count_reasons([caption.source for caption in captions], reasons)
    assert table == {"coco": {"duplicate": 4}, "sam": {"accepted": 6}}
