"""What the tests of hostile input have in common: how many cases, always the same ones, and a count of how each ended.

`S4V_FAULT_CASES` says how many cases each test tries (`make attack`: 10,000). Whatever is tried has to end in one of
two ways: it works, or it is refused by a `UserError` of one line.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from hypothesis import HealthCheck, settings

from sharegpt4v.errors import UserError

Result = TypeVar("Result")

CASES = int(os.environ.get("S4V_FAULT_CASES", "200"))
many_cases = settings(
    max_examples=CASES, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
"""Decorates a hypothesis test: as many cases as asked for, the same in every run."""


class Outcomes(Counter[str]):
    """How the cases of a test ended, by a few words each; printed after all tests."""

    def of(self, action: Callable[[], Result]) -> Result | None:
        """Do `action`, count how it ends and return what it gives; None when it is refused in one line.

        Any other error than a `UserError` of one line is that of the test.
        """
        try:
            result = action()
        except UserError as error:
            assert str(error).strip() and len(str(error).splitlines()) == 1, repr(str(error))
            assert all(letter.isprintable() for letter in str(error)), repr(str(error))
            self["refused in one line"] += 1
            return None
        self["worked"] += 1
        return result
