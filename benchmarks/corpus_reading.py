"""What it costs a process of a training to have the pre-training corpus at hand, beside loading its JSON.

    python benchmarks/corpus_reading.py

draws a corpus of 1,246,901 captions as it was published (1.3 GB, in a temporary folder; `--rows` for fewer), tokenises
it once, as the first process of a training does, and then lets several processes have it at the same time by mapping
what was tokenised, and one by loading the JSON, as the original does in every process. For each it prints the seconds
to open it, the memory that it adds, private and with its part of what is shared, and the time to get a row at random.
It shows that the order of an epoch is the same in every process, and that the samples are those of tokenising anew.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import psutil

from sharegpt4v.config.training import Recipe
from sharegpt4v.ledger import key_of
from sharegpt4v.llava_format.reading import read_array
from sharegpt4v.models.templates import IMAGE, encode, plain_text
from sharegpt4v.training.samples import Samples, Tally, write_samples

IMAGES = 1000  # different ones, for there have to be files
IMAGE_TOKENS = 576
RECIPE = Recipe(
    learning_rate=2e-5, batch_size=256, batch_of="samples", sequence_length=2048, template="plain",
    image_aspect_ratio="square", precision="bfloat16",
)  # fmt: skip
ACCESSES = 2000
COMPARED = 2000


def main() -> None:
    """Draw, tokenise, let the processes open it, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_246_901)
    parser.add_argument("--tokenise", type=int, help="only so many rows, and write them again for the rest")
    parser.add_argument("--processes", type=int, default=4, help="that have it at the same time")
    parser.add_argument("--step", choices=["tokenise", "mapped", "json"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        child(options)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder, options.rows)
        size = (folder / "corpus.json").stat().st_size / 1e9
        differing = options.tokenise or options.rows
        [made] = together("tokenise", folder, 1, "--rows", str(options.rows), "--tokenise", str(differing))
        disk = sum(path.stat().st_size for path in (folder / "samples").iterdir()) / 1e9
        print(
            f"{options.rows:,} rows, {size:.2f} GB of JSON; {differing:,} tokenised, all stored, once in "
            f"{made['seconds']:.0f} s ({made['processor']:.0f} s of the processor) and at most {made['peak']:,.0f} MB: "
            f"{disk:.2f} GB"
        )
        for step, processes in (("mapped", options.processes), ("json", 1)):
            found = together(step, folder, processes)
            for one in found:
                print(
                    f"{step}: opened in {one['seconds']:.2f} s; adds {one['private']:,.0f} MB private, "
                    f"{one['proportional']:,.0f} MB with its share; a row at random in {one['access'] * 1e6:.0f} µs "
                    f"(99 of 100 in {one['most'] * 1e6:.0f} µs; {one['worked'] * 1e6:.0f} µs of the processor)"
                )
            if step == "mapped":
                orders = {one["order"] for one in found}
                print(
                    f"order of epoch 1: {found[0]['ordering']:.1f} s of the processor; different orders: {len(orders)}",
                    flush=True,
                )
        print(f"samples equal to those tokenised anew: {compare(folder)} of {COMPARED}")


def together(step: str, folder: Path, count: int, *options: str) -> list[dict[str, Any]]:
    """Start so many processes; when all have opened the corpus let them measure; return what they found."""
    command = [sys.executable, __file__, "--step", step, "--folder", str(folder), *options]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    children = [subprocess.Popen(command, text=True, **pipes) for _ in range(count)]
    for process in children:
        assert process.stdout and process.stdout.readline() == "open\n"
    found = []
    for process in children:  # the others have it open meanwhile
        assert process.stdin and process.stdout
        process.stdin.write("go\n")
        process.stdin.flush()
        found.append(json.loads(process.stdout.readline()))
    for process in children:
        process.communicate()
    return found


def child(options: argparse.Namespace) -> None:
    """Open the corpus, say so, and when told so measure."""
    step, folder = options.step, options.folder
    before = psutil.Process().memory_full_info()
    clock, processor = time.perf_counter(), time.process_time()
    if step == "tokenise":
        tokenise_all(folder, options.rows, options.tokenise or options.rows)
    rows: Any = {"mapped": mapped, "json": loaded}.get(step, lambda _: None)(folder)
    found = {"seconds": time.perf_counter() - clock, "processor": time.process_time() - processor}
    print("open", flush=True)
    sys.stdin.readline()
    if rows:
        worked = time.process_time()
        times = [access(rows, index) for index in Random(os.getpid()).choices(range(len(rows)), k=ACCESSES)]
        found |= {"access": sum(times) / len(times), "most": sorted(times)[len(times) * 99 // 100]}
        found["worked"] = (time.process_time() - worked) / len(times)
    after = psutil.Process().memory_full_info()
    found |= {"private": (after.uss - before.uss) / 1e6, "proportional": (after.pss - before.pss) / 1e6}
    found["peak"] = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1000
    if step == "mapped":
        from sharegpt4v.training.batching import Dealer

        worked = time.process_time()
        dealer = Dealer.of(rows, RECIPE, 42, RECIPE.sequence_length - 1 + IMAGE_TOKENS)
        steps = list(dealer.steps(0, dealer.step_count()))
        found["ordering"] = time.process_time() - worked
        found["order"] = key_of(steps)
    print(json.dumps(found), flush=True)
    sys.stdin.readline()


def mapped(folder: Path) -> Samples:
    """As a training does: the samples and their lengths."""
    samples = Samples(folder / "samples", folder)
    assert len(samples.lengths) == len(samples)
    return samples


def loaded(folder: Path) -> Any:
    """As the original does."""
    with open(folder / "corpus.json", encoding="utf-8") as file:
        return json.load(file)


def access(rows: Any, index: int) -> float:
    """The seconds that a row takes."""
    start = time.perf_counter()
    assert rows[index]
    return time.perf_counter() - start


def tokenise_all(folder: Path, count: int, differing: int) -> None:
    """As the first process of a training does."""
    from sharegpt4v.models.family import family_named
    from sharegpt4v.training.rows import read_rows, tokenise

    tokenizer, tally = tokenizer_of(folder), Tally()
    read = (row for _, row in islice(read_rows(folder / "corpus.json", folder, ""), differing))
    rows = tokenise(
        read, family_named("llava"), tokenizer, RECIPE.template, RECIPE.sequence_length, "pre-training", tally
    )
    if differing < count:
        some = list(rows)
        rows = (some[number % differing] for number in range(count))
    write_samples(folder / "samples", rows, tokenizer.convert_tokens_to_ids(IMAGE), IMAGE_TOKENS, tally)


def compare(folder: Path) -> int:
    """How many of the first samples are what their rows give."""
    samples, tokenizer = Samples(folder / "samples", folder), tokenizer_of(folder)
    equal = 0
    for sample, row in zip(samples, read_array(folder / "corpus.json"), strict=False):
        anew = encode(tokenizer, *plain_text(row["conversations"]), IMAGE_TOKENS)
        equal += (sample.ids, sample.labels, sample.image) == (anew.ids, anew.labels, folder / row["image"])
        if equal == COMPARED:
            break
    return equal


def draw(folder: Path, count: int) -> None:
    """Write the corpus, a tokenizer of 32,000 tokens learned from it, and the files of the images."""
    random = Random(0)
    words = ["".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=random.randint(2, 9))) for _ in range(60_000)]
    weights = [1 / (rank + 10) for rank in range(len(words))]  # as often as words are
    sentences = [" ".join(random.choices(words, weights, k=16)).capitalize() + "." for _ in range(10_000)]
    for number in range(IMAGES):
        (folder / f"{number}.jpg").touch()
    with open(folder / "corpus.json", "w", encoding="ascii") as file:
        for number in range(count):
            said = " ".join(random.choices(sentences, k=9))
            turns = [{"from": "human", "value": "<image>\nWhat do you see?"}, {"from": "gpt", "value": said}]
            row = {"id": f"sa_{number:09}", "image": f"{number % IMAGES}.jpg", "conversations": turns}
            file.write(("[", ", ")[number > 0] + json.dumps(row))
        file.write("]")
    learn_tokenizer(sentences, folder)


def learn_tokenizer(sentences: list[str], folder: Path) -> None:
    """A tokenizer of Llama's kind."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=32_000, special_tokens=["<unk>", "<s>", "</s>", IMAGE], show_progress=False
    )
    tokenizer.train_from_iterator(sentences, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))


def tokenizer_of(folder: Path) -> Any:
    """The tokenizer, as transformers has it."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), bos_token="<s>", eos_token="</s>")


if __name__ == "__main__":
    main()
