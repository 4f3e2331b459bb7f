"""A results table as a page to read, results/table.md: value ± standard error, the paper's number, the difference.

Brackets hold what a cell lacks: missing, repeated and unknown answers, failed verdicts. Below the table are the
split and the scorer of each column, and for a judged column who judged and when (paper, Tables 2 and 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sharegpt4v.evaluation.reading import Row
from sharegpt4v.evaluation.table import COLUMNS_OF, NO_CELLS, Cell, Cells, cells_of, read_paper, read_scores, table_of
from sharegpt4v.files import write_text
from sharegpt4v.pages import in_markdown

FIELDS = ["model", "benchmark", "value", "source"]
NOTE = (
    "Each value is followed by its standard error, at 0 and 100 % by its 95 % interval (Wilson), and in brackets by "
    "what is missing, repeated or unknown among the answers, or failed among the verdicts."
)
BOLD = " A **difference** in bold is outside two standard errors, or the interval."


def write_page(
    models: Mapping[str, str | None],
    scores: Path,
    paper_csv: Path,
    out: Path,
    notice: str = "",
    table: str = "paper",
    also: Cells = NO_CELLS,
    expected: str = "",
) -> None:
    """Write a row per model of `models`, and two more for a model that `models` gives a name in the paper's tables.

    `paper_csv` is long: model, benchmark, value, source. A difference outside two standard errors is bold. With a
    `notice`, the first line of the page, no number of the paper is shown; the next line is what is `expected`. The
    columns are those of `table`; `also` holds cells that are in no score file.
    """
    columns = COLUMNS_OF[table]
    rows = read_paper(paper_csv, FIELDS)
    paper = {(row["model"], row["benchmark"]): float(row["value"]) for row in rows}
    read = {model: [row for row in read_scores(scores, model) if table_of(row) == table] for model in models}
    lines = [["model", *columns], ["---", *("---:" for _ in columns)]]
    compared = {} if notice else {model: name for model, name in models.items() if name is not None}
    for model in models:
        cells = {**cells_of(read[model]), **also.get(model, {})}
        lines.append([model, *(str(cells.get(name, "")) for name in columns)])
        if published := compared.get(model):
            numbers = {name: paper[published, name] for name in columns if (published, name) in paper}
            lines.append(
                [
                    f"{in_markdown(published)} in the paper",
                    *(f"{numbers[n]:.1f}" if n in numbers else "" for n in columns),
                ]
            )
            lines.append(["difference", *(_difference(cells.get(n), numbers.get(n)) for n in columns)])
    grid = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    first = "".join(f"{line}\n\n" for line in (notice, in_markdown(expected) if notice else "") if line)
    note = NOTE + (BOLD if compared else "")
    write_text(out, f"{first}{grid}\n{note}\n{_splits(read, columns)}{_judges(read)}{_missing(read)}")


def _difference(cell: Cell | None, number: float | None) -> str:
    if cell is None or number is None:
        return ""
    text = f"{cell.value - number:+.1f}"
    return f"**{text}**" if cell.differs_from(number) else text


def _splits(read: Mapping[str, list[Row]], columns: Sequence[str]) -> str:
    """Two sentences: the split behind each column, and its scorer; more than one where models differ in it."""
    told = ""
    for name, title in (("split", "Splits"), ("scorer", "Scorers")):
        found: dict[str, dict[str, None]] = {}
        for row in (row for rows in read.values() for row in rows):
            for column in row.row("columns").values:
                found.setdefault(column, {})[in_markdown(row.text(name))] = None
        listed = "; ".join(f"{column} {' / '.join(found[column])}" for column in columns if column in found)
        told += f"\n{title}: {listed}.\n" if listed else ""
    return told


def _missing(read: Mapping[str, list[Row]]) -> str:
    """A line per benchmark that could not be scored."""
    told = {
        row.text("benchmark"): row.text("missing") for rows in read.values() for row in rows if "missing" in row.values
    }
    lines = [f"- {in_markdown(name)} is empty: {in_markdown(text)}\n" for name, text in told.items()]
    return "".join(["\n", *lines]) if told else ""


def _judges(read: Mapping[str, list[Row]]) -> str:
    """A line per model and judged column."""
    lines = []
    for model, rows in read.items():
        for row in rows:
            parts = row.row("parts")
            if "judge" in parts.values:
                judge = parts.row("judge").values
                column = ", ".join(row.row("columns").values)
                by = judge.get("model", "replies that were given")
                warmth = "".join(f", temperature {first}" for first in judge.get("temperatures", [])[:1])
                prompt = f", prompt {judge['prompt_sha256'][:8]}" if "prompt_sha256" in judge else ""
                prompt += "" if judge.get("official", True) else " (not the official one)"
                times = f", {len(runs)} times" if len(runs := parts.values.get("runs", ())) > 1 else ""
                lines.append(f"- {in_markdown(f'{model}, {column}: judged by {by}{times}{warmth}{prompt}')}\n")
    return "".join(["\n", *lines]) if lines else ""
