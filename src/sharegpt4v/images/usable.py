"""Which images a training can use, and what happens to rows whose image it cannot: the policy `sources.missing`.

The same words mean the same here and where a source is fetched, so that what was let pass there does not stop a
training days later.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from sharegpt4v import layout
from sharegpt4v.errors import UserError
from sharegpt4v.image_paths import inside
from sharegpt4v.images.findings import read_bad

if TYPE_CHECKING:
    from sharegpt4v.config import Config
    from sharegpt4v.config.sources import Policy

NONE: Mapping[str, str] = MappingProxyType({})


class Usable:
    """Tells the images below `data` that can be trained on, and counts the rows that are left out for want of one."""

    def __init__(
        self, data: Path, bad: Mapping[str, str] = NONE, missing: Policy = "fail", largest_fraction: float = 0.0
    ) -> None:
        """`bad` says why of images that are known to be missing or broken; `largest_fraction` (0 to 1) of the rows may
        be left out with "drop"."""
        self.data, self.missing, self.largest_fraction = data, missing, largest_fraction
        self.left_out = 0
        self.bad = bad
        self._good: set[str] = set()

    def takes(self, image: str, place: str) -> bool:
        """Say whether the row at `place` can be trained on; with "fail", one that cannot is a `UserError`."""
        if image in self._good:
            return True
        file, why = inside(self.data, image), self.bad.get(image)
        if not why and file.is_file():
            self._good.add(image)
            return True
        if self.missing == "fail":
            lacks = f"image {file} cannot be used ({why})" if why else f"no image {file}; expected a file there"
            raise UserError(f"{place}: {lacks}, so fetch its source first")
        self.left_out += 1
        return False

    def tell(self, what: str, rows: int) -> None:
        """Print how many of `rows` rows were left out; a `UserError` when they are more than allowed."""
        if not self.left_out:
            return
        said = f"{what}: {self.left_out:,} of {rows:,} rows name an image that is missing or broken"
        self.check(said, self.left_out, rows, "; `s4v verify` lists them")
        print(f"{said}, and are left out", file=sys.stderr)

    def check(self, said: str, left_out: int, rows: int, where: str = "") -> None:
        """Raise a `UserError` that begins with `said` when more than allowed of `rows` rows were left out."""
        if self.missing == "drop" and left_out > self.largest_fraction * rows:
            raise UserError(
                f"{said}, more than the allowed {self.largest_fraction:.1%}{where}; fetch their sources again, or "
                "allow more by sources.largest_bad_fraction"
            )


def usable_images(config: Config, data: Path = layout.DATA) -> Usable:
    """Return what the config and the manifests say of images; rows name them relative to `data`."""
    bad: dict[str, str] = {}
    for name, source in layout.sources(config).items():
        manifest = layout.manifest(name)
        if source.images != 0 and manifest.exists():
            found = ((layout.DATA / path, why) for path, why in read_bad(manifest))
            bad |= {path.relative_to(data).as_posix(): why for path, why in found if path.is_relative_to(data)}
    return Usable(data, bad, config.sources.missing, config.sources.largest_bad_fraction)
