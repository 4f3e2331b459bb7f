"""A folder of packages that holds a few and what they require, for scripts that have to do with these."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path


def link_packages(folder: Path, *names: str) -> set[str]:
    """Make `folder`, with links to the installed packages `names` and all that they require; return their names."""
    waiting, found = list(names), set[str]()
    folder.mkdir()
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        try:
            package = distribution(name)
        except PackageNotFoundError:  # for another system
            continue
        if name in found:
            continue
        found.add(name)
        waiting += [
            re.split(r"[ ;<>=!~(\[]", line)[0] for line in package.requires or [] if not re.search(r"extra *==", line)
        ]
        for file in package.files or []:
            top = file.parts[0]
            if top != ".." and not (folder / top).exists() and (place := Path(str(package.locate_file(top)))).exists():
                (folder / top).symlink_to(place)
    return found
