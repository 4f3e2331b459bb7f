"""Do the models that a preset asks still exist: the table `config/retired_models.tsv` says until when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

from sharegpt4v.catalogues.rows import read_rows
from sharegpt4v.config import Config
from sharegpt4v.doctor.finding import Finding
from sharegpt4v.errors import UserError
from sharegpt4v.pipeline.start import endpoints

TABLE = Path("config/retired_models.tsv")
SCORES = "; scores by another judge are not comparable with the published ones"


@dataclass(frozen=True)
class Retirement:
    """The day from which a model is no longer served, and what its provider names in its place."""

    day: date
    replacement: str


def read_retirements() -> dict[tuple[str, str], Retirement]:
    """Return the retirements by the endpoint's host and the model's name; a `UserError` for a row without a date."""
    found = {}
    for row in read_rows(TABLE):
        try:
            day = date.fromisoformat(row["retired"])
        except ValueError:
            raise UserError(
                f"{TABLE}: {row['model']}, retired {row['retired']!r}; expected a date like 2026-03-26"
            ) from None
        found[row["host"], row["model"]] = Retirement(day, row["replacement"])
    return found


def model_findings(config: Config, today: date) -> Iterator[Finding]:
    """Yield a line for each endpoint that is asked, whose model is retired or is going to be."""
    retirements = read_retirements()
    for key, section in endpoints(config).items():
        found = retirements.get((urlsplit(section.base_url).hostname or "", section.model))
        if found is None:
            continue
        what = f"{key}.model"
        told = f"{section.model} was retired on {found.day} and replaced by {found.replacement}"
        if found.day > today:
            yield Finding(what, f"{section.model} is served until {found.day}, then replaced by {found.replacement}")
        else:
            yield Finding(what, told, f"set {key}.model to one that is served{SCORES if key == 'judge' else ''}")
