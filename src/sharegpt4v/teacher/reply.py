"""What comes back from an endpoint: a reply to be kept, or a failure and what it means for the run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sharegpt4v.teacher.request import SetAside
from sharegpt4v.teacher.settings import TeacherSettings

POLICY = re.compile(
    r"content[ _-]?(policy|filter|management|moderation)|moderation|responsible ?ai|safety system", re.IGNORECASE
)


@dataclass(frozen=True)
class Failure:
    """An error status with the endpoint's code (and type) and message, the latter on one line and without secrets."""

    status: int
    code: str
    message: str

    @property
    def reason(self) -> str:
        return f"{self.status} {self.message}"

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
    def passes(self) -> bool:
        """Whether the endpoint was busy or away, so that the same request may fare better later."""
        return self.status in (408, 409, 429) or self.status >= 500

    def stops_all(self, model: str) -> str | None:
        """Return why no other request could fare better, if so."""
        # A 401 may quote part of the key, so its text is not repeated.
        if self.status == 401:
            return "401, the key is missing or not accepted; set the one that api_key_variable names"
        if self.status in (403, 404):
            return f"{self.reason}; check base_url, model '{model}' and what the key may use"
        if self.status == 429 and "insufficient_quota" in self.code:
            return f"{self.reason}; the account has no credit left"
        return None


def record_of(about: Mapping[str, Any], settings: TeacherSettings, attempts: int) -> dict[str, Any]:
    """Return the part of a record that does not depend on the answer; `about` is what the request says of itself."""
    return {
        **about,
        "model": settings.model,
        "answered_by": None,
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "attempts": attempts,
    }


def refusal(failure: Failure) -> dict[str, Any]:
    """Return the part of a record that says that the endpoint's content policy forbids an answer."""
    return {"text": failure.reason, "finish_reason": "content_filter"}


def answer_of(completion: Any) -> dict[str, Any]:
    """Return the part of a record that comes from the answer, a chat completion as plain JSON.

    Some endpoints send 200 with an error inside: `SetAside`.
    """
    try:
        choice, usage = completion["choices"][0], completion.get("usage") or {}
        message = choice["message"]
        return {
            "answered_by": completion.get("model"),
            "text": message.get("content") or message.get("refusal") or "",
            "finish_reason": "content_filter" if message.get("refusal") else choice.get("finish_reason"),
            "prompt_tokens": usage.get("prompt_tokens") or 0,
            "completion_tokens": usage.get("completion_tokens") or 0,
        }
    except (KeyError, IndexError, TypeError, AttributeError):
        raise SetAside(
            "the answer is not a chat completion; check that base_url ends where /chat/completions begins"
        ) from None
