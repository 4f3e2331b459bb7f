"""Whether two engines give a checkpoint's captions and its answers to all benchmarks alike, word for word.

    python benchmarks/answers_equal.py checkpoints/sharegpt4v-7b/finetuned --evaluation data/eval
    python benchmarks/answers_equal.py checkpoints/captioner --images data/manifests/sam.parquet --engines local vllm

asks the first engine and then the other, in float32 on a CPU, and prints for each benchmark, or for the captions, how
many texts and finish reasons are equal. Exit code 1 when any differs. `make vllm` makes the environment of vLLM.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from sharegpt4v.captions.rows import read_instruction
from sharegpt4v.catalogues.benchmarks import read_catalogue
from sharegpt4v.catalogues.engines import ENGINES
from sharegpt4v.config.generation import Generation, Vllm
from sharegpt4v.evaluation.modules import module_of
from sharegpt4v.generation.engine import Answer, Request, open_engine
from sharegpt4v.images.manifest import read_manifest
from sharegpt4v.lifetime import end_on_signals
from sharegpt4v.project import of_project

INSTRUCTION = Path("config/prompts/captioner.txt")
SEQUENCES = 64  # texts that vLLM writes at a time


def questions_of(evaluation: Path) -> Iterator[tuple[str, list[Request]]]:
    """Yield the benchmarks whose files are in a folder, with what is asked."""
    for name, entry in read_catalogue().items():
        if (evaluation / entry.folder).is_dir():
            yield (
                name,
                [
                    Request(one.prompt, one.image, one.max_new_tokens, one.image_aspect_ratio, system=one.system)
                    for one in module_of(entry).questions(evaluation / entry.folder)
                ],
            )


def captions_of(manifest: Path, limit: int, count: int) -> Iterator[tuple[str, list[Request]]]:
    """Yield what is asked for captions of a source's first images."""
    instruction = read_instruction(of_project(INSTRUCTION))
    files = [manifest.parent.parent / row["path"] for row in read_manifest(manifest) if row["status"] == "ok"]
    yield manifest.stem, [Request(instruction, file, limit, "square") for file in files[:count]]


def answers_by(engine: str, model: Path, requests: Sequence[Request]) -> list[Answer]:
    """Return the answers of an engine in the order of the requests, and print its rate."""
    generation = Generation(engine=engine, batch_size=SEQUENCES, vllm=Vllm(sequences=SEQUENCES))
    with (
        tempfile.TemporaryDirectory() as work,
        open_engine(model, generation, Path(work)) as started,
    ):
        began = time.monotonic()
        found = dict(started.answer(requests))
        rate = len(requests) / (time.monotonic() - began)
        print(f"{engine}: {len(requests):,} answers, {rate:,.1f} answers/s", flush=True)
    return [found[place] for place in range(len(requests))]


def main() -> None:
    """Ask, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a checkpoint")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--evaluation", type=Path, help="folder of the benchmarks' folders: all their questions")
    what.add_argument("--images", type=Path, help="the manifest of a source: captions of its images")
    parser.add_argument("--count", type=int, default=256, help="how many images are captioned")
    parser.add_argument("--max-new-tokens", type=int, default=96, help="longest caption")
    parser.add_argument("--engines", nargs=2, choices=ENGINES, default=["local", "vllm"])
    options = parser.parse_args()
    end_on_signals()

    asked = dict(
        questions_of(options.evaluation)
        if options.evaluation
        else captions_of(options.images, options.max_new_tokens, options.count)
    )
    requests = [request for part in asked.values() for request in part]
    first, second = (iter(answers_by(engine, options.model, requests)) for engine in options.engines)
    print("| What | Equal texts | Equal finish reasons |\n|---|---|---|")
    differing = 0
    for name, part in asked.items():
        pairs = [(next(first), next(second)) for _ in part]
        texts = sum(a.text == b.text for a, b in pairs)
        reasons = sum(a.finish_reason == b.finish_reason for a, b in pairs)
        print(f"| {name} | {texts} of {len(part)} | {reasons} of {len(part)} |", flush=True)
        unequal = [(request, *pair) for request, pair in zip(part, pairs, strict=True) if pair[0] != pair[1]]
        for request, a, b in unequal[:3]:
            print(f"  {request.question!r}\n    {options.engines[0]}: {a}\n    {options.engines[1]}: {b}")
        differing += len(unequal)
    print(f"{len(requests) - differing} of {len(requests)} answers are equal")
    sys.exit(differing > 0)


if __name__ == "__main__":
    main()
