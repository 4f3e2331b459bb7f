"""The quality gate at work on the teacher's replies: each is examined once, when it comes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sharegpt4v.code_hash import code_of
from sharegpt4v.config.quality import Quality
from sharegpt4v.corpora.quality import reject_reason, with_duplicates
from sharegpt4v.corpora.verdicts import Verdicts, after_review
from sharegpt4v.endpoint.request import Request
from sharegpt4v.ledger import key_of

UNANSWERED = "unanswered"
COME_LAST = {"largest_rejected_fraction", "reviewed"}  # limits that do not count when a reply is examined by itself


class Gate:
    """What the gate finds is kept with the reply, and holds for as long as its limits and its code stay the same."""

    def __init__(self, prompts: Mapping[str, str], limits: Quality) -> None:
        """`prompts` are the rendered prompts by their hash."""
        self.prompts, self.limits = dict(sorted(prompts.items())), limits
        self.version = key_of(limits.model_dump(exclude=COME_LAST), code_of("corpora.quality"))

    def remarks(self, reply: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is to be kept with a reply that has just come; nothing if it is to a prompt of another time."""
        if reply["prompt_hash"] not in self.prompts:
            return {}
        return {"gate": self.version, "reason": self._reason(reply["image"], reply)}

    def reasons(self, requests: Sequence[Request], replies: Iterable[Mapping[str, Any] | None]) -> list[str | None]:
        """Return why each image has no caption: a reason of the gate or a person, or "unanswered"; else None."""
        verdicts, said = Verdicts(self.limits.reviewed), list[str | None]()

        def examined() -> Iterator[tuple[str | None, str | None]]:
            for request, reply in zip(requests, replies, strict=True):
                text, reason = self._examined(request.image, reply)
                said.append(verdicts.of(request.image, text))
                yield text, reason

        return [after_review(*one) for one in zip(with_duplicates(examined(), self.limits), said, strict=True)]

    def _examined(self, image: str, reply: Mapping[str, Any] | None) -> tuple[str | None, str | None]:
        """Return the text of a reply, and why it is rejected by itself."""
        if reply is None:
            return None, UNANSWERED
        known = reply.get("gate") == self.version and reply["image"] == image
        return reply["text"], reply["reason"] if known else self._reason(image, reply)

    def _reason(self, image: str, reply: Mapping[str, Any]) -> str | None:
        prompt = self.prompts[reply["prompt_hash"]]
        return reject_reason(reply["text"], prompt, image, self.limits, reply["finish_reason"])
