"""The quality gate at work on captions, of a shard or of a user's own images."""

from __future__ import annotations

from collections.abc import Mapping

from sharegpt4v.captions.captioning import Captioned
from sharegpt4v.config.quality import Quality
from sharegpt4v.corpora.quality import Caption, examine
from sharegpt4v.corpora.rows import source_of
from sharegpt4v.corpora.verdicts import Verdicts, after_review


def reasons_of(captioned: Mapping[str, Captioned], instruction: str, limits: Quality) -> dict[str, str | None]:
    """Return by image why its caption must not be used, or None; its error where it has no caption.

    What people said about captions, in the file `limits.reviewed`, comes last.
    """
    readable = [image for image, one in captioned.items() if one.error is None]
    captions = [
        Caption(image, source_of(image), captioned[image].text, instruction, captioned[image].finish_reason)
        for image in readable
    ]
    verdicts = Verdicts(limits.reviewed)
    reasons = zip(captions, examine(captions, limits), strict=True)
    found: dict[str, str | None] = {image: one.error for image, one in captioned.items()}
    return found | {one.image: after_review(reason, verdicts.of(one.image, one.text)) for one, reason in reasons}
