"""Training the language model by adapters (LoRA, as LLaVA's `finetune_lora.sh`) instead of all its weights.

The paper trains all of it. Adapters are two thin matrices beside each linear layer of the LLM but its head; projector
and tower are trained as the recipe says, fully. The layers themselves are frozen, so they are kept in the precision
that they are computed in, or in 4 bits (QLoRA, by bitsandbytes). In the end each layer becomes an ordinary one, with
the product of its adapter added: the checkpoint is as that of any other training.
"""

from __future__ import annotations

import importlib
from random import Random
from typing import TYPE_CHECKING, Any

import torch

from sharegpt4v.errors import UserError, one_line
from sharegpt4v.training.optimiser import bitsandbytes

if TYPE_CHECKING:
    from sharegpt4v.config.training import Recipe
    from sharegpt4v.models.family import Family

NAME = "default"
HALF = torch.bfloat16


def add_adapters(model: Any, family: Family, recipe: Recipe, seed: int) -> None:
    """Freeze the LLM of a loaded `model`, and put adapters drawn from `seed` into it; what is trained is in float32.

    Of the other parts is trained what `set_trainable` chose. A `UserError` when peft, or bitsandbytes for 4 bits, is
    not installed.
    """
    settings = recipe.lora
    assert settings is not None
    peft = _peft()
    layers = _linear_layers(model, family)
    dtype = HALF if recipe.precision == "bfloat16" else torch.float32
    for name in layers:
        if settings.quantised:
            model.set_submodule(name, _in_4_bits(model.get_submodule(name), dtype))
        else:
            model.get_submodule(name).to(dtype)
    trained = [one for name, one in model.named_parameters() if one.requires_grad and family.part_of(name) != "llm"]
    torch.manual_seed(seed)
    model.is_loaded_in_4bit = settings.quantised  # so peft knows; transformers would refuse to move such a model
    try:
        peft.inject_adapter_in_model(
            peft.LoraConfig(
                r=settings.rank, lora_alpha=settings.alpha, lora_dropout=settings.dropout, target_modules=layers
            ),
            model,
            NAME,
        )
    finally:
        del model.is_loaded_in_4bit
    for one in trained:  # frozen with all that is no adapter
        one.requires_grad_(True)
    frozen = {f"{name}.base_layer" for name in layers}
    for name, one in model.named_parameters():
        if name.rpartition(".")[0] not in frozen:
            one.data = one.data.float()


def merge_adapters(model: Any) -> None:
    """Make ordinary float32 layers of those with adapters: weight plus product, from 4 bits what they stand for."""
    from peft.tuners.lora import LoraLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, LoraLayer):
            layer: Any = module
            base: Any = layer.get_base_layer()
            merged = torch.nn.Linear(base.in_features, base.out_features, base.bias is not None, "meta")
            with torch.no_grad():
                added = layer.get_delta_weight(NAME).float()
                merged.weight = torch.nn.Parameter(_float_weight(base) + added)
                if base.bias is not None:
                    merged.bias = torch.nn.Parameter(base.bias.float())
            model.set_submodule(name, merged)


def seed_dropout(recipe: Recipe, seed: int, step: int, rank: int) -> None:
    """Let the dropout of a step depend on its number alone, so that a resumed run drops what an uninterrupted one does.

    Nothing else in training draws.
    """
    if recipe.lora and recipe.lora.dropout:
        torch.manual_seed(Random(f"{seed}/{step}/{rank}").getrandbits(63))


def _linear_layers(model: Any, family: Family) -> list[str]:
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and family.part_of(name) == "llm" and not name.endswith("lm_head")
    ]


def _in_4_bits(layer: torch.nn.Linear, dtype: torch.dtype) -> Any:
    """Return the layer with its weights as 4-bit normal floats (QLoRA's NF4), which computes in `dtype`."""
    nn = bitsandbytes("lora.quantised is true").nn
    small = nn.Linear4bit(
        layer.in_features, layer.out_features, layer.bias is not None, dtype, quant_type="nf4", device="meta"
    )
    small.weight = nn.Params4bit(layer.weight.data, requires_grad=False, quant_type="nf4")
    small.bias = layer.bias
    # On a processor with bfloat16, bitsandbytes would pack weights anew when asked to answer: they could not be merged.
    small.support_avx512bf16_for_cpu = False
    return small.to(layer.weight.device)


def _float_weight(layer: Any) -> torch.Tensor:
    state = getattr(layer.weight, "quant_state", None)
    if state is None:
        return layer.weight.float()  # type: ignore[no-any-return]
    restored = bitsandbytes("lora.quantised is true").functional.dequantize_4bit(layer.weight.data, state)
    return restored.float()  # type: ignore[no-any-return]


def _peft() -> Any:
    try:
        return importlib.import_module("peft")
    except ImportError as error:
        said = f"lora is set, and peft cannot be imported ({one_line(error)}); install it, or set lora to null"
        raise UserError(said) from None
