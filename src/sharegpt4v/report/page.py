"""The report of a run as one page that needs nothing else: results/report.html; and each table as a page.

Texts are escaped by the templates. The page's policy allows its own style and images inside it, and no script.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharegpt4v import layout
from sharegpt4v.config import Config
from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.expected import expected_of
from sharegpt4v.evaluation.table import COLUMNS
from sharegpt4v.files import write_bytes
from sharegpt4v.miniature import is_miniature, notice_of
from sharegpt4v.pages import page_head
from sharegpt4v.pipeline.targets import tables_of
from sharegpt4v.report.caption_sets import caption_sets
from sharegpt4v.report.costs import Costs
from sharegpt4v.report.differences import differences
from sharegpt4v.report.gallery import gallery_of
from sharegpt4v.report.headline import filled, findings
from sharegpt4v.report.pictures import Picture, Pictures
from sharegpt4v.report.scores import Scores, scores_of
from sharegpt4v.report.tables import Table, csv_table, gains_table, scores_table, title_of, turned, without
from sharegpt4v.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).resolve().parent / "templates"
MOST_BYTES = 10_000_000  # of the page
FIGURES, IMAGES = 3_000_000, 4_000_000  # bytes of these in it
LONGEST_TEXT = 3_000  # characters of a caption or an answer
SECTIONS = {
    "found": "Findings", "scores": "Scores", "figures": "Figures", "captions": "Captions", "answers": "Answers",
    "data": "Data sets", "costs": "Costs", "left-out": "Left out",
}  # fmt: skip
FIRST = ("substitution", "ablations", "datasets", "curves")
ALT = {
    "substitution": "What better captions gain by themselves: scores before and after, and the gain on each benchmark.",
    "ablations": "The ablations: scores with parts of the method left out.",
    "datasets": "The caption data sets: length of the captions, samples, kinds of words, repetitions.",
    "curves": "The loss of every training over its length.",
    "preference": "Which of two sets of captions a judge and people prefer, by source.",
}


def write_report(config: Config, costs: Costs, out: Path) -> None:
    """Write the report from what the run in this folder left on disk; a `UserError` when it is over `MOST_BYTES`."""
    scores, pictures = scores_of(config), Pictures(IMAGES)
    parts: dict[str, Any] = {
        "findings": findings(layout.SUBSTITUTION) if config.substitution else [],
        "figures": _figures(layout.RESULTS / "figures"),
        "gallery": gallery_of(caption_sets(config), config.seed, pictures),
        "compared": differences(config, pictures),
        "tables": _data_tables(config),
        "costs": costs,
    }
    left_out = _left_out(parts)
    empty = {name for name, part in _shown(parts).items() if not part} | (set() if left_out else {"left-out"})
    html = _render(
        "report.html",
        f"Report of {config.name}",
        notice=notice_of(config),
        run=config.name,
        version=__version__,
        sections=[(name, title) for name, title in SECTIONS.items() if name not in empty],
        expected=expected_of(config),
        scores=scores_table(scores.cells, COLUMNS),
        models=scores.models,
        rows=scores.rows,
        more=scores.more,
        more_title=title_of(layout.MORE_TABLE.stem),
        filled=filled(scores.cells, COLUMNS),
        remarks=_incomplete(scores),
        left_out=left_out,
        **parts,
    )
    if len(html) > MOST_BYTES:
        raise UserError(
            f"{out}: {len(html):,} bytes; expected at most {MOST_BYTES:,}: fewer models or sources in a run"
        )
    write_bytes(out, html)


def write_table_page(config: Config, name: str, out: Path) -> None:
    """Write the table `name` of the results as a page, for Snakemake's own report."""
    path = layout.RESULTS / f"{name}.csv"
    if path == layout.TABLE:
        table = scores_table(scores_of(config).cells, COLUMNS, expected_of(config))
    elif path == layout.SUBSTITUTION:
        table = gains_table(path, expected_of(config))
    else:
        table = _as_it_is(config, path, name)
    write_bytes(out, _render("table.html", table.title, notice=notice_of(config), table=table))


def _shown(parts: dict[str, Any]) -> dict[str, Any]:
    """What decides whether a section is shown."""
    return {
        "figures": parts["figures"], "captions": parts["gallery"].sources, "answers": parts["compared"],
        "data": parts["tables"],
    }  # fmt: skip


def _left_out(parts: dict[str, Any]) -> list[tuple[str, str]]:
    """The sections that this run has nothing for, and why."""
    why = {
        "figures": "no figure in results/figures",
        "captions": "this run uses no captions, or they are not in this folder",
        "answers": "fewer than two models have scores on the same benchmark",
        "data": "this run makes no corpora",
    }
    left_out = [(SECTIONS[name], why[name]) for name, part in _shown(parts).items() if not part]
    if not parts["findings"]:
        left_out.insert(0, ("Gain of better captions", "the config names no pair of models under `substitution`"))
    return left_out


def _incomplete(scores: Scores) -> list[str]:
    """A line for each cell whose answers or verdicts are not all there."""
    return [
        f"{model}, {column}: {cell.completeness}"
        for model, cells in scores.cells.items()
        for column, cell in cells.items()
        if cell.completeness.faults
    ]


def _data_tables(config: Config) -> list[Table]:
    """The data sets, a column each, and the corpora; the paper's numbers only beside those that compare with them."""
    tables = []
    names = tables_of(config)
    if layout.DATASETS.stem in names:
        tables.append(turned(_as_it_is(config, layout.DATASETS, layout.DATASETS.stem)))
    if layout.MIXTURE.stem in names:
        tables.append(csv_table(layout.MIXTURE, title_of(layout.MIXTURE.stem)))
    return tables


def _as_it_is(config: Config, path: Path, name: str) -> Table:
    """A CSV table; in the miniature without the columns of the paper's numbers, which are empty there."""
    table = csv_table(path, title_of(name))
    return without(table, "paper") if is_miniature(config) else table


def _figures(folder: Path) -> list[Picture]:
    """Every figure of the run, those of the paper's claims first."""
    pictures = Pictures(FIGURES)
    names = [path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.svg")]
    names.sort(key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))
    return [pictures.of_svg(folder / f"{name}.svg", _alt(name)) for name in names]


def _alt(name: str) -> str:
    return ALT.get(name) or f"{title_of(name)}: kinds of words and repetitions."


def _render(template: str, title: str, **values: Any) -> bytes:
    from markupsafe import Markup

    # The plain head stays as it is: seed captions have it, and would be rerun with all that follows.
    head = page_head(title, (TEMPLATES / "style.css").read_text("utf-8"))
    head = head.replace("<!doctype html>", '<!doctype html><html lang="en">', 1)
    page = _environment().get_template(template).render(head=Markup(head), **values)
    return page.encode(errors="xmlcharrefreplace")  # half a character of UTF-16 that a JSON file may name


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["shortened"] = shortened
    return environment


def shortened(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return a text as far as a page shows it, and how much is left."""
    left = len(text) - longest
    return text if left <= 0 else f"{text[:longest]} … ({left:,} more characters)"
