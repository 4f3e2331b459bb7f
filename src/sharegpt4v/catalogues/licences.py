"""The table `config/licences.tsv`: what each licence or set of terms that the other catalogues name lets one do."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, cast, get_args

from sharegpt4v.catalogues.checkpoints import read_checkpoints
from sharegpt4v.catalogues.rows import read_rows
from sharegpt4v.errors import UserError

CATALOGUE = Path("config/licences.tsv")
UNKNOWN = "not known; ask whoever publishes it"
OWN = "drawn by this project, same terms as its code"
SEPARATOR = "; "
Redistribution = Literal["yes", "no", "ask"]


@dataclass(frozen=True)
class Terms:
    """One row: a licence, or terms of use, by the `name` that the other catalogues use.

    `hub` is its name on Hugging Face, "other" where it has none there. `redistribute` says whether copies may be passed
    on; "ask" where nothing says so. `endpoint_models` are patterns of the names of models whose answers it rules.
    `address` is where it is stated, empty where nowhere.
    """

    name: str
    hub: str
    redistribute: Redistribution
    note: str
    address: str
    endpoint_models: tuple[str, ...] = ()


@functools.cache
def read_terms(path: Path = CATALOGUE) -> dict[str, Terms]:
    """Return the terms by name, in the order of the file. A `UserError` for a row that does not fit."""
    found: dict[str, Terms] = {}
    for row in read_rows(path):
        name = row["name"]
        if row["redistribute"] not in get_args(Redistribution) or name in found or not row["hub"]:
            raise UserError(f"{path}, {name!r}: expected each name once, its name on the Hub, and yes, no or ask")
        redistribute = cast(Redistribution, row["redistribute"])
        patterns = tuple(row["endpoint_models"].split())
        found[name] = Terms(name, row["hub"], redistribute, row["note"], row["address"], patterns)
    return found


def terms_in(licence: str) -> tuple[Terms, ...]:
    """Return the terms that a `licence` cell of a catalogue names; one that is not in the table has to be asked for."""
    known = read_terms()
    names = [licence] if licence in known else licence.split(SEPARATOR)
    return tuple(known.get(name) or Terms(name, "other", "ask", "not in config/licences.tsv", "") for name in names)


def terms_of_checkpoint(checkpoint: str) -> tuple[Terms, ...]:
    """Return the terms of a published checkpoint, an id of Hugging Face; unknown ones have to be asked for."""
    known = read_checkpoints().get(checkpoint)
    return terms_in(known.licence if known else UNKNOWN)


def terms_of_answers(model: str) -> tuple[Terms, ...]:
    """Return the terms of what a model behind an endpoint answers, by the model's name there."""
    if model in read_checkpoints():
        return terms_of_checkpoint(model)
    fitting = (
        terms for terms in read_terms().values() if any(fnmatchcase(model, one) for one in terms.endpoint_models)
    )
    return (next(fitting),)
