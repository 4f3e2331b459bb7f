"""Reading a table that comes with the project and is trusted: tab-separated, with a header and remarks.

It needs nothing but Python, for the benchmark of a GPU that has only PyTorch and transformers.
"""

from __future__ import annotations

import csv
from pathlib import Path

from sharegpt4v.errors import UserError
from sharegpt4v.project import of_project


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table that comes with the project; lines that begin with # are remarks."""
    file = of_project(path)
    try:
        lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; expected a table that comes with the project") from None
    return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
