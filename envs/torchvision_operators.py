"""Lets torchvision's CUDA build be imported beside the CPU build of torch, in vLLM's environment alone.

vLLM and transformers' image processors import torchvision. Its CUDA build brings no operators to a machine without
CUDA, and then the import fails at the two that it describes. Declaring them is enough: a LLaVA never calls them. A
`.pth` file imports this module in every process of the environment; it costs nothing until torchvision is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType


class DeclareOperators(MetaPathFinder):
    """Finds no module, but declares what is missing just before torchvision describes it."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        """Leave `name` to the other finders."""
        if name == "torchvision._meta_registrations":
            import torch

            self.library = torch.library.Library("torchvision", "FRAGMENT")  # what it declares goes when it goes
            for operator in ("nms", "qnms"):
                if not hasattr(torch.ops.torchvision, operator):
                    self.library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


sys.meta_path.insert(0, DeclareOperators())
