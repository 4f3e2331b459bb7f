"""Q-Bench in the synthetic world: pictures spoilt in a known way, and questions on how, as in LLVisionQA dev."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from PIL import Image, ImageFilter

from sharegpt4v.evaluation.benchmarks.qbench import FILE, IMAGES
from sharegpt4v.mini.draw import draw, jpeg_bytes
from sharegpt4v.mini.evaluation.asking import json_bytes
from sharegpt4v.mini.packing import Member
from sharegpt4v.mini.scene import sample_scene

CLAIMS = {
    "Out of focus": "Is this image out of focus?",
    "Noise": "Is this image noisy?",
    "Overexposure": "Is this image overexposed?",
    "Underexposure": "Is this image underexposed?",
    "Nothing": "Is this image free of flaws?",
}
"""What is wrong with a picture, in words that begin with no option's letter, and the question for yes or no."""

EXPOSURES = {"Overexposure": "Too bright", "Underexposure": "Too dark"}
RIGHT_EXPOSURE = "Just right"
TYPES = ("yes-or-no", "what", "how")
DISTORTION = 0  # the concern of every question here; no scorer reads the codes of types and concerns


def files(questions: int, seed: int, pixels: int) -> Iterator[Member]:
    """Yield pictures and question file; every third question is for yes or no, has four options, or three."""
    rows = []
    for number in range(questions):
        random = Random(f"{seed}/eval/qbench/{number}")
        flaw, kind = list(CLAIMS)[number % len(CLAIMS)], number % len(TYPES)
        name = f"{number:05d}.jpg"
        image = draw(sample_scene("coco", random), random, pixels)
        yield f"{IMAGES}/{name}", jpeg_bytes(spoilt(image, flaw, random))
        question, truth, wrong = _ask(TYPES[kind], flaw, random)
        random.shuffle(wrong)
        place = number // len(TYPES) % (len(wrong) + 1)  # each in turn, so that one letter for all is worth little
        rows.append(
            {
                "img_path": name,
                "question": question,
                "candidates": [*wrong[:place], truth, *wrong[place:]],
                "correct_ans": truth,
                "type": kind,
                "concern": DISTORTION,
            }
        )
    yield FILE, json_bytes(rows)


def spoilt(image: Image.Image, flaw: str, random: Random) -> Image.Image:
    """The picture with a flaw of `CLAIMS`."""
    match flaw:
        case "Out of focus":
            return image.filter(ImageFilter.GaussianBlur(image.width / 16))
        case "Noise":
            noise = Image.frombytes("RGB", image.size, random.randbytes(3 * image.width * image.height))
            return Image.blend(image, noise, 0.4)
        case "Overexposure":
            return image.point(lambda value: min(255, 2 * value + 60))
        case "Underexposure":
            return image.point(lambda value: value // 4)
        case _:
            return image


def _ask(kind: str, flaw: str, random: Random) -> tuple[str, str, list[str]]:
    """Return a question of `TYPES`, the right answer, and wrong ones to choose from."""
    others = [other for other in CLAIMS if other != flaw]
    if kind == "yes-or-no":
        if random.random() < 0.5:
            return CLAIMS[flaw], "Yes", ["No"]
        return CLAIMS[random.choice(others)], "No", ["Yes"]
    if kind == "what":
        return "What is wrong with this image?", flaw, random.sample(others, 3)
    truth, every = EXPOSURES.get(flaw, RIGHT_EXPOSURE), (*EXPOSURES.values(), RIGHT_EXPOSURE)
    return "How is the exposure of this image?", truth, [one for one in every if one != truth]
