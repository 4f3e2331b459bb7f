"""One line of the doctor's: what was looked at, what was found, and what to do when that is not enough."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """`remedy` is None where all is well."""

    what: str
    found: str
    remedy: str | None = None

    def __str__(self) -> str:
        line = f"{'ok' if self.remedy is None else 'MISSING':8}{self.what:<32}{self.found}"
        return line if self.remedy is None else f"{line}; {self.remedy}"
