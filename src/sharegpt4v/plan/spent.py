"""What a run has cost so far: hours of its jobs, money by the replies' own counts of tokens, bytes on disk."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sharegpt4v import layout
from sharegpt4v.files import read_jsonl
from sharegpt4v.plan.tables import Price
from sharegpt4v.report.timings import all_timings

LEDGERS = {"seed captions": layout.WORK / "seed", "judge": layout.WORK / "judge"}
FOLDERS = {  # of Snakemake's benchmark files, whose names the rules give, by stage
    "base": "base models", "captioner": "captioner", "captions": "captions", "pretraining": "pre-training",
    "finetuning": "fine-tuning", "answers": "answers",
}  # fmt: skip
CHECKPOINTS = {"base": "base models", "aligned": "alignment", "captioner": "captioner", "pretrained": "pre-training"}
TRAINED = ("alignment", "captioner", "pre-training", "fine-tuning")


def hours_spent(benchmarks: Path, processes: int) -> dict[str, float]:
    """Return the device-hours of each stage: its jobs had one device each, trainings one for each of `processes`."""
    hours: dict[str, float] = defaultdict(float)
    for timing in all_timings(benchmarks):
        aligned = timing.job.startswith("base/aligned-")
        stage = "alignment" if aligned else FOLDERS.get(timing.stage)
        if stage:
            hours[stage] += timing.seconds / 3600 * (processes if stage in TRAINED else 1)
    return hours


def usd_spent(prices: dict[str, Price]) -> dict[str, float]:
    """Return what the replies kept in the ledgers cost by today's table of prices; models without a price are left
    out."""
    return {
        stage: sum(
            _cost(reply, prices[reply["model"]])
            for ledger in sorted(folder.rglob("*.jsonl"))
            for reply in read_jsonl(ledger)
            if reply.get("model") in prices
        )
        for stage, folder in LEDGERS.items()
    }


def _cost(reply: Mapping[str, Any], price: Price) -> float:
    factor = price.batch_factor if "batch" in reply else None
    return price.usd(reply["prompt_tokens"], reply["completion_tokens"]) * (1.0 if factor is None else factor)


def gigabytes_spent() -> dict[str, float]:
    """Return what lies on disk: images by their manifests, which are quicker to add up than the files."""
    found: dict[str, float] = defaultdict(float)
    found["sources"] = sum(_manifest_bytes(path) for path in (layout.DATA / "manifests").glob("*.parquet")) / 1e9
    for folder in layout.CHECKPOINTS.glob("*"):
        found[CHECKPOINTS.get(folder.name, "fine-tuning")] += _bytes(folder.rglob("*")) / 1e9
    found["captions"] = _bytes([layout.PRETRAINING_CORPUS, *layout.DATA.glob("captions/*.jsonl")]) / 1e9
    found["seed captions"] = _bytes([layout.SEED_CAPTIONS]) / 1e9
    return found


def _manifest_bytes(path: Path) -> int:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    return int(pc.sum(pq.read_table(path, columns=["bytes"])["bytes"]).as_py() or 0)


def _bytes(files: Iterable[Path]) -> int:
    return sum(file.stat().st_size for file in files if file.is_file())
