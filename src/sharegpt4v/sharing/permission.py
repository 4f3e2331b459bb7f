"""Whether what is pushed may be given to others, by the terms of all that it is made from.

Terms that say nothing about copies give no right to pass them on either; both are refused, unless whoever pushes gives
a reason, which goes along.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sharegpt4v import layout
from sharegpt4v.catalogues.licences import UNKNOWN, Terms, terms_in
from sharegpt4v.corpora.arithmetic import TEXT
from sharegpt4v.errors import UserError
from sharegpt4v.origins import terms_of
from sharegpt4v.sharing.shared_folder import SharedFolder

if TYPE_CHECKING:
    from sharegpt4v.config import Config

REFUSALS = {"no": "forbidden", "ask": "not stated"}


def refuse_unless_licensed(config: Config, folder: SharedFolder, despite: str | None) -> None:
    """Raise a `UserError` when terms do not allow to pass a folder on, unless `despite` says why it may go."""
    against = [
        f"{', '.join(dict.fromkeys(names))} ({terms.name}: {REFUSALS[terms.redistribute]})"
        for terms, names in binding_terms(config, folder).items()
        if terms.redistribute in REFUSALS
    ]
    if against and not (despite or "").strip():
        raise UserError(
            f"{folder.path}: may not be passed on by the terms of {'; '.join(against)}; if you may, say why by "
            "--despite-licence REASON"
        )


def binding_terms(config: Config, folder: SharedFolder) -> dict[Terms, list[str]]:
    """Return the terms that bind a folder, each with the models, texts and images in it that it comes from.

    What the run did not make, and its records do not name, is bound by what its card says.
    """
    found: dict[Terms, list[str]] = {}
    for path in [folder.path, *map(Path, folder.provenance.get("inputs", ()))]:
        for terms, names in terms_of(config, _of_run(path)).items():
            found.setdefault(terms, []).extend(names)
    if folder.provenance.get("images"):
        for source in folder.provenance["sources"].keys() - {TEXT}:
            for terms in _of_images(config, source):
                found.setdefault(terms, []).append(f"images of {source}")
    return found


def _of_run(path: Path) -> Path:
    """Return the path of a folder as the run calls it."""
    here = path.resolve()
    return here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else path


def _of_images(config: Config, folder: str) -> list[Terms]:
    """Return the terms of the images in a first folder below data/, which several sources may share."""
    sources = [
        one for one in layout.sources(config).values() if one.folder.partition("/")[0] == folder and one.images != 0
    ]
    return [terms for licence in sorted({one.licence for one in sources} or {UNKNOWN}) for terms in terms_in(licence)]
