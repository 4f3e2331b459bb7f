"""What a run has cost so far: hours of its jobs, money by the replies' own counts of tokens, bytes on disk."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sharegpt4v import layout
from sharegpt4v.config import Config
from sharegpt4v.endpoint.account import billed, reservations_path
from sharegpt4v.endpoint.completion import Bound
from sharegpt4v.generation.endpoint import REPLIES
from sharegpt4v.ledger import read_ledger
from sharegpt4v.pipeline.stages import STAGES
from sharegpt4v.plan.published import gpus_of
from sharegpt4v.plan.tables import Price
from sharegpt4v.report.timings import Timing

LEDGERS = {"seed_captions": "*.jsonl", "judgements": "*.jsonl", "captions": REPLIES, "answers": REPLIES}
"""The files below .work/STAGE/ that hold replies of endpoints."""
NO_LEDGERS = (".reservations.jsonl", "rejected.jsonl")  # of the files beside them
CHECKPOINTS = {
    "aligned": "alignment",
    "captioner": "captioner",
    "published": "published_model",
    "pretrained": "pretraining",
}


def hours_spent(timings: Iterable[Timing], config: Config) -> dict[str, float]:
    """Return the device-hours of each stage: none where an endpoint was asked, or a model taken as it is published."""
    hours: dict[str, float] = defaultdict(float)
    for timing in timings:
        if timing.stage in STAGES and (devices := gpus_of(config, timing.stage)):
            nodes = config.compute.nodes if STAGES[timing.stage].device == "training" else 1
            hours[timing.stage] += timing.seconds / 3600 * devices * nodes
    return hours


def usd_spent(
    prices: dict[str, Price], root: Path = Path(), stages: Iterable[str] = tuple(LEDGERS)
) -> dict[str, float]:
    """Return what was asked of the endpoints cost by today's table of prices, also while a run is asking.

    Requests without a usable reply count as the most they can have cost. Models without a price are left out.
    """
    return {
        stage: sum(
            _cost(record, prices[record["model"]])
            for ledger in sorted((root / layout.WORK / stage).rglob(LEDGERS[stage]))
            if not ledger.name.endswith(NO_LEDGERS)
            for record in _billed(ledger)
            if record.get("model") in prices
        )
        for stage in stages
    }


def _billed(ledger: Path) -> Iterator[Mapping[str, Any]]:
    reservations = reservations_path(ledger)
    return billed(read_ledger(ledger), read_ledger(reservations) if reservations.exists() else (), Bound(0, 0))


def _cost(record: Mapping[str, Any], price: Price) -> float:
    factor = price.batch_factor if "batch" in record else None
    return price.usd(record["prompt_tokens"], record["completion_tokens"]) * (1.0 if factor is None else factor)


def gigabytes_spent() -> dict[str, float]:
    """Return what lies on disk: images by their manifests, which are quicker to add up than the files."""
    found: dict[str, float] = defaultdict(float)
    found["source"] = sum(_manifest_bytes(path) for path in layout.manifest("*").parent.glob("*.parquet")) / 1e9
    found["language_model"] = _bytes(layout.TOWER.parent.glob("llm-*/*")) / 1e9
    found["vision_tower"] = _bytes(layout.TOWER.rglob("*")) / 1e9
    for folder in set(layout.CHECKPOINTS.glob("*")) - {layout.TOWER.parent}:
        found[CHECKPOINTS.get(folder.name, "finetuning")] += _bytes(folder.rglob("*")) / 1e9
    found["captions"] = _bytes([layout.PRETRAINING_CORPUS, *layout.DATA.glob("captions/*.jsonl")]) / 1e9
    found["seed_captions"] = _bytes([layout.SEED_CAPTIONS]) / 1e9
    return found


def _manifest_bytes(path: Path) -> int:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    return int(pc.sum(pq.read_table(path, columns=["bytes"])["bytes"]).as_py() or 0)


def _bytes(files: Iterable[Path]) -> int:
    return sum(file.stat().st_size for file in files if file.is_file())
