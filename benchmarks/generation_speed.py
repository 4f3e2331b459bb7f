"""How much faster the generation engine answers in batches than one by one, with the same answers.

    python benchmarks/generation_speed.py checkpoints/captioner data/coco/train2017 --questions 64 --batch-size 16

asks about the first images of a folder, first in batches, then in a loop of one, and prints both rates, their ratio
and how many answers are equal, with the first that differ if any do.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from sharegpt4v.images.listing import has_image_suffix
from sharegpt4v.models.generation import Generator, Request
from sharegpt4v.training.conversation import prompt_text

QUESTIONS = (
    "Analyze the image in a comprehensive and detailed manner.",
    "What is in this image?\nAnswer the question using a single word or phrase.",
    "How many objects are there?",
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a checkpoint")
    parser.add_argument("images", type=Path, help="folder of images")
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--max-new-tokens", type=int, default=64)
    options = parser.parse_args()

    images = sorted(path for path in options.images.rglob("*") if has_image_suffix(path.name))
    requests = [
        Request(
            prompt_text(QUESTIONS[n % len(QUESTIONS)], True), images[n % len(images)], options.max_new_tokens, "square"
        )
        for n in range(options.questions)
    ]
    generator = Generator(options.model, options.batch_size)
    batched, seconds = answers(generator, requests)
    generator.batch_size = 1
    alone, seconds_alone = answers(generator, requests)

    print(f"batches of {options.batch_size}: {len(requests) / seconds:.1f} answers/s")
    print(f"one by one: {len(requests) / seconds_alone:.1f} answers/s")
    print(f"ratio: {seconds_alone / seconds:.1f}")
    print(f"equal answers: {sum(a == b for a, b in zip(batched, alone, strict=True))} of {len(requests)}")
    differing = [(a, b) for a, b in zip(batched, alone, strict=True) if a != b]
    for a, b in differing[:3]:
        print(f"  in a batch: {a!r}\n  alone:      {b!r}")
    for request, text in list(zip(requests, alone, strict=True))[:3]:
        print(f"  {request.image}: {text[:100]!r}")


def answers(generator: Generator, requests: list[Request]) -> tuple[list[str], float]:
    """Answer all requests, after two to warm up; return the texts in order and the seconds taken."""
    generator.generate(requests[:2], lambda index, text: None)
    texts = [""] * len(requests)
    start = time.monotonic()
    generator.generate(requests, texts.__setitem__)
    return texts, time.monotonic() - start


if __name__ == "__main__":
    main()
