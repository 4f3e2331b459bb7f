"""The table of the ablations: scores of every variant beside the paper's (tables 4 to 6, figure 6), and their memory.

The table is equal when the same is run again; peak memory differs from run to run, and has a table of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sharegpt4v import ablations, layout, lineage
from sharegpt4v.config import Config
from sharegpt4v.config.ablations import Ablation, Variant
from sharegpt4v.config.models import TrainedModel
from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.table import read_cells, read_paper
from sharegpt4v.files import read_json, read_jsonl, write_csv, write_text
from sharegpt4v.pages import in_markdown

FIELDS = ["ablation", "variant", "model", "captions", "column", "score", "stderr", "paper", "expected"]
MEMORY_FIELDS = ["ablation", "variant", "model", "peak_memory_gb", "paper"]
MEMORY = "memory in GB"
"""What the paper's table calls the peak memory of pre-training."""

OF_PAPER = "In brackets is the paper's score."
EXPECTED = "In brackets is the direction expected, from the first row."

Paper = Mapping[tuple[str, str, str], str]
"""The paper's number by ablation, setting and quantity."""

Line = dict[str, str]


def write_ablations(config: Config, paper_csv: Path, out: Path, memory_out: Path, notice: str = "") -> None:
    """Write a row per variant and column to `out`, one per variant with its memory to `memory_out`, and a page.

    `captions` are those that a variant was pre-trained on. `expected` is the direction of the paper's number from that
    of the first variant. With a `notice`, the first line of the page, no number of the paper is written. `UserError`
    for a study or variant that the paper's table does not have under the name that the config says.
    """
    paper = read_ablations(paper_csv)
    check_names(config, paper, paper_csv)
    lines = [line for name, study in config.ablations.studies.items() for line in _lines(config, name, study, paper)]
    memory = [line for name, study in config.ablations.studies.items() for line in _memory(config, name, study, paper)]
    if notice:
        for line in [*lines, *memory]:
            line["paper"] = ""
    write_csv(out, [FIELDS, *([line[field] for field in FIELDS] for line in lines)])
    write_csv(memory_out, [MEMORY_FIELDS, *([line[field] for field in MEMORY_FIELDS] for line in memory)])
    page = _page(config, lines, EXPECTED if notice else OF_PAPER)
    write_text(out.with_suffix(".md"), f"{notice}\n\n{page}" if notice else page)


def read_ablations(paper_csv: Path) -> Paper:
    """Return the paper's ablations."""
    rows = read_paper(paper_csv, ["ablation", "setting", "quantity", "value"])
    return {(row["ablation"], row["setting"], row["quantity"]): row["value"] for row in rows}


def check_names(config: Config, paper: Paper, paper_csv: Path) -> None:
    """Raise a `UserError` for the name of a study or a variant that is not in the paper's table."""
    known = {(ablation, setting) for ablation, setting, _ in paper}
    for name, study in config.ablations.studies.items():
        for variant in study.variants:
            if variant.paper and (study.paper, variant.paper) not in known:
                settings = ", ".join(setting for ablation, setting in sorted(known) if ablation == study.paper)
                raise UserError(
                    f"ablations.studies.{name}: {paper_csv} has no {study.paper}, {variant.paper!r}; expected one of "
                    f"{settings or 'its ablations in paper'}"
                )


def _lines(config: Config, name: str, study: Ablation, paper: Paper) -> Iterator[Line]:
    first = study.variants[0]
    for variant, model in ablations.variants_of(config, study):
        cells = read_cells(layout.SCORES, model.name)
        captions = _captions(config, model)
        for column in config.ablations.columns:
            if column not in cells:  # its benchmark's files are not at hand
                continue
            cell, theirs = cells[column], _of_paper(paper, study, variant, column)
            yield {
                "ablation": name,
                "variant": variant.name,
                "model": model.name,
                "captions": captions,
                "column": column,
                "score": f"{cell.value:.1f}",
                "stderr": "" if cell.stderr is None else f"{cell.stderr:.1f}",
                "paper": theirs,
                "expected": _direction(_of_paper(paper, study, first, column), theirs),
            }


def _memory(config: Config, name: str, study: Ablation, paper: Paper) -> Iterator[Line]:
    for variant, model in ablations.variants_of(config, study) if study.memory else ():
        speeds = layout.speeds_of(lineage.start_of(config, model))
        peaks = [row["peak_memory_gb"] for row in read_jsonl(speeds)] if speeds.exists() else []
        yield {
            "ablation": name,
            "variant": variant.name,
            "model": model.name,
            "peak_memory_gb": f"{max(peaks):.3g}" if peaks else "",
            "paper": _of_paper(paper, study, variant, MEMORY),
        }


def _of_paper(paper: Paper, study: Ablation, variant: Variant, quantity: str) -> str:
    return paper.get((study.paper or "", variant.paper or "", quantity), "")


def _direction(first: str, value: str) -> str:
    if not first or not value or float(first) == float(value):
        return ""
    return "up" if float(value) > float(first) else "down"


def _captions(config: Config, model: TrainedModel) -> str:
    """How many captions a model was pre-trained on, as its start says; empty where that does not."""
    if model.pretraining == "none":
        return "0"
    about = lineage.start_of(config, model) / "provenance.json"
    rows = read_json(about).get("rows") if about.exists() else None
    return str(rows["read"] - sum(rows["left_out"].values())) if rows else ""


def _page(config: Config, lines: Sequence[Line], brackets: str) -> str:
    columns, parts = config.ablations.columns, list[str]()
    for name, study in config.ablations.studies.items():
        parts.append(f"## {in_markdown(study.title)}\n")
        parts.append(f"| variant | captions | {' | '.join(columns)} |\n|---|---:|{'---:|' * len(columns)}")
        for variant in study.variants:
            own = {
                line["column"]: line for line in lines if (line["ablation"], line["variant"]) == (name, variant.name)
            }
            captions = next((line["captions"] for line in own.values()), "")
            cells = [_cell(own[column]) if column in own else "" for column in columns]
            parts.append(f"| {in_markdown(variant.name)} | {captions} | {' | '.join(cells)} |")
        parts.append("")
    note = "Each score is followed by its standard error. `captions` are those of pre-training."
    return "\n".join([*parts, f"{note} {brackets}", ""])


def _cell(line: Line) -> str:
    score = line["score"] + (f" ± {line['stderr']}" if line["stderr"] else "")
    beside = line["paper"] or line["expected"]
    return f"{score} ({beside})" if beside else score
