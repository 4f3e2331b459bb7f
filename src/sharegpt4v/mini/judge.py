"""How the judge of the mini preset grades: by the share of the reference's informative words that an answer has.

It reads reference and answer out of the message it is sent, as LLaVA-Bench and MM-Vet write them. Now and then it talks
around the grade that MM-Vet wants, as judges do, so that it is asked again.
"""

from __future__ import annotations

import hashlib
import re

from sharegpt4v.evaluation.benchmarks.mm_vet import AGAIN

ONE_IN = 20  # of the first replies to a row of MM-Vet is talk
TALK = "The correctness score is"
NOT_A_TASK = "There is nothing to grade."
UNINFORMATIVE = frozenset((
    "a", "an", "and", "are", "at", "by", "does", "for", "from", "front", "has", "image", "in", "is", "it", "of", "on",
    "or", "picture", "show", "shows", "that", "the", "there", "this", "to", "which", "with", "written",
))  # fmt: skip

REVIEW = re.compile(
    r"\[Assistant 1\]\n(?P<truth>.*?)\n\n\[End of Assistant 1\]\n\n"
    r"\[Assistant 2\]\n(?P<answer>.*?)\n\n\[End of Assistant 2\]",
    re.DOTALL,
)
ROW = re.compile(r".*\n\n[^|\n]* \| (?P<truth>[^|\n]*) \| (?P<answer>.*) \| ", re.DOTALL)


def grade(image: bytes | None, prompt: str) -> str:
    """Reply to a message of LLaVA-Bench or MM-Vet."""
    if review := REVIEW.search(prompt):
        number = round(1 + 9 * found(review["truth"], review["answer"]))
        return f"10 {number}\nAssistant 1 is the reference; Assistant 2 has a part of its words."
    asked_again = prompt.endswith(AGAIN)
    if row := ROW.fullmatch(prompt.removesuffix(AGAIN)):
        share = max(found(truth, row["answer"]) for truth in row["truth"].split("<OR>"))
        talks = not asked_again and int(hashlib.sha256(prompt.encode()).hexdigest()[:8], 16) % ONE_IN == 0
        return f"{TALK} {share:.1f}" if talks else f"{share:.1f}"
    return NOT_A_TASK


def found(truth: str, answer: str) -> float:
    """Return the share of the informative words of `truth` that `answer` has; 1 where there are none."""
    wanted = words(truth)
    return len(wanted & words(answer)) / len(wanted) if wanted else 1.0


def words(text: str) -> set[str]:
    """Return the informative words of a text, in small letters."""
    return set(re.findall(r"\w+", text.lower())) - UNINFORMATIVE
