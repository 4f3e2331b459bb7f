"""The card of a model: what it is made from, how, how good it is, under which terms, and how to load it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharegpt4v import layout, lineage
from sharegpt4v.errors import UserError
from sharegpt4v.miniature import is_miniature, notice_of
from sharegpt4v.origins import HUB, Origin, origins_of, parents_of, terms_of
from sharegpt4v.report.cards import loading, records
from sharegpt4v.report.cards.recipe import recipe_section
from sharegpt4v.report.cards.rendering import (
    NO_RECORD,
    citation,
    facts,
    link,
    page,
    paragraphs,
    span,
    table,
)
from sharegpt4v.report.cards.results import TASK, evaluations, results_section
from sharegpt4v.report.cards.terms import licence_metadata, licence_section

if TYPE_CHECKING:
    from sharegpt4v.config import Config

WHAT = {
    "vision_tower": "A CLIP whose image encoder is the vision tower of the models of this run.",
    "language_model": "The language model that the multi-modal models of this run start from.",
    "alignment": "A vision tower and a language model, joined by a projector: a start for training, no assistant yet.",
    "captioner": "A captioner in the manner of Share-Captioner: it describes an image in detail.",
    "pretraining": "A multi-modal model after pre-training on the captioner's captions: a start for fine-tuning.",
    "finetuning": "A multi-modal model that answers questions about images, fine-tuned on an instruction mix.",
    "published": "A published model in this project's layout. Its authors trained it; nothing of it was trained here.",
}
ERRS = (
    "It may describe what is not there, misread text and count wrongly, and it repeats what its data hold, even names "
    "of persons. Check what it says."
)
PART = "It is a part of the models of this run, and has the limits of what it comes from."
START = "It is a start for training and gives no useful answers yet."
THEIRS = "The card of its authors says more."
TASKS = {"vision_tower": "zero-shot-image-classification", "language_model": "text-generation"}


def model_card(config: Config, name: str) -> str:
    """Return the card of a checkpoint of the run in this folder, by its name in `lineage.checkpoints`.

    What has no record is said to have none. A `UserError` lists the names when there is no such model.
    """
    known = lineage.checkpoints(config)
    if name not in known:
        raise UserError(f"model {name!r}: no checkpoint of this run; expected one of {', '.join(known)}")
    folder, stage = known[name], stage_of(config, known[name])
    origins, bound = origins_of(config, folder), list(terms_of(config, folder))
    sections = [
        ("What it is", _what(config, folder, stage)),
        ("Made from", _made_from(config, folder)),
        ("Recipe", recipe_section(config, folder, stage)),
        ("Results", results_section(name) if name in {model.name for model in config.models} else ""),
        ("Intended use and limits", _limits(config, stage)),
        ("How to load it", _loading(config, folder, stage)),
        ("Licences", licence_section(origins, bound, "Those of images rule copies of the images, which are not here.")),
        ("Citation", citation()),
    ]
    return page(_metadata(config, name, stage, origins, bound), notice_of(config), name, sections)


def stage_of(config: Config, folder: Path) -> str:
    """Return the stage that makes a checkpoint; `published` for a multi-modal model that is taken as it is."""
    if folder.is_relative_to(layout.PUBLISHED):
        return "published"
    folders = {layout.TOWER: "vision_tower", layout.CAPTIONER: "captioner"}
    for size in config.base_models.llm:
        folders |= {layout.llm(size): "language_model", layout.aligned(size): "alignment"}
        folders[layout.pretrained(size)] = "pretraining"
    return folders.get(folder, "finetuning")


def _metadata(config: Config, name: str, stage: str, origins: list[Origin], bound: list[Any]) -> dict[str, Any]:
    """Return the metadata for the Hub, as its library writes it."""
    from huggingface_hub import ModelCardData

    sets = f"{HUB}datasets/"
    results = evaluations(config, name) if name in {model.name for model in config.models} else []
    metadata: dict[str, Any] = ModelCardData(
        **licence_metadata(bound),
        language="en",
        library_name="transformers",
        pipeline_tag=TASKS.get(stage, TASK),
        base_model=[one.name for one in origins if one.kind == "model" and one.address] or None,
        datasets=sorted({_repository(one.address, sets) for one in origins if one.address.startswith(sets)}) or None,
        tags=["sharegpt4v", *(["miniature"] if is_miniature(config) else [])],
        model_name=name if results else None,
        eval_results=results or None,
    ).to_dict()  # type: ignore[no-untyped-call]
    return metadata


def _repository(address: str, start: str) -> str:
    return "/".join(address.removeprefix(start).split("/")[:2])


def _what(config: Config, folder: Path, stage: str) -> str:
    parameters = records.parameters_of(folder)
    count = f"{parameters[0]:,} ({parameters[1]})" if parameters else None
    return paragraphs(
        WHAT[stage],
        facts(
            {
                "Run": config.name,
                "Folder in the run": span(folder.as_posix()),
                "Parameters": count,
                "SHA-256 of its files": span(records.hash_now(folder) or NO_RECORD),
            }
        ),
    )


def _made_from(config: Config, folder: Path) -> str:
    """Return what it was made from with hashes: those of its provenance, else those of the files as they are now."""
    about = records.provenance_in(folder)
    inputs: dict[str, Any] = about.get("inputs") or {}
    rows: list[tuple[object, ...]] = []
    for parent in parents_of(config, folder):
        if isinstance(parent, Origin):
            rows.append((link(parent.name, parent.address), parent.about, span(parent.revision or NO_RECORD)))
        elif parent.as_posix() in inputs:
            rows.append((span(parent), _kind(config, parent), span(inputs[parent.as_posix()])))
        else:  # rows that a stage read and gave in another form
            now = records.hash_now(parent)
            rows.append((span(parent), f"{_kind(config, parent)}; as it is now", span(now or NO_RECORD)))
    for id, read in (about.get("checkpoints") or {}).items():
        id = Path(id).name if id.startswith("/") else id
        commit = read.get("revision") or "a folder"
        rows += [(span(f"{id}: {file}"), f"commit {commit}", span(digest)) for file, digest in read["files"].items()]
    return table(("From", "What", "SHA-256, or commit"), rows) or NO_RECORD


def _kind(config: Config, path: Path) -> str:
    cards = {folder: f"checkpoint, card {name}" for name, folder in lineage.checkpoints(config).items()}
    cards |= {file: f"training rows, data card {name}" for name, file in lineage.data_sets(config).items()}
    return cards.get(path, "checkpoint" if path.is_relative_to(layout.CHECKPOINTS) else "training rows")


def _limits(config: Config, stage: str) -> str:
    if is_miniature(config):
        return paragraphs(
            "To try the pipeline, and to compare captions with each other.",
            "It has seen drawn shapes and short texts about them alone: what it says of a photograph is wrong.",
        )
    limits = {stage: ERRS} | dict.fromkeys(TASKS, PART) | {"alignment": START, "published": f"{ERRS} {THEIRS}"}
    return paragraphs("Research on multi-modal models and on captions, within the terms below.", limits[stage])


def _loading(config: Config, folder: Path, stage: str) -> str:
    if stage in TASKS:
        return loading.part(folder, stage)
    taken = {layout.published(model): model.family for model in lineage.published_models(config).values()}
    family = taken.get(folder) or _family(config, folder, taken)
    return loading.multimodal(folder, family, family == "llava" and config.base_models.projector_type == "linear")


def _family(config: Config, folder: Path, taken: dict[Path, str]) -> str:
    """Return the family of a model: that of the published one that its training started from, else LLaVA's."""
    starts = [parent for parent in parents_of(config, folder) if isinstance(parent, Path)]
    return next((taken[start] for start in starts if start in taken), "llava")
