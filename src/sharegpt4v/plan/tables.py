"""The tables that a plan is worked out from: devices, prices, and every number that is assumed, with its source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sharegpt4v.catalogues.hardware import HARDWARE, Device, read_hardware
from sharegpt4v.catalogues.rows import read_rows
from sharegpt4v.errors import UserError

PRICES = Path("config/prices.tsv")
ASSUMPTIONS = Path("config/assumptions.tsv")


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens; `batch_factor` is the Batch API's price over this one, None where not known.

    `image_tokens_low` and `image_tokens_high` are the most tokens that an image can be billed for at that detail.
    """

    prompt_usd_per_million: float
    completion_usd_per_million: float
    batch_factor: float | None
    date: str
    image_tokens_low: int | None = None
    image_tokens_high: int | None = None

    def image_tokens(self, detail: str) -> int | None:
        """Return the most tokens of an image; "auto" may be as high as "high"."""
        return self.image_tokens_low if detail == "low" else self.image_tokens_high

    def usd(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Return what so many tokens cost."""
        return (prompt_tokens * self.prompt_usd_per_million + completion_tokens * self.completion_usd_per_million) / 1e6


def read_prices() -> dict[str, Price]:
    """Return the prices by the name of the model, as its endpoint calls it."""
    return {
        row["model"]: Price(
            float(row["prompt_usd_per_million"]),
            float(row["completion_usd_per_million"]),
            float(row["batch_factor"]) if row["batch_factor"] else None,
            row["date"],
            *(int(row[name]) if row[name] else None for name in ("image_tokens_low", "image_tokens_high")),
        )
        for row in read_rows(PRICES)
    }


def device_named(device: str) -> Device:
    """Return a row of config/hardware.tsv; a `UserError` lists the known ones."""
    known = read_hardware()
    if device not in known:
        raise UserError(f"device {device!r} is not in {HARDWARE}; expected one of {', '.join(known)}, or add a row")
    return known[device]


def read_assumptions() -> dict[str, float]:
    """Return every assumed number by its name."""
    return {row["name"]: float(row["value"]) for row in read_rows(ASSUMPTIONS)}
