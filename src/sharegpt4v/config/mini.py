"""Section ``mini``: how much of the drawn world is made. Absent (or null) in presets that use real images."""

from __future__ import annotations

from pydantic import Field

from sharegpt4v.config.section import Count, CountOrNone, Section


class Mini(Section):
    """The world that the project draws itself, so that the whole paper runs on a laptop."""

    images: dict[str, CountOrNone] = Field(description="Images to draw for each source.")
    questions_per_benchmark: Count = Field(default=200, description="Questions to write for each benchmark.")
    image_pixels: int = Field(default=48, ge=16, le=1024, description="Width and height of a drawn image, in pixels.")
