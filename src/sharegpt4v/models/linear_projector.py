"""The projector of LLaVA-7B (paper figure 2), one linear layer, in transformers' LLaVA, which always has two.

The layer is `linear_1`, the activation is `linear`, and `linear_2` is the identity, which never learns: the same output
bit by bit as that of one layer, in a checkpoint that transformers loads, trains and saves. LLaVA's own files hold the
layer alone. vLLM knows no activation `linear`; gelu(x) - gelu(-x) = x makes of the layer one that it loads.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sharegpt4v.errors import UserError
from sharegpt4v.models.loading import load_model, load_part
from sharegpt4v.models.saving import save_llava

ACTIVATION = "linear"
"""The `projector_hidden_act` of a config.json whose projector is one linear layer."""


def is_linear(config: Any) -> bool:
    """Whether a LLaVA has a linear projector, by its config."""
    return bool(config.projector_hidden_act == ACTIVATION)


def as_two_layers(weight: torch.Tensor, bias: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the four weights of transformers' projector for those of one layer; the config needs `ACTIVATION` too.

    `weight` has shape (text width, vision width) and `bias` (text width,); LLaVA's files name them
    `model.mm_projector.weight` and `.bias`. Both keep their bytes.
    """
    identity = torch.eye(len(weight), dtype=weight.dtype, device=weight.device)
    return {
        "linear_1.weight": weight,
        "linear_1.bias": bias,
        "linear_2.weight": identity,
        "linear_2.bias": torch.zeros_like(bias),
    }


def as_one_layer(projector: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weight and bias of the one layer in transformers' four: `as_two_layers` backwards.

    `UserError` when the second layer is not the identity.
    """
    weight, bias = projector["linear_1.weight"], projector["linear_1.bias"]
    expected = as_two_layers(weight, bias)
    for name in ("linear_2.weight", "linear_2.bias"):
        if not torch.equal(projector[name], expected[name]):
            raise UserError(
                f"multi_modal_projector.{name}: not that of an identity; expected a projector of one linear layer"
            )
    return weight, bias


def as_gelu(weight: torch.Tensor, bias: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the four weights of a projector with GELU that computes the same up to rounding.

    The first layer gives x and -x, the second takes weight * gelu(x) - weight * gelu(-x) + bias, and
    gelu(x) - gelu(-x) = x. `UserError` when the text is not twice as wide as the image, so that both do not fit.
    """
    text, vision = weight.shape
    if 2 * vision > text:
        raise UserError(
            f"a linear projector from width {vision} to {text} has no form with GELU: expected a text width of at "
            f"least {2 * vision}; load it with transformers, or make the image embeddings there"
        )
    identity = torch.eye(vision, dtype=weight.dtype, device=weight.device)
    first, second = weight.new_zeros(text, vision), weight.new_zeros(text, text)
    first[:vision], first[vision : 2 * vision] = identity, -identity
    second[:, :vision], second[:, vision : 2 * vision] = weight, -weight
    return {
        "linear_1.weight": first,
        "linear_1.bias": torch.zeros_like(bias),
        "linear_2.weight": second,
        "linear_2.bias": bias.clone(),  # `bias` may be a weight of the model that these are copied to
    }


def export_for_vllm(folder: Path, out: Path) -> None:
    """Write the checkpoint `folder`, whose projector is linear, to the empty folder `out` as vLLM loads it.

    All other weights keep their bytes. The projector does not learn on as one layer: train from `folder`. `UserError`
    when the projector is not linear, for then vLLM loads `folder`, and for widths that `as_gelu` refuses.
    """
    from transformers import AutoProcessor, LlavaForConditionalGeneration
    from transformers.activations import ACT2FN

    model = load_model(LlavaForConditionalGeneration, folder)
    if not is_linear(model.config):
        raise UserError(f"{folder}: its projector is not linear; vLLM loads the folder as it is")
    projector = model.model.multi_modal_projector
    try:
        projector.load_state_dict(as_gelu(*as_one_layer(projector.state_dict())))
    except UserError as error:
        raise UserError(f"{folder}: {error}") from None
    model.config.projector_hidden_act = "gelu"
    projector.act = ACT2FN["gelu"]
    save_llava(model, load_part(AutoProcessor, folder), out)
