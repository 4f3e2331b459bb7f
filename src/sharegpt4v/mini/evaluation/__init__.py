"""The synthetic world's benchmarks, in the official files of those that are scored here (paper section 5.1).

One module per benchmark, each with `files(questions, seed, pixels)`: the members of its folder. All pictures are drawn
for the benchmarks alone. A question is a true statement of the synthetic world in the benchmark's own form; the images'
scenes are not kept anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sharegpt4v.mini.evaluation import (
    ai2d,
    chartqa,
    gqa,
    hallusion_bench,
    llava_bench,
    mm_vet,
    mmbench,
    mmbench_cn,
    mme,
    mmmu,
    mmstar,
    ocrbench,
    pope,
    qbench,
    realworldqa,
    scienceqa,
    seed_bench,
    textvqa,
    vizwiz,
    vqav2,
)
from sharegpt4v.mini.packing import Member, write_zip

FOLDERS = {
    "llava-bench-in-the-wild": llava_bench.files,
    "MME": mme.files,
    "mmbench": mmbench.files,
    "mmbench_cn": mmbench_cn.files,
    "seed_bench": seed_bench.files,
    "mm-vet": mm_vet.files,
    "qbench": qbench.files,
    "scienceqa": scienceqa.files,
    "vqav2": vqav2.files,
    "vizwiz": vizwiz.files,
    "gqa": gqa.files,
    "textvqa": textvqa.files,
    "mmstar": mmstar.files,
    "pope": pope.files,
    "ai2d": ai2d.files,
    "realworldqa": realworldqa.files,
    "ocrbench": ocrbench.files,
    "chartqa": chartqa.files,
    "hallusion_bench": hallusion_bench.files,
    "mmmu": mmmu.files,
}

ONE_IN = {"mmbench_cn": 4, "qbench": 4} | dict.fromkeys(
    ("mmstar", "ai2d", "realworldqa", "ocrbench", "chartqa", "hallusion_bench", "mmmu"), 2
)
"""Benchmarks with fewer questions: each of the first is asked in every order of its options, answers to the second may
be long, and the others are not in the paper."""


def write_benchmarks(archive: Path, questions: int, seed: int, pixels: int) -> None:
    """Write the evaluation archive: a folder per benchmark with about `questions` questions on square pictures."""
    write_zip(archive, members(questions, seed, pixels))


def members(questions: int, seed: int, pixels: int) -> Iterator[Member]:
    """Yield the files of all benchmarks."""
    for folder, files in FOLDERS.items():
        for name, content in files(max(1, questions // ONE_IN.get(folder, 1)), seed, pixels):
            yield f"{folder}/{name}", content
