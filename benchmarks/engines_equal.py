"""Whether a checkpoint says the same through the project's engine, through transformers alone, and through vLLM.

    python benchmarks/engines_equal.py checkpoints/captioner --images data/coco/train2017 --count 200

asks each engine the same question about the same images, greedily in float32, and prints how many texts and finish
reasons equal those of the project's engine, and how many texts a second each wrote. It ends with exit code 1 when any
differs. transformers and vLLM know nothing but the folder: its weights, its processor and its chat template. Image
files are decoded here, once for all. `make vllm` makes the environment that vLLM runs in.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from vllm_server import VllmServer

from sharegpt4v.generation.engine import Request
from sharegpt4v.generation.local import Generator
from sharegpt4v.images.listing import has_image_suffix
from sharegpt4v.images.loading import open_rgb
from sharegpt4v.images.manifest import read_manifest

QUESTION = "Analyze the image in a comprehensive and detailed manner."
BATCH = 16

Written = list[tuple[str, str]]
"""Per image the text (see `plain`), and why it ended: "stop" or "length"."""


def main() -> None:
    """Ask, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a checkpoint")
    parser.add_argument("--images", type=Path, required=True, help="a folder of images, or the manifest of a source")
    parser.add_argument("--count", type=int, default=200, help="how many images, evenly out of all of them")
    parser.add_argument("--question", default=QUESTION)
    parser.add_argument("--max-new-tokens", type=int, default=96)
    parser.add_argument("--engines", nargs="+", choices=list(OTHERS), default=list(OTHERS))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that vLLM's server is stopped then, too

    files = evenly(images_of(options.images), options.count)
    ask = (options.model, files, options.question, options.max_new_tokens)
    own, rate = by_project(*ask)
    print(f"{options.model}: {len(files)} images, {len({text for text, _ in own})} different texts")
    print("| Engine | Equal texts | Equal finish reasons | Texts/s |\n|---|---|---|---|")
    print(f"| project | | | {rate:.1f} |", flush=True)
    differing = False
    for name in options.engines:
        written, rate = OTHERS[name](*ask)
        pairs = list(zip(own, written, strict=True))
        texts, reasons = (sum(a[part] == b[part] for a, b in pairs) for part in (0, 1))
        print(f"| {name} | {texts} of {len(files)} | {reasons} of {len(files)} | {rate:.1f} |", flush=True)
        unequal = [(file, *pair) for file, pair in zip(files, pairs, strict=True) if pair[0] != pair[1]]
        for file, a, b in unequal[:3]:
            print(f"  {file}\n    project: {a}\n    {name}: {b}")
        differing = differing or bool(unequal)
    sys.exit(differing)


def images_of(place: Path) -> list[Path]:
    """The image files of a folder, or those of a manifest that can be used, sorted."""
    if place.suffix == ".parquet":
        return sorted(place.parent.parent / row["path"] for row in read_manifest(place) if row["status"] == "ok")
    return sorted(path for path in place.rglob("*") if has_image_suffix(path.name))


def evenly(files: Sequence[Path], count: int) -> list[Path]:
    """At most `count` of the files, from everywhere among them."""
    count = min(count, len(files))
    return [files[place * len(files) // count] for place in range(count)]


def by_project(model: Path, files: Sequence[Path], question: str, limit: int) -> tuple[Written, float]:
    """Ask the project's own engine in batches; return what it wrote, and texts a second."""
    from transformers import AutoProcessor

    ratio = "pad" if AutoProcessor.from_pretrained(model, trust_remote_code=False).image_processor.do_pad else "square"
    generator = Generator(model, BATCH)
    written = [("", "")] * len(files)
    start = time.monotonic()
    for index, answer in generator.answer([Request(question, file, limit, ratio) for file in files]):
        written[index] = (answer.text, answer.finish_reason)
    return plain(written), len(files) / (time.monotonic() - start)


def by_transformers(model: Path, files: Sequence[Path], question: str, limit: int) -> tuple[Written, float]:
    """Ask transformers in batches, padded on the left as the tokenizer says."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    # Where torchvision is installed, transformers would resize by it, and up to two of 255 levels differ.
    processor = AutoProcessor.from_pretrained(model, backend="pil", trust_remote_code=False)
    llava = AutoModelForImageTextToText.from_pretrained(model, dtype=torch.float32, trust_remote_code=False)
    written = []
    start = time.monotonic()
    for first in range(0, len(files), BATCH):
        images = [open_rgb(file) for file in files[first : first + BATCH]]
        inputs = processor.apply_chat_template(
            [conversation(question, {"type": "image", "image": image}) for image in images],
            add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
            processor_kwargs={"padding": True},
        )  # fmt: skip
        with torch.inference_mode():
            ids = llava.generate(**inputs, max_new_tokens=limit)[:, inputs["input_ids"].shape[1] :]
        for row in ids:
            text = processor.decode(row, skip_special_tokens=True)
            written.append((text, "stop" if llava.generation_config.eos_token_id in row else "length"))
    return plain(written), len(files) / (time.monotonic() - start)


def by_vllm(model: Path, files: Sequence[Path], question: str, limit: int) -> tuple[Written, float]:
    """Ask vLLM's server, started for this, as anyone would ask it: by chat completions, many at once."""
    with VllmServer(model) as server:
        start = time.monotonic()
        written = server.ask([conversation(question, server.image_part(open_rgb(file))) for file in files], limit)
        return plain(written), len(files) / (time.monotonic() - start)


def plain(written: list[tuple[str, str]]) -> Written:
    """The texts without white space around them, and without a character that the limit cut in two: vLLM drops that."""
    return [(text.strip().rstrip("\ufffd").strip(), reason) for text, reason in written]


def conversation(question: str, image: dict[str, object]) -> list[dict[str, object]]:
    """One turn of the user: the image, then the question."""
    return [{"role": "user", "content": [image, {"type": "text", "text": question}]}]


OTHERS: dict[str, Callable[[Path, Sequence[Path], str, int], tuple[Written, float]]] = {
    "transformers": by_transformers,
    "vllm": by_vllm,
}

if __name__ == "__main__":
    main()
