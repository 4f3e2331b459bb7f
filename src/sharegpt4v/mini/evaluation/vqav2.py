"""VQAv2 in the synthetic world: the annotated val2014 split, with ten people's answers, and the test split, without.

The answers are in the normalised form of the official file, where a number is a digit.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from sharegpt4v.evaluation.benchmarks.vqav2 import SPLIT
from sharegpt4v.evaluation.normalise import vqa_v2
from sharegpt4v.mini.describe import COUNTS
from sharegpt4v.mini.evaluation.asking import (
    OBJECT_ASPECTS,
    annotators,
    json_bytes,
    jsonl_bytes,
    open_or_claim,
    picture,
    scene_about,
)
from sharegpt4v.mini.instructions import SHORT
from sharegpt4v.mini.packing import Member
from sharegpt4v.mini.scene import Scene

QUESTION_TYPES = (  # of the official list, the longer before the shorter
    "which", "how many", "is this",
)  # fmt: skip
SYNONYMS = {"purple": "violet", "small": "little", "large": "big"}


def files(questions: int, seed: int, pixels: int) -> Iterator[Member]:
    """Yield pictures, questions and annotations, and a tenth as many questions for the server; each third is yes/no."""
    asked_rows, annotated = [], []
    for number in range(questions):
        random = Random(f"{seed}/eval/vqav2/{number}")
        scene, question, truth, others = _question(number, random)
        image_id = 42 + 31 * number
        image, identifier = f"COCO_val2014_{image_id:012d}.jpg", image_id * 1000
        yield f"val2014/{image}", picture(scene, random, pixels)
        asked_rows.append({"image_id": image_id, "question": question, "question_id": identifier})
        answers = annotators(truth, others, random)
        annotated.append(
            {
                "question_id": identifier,
                "image_id": image_id,
                "question_type": question_type(question),
                "answer_type": answer_type(truth),
                "multiple_choice_answer": vqa_v2(truth),
                "answers": [
                    {"answer": vqa_v2(answer), "answer_confidence": "yes", "answer_id": person}
                    for person, answer in enumerate(answers, start=1)
                ],
            }
        )
    about = {"info": {"description": "questions on a drawn world"}, "data_type": "mscoco", "data_subtype": "val2014"}
    about |= {"license": {"name": "the same terms as the code that drew it"}}
    yield (
        f"v2_OpenEnded_{SPLIT}_questions.json",
        json_bytes({**about, "task_type": "Open-Ended", "questions": asked_rows}),
    )
    yield f"v2_{SPLIT}_annotations.json", json_bytes({**about, "annotations": annotated})
    yield from _test_files(max(2, questions // 10), seed, pixels)


def _test_files(questions: int, seed: int, pixels: int) -> Iterator[Member]:
    """Yield pictures and LLaVA's two question files: all of the test split, and every other one of them, test-dev."""
    rows = []
    for number in range(2 * questions):
        random = Random(f"{seed}/eval/vqav2 test/{number}")
        scene, question, _, _ = _question(number, random)
        image_id = 1 + 17 * number
        image = f"COCO_test2015_{image_id:012d}.jpg"
        yield f"test2015/{image}", picture(scene, random, pixels)
        rows.append({"question_id": image_id * 1000, "image": image, "text": question + SHORT, "category": "default"})
    yield "llava_vqav2_mscoco_test2015.jsonl", jsonl_bytes(rows)
    yield "llava_vqav2_mscoco_test-dev2015.jsonl", jsonl_bytes(rows[::2])


def _question(number: int, random: Random) -> tuple[Scene, str, str, list[str]]:
    """Return a scene, a question on it, the true answer, and what else people say."""
    scene, asked = scene_about(OBJECT_ASPECTS[number % len(OBJECT_ASPECTS)], random, "open")
    question, truth, others = open_or_claim(asked, number % 3 == 0, random)
    return scene, question, truth, [SYNONYMS[truth], *others] if truth in SYNONYMS else others


def question_type(question: str) -> str:
    """The official name of a question's first words."""
    return next((kind for kind in QUESTION_TYPES if question.lower().startswith(kind)), "none of the above")


def answer_type(answer: str) -> str:
    """The official kind of an answer: yes/no, number, other."""
    return "yes/no" if answer in ("yes", "no") else "number" if answer in COUNTS else "other"
