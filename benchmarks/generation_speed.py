"""How much faster the generation engine answers than transformers asked one by one, with the same answers.

    python benchmarks/generation_speed.py checkpoints/sharegpt4v-7b/finetuned --evaluation data/eval
    python benchmarks/generation_speed.py checkpoints/captioner --images data/coco/train2017

asks the first questions of every benchmark, or for captions of the first images of a folder: first the engine in
batches, then `model.generate` of transformers in a loop of one, as the published scripts do. It prints both rates,
their ratio and how many answers are equal, with the first that differ if any do.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from sharegpt4v.catalogues.benchmarks import read_catalogue
from sharegpt4v.evaluation.answering import clean
from sharegpt4v.evaluation.modules import module_of
from sharegpt4v.generation.engine import Request, texts
from sharegpt4v.generation.local import Generator
from sharegpt4v.images.listing import has_image_suffix
from sharegpt4v.images.loading import open_rgb
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
    parser.add_argument("--batch-size", type=int, default=64)
    options = parser.parse_args()

    of_benchmarks = options.evaluation is not None
    requests = (
        questions(options.evaluation, options.count) if of_benchmarks else captions(options.images, options.count)
    )
    generator = Generator(options.model, options.batch_size)
    batched, seconds = timed(answers, generator, requests)
    alone, seconds_alone = timed(answers_one_by_one, generator, requests)

    print(f"batches of {options.batch_size}: {len(requests) / seconds:.1f} answers/s")
    print(f"one by one: {len(requests) / seconds_alone:.1f} answers/s")
    print(f"ratio: {seconds_alone / seconds:.1f}")
    print(f"equal answers: {sum(a == b for a, b in zip(batched, alone, strict=True))} of {len(requests)}")
    differing = [(a, b) for a, b in zip(batched, alone, strict=True) if a != b]
    for a, b in differing[:3]:
        print(f"  in a batch: {a!r}\n  alone:      {b!r}")


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


def captions(images: Path, count: int) -> list[Request]:
    """A caption of each of the first `count` images."""
    paths = sorted(path for path in images.rglob("*") if has_image_suffix(path.name))[:count]
    return [Request(INSTRUCTION, path, CAPTION_TOKENS, "square") for path in paths]


def timed(
    ask: Callable[[Generator, Sequence[Request]], list[str]], generator: Generator, requests: Sequence[Request]
) -> tuple[list[str], float]:
    """Answer all requests, after two to warm up; return the texts in order and the seconds taken."""
    ask(generator, requests[:2])
    start = time.monotonic()
    return ask(generator, requests), time.monotonic() - start


def answers(generator: Generator, requests: Sequence[Request]) -> list[str]:
    """The engine's answers."""
    found = dict(texts(generator, requests))
    return [found[index] for index in range(len(requests))]


@torch.inference_mode()
def answers_one_by_one(generator: Generator, requests: Sequence[Request]) -> list[str]:
    """What transformers answers to one request after the other."""
    model, tokenizer = generator.model, generator.tokenizer
    written_texts = []
    for request in requests:
        prompt = prompt_text(request.question, request.image is not None, request.system)
        ids = torch.tensor([prompt_ids(tokenizer, prompt, generator.image_tokens)]).to(generator.device)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if request.image is not None:
            way = generator.images[request.image_aspect_ratio]
            pixels = way.tensors([way.prepare(open_rgb(request.image))])["pixel_values"]
            inputs["pixel_values"] = pixels.to(generator.device, model.dtype)
        written = model.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=request.max_new_tokens,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        written_texts.append(clean(tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True)))
    return written_texts


if __name__ == "__main__":
    main()
