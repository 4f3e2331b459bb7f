"""Reading a config: the file, the preset it builds on, the command line over both; and errors a person can act on.

A preset that holds only what differs names the file it builds on by `base: config.yaml`, a path relative to itself, or
one such as `config/paper-7b.yaml` for the project's own. Mappings merge key by key and lists replace. Every complaint
is one line that names the file and line which holds the key, whichever of the files that is; all of them come in one
`UserError`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sharegpt4v.config.combinations import impossible_combinations
from sharegpt4v.config.model import Config
from sharegpt4v.config.secrets import secrets_in
from sharegpt4v.config.tree import Entry, Location, merge, place_of, plain, read_tree, tree_of
from sharegpt4v.config.wording import dotted, expected, known_keys, schema_at, shown, suggestion
from sharegpt4v.errors import UserError
from sharegpt4v.project import preset

MOST_PRESETS = 10  # that build on each other
MOST_COMPLAINTS = 50


def load(path: Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read the config at `path` (YAML or JSON), with `overrides` (nested, as `snakemake --config` gives) over it.

    Raises a `UserError` with one line per complaint: what was found, in which file and line, what was expected.
    """
    tree = merge(_defaults(), read_preset(Path(path)))
    if overrides:
        tree = merge(tree, tree_of(overrides))
    complaints = list(secrets_in(tree))
    if complaints:
        raise _refused(complaints)
    try:
        # By way of JSON: there a list may stand for a tuple and text for a path, and all else is taken strictly.
        config = Config.model_validate_json(json.dumps(plain(tree)), strict=True)
    except ValidationError as error:
        raise _refused(list(_complaints(tree, error))) from None
    contradictions = [_line(tree, location, text) for location, text in impossible_combinations(config)]
    if contradictions:
        raise _refused(contradictions)
    return config


@cache
def _defaults() -> Entry:
    """Return the values of all keys that no file gives: the paper's."""
    return tree_of(Config(name="defaults").model_dump(mode="json", exclude={"name"}), "default")


def read_preset(path: Path, above: tuple[Path, ...] = ()) -> Entry:
    """Read a config file over the preset that its key `base` names, if any. `above` are the files that led here."""
    tree = read_tree(path)
    assert isinstance(tree.value, dict)
    base = tree.value.pop("base", None)
    if base is None:
        return tree
    if not isinstance(base.value, str):
        raise UserError(f"{base.place}: base is {shown(plain(base))}; expected the path of another config")
    below = path.parent / base.value
    if not below.exists():
        below = preset(base.value)
    if not below.is_file():
        raise UserError(
            f"{base.place}: base names {path.parent / base.value}, which is no file; "
            f"expected a path relative to {path.parent}"
        )
    if len(above) + 2 > MOST_PRESETS:
        raise UserError(f"{base.place}: base: more than {MOST_PRESETS} presets build on each other; expected fewer")
    if below.resolve() in {file.resolve() for file in (path, *above)}:
        raise UserError(f"{base.place}: base leads back to {below}; expected a preset that does not build on this one")
    return merge(read_preset(below, (path, *above)), tree)


def _refused(complaints: Sequence[str]) -> UserError:
    """Return the error of all complaints, or of the first ones and how many more there are."""
    more = len(complaints) - MOST_COMPLAINTS
    return UserError(*complaints[:MOST_COMPLAINTS], *([f"and {more:,} more mistakes"] if more > 0 else []))


def _complaints(tree: Entry, error: ValidationError) -> Iterator[str]:
    """Turn what pydantic found into lines."""
    for details in error.errors(include_url=False):
        if details["type"] == "too_short" and details["input"]:
            continue  # a list that is only short of right items; each wrong one has a line already
        location: Location = details["loc"]
        if details["type"] == "extra_forbidden":
            known = suggestion(str(location[-1]), known_keys(location[:-1]))
            yield f"{place_of(tree, location)}: {dotted(location)}: unknown key; {known}"
        else:
            yield _line(tree, location, _complaint(location, details))


def _complaint(location: Location, details: ErrorDetails) -> str:
    if location[-1:] == ("[key]",):
        return f"is not a name that can be used; expected {expected(schema_at(location[:-2])['propertyNames'])}"
    wanted = expected(schema_at(location))
    if details["type"] == "missing":
        return f"is missing; expected {wanted}"
    return f"is {shown(details['input'])}; expected {wanted}"


def _line(tree: Entry, location: Location, text: str) -> str:
    location = location[:-1] if location[-1:] == ("[key]",) else location
    return f"{place_of(tree, location)}: {dotted(location)} {text}"
