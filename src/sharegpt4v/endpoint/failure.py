"""Why a request has no reply, and what that means for the request, the run and the money."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

POLICY = re.compile(
    r"content[ _-]?(policy|filter|management|moderation)|moderation|responsible ?ai|safety system", re.IGNORECASE
)
GOOD = 200  # the status of an answer, also of one that cannot be used


@dataclass(frozen=True)
class Failure:
    """A request without a usable reply. `message` is one line without secrets.

    `status` is the endpoint's, 0 where it gave none; `code` is its error code and type. `charged` says that the request
    may have been billed. `wait` is how many seconds the endpoint wants to be left alone. `raw` is an answer that came,
    but could not be used.
    """

    status: int
    code: str
    message: str
    charged: bool
    wait: float | None = None
    raw: str | None = None

    @property
    def reason(self) -> str:
        return self.message if self.status in (0, GOOD) else f"{self.status} {self.message}"

    @property
    def is_refusal(self) -> bool:
        """Whether the image goes against the endpoint's content policy: that is a reply."""
        return self.status in (400, 403, 451) and bool(POLICY.search(f"{self.code} {self.message}"))

    @property
    def other_length_parameter(self) -> str | None:
        """The name that the endpoint wants for the longest reply, if it refused the other: newer models of OpenAI do.

        A refused request costs nothing.
        """
        wanted = "max_completion_tokens"
        return wanted if self.status == 400 and "max_tokens" in self.message and wanted in self.message else None

    @property
    def is_transient(self) -> bool:
        """Whether the same request may fare better later."""
        return self.status in (0, GOOD, 408, 409, 429) or self.status >= 500

    @property
    def told_to_wait(self) -> float | None:
        """The seconds to wait where that is all that is wrong: the endpoint has too much to do."""
        return self.wait if self.status in (429, 503) else None

    def stops_all(self, model: str) -> str | None:
        """Return why no other request could fare better, if so."""
        # A 401 may quote part of the key, so its text is not repeated.
        if self.status == 401:
            return "401, the key is missing or not accepted; set the one that api_key_variable names"
        if self.status in (403, 404):
            return f"{self.reason}; check base_url, model '{model}' and what the key may use"
        if 300 <= self.status < 400:
            return f"{self.reason}; nothing is sent on to another address, so write the right one into base_url"
        if self.status == 429 and "insufficient_quota" in self.code:
            return f"{self.reason}; the account has no credit left"
        return None


class RequestFailed(Exception):
    """A request without a usable reply; `headers` are those of the answer, if one came."""

    def __init__(self, failure: Failure, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(failure.reason)
        self.failure, self.headers = failure, headers or {}


def may_be_billed(status: int) -> bool:
    """Say whether an endpoint may bill a request that it answers by this status of an error.

    With 4xx, 503 and redirects it says that the request was not carried out. Behind any other status a gateway may have
    given up a request that the model answered.
    """
    return status >= 500 and status != 503


def code_and_message(error: Any) -> tuple[str, str]:
    """Return the code (with the type) and the message of an error, which may be any JSON, or plain text."""
    error = error.get("error", error) if isinstance(error, dict) else error
    if isinstance(error, str):
        return "", error
    if not isinstance(error, dict):
        return "", compact(error)
    codes = (error.get(name) for name in ("code", "type"))
    message = error.get("message")
    code = " ".join(str(one) for one in codes if isinstance(one, str | int))
    return code, message if isinstance(message, str) else compact(error)


def compact(value: Any) -> str:
    """Return a value that was read from JSON as JSON again."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # what is nested deeply can be read, but not be written
        return "nested too deeply to be shown"
