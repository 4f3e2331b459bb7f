"""ShareGPT4V as one reproducible pipeline, from raw images to the benchmark table. `load` gives a model in Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sharegpt4v.version import __version__ as __version__

if TYPE_CHECKING:
    from sharegpt4v.inference import Model


def load(folder: Path | str, batch_size: int = 16) -> Model:
    """Load a checkpoint: bfloat16 on a GPU, float32 on the CPU. A `UserError` when it cannot be used.

    `batch_size`: images that `Model.caption` shows the model at a time.
    """
    from sharegpt4v.inference import Model  # here, as it brings torch, which takes seconds

    return Model(folder, batch_size)
