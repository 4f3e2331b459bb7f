"""The two answer normalisers: cases worked out by hand from their rules, and what holds for every text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharegpt4v.evaluation.base import annotator_agreement
from sharegpt4v.evaluation.normalise import ARTICLES, CONTRACTIONS, NUMBERS, PUNCTUATION, m4c, vqa_v2

ANSWERS = st.text(st.one_of(st.characters(), st.sampled_from(" .,?!'-aA1\n\t")), max_size=40)


@pytest.mark.parametrize("normalise", [m4c, vqa_v2])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("The red Dog", "red dog"),
        ("a", ""),
        ("none", "0"),
        ("Ten", "10"),
        ("ten-fold", "10 fold"),  # a hyphen without a blank beside it becomes a blank
        ("ten- fold", "10 fold"),  # with one it goes
        ("t-shirt - red", "tshirt red"),  # one blank decides for every hyphen of the text
        ("3.", "3"),
        ("1.a", "1a"),
        (".5", ".5"),
        ("2.5 m", "2.5 m"),
        ("no.5", "no.5"),
        ("1,000", "1000"),
        ("arent", "aren't"),
        ("dont", "don't"),
        ("twas", "'twas"),
        ("im", "im"),
        ("shes", "shes"),
        ("couldnt've", "couldn't've"),
        ("couldn'tve", "couldn't've"),
        ("y'all'dve", "y'all'd've"),
        ("somebody'd", "somebodyd"),
        ("yes!", "yes"),
        ("10:30", "10:30"),
        ("50% & $5 #1 *", "50% & $5 #1 *"),
        (" line\nbreak\ttab ", "line break tab"),
        ("«Café» ÉTÉ", "«café» été"),
        ("蓝色", "蓝色"),
        ("." * 34, ".."),  # only the first 32 periods go
    ],
)
def test_both(normalise: Any, text: str, expected: str) -> None:
    assert normalise(text) == expected


@pytest.mark.parametrize(
    ("text", "in_m4c", "in_vqa_v2"),
    [
        ("joe's", "joe 's", "joe's"),
        ("a,b", "ab", "b"),
        ("who?me", "whome", "who me"),
        ("1,000-2,000", "1000 2000", "10002000"),
        ("1,,000", "1000", "1 000"),
        ("thats", "that's", "that's"),
        ("1.٣", "1.٣", "1٣"),  # an Arabic digit after the period is a digit to the first only
    ],
)
def test_where_they_differ(text: str, in_m4c: str, in_vqa_v2: str) -> None:
    assert (m4c(text), vqa_v2(text)) == (in_m4c, in_vqa_v2)


def test_the_table_of_contractions_is_complete() -> None:
    assert len(CONTRACTIONS) == 114  # the original 120 without four that never match and two that change nothing


@given(ANSWERS)
def test_what_holds_for_every_answer(text: str) -> None:
    for normalise in (m4c, vqa_v2):
        result = normalise(text)
        assert not set(result) & set(PUNCTUATION)
        assert result == " ".join(result.split())
        assert not set(result.split()) & (ARTICLES | set(NUMBERS))


@given(ANSWERS)
def test_vqa_v2_twice_is_once(text: str) -> None:
    assert vqa_v2(vqa_v2(text)) == vqa_v2(text)


@given(ANSWERS)
def test_m4c_twice_is_once_without_apostrophes(text: str) -> None:
    once = m4c(text)
    assert "'" in once or m4c(once) == once


@pytest.mark.parametrize(("equal", "expected"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (10, 1)])
def test_agreement_with_ten_annotators(equal: int, expected: float) -> None:
    assert annotator_agreement("yes", ["yes"] * equal + ["no"] * (10 - equal)) == pytest.approx(expected)


@given(st.text("ab", max_size=1), st.lists(st.text("ab", max_size=1), min_size=1, max_size=12))
def test_agreement_is_the_mean_of_leaving_each_annotator_out(prediction: str, answers: list[str]) -> None:
    left_out = [min(1, sum(a == prediction for a in answers[:i] + answers[i + 1 :]) / 3) for i in range(len(answers))]
    assert annotator_agreement(prediction, answers) == pytest.approx(sum(left_out) / len(answers))
