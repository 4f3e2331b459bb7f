"""The card of a caption set or a corpus: where it is from, what wrote it, what was left out and why, its statistics."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharegpt4v import layout, lineage
from sharegpt4v.corpora.arithmetic import COLUMNS
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json, sidecar
from sharegpt4v.miniature import is_miniature, notice_of
from sharegpt4v.origins import Origin, origins_of, parents_of, terms_of
from sharegpt4v.pipeline.targets import shards
from sharegpt4v.report.cards import loading, records
from sharegpt4v.report.cards.rendering import NO_RECORD, citation, facts, link, page, paragraphs, span, table
from sharegpt4v.report.cards.terms import licence_metadata, licence_section

if TYPE_CHECKING:
    from sharegpt4v.catalogues.licences import Terms
    from sharegpt4v.config import Config

WHAT = {
    "seed": "Detailed captions of images by a strong vision model, one for each image (paper section 3.2).",
    "captions": "Captions of images by the captioner, shard by shard, with the verdict of the quality gate on each.",
    "pretraining": "The pre-training corpus: one caption by the captioner for each image (paper section 3.3).",
}
MIX = "An instruction mix: conversations about images, and some without (paper sections 4.3 and 5.4)."
SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
STATISTICS = ("seed", "pretraining")
FAULTS = {
    "looping": "% of the captions repeat themselves",
    "near_duplicates": "% are near-duplicates of others",
    "repeated_4grams": "% of the sequences of four words occur again in the same caption",
}


def data_card(config: Config, name: str, load: str = "") -> str:
    """Return the card of a set of the run in this folder, by its name in `lineage.data_sets`.

    `load` says how to load it where its files are others than those of the run.
    What has no record is said to have none. A `UserError` lists the names when there is no such set.
    """
    known = lineage.data_sets(config)
    if name not in known:
        raise UserError(f"data set {name!r}: no set of this run; expected one of {', '.join(known)}")
    path = known[name]
    origins, bound = origins_of(config, path), list(terms_of(config, path))
    rows = _rows(config, path)
    sections = [
        ("What it is", _what(config, name, path, rows)),
        ("Made from", _made_from(config, path)),
        ("Who wrote it, and asked how", _authors(config, name)),
        ("Rows", _arithmetic(path)),
        ("What the quality gate said", _verdicts(config, name, path)),
        ("Statistics", _statistics(name)),
        ("Known faults and limits", _faults(config, name)),
        ("How to load it", load or loading.data(path)),
        ("Licences", licence_section(origins, bound, "Those of images bind whoever has or adds the images.")),
        ("Citation", citation()),
    ]
    return page(_metadata(config, name, path, rows, bound), notice_of(config), name, sections)


def _metadata(config: Config, name: str, path: Path, rows: int | None, bound: list[Terms]) -> dict[str, Any]:
    from huggingface_hub import DatasetCardData

    licence = licence_metadata(bound)
    sizes = [size for limit, size in SIZES if rows is not None and rows < limit]
    metadata: dict[str, Any] = DatasetCardData(
        license=licence.pop("license"),
        **licence,
        language="en",
        pretty_name=f"{name} of {config.name}",
        annotations_creators="machine-generated" if name in WHAT else None,
        size_categories=sizes[0] if sizes else None,
        task_categories="image-to-text" if name in WHAT else "visual-question-answering",
        tags=["sharegpt4v", *(["miniature"] if is_miniature(config) else [])],
    ).to_dict()  # type: ignore[no-untyped-call]
    return metadata


def _shards(config: Config) -> list[Path]:
    return [layout.caption_shard(shard) for shard in shards(config)]


def _rows(config: Config, path: Path) -> int | None:
    """Return how many rows a set has; of the shards, with the rejected ones."""
    if path == layout.CAPTION_SHARDS:
        verdicts = records.verdicts_in(_shards(config))
        return None if verdicts is None else sum(one.total() for one in verdicts.values())
    counted = records.mixture_of(path)
    return int(counted[-1]["rows_after"]) if counted else None


def _what(config: Config, name: str, path: Path, rows: int | None) -> str:
    return paragraphs(
        WHAT.get(name, MIX),
        facts(
            {
                "Run": config.name,
                "Place in the run": span(path.as_posix()),
                "Rows": None if rows is None else f"{rows:,}",
                "SHA-256": span(records.hash_now(path) or NO_RECORD),
            }
        ),
    )


def _made_from(config: Config, path: Path) -> str:
    """Return what it was made from directly: sources, other sets, a model, each with its terms or its hash."""
    rows: list[tuple[object, ...]] = []
    for parent in parents_of(config, path):
        if isinstance(parent, Origin):
            terms = "; ".join(terms.name for terms in parent.terms)
            rows.append((link(parent.name, parent.address), parent.about, terms))
        else:
            rows.append((span(parent), _kind(config, parent), span(records.hash_now(parent) or NO_RECORD)))
    return table(("From", "What", "Terms, or SHA-256"), rows) or NO_RECORD


def _kind(config: Config, path: Path) -> str:
    cards = {folder: f"model card {name}" for name, folder in lineage.checkpoints(config).items()}
    cards |= {file: f"data card {name}" for name, file in lineage.data_sets(config).items()}
    return cards.get(path, "rows as published" if path.is_relative_to(layout.DATA) else "checkpoint")


def _authors(config: Config, name: str) -> str:
    """Return the teacher with its prompts, or the captioner with its engine, as the records name them."""
    if name == "captions":
        made = [records.provenance_beside(shard) for shard in _shards(config)]
        rows = [
            (span(shard.name), *(one.get(key) for key in ("engine", "batch_size", "torch", "code")))
            for shard, one in zip(_shards(config), made, strict=True)
            if one
        ]
        return table(("Shard", "Engine", "Batch size", "Torch", "Code"), rows) or NO_RECORD
    found = records.answered(layout.SEED_CAPTIONS) if name == "seed" else None
    if found is None:
        return NO_RECORD if name == "seed" else ""
    texts = read_json(sidecar(layout.SEED_CAPTIONS, "prompts.json"))
    prompts = [
        (span(key), f"{count:,}", _on_one_line(texts.get(key))) for key, count in sorted(found["prompt_hash"].items())
    ]
    asked = {"Model asked for": _counted(found["model"]), "Model that answered": _counted(found["answered_by"])}
    return paragraphs(facts(asked), table(("Prompt", "Captions", "Text"), prompts))


def _on_one_line(text: str | None) -> str | None:
    return text and " ".join(text.split())


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} ({count:,})" for name, count in sorted(counts.items()))


def _arithmetic(path: Path) -> str:
    counted = records.mixture_of(path)
    if counted is None:
        return NO_RECORD if path != layout.CAPTION_SHARDS else ""
    rows = [(row["source"], *(f"{int(row[column]):,}" for column in COLUMNS)) for row in counted]
    return table(("Source", "Rows before", "Out", "In", "Rows after"), rows)


def _verdicts(config: Config, name: str, path: Path) -> str:
    """Return how many captions the gate let through or rejected, by source and reason."""
    if name not in WHAT or layout.is_provided(config, path):
        return ""
    files = [sidecar(path, "rejected.jsonl")] if name == "seed" else _shards(config)
    verdicts = records.verdicts_in(files)
    if verdicts is None:
        return NO_RECORD
    reasons = sorted({reason for counts in verdicts.values() for reason in counts})
    rows = [(source, *(f"{counts[reason]:,}" for reason in reasons)) for source, counts in sorted(verdicts.items())]
    return table(("Source", *reasons), rows) or "It rejected none."


def _statistics(name: str) -> str:
    """Return the table of results/captions, a line for each number and a column for each source."""
    if name not in STATISTICS:
        return ""
    rows = records.table_rows(layout.caption_statistics(name))
    if not rows:
        return NO_RECORD
    keys = [key for key in rows[0] if key != "source"]
    lines = [(key.replace("_", " "), *(row[key] or "-" for row in rows)) for key in keys]
    return table(("", *(row["source"] for row in rows)), lines)


def _faults(config: Config, name: str) -> str:
    """Return what is known to be wrong with the set: what its statistics count, and what holds for its kind."""
    rows = records.table_rows(layout.caption_statistics(name)) if name in STATISTICS else None
    counted = [f"- {rows[-1][key]} {what}" for key, what in FAULTS.items() if rows[-1].get(key)] if rows else []
    kind = "Captions" if name in WHAT else "Conversations and captions"
    held = [f"- {kind} were written by models, and nobody compared each with its image; some may be wrong."]
    if not is_miniature(config) and any("celebrity" in one.name for one in origins_of(config, layout.SEED_CAPTIONS)):
        held.append("- They may name living persons.")
    if is_miniature(config):
        held.append("- Images and scenes are drawn; the texts have a small vocabulary and say nothing of photographs.")
    return "\n".join([*counted, *held])
