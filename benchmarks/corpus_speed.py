"""How long the corpora of the paper's size take to make, beside one parse of what they are made of; how much memory.

    python benchmarks/corpus_speed.py

draws files of the published sizes and form in a temporary folder (6 GB of disk; `--share 0.01` for a hundredth):
LLaVA's mix of 665,298 rows with its 23,240 detail captions, 102,025 seed captions, the captions of 1,246,901 images in
shards. It makes the fine-tuning mix and the pre-training corpus of them, each in a process of its own, and prints
seconds, the ratio to one parse of the same files by orjson (the fastest JSON parser at hand), the most memory that was
resident, and whether the rows are what they should be.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import orjson

from sharegpt4v.corpora.pretraining import pretraining_corpus
from sharegpt4v.corpora.substitution import substitute
from sharegpt4v.files import read_json, read_jsonl
from sharegpt4v.llava_format.reading import read_array, read_located

MIX = {"coco": 340_860, "vg": 86_417, "gqa": 72_140, "ocr_vqa": 80_000, "textvqa": 21_953, "text": 40_688}
DETAIL = 23_240  # the rest of COCO's rows
SEED = {"coco": 50_027, "llava": 30_000, "sam": 20_000, "wikiart": 500, "share_textvqa": 500, "web-celebrity": 998}
PRETRAINING = {"coco": 118_287, "llava": 558_128, "sam": 570_486}
COMING = {"coco": 9_000, "llava": 3_000, "sam": 9_000, "small": 2_000}
SHARD_ROWS = 10_000
TIMES = 3


def main() -> None:
    """Draw, measure, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="of the rows, at most 1")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(measured(options.step, options.folder, options.share)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = time.monotonic()
        rows = draw(folder, options.share)
        size = sum(path.stat().st_size for path in folder.iterdir()) / 1e9
        print(f"drawn: {rows:,} rows, {size:.2f} GB in {time.monotonic() - started:.0f} s", flush=True)
        report("fine-tuning mix", ["parse_mix", "parse_mix_by_row"], "mix", folder, options.share)
        compare_mix(folder)
        report("pre-training corpus", ["parse_shards"], "pretraining", folder, options.share)
        compare_pretraining(folder)


# What is measured, each in a process of its own


def parse_mix(folder: Path, share: float) -> None:
    """Parse what the mix is made of, file by file."""
    for name in ("mix", "detail", "seed"):
        orjson.loads((folder / f"{name}.json").read_bytes())


def parse_mix_by_row(folder: Path, share: float) -> None:
    """The same without keeping more than a row in memory."""
    for name in ("mix", "detail", "seed"):
        sum(1 for _ in read_array(folder / f"{name}.json"))


def parse_shards(folder: Path, share: float) -> None:
    """Parse the shards, line by line, for they are no single document."""
    for shard in shards(folder):
        sum(1 for _ in read_jsonl(shard))


def make_mix(folder: Path, share: float) -> None:
    """All detail captions out, 23,000 seed captions in."""
    coming = {source: round(number * share) for source, number in COMING.items()}
    inputs = (folder / "mix.json", folder / "detail.json", folder / "seed.json")
    substitute(*inputs, coming, ("What is this?", "Describe it."), 0, folder / "finetuning.json")


def make_pretraining(folder: Path, share: float) -> None:
    """The captions of all shards in an order of their own."""
    pretraining_corpus(shards(folder), folder / "pretraining.json", ("What is this?", "Describe it."), 0)


STEPS = {
    "parse_mix": parse_mix,
    "parse_mix_by_row": parse_mix_by_row,
    "parse_shards": parse_shards,
    "mix": make_mix,
    "pretraining": make_pretraining,
}


def measured(step: str, folder: Path, share: float) -> tuple[float, float, float]:
    """Carry out a step; return its seconds by the clock and of the processor, and the most memory resident, in MB."""
    clock, processor = time.perf_counter(), time.process_time()
    STEPS[step](folder, share)
    seconds = time.perf_counter() - clock, time.process_time() - processor
    status = Path("/proc/self/status").read_text()
    return *seconds, int(status.partition("VmHWM:")[2].split()[0]) / 1000


def report(what: str, parses: list[str], make: str, folder: Path, share: float) -> None:
    """Take the steps in turn, and print the quickest of each: the machine may have other work."""
    found: dict[str, list[Any]] = {step: [] for step in (*parses, make)}
    for _ in range(TIMES):
        for step in found:
            command = [sys.executable, __file__, "--step", step, "--folder", str(folder), "--share", str(share)]
            ended = subprocess.run(command, check=True, capture_output=True)
            found[step].append(json.loads(ended.stdout))
    best = {step: [min(column) for column in zip(*rows, strict=True)] for step, rows in found.items()}
    for step, (clock, processor, _) in best.items():
        memory = max(row[2] for row in found[step])
        print(f"{what}, {step}: {clock:.1f} s ({processor:.1f} s of the processor), at most {memory:,.0f} MB")
    for step in parses:
        ratios = [made / parsed for made, parsed in zip(best[make], best[step], strict=True)]
        print(f"{what}: {ratios[0]:.2f} times {step} ({ratios[1]:.2f} by the processor)", flush=True)


# Whether the rows are right


def compare_mix(folder: Path) -> None:
    """Rows that were not replaced have the bytes they had, in their order, and the new ones are the seed captions'."""
    out = folder / "finetuning.json"
    total = read_json(folder / "finetuning.arithmetic.json")
    print("rows: {rows_before:,} - {rows_out:,} + {rows_in:,} = {rows_after:,}".format(**total))
    noted = {note["mix_row"]: note for note in read_jsonl(folder / "finetuning.provenance.jsonl") if "out" in note}
    seed = {row["image"]: row["conversations"][1]["value"] for row in read_array(folder / "seed.json")}
    made, equal, new, gone = read_located(out), 0, 0, 0
    for number, (_, content, _) in enumerate(read_located(folder / "mix.json")):
        note = noted.get(number)
        if note and note["in"] is None:
            gone += 1
            continue
        _, theirs, row = next(made)
        if note:
            new += row["image"] == note["in"] and row["conversations"][1]["value"] == seed[note["in"]]
        else:
            equal += theirs == content
    print(f"equal by the byte: {equal:,}; as in the seed file: {new:,}; gone: {gone:,}; more: {sum(1 for _ in made):,}")


def compare_pretraining(folder: Path) -> None:
    """Every caption stands in the corpus once, under its image."""
    captions = {row["image"]: hash(row["caption"]) for shard in shards(folder) for row in read_jsonl(shard)}
    count = equal = 0
    for row in read_array(folder / "pretraining.json"):
        count += 1
        equal += captions.pop(row["image"], None) == hash(row["conversations"][1]["value"])
    print(f"rows: {count:,}; with the caption of their image: {equal:,}; images without a row: {len(captions):,}")


# The files


def shards(folder: Path) -> list[Path]:
    """The shards of captions, in order."""
    return sorted(folder.glob("captions-*.jsonl"))


def draw(folder: Path, share: float) -> int:
    """Write all files; return their rows."""
    random = Random(0)
    sentences = [sentence(random) for _ in range(20_000)]
    details = [caption_row(f"{number:012}.jpg", random, sentences) for number in range(round(DETAIL * share))]
    write(folder / "detail.json", details)
    rows = [
        f"{source}/images/{number:09}.jpg" for source, count in MIX.items() for number in range(round(count * share))
    ]
    rows += [""] * len(details)
    random.shuffle(rows)
    write(folder / "mix.json", mix(rows, details, random, sentences))
    seed = [
        f"{source}/images/{number:09}.jpg" for source, count in SEED.items() for number in range(round(count * share))
    ]
    write(folder / "seed.json", (caption_row(image, random, sentences, 10) for image in seed))
    images = [f"{source}/i/{n:09}.jpg" for source, count in PRETRAINING.items() for n in range(round(count * share))]
    for number, start in enumerate(range(0, len(images), SHARD_ROWS)):
        with open(folder / f"captions-{number:05}.jsonl", "wb") as file:
            for image in images[start : start + SHARD_ROWS]:
                about = {"image": image, "sha256": f"{random.getrandbits(256):064x}"}
                row = about | {"caption": text(random, sentences, 9), "status": "accepted", "reason": None}
                file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
    return len(details) + len(rows) + len(seed) + len(images)


def mix(
    images: list[str], details: list[dict[str, Any]], random: Random, sentences: list[str]
) -> Iterator[dict[str, Any]]:
    """Yield rows of several rounds, some without an image, and the detail captions in between."""
    waiting = iter(details)
    for image in images:
        if not image:
            row = next(waiting)
            yield row | {"image": f"coco/train2017/{row['image']}"}
            continue
        turns = [
            {"from": ("human", "gpt")[n % 2], "value": random.choice(sentences)}
            for n in range(random.randint(2, 9) * 2)
        ]
        yield {"id": image[-13:-4], **({} if image.startswith("text/") else {"image": image}), "conversations": turns}


def caption_row(image: str, random: Random, sentences: list[str], count: int = 6) -> dict[str, Any]:
    """A row with an image and a caption of so many sentences, about a hundred characters each."""
    turns = [("human", "<image>\nWhat do you see?"), ("gpt", text(random, sentences, count))]
    return {"id": image[-13:-4], "image": image, "conversations": [{"from": who, "value": said} for who, said in turns]}


def text(random: Random, sentences: list[str], count: int) -> str:
    """So many sentences."""
    return " ".join(random.choices(sentences, k=count))


def sentence(random: Random) -> str:
    """About a hundred characters, some of which JSON escapes."""
    words = ["".join(random.choices("abcdefghijklmnopqrst", k=random.randint(2, 9))) for _ in range(15)]
    return " ".join(words).capitalize() + random.choice((".", ".", ".", ' "x".', " é.", "\n\n"))


def write(path: Path, rows: Any) -> None:
    """Write an array as `json.dump` does, row by row."""
    with open(path, "w", encoding="ascii") as file:
        for number, row in enumerate(rows):
            file.write(("[", ", ")[number > 0] + json.dumps(row))
        file.write("]")


if __name__ == "__main__":
    main()
