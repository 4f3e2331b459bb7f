"""MME in the synthetic world: fourteen subtasks, two adjacent questions per picture, one with Yes and one with No.

The perception subtasks ask in the words of the instruction mix; the four of cognition need a step of thought.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from sharegpt4v.evaluation.benchmarks.mme import SUBTASKS, YES_OR_NO
from sharegpt4v.mini.evaluation.asking import jsonl_bytes, picture, scene_about
from sharegpt4v.mini.instructions import SHORT
from sharegpt4v.mini.packing import Member
from sharegpt4v.mini.questions import Asked, ask_all
from sharegpt4v.mini.reasoning import STEPS
from sharegpt4v.mini.scene import Scene, sample_scene

TREE = "MME_Benchmark_release_version"
NESTED = ("posters", "celebrity", "scene", "landmark", "artwork")  # these have folders for images and texts
ASPECTS = {"color": "colour", "OCR": "word"}  # where they are not called as the subtasks


def files(questions: int, seed: int, pixels: int) -> Iterator[Member]:
    """Yield the release tree and the question file; a quarter (cognition: a twentieth) of `questions` per subtask."""
    rows = []
    for column, subtasks in SUBTASKS.items():
        for subtask in subtasks:
            for number in range(max(2, questions // (4 if column == "MME-perception" else 20))):
                random = Random(f"{seed}/eval/mme/{subtask}/{number}")
                scene, true, false = claims(subtask, random)
                pair = [(true, "Yes"), (false, "No")]
                random.shuffle(pair)
                name = f"{number + 1:04d}"
                images, texts = ("/images", "/questions_answers_YN") if subtask in NESTED else ("", "")
                image = f"{subtask}{images}/{name}.jpg"
                yield f"{TREE}/{image}", picture(scene, random, pixels)
                lines = "".join(f"{claim} {YES_OR_NO}\t{answer}\n" for claim, answer in pair)
                yield f"{TREE}/{subtask}{texts}/{name}.txt", lines.encode()
                rows += [
                    {"question_id": image, "image": image, "text": claim + SHORT, "category": subtask}
                    for claim, _ in pair
                ]
    yield "llava_mme.jsonl", jsonl_bytes(rows)


def claims(subtask: str, random: Random) -> tuple[Scene, str, str]:
    """Draw a scene for `subtask`, with a question whose answer is yes and one whose answer is no."""
    if subtask in STEPS:
        return STEPS[subtask](random)
    scene, asked = _poster(random) if subtask == "posters" else scene_about(ASPECTS.get(subtask, subtask), random)
    return scene, asked.yes_no(random, truth=True)[0], asked.yes_no(random, truth=False)[0]


def _poster(random: Random) -> tuple[Scene, Asked]:
    """A word with objects below it, and a question on what these are like."""
    while True:
        scene = sample_scene("textvqa", random)
        about = [asked for asked in ask_all(scene, random) if asked.aspect in ("colour", "existence")]
        if about:
            return scene, random.choice(about)
