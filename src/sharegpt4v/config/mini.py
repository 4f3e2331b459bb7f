"""Section ``mini``: how much of the synthetic world is drawn. Absent (or null) in presets that use real images."""

from __future__ import annotations

from pydantic import Field

from sharegpt4v.config.section import Count, CountOrNone, Section, SourceName


class InstructionRows(Section):
    """Rows of the drawn instruction mixes (paper §4.3 and §5.4: 158K rows on COCO, 23K of them detail captions)."""

    conversations: CountOrNone = Field(description="Rows of questions and short answers about COCO images.")
    detail: CountOrNone = Field(description="Rows of detail captions, written without seeing the COCO image.")
    text_only: CountOrNone = Field(description="Rows without an image, in the larger mix alone.")


class Mini(Section):
    """The synthetic world, which the project draws itself, so that the whole paper runs on a laptop."""

    images: dict[SourceName, CountOrNone] = Field(description="Images to draw for each source.")
    instruction_rows: InstructionRows = Field(
        description="Rows of the instruction mixes; each image of gqa, ocr_vqa, textvqa and vg has one beside."
    )
    questions_per_benchmark: Count = Field(default=200, description="Questions to write for each benchmark.")
    image_pixels: int = Field(default=48, ge=16, le=1024, description="Width and height of a drawn image, in pixels.")
