"""What training and generation ask of the model of any family: which parts learn, positions of packed rows, answers.

Sources: the forward functions of the families in transformers. Packing is exact only where samples of a row cannot see
each other by restarted positions alone, which the tests try for each of `PACKED`; images of Gemma 3, for one, see
each other in both directions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from sharegpt4v.models.decoding import end_ids, never_generated
from sharegpt4v.models.family import Part

PACKED = ("internvl", "llava_onevision", "qwen2_5_vl", "qwen3_vl", "smolvlm")
PROJECTOR = ("merger", "projector", "connector", "image_newline")
LLM = ("language_model", "text_model", "lm_head")


def greedy(model: Any, tokenizer: Any) -> Any:
    """Return generation settings that are greedy, with the end marks of the checkpoint and without ids of no text."""
    from transformers import GenerationConfig

    ends = {*end_ids(model.generation_config), tokenizer.eos_token_id} - {None}
    pad = tokenizer.pad_token_id
    never = never_generated(tokenizer, model.config.get_text_config().vocab_size)
    return GenerationConfig(
        do_sample=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=sorted(ends),
        pad_token_id=min(ends) if pad is None else pad,
        suppress_tokens=sorted({*never, tokenizer.convert_tokens_to_ids(tokenizer.image_token)}),
    )


def part_of(parameter: str) -> Part:
    """Say which part a parameter belongs to: names differ from family to family, and mean the same."""
    if any(name in parameter for name in PROJECTOR):
        return "projector"
    return "llm" if any(name in parameter for name in LLM) else "tower"


def set_trainable(model: Any, llm: bool, projector: bool, vit_from_layer: int | None) -> None:
    """Freeze all parameters but the named parts; of the tower, train the layers from `vit_from_layer` up.

    Where features are those of an earlier layer, those after it get no gradient and stay frozen.
    """
    chosen = {"llm": llm, "projector": projector, "tower": False}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(chosen[part_of(name)])
    if vit_from_layer is not None:
        stacks = [
            module
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.ModuleList) and part_of(name) == "tower"
        ]
        layers = max(stacks, key=len)
        feature = getattr(model.config, "vision_feature_layer", -1)
        end = len(layers) + 1 + feature if isinstance(feature, int) and feature < 0 else len(layers)
        for layer in layers[vit_from_layer:end]:
            layer.requires_grad_(True)


def hidden(model: Any, ids: torch.Tensor, positions: torch.Tensor, images: Mapping[str, torch.Tensor] | None) -> Any:
    """Return the last hidden states of packed rows; rows without images go by way of a blank one that counts nothing.

    Only what is a float gets the precision of the model: sizes and masks stay as they are.
    """
    inputs: dict[str, Any] = {"use_cache": False}
    if images is None:
        blank = {name: tensor.to(ids.device) for name, tensor in _cast(model.blank_image, model.dtype).items()}
        embedded = model.get_input_embeddings()(ids)
        features = model.model.get_image_features(**blank, return_dict=True)
        total = torch.stack([one.sum().to(embedded.dtype) for one in _floats(features)]).sum()
        inputs["inputs_embeds"] = embedded + 0 * total
    else:
        inputs |= {"input_ids": ids} | _cast(images, model.dtype)
    inputs["position_ids"] = _positions(model.model, ids, positions, images)
    return model.model(**inputs).last_hidden_state


def generate(model: Any, processor: Any, inputs: Mapping[str, torch.Tensor], limits: Sequence[int]) -> list[list[int]]:
    """Continue prompts by transformers' own greedy `generate`: the new ids of each row, up to its end mark or limit."""
    ids, ends = inputs["input_ids"], model.generation_config.eos_token_id
    inputs = dict(inputs)
    if processor.return_mm_token_type_ids:
        kinds = processor.create_mm_token_type_ids(ids.tolist())
        inputs["mm_token_type_ids"] = torch.tensor(kinds, device=ids.device)
    new = model.generate(**inputs, max_new_tokens=max(limits), do_sample=False)[:, ids.shape[1] :].tolist()
    return [_until_end(row[:limit], ends) for row, limit in zip(new, limits, strict=True)]


def _until_end(ids: list[int], ends: Sequence[int]) -> list[int]:
    return next((ids[: place + 1] for place, one in enumerate(ids) if one in ends), ids)


def _positions(
    model: Any, ids: torch.Tensor, positions: torch.Tensor, images: Mapping[str, torch.Tensor] | None
) -> torch.Tensor:
    """Return positions as the family counts them: Qwen's in time, height and width after those in the text.

    Shape (rows, length), or (4, rows, length) for Qwen.
    """
    if not hasattr(model, "get_rope_index"):
        return positions
    found = positions.repeat(4, 1, 1)
    grids = iter(images["image_grid_thw"] if images else ())
    for row in range(len(ids)):
        starts = (positions[row] == 0).nonzero().flatten().tolist()
        for start, end in zip(starts, [*starts[1:], ids.shape[1]], strict=True):
            sample = ids[row, start:end][None]
            kinds = (sample == model.config.image_token_id).int()
            if kinds.any():
                found[1:, row, start:end] = model.get_rope_index(sample, kinds, next(grids)[None])[0][:, 0]
    return found


def _cast(tensors: Mapping[str, torch.Tensor], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    return {name: one.to(dtype) if one.is_floating_point() else one for name, one in tensors.items()}


def _floats(tree: Any) -> Iterator[torch.Tensor]:
    """Yield every float tensor of an output, however deep."""
    if isinstance(tree, torch.Tensor):
        yield from [tree] if tree.is_floating_point() else []
    elif isinstance(tree, Mapping):
        yield from _floats(list(tree.values()))
    elif isinstance(tree, list | tuple):
        for one in tree:
            yield from _floats(one)
