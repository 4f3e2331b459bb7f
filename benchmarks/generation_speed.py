"""How much faster the generation engine answers than transformers' `model.generate`, with the same answers.

    python benchmarks/generation_speed.py checkpoints/sharegpt4v-7b/finetuned --evaluation data/eval
    python benchmarks/generation_speed.py checkpoints/captioner --images data/coco/train2017

asks the first questions of every benchmark, or for captions of the first images of a folder: `model.generate` of
transformers in a loop of one, as the published scripts do, and in batches of several sizes (the requests in their
order, padded on the left, up to the longest answer of a batch); the engine at the same sizes. It prints the rates, the
ratio of the engine's best one to the best of transformers, and how many answers are equal, with the first that differ.
The clock is the time of the process on its processors (`--clock process`), or the one on the wall.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path

import torch

from sharegpt4v.catalogues.benchmarks import read_catalogue
from sharegpt4v.evaluation.answering import clean
from sharegpt4v.evaluation.modules import module_of
from sharegpt4v.generation.engine import Request, texts
from sharegpt4v.generation.local import Generator
from sharegpt4v.images.listing import has_image_suffix
from sharegpt4v.images.loading import open_rgb
from sharegpt4v.models.decoding import end_ids
from sharegpt4v.models.templates import prompt_ids, prompt_text

INSTRUCTION = "Analyze the image in a comprehensive and detailed manner."
CAPTION_TOKENS = 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a checkpoint")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--evaluation", type=Path, help="folder of the benchmarks' folders: their questions are asked")
    what.add_argument("--images", type=Path, help="folder of images: captions are asked for")
    parser.add_argument("--count", type=int, default=40, help="how many questions per benchmark, or images")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 4, 16, 32, 64])
    parser.add_argument("--max-new-tokens", type=int, default=CAPTION_TOKENS, help="of a caption")
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    options = parser.parse_args()

    requests = (
        questions(options.evaluation, options.count)
        if options.evaluation is not None
        else captions(options.images, options.count, options.max_new_tokens)
    )
    generator, clock = Generator(options.model, 1), CLOCKS[options.clock]
    print("| Batch | Engine, answers/s | model.generate, answers/s | Ratio | Equal answers |\n|---|---|---|---|---|")
    best = {answers: 0.0, answers_by_transformers: 0.0}
    differing: dict[str, str] = {}
    for size in options.batch_sizes:
        found = {ask: timed(ask, generator, requests, size, clock) for ask in best}
        rates = {ask: len(requests) / seconds for ask, (_, seconds) in found.items()}
        best = {ask: max(best[ask], rate) for ask, rate in rates.items()}
        own, others = (texts for texts, _ in found.values())
        differing |= {a: b for a, b in zip(own, others, strict=True) if a != b}
        equal = sum(a == b for a, b in zip(own, others, strict=True))
        engine, generate = rates.values()
        print(
            f"| {size} | {engine:.1f} | {generate:.1f} | {engine / generate:.2f} | {equal} of {len(requests)} |",
            flush=True,
        )
    engine, generate = best.values()
    print(f"each at its best: {engine:.1f} and {generate:.1f} answers/s, ratio {engine / generate:.2f}")
    for a, b in list(differing.items())[:3]:
        print(f"  engine:         {a!r}\n  model.generate: {b!r}")


def questions(evaluation: Path, each: int) -> list[Request]:
    """The first `each` questions of every benchmark, as a model is asked them."""
    return [
        Request(
            question.prompt,
            question.image,
            question.max_new_tokens,
            question.image_aspect_ratio,
            system=question.system,
        )
        for benchmark in read_catalogue().values()
        for question in module_of(benchmark).questions(evaluation / benchmark.folder)[:each]
    ]


def captions(images: Path, count: int, max_new_tokens: int) -> list[Request]:
    """A caption of each of the first `count` images."""
    paths = sorted(path for path in images.rglob("*") if has_image_suffix(path.name))[:count]
    return [Request(INSTRUCTION, path, max_new_tokens, "square") for path in paths]


def timed(
    ask: Callable[[Generator, Sequence[Request], int], list[str]],
    generator: Generator,
    requests: Sequence[Request],
    size: int,
    clock: Callable[[], float],
) -> tuple[list[str], float]:
    """Answer all requests, after two to warm up; return the texts in order and the seconds taken."""
    ask(generator, requests[:2], size)
    start = clock()
    return ask(generator, requests, size), clock() - start


def answers(generator: Generator, requests: Sequence[Request], size: int) -> list[str]:
    """The engine's answers."""
    generator.batch_size = size
    found = dict(texts(generator, requests))
    return [found[index] for index in range(len(requests))]


@torch.inference_mode()
def answers_by_transformers(generator: Generator, requests: Sequence[Request], size: int) -> list[str]:
    """What `model.generate` answers to batches of `size`, in the order of the requests; those without image apart."""
    written: dict[int, str] = {}
    for with_image in (True, False):
        group = [index for index, request in enumerate(requests) if (request.image is not None) == with_image]
        for first in range(0, len(group), size):
            batch = group[first : first + size]
            texts = generated(generator, [requests[index] for index in batch])
            written |= dict(zip(batch, texts, strict=True))
    return [written[index] for index in range(len(requests))]


def generated(generator: Generator, requests: Sequence[Request]) -> list[str]:
    """What `model.generate` answers to one batch, each answer cut at its own limit."""
    model, tokenizer = generator.model, generator.tokenizer
    prompts = [prompt_text(request.question, request.image is not None, request.system) for request in requests]
    rows = [prompt_ids(tokenizer, prompt, generator.image_tokens) for prompt in prompts]
    width = max(map(len, rows))
    ids = torch.tensor([[tokenizer.pad_token_id] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    inputs = {"input_ids": ids.to(generator.device), "attention_mask": mask.to(generator.device)}
    prepared = [
        generator.images[request.image_aspect_ratio].prepare(open_rgb(request.image))
        for request in requests
        if request.image is not None
    ]
    if prepared:
        pixels = generator.images["pad"].tensors(prepared)["pixel_values"]
        inputs["pixel_values"] = pixels.to(generator.device, model.dtype)
    limits = [request.max_new_tokens for request in requests]
    written = model.generate(**inputs, do_sample=False, max_new_tokens=max(limits))[:, width:].tolist()
    ends = {*end_ids(model.generation_config), tokenizer.eos_token_id}
    return [
        clean(tokenizer.decode([*takewhile(lambda one: one not in ends, row[:limit])], skip_special_tokens=True))
        for row, limit in zip(written, limits, strict=True)
    ]


CLOCKS: dict[str, Callable[[], float]] = {"wall": time.monotonic, "process": time.process_time}

if __name__ == "__main__":
    main()
