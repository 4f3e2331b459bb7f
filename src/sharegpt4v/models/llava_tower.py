"""The vision tower of a LLaVA in its authors' layout: in the file, or the checkpoint that its config names.

ShareGPT4V's is tuned from half its depth on, except for the last layer, which gets no gradient (paper section 4.2).
With CLIP's in its place the model still answers, only worse; so a ShareGPT4V with the plain tower is refused.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sharegpt4v.errors import UserError
from sharegpt4v.models.family import Find
from sharegpt4v.models.llava_original import PLAIN_TOWERS, TOWER
from sharegpt4v.models.loading import load_part, refused_in_one_line
from sharegpt4v.models.weight_files import shapes_of, tensors_of

PREFIX = "vision_model."  # of the encoder's weights in a CLIP's own folder
LAYER = re.compile(r"vision_model\.encoder\.layers\.(\d+)\.")
ARCHITECTURE = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "image_size", "patch_size",
    "hidden_act", "layer_norm_eps",
)  # fmt: skip
HEAD = 64  # width of an attention head of every CLIP


class OriginalTower:
    """The tower of the checkpoint in `folder`, whose config names `named`; one in the file is preferred."""

    def __init__(self, folder: Path, named: str, find: Find) -> None:
        """Look it up and read its config; a `UserError` when it cannot be had."""
        self.folder, self.named = folder, named
        own = {name.removeprefix(TOWER): shape for name, shape in shapes_of(folder).items() if name.startswith(TOWER)}
        self.is_inside = bool(own)
        if self.is_inside:
            with refused_in_one_line(folder):
                self.config = _config_by(own)
            self.shapes: dict[str, tuple[int, ...]] = {}
            return
        self.elsewhere = find(named)
        self.config = _config_in(self.elsewhere)
        self.shapes = {
            _hub(name): shape for name, shape in shapes_of(self.elsewhere).items() if is_encoder_weight(name)
        }

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the weights by their names in llava-hf's layout; none when they are among the checkpoint's own."""
        if not self.is_inside:
            yield from ((_hub(name), tensor) for name, tensor in encoder_weights(self.elsewhere))

    def refuse_plain(self, find: Find) -> None:
        """Raise a `UserError` when the tower is CLIP's own, as far as `find` has that to compare with."""
        if not self.is_inside and self.named in PLAIN_TOWERS.values():
            raise UserError(f"{self.folder}: mm_vision_tower is {self.named}; ShareGPT4V's tower is a tuned one")
        plain = PLAIN_TOWERS.get((self.config.image_size, self.config.patch_size))
        try:
            plain_folder = find(plain) if plain else None
        except UserError as error:
            print(f"the vision tower is not compared with the plain one: {error}", file=sys.stderr)
            return
        if plain_folder is None:
            return
        layers = self.config.num_hidden_layers
        same = sorted(set(range(layers // 2, layers - 1)) - self._layers_unlike(plain_folder))
        if same:
            raise UserError(
                f"{self.folder}: layers {', '.join(map(str, same))} of the vision tower are those of {plain}; expected "
                f"ShareGPT4V's, tuned in layers {layers // 2} to {layers - 2}: {self.named} is not the right one"
            )

    def _layers_unlike(self, plain: Path) -> set[int]:
        """Return the layers of which a weight differs from that of the plain tower, in the precision of this one."""
        others = dict(encoder_weights(plain))
        unlike = set()
        for name, tensor in encoder_weights(self.folder, TOWER) if self.is_inside else encoder_weights(self.elsewhere):
            if layer := LAYER.match(name):
                other = others.get(name)
                if other is None or other.shape != tensor.shape or not torch.equal(other.to(tensor.dtype), tensor):
                    unlike.add(int(layer[1]))
        return unlike


def encoder_weights(folder: Path, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the weights of the image encoder in a folder, by the names in a CLIP's own."""
    for name, tensor in tensors_of(folder):
        if name.startswith(prefix) and is_encoder_weight(name.removeprefix(prefix)):
            yield name.removeprefix(prefix), tensor


def is_encoder_weight(name: str) -> bool:
    """Whether a weight in a CLIP's own folder is one of the image encoder."""
    return name.startswith(PREFIX) and not name.endswith(".position_ids")


def _hub(name: str) -> str:
    return f"vision_tower.{name}"


def _config_in(folder: Path) -> Any:
    from transformers import AutoConfig, CLIPVisionConfig

    config = load_part(AutoConfig, folder)
    config = getattr(config, "vision_config", config)  # of the encoder alone, or with CLIP's other half
    if config.model_type != "clip_vision_model":
        raise UserError(f"{folder}: a {config.model_type}; expected a CLIP, which the towers of LLaVA-1.5 are")
    return CLIPVisionConfig(**{key: getattr(config, key) for key in ARCHITECTURE})


def _config_by(shapes: dict[str, tuple[int, ...]]) -> Any:
    """Return the config of a CLIP of which only the weights are known; the rest is the same in every one."""
    from transformers import CLIPVisionConfig

    width, _, patch, _ = shapes[f"{PREFIX}embeddings.patch_embedding.weight"]
    positions = shapes[f"{PREFIX}embeddings.position_embedding.weight"][0]
    return CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=shapes[f"{PREFIX}encoder.layers.0.mlp.fc1.weight"][0],
        num_hidden_layers=1 + max(int(layer[1]) for name in shapes if (layer := LAYER.match(name))),
        num_attention_heads=width // HEAD,
        patch_size=patch,
        image_size=patch * round((positions - 1) ** 0.5),
    )
