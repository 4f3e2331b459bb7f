"""The two answer normalisers of the open-ended benchmarks.

`m4c` is the one of TextVQA's scorer and of every file LLaVA and ShareGPT4V upload (VQAv2, VizWiz). `vqa_v2` is the
one of the official VQAv2 scorer. They share their steps and differ in what comes before, so that "joe's" becomes
"joe 's" in the first and stays in the second, and "a,b" becomes "ab" and "b".

Source: EvalAIAnswerProcessor of facebookresearch/mmf, VQAEval of GT-Vision-Lab/VQA. Their oddities are part of the
scores ever published and are kept.
"""

from __future__ import annotations

import re

PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
PERIODS_DELETED_AT_MOST = 32  # the originals pass re.UNICODE, which is 32, where the count is expected

NUMBER_WORDS = "zero one two three four five six seven eight nine ten"
NUMBERS = {word: str(number) for number, word in enumerate(NUMBER_WORDS.split())} | {"none": "0"}
ARTICLES = {"a", "an", "the"}

# Written without any apostrophe, these get theirs back ("dont" becomes "don't").
APOSTROPHE_LOST = """
    ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd how'll how's isn't
    it'd it'll ma'am mightn't might've mustn't must've needn't not've o'clock oughtn't shan't should've shouldn't
    somebody'll somebody's someone'd someone'll someone's something'd something'll that's there'd there're there's
    they'd they'll they're they've 'twas wasn't we've weren't what'll what're what's what've when's where'd where's
    where've who'd who'll who's who've why'll why're why's won't would've wouldn't y'all you'd you'll you're you've
"""
# Written with one of their apostrophes missing, these get it back ("couldnt've" becomes "couldn't've").
ONE_OF_SEVERAL_LOST = """
    couldn't've hadn't've he'd've it'd've mightn't've she'd've shouldn't've somebody'd've someone'd've something'd've
    there'd've they'd've we'd've who'd've wouldn't've y'all'll y'all'd've you'd've 'ow's'at
"""


def _contractions() -> dict[str, str]:
    table = {word.replace("'", ""): word for word in APOSTROPHE_LOST.split()}
    for word in ONE_OF_SEVERAL_LOST.split():
        for position, sign in enumerate(word):
            if sign == "'":
                table[word[:position] + word[position + 1 :]] = word
    return table | {"somebody'd": "somebodyd"}  # an oddity of the original table


CONTRACTIONS = _contractions()


def m4c(text: str) -> str:
    """Normalise as TextVQA's scorer does: "The Dogs' 2,000" becomes "dogs' 2000". Never raises."""
    text = text.lower().replace(",", "").replace("?", "").replace("'s", " 's").strip()
    return _common(_on_one_line(text), comma_between_digits=False, digit=r"\d")


def vqa_v2(text: str) -> str:
    """Normalise as the official VQAv2 scorer does, whose Python 2 knows ASCII digits only. Never raises."""
    text = _on_one_line(text)
    return _common(text, comma_between_digits=re.search(r"[0-9],[0-9]", text) is not None, digit="[0-9]")


def _on_one_line(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()


def _common(text: str, comma_between_digits: bool, digit: str) -> str:
    """Take out punctuation, then periods, then articles; number words become digits, contractions are corrected.

    Whether a mark is deleted or becomes a blank depends on the text as it came in: deleted when a blank stands
    beside it anywhere, or when there is a comma between digits anywhere.
    """
    before = text
    for mark in PUNCTUATION:
        beside_blank = f"{mark} " in before or f" {mark}" in before
        text = text.replace(mark, "" if beside_blank or comma_between_digits else " ")
    text = re.sub(rf"\.(?!{digit})", "", text, count=PERIODS_DELETED_AT_MOST)
    words = (NUMBERS.get(word, word) for word in text.lower().split())
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)
