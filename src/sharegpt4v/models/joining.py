"""Joining a vision tower and a language model by a projector (paper section 4.1), on disk.

Weights go from files to files, one file's worth in memory at most. So a training that begins with the two parts has one
checkpoint that each of its processes reads, like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sharegpt4v.config.base_models import Projector
from sharegpt4v.models.building import processor_for
from sharegpt4v.models.linear_projector import ACTIVATION, as_two_layers
from sharegpt4v.models.llava_original import EMBEDDINGS
from sharegpt4v.models.llava_tower import encoder_weights, is_encoder_weight
from sharegpt4v.models.loading import load_part
from sharegpt4v.models.saving import expected_weights, save_settings
from sharegpt4v.models.templates import IMAGE
from sharegpt4v.models.weight_files import expect_shapes, shapes_of, tensors_of, write_weights

TOWER, LLM, PROJECTOR = "vision_tower.", "language_model.", "multi_modal_projector."


def draw_projector(tower: Path, llm: Path, form: Projector, seed: int) -> dict[str, Tensor]:
    """Return the weights of a new projector by their names: of `linear`, or of `linear_1` and `linear_2`.

    They are drawn from `seed` as torch draws an `nn.Linear`, and with it LLaVA's code: between -1/sqrt(n) and
    1/sqrt(n) for n inputs.
    """
    config = _config_of(tower, llm, form)
    widths = config.vision_config.hidden_size, config.text_config.hidden_size
    names = ["linear"] if form == "linear" else ["linear_1", "linear_2"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = torch.nn.ModuleDict({name: torch.nn.Linear(widths[i], widths[1]) for i, name in enumerate(names)})
    return {name: weight.detach() for name, weight in layers.named_parameters()}


def join_llava(
    tower: Path, llm: Path, projector: Mapping[str, Tensor], out: Path, precision: torch.dtype | None = None
) -> None:
    """Write the LLaVA of a CLIP folder, a Llama folder and a projector to the empty folder `out`.

    The projector has the names that `draw_projector` gives. The tokenizer in `llm` must hold `<image>`. Features are
    those of the last layer but one without the class token; the processor is for images cut square. `precision` None:
    every weight keeps its bytes, and config.json names the precision of the language model. A `UserError` names a
    weight that is missing, unknown or of another shape.
    """
    from transformers import AutoTokenizer

    form: Projector = "linear" if "linear.weight" in projector else "mlp2x_gelu"
    config = _config_of(tower, llm, form)
    expected = expected_weights(config)
    if config.tie_word_embeddings:
        expected.pop(EMBEDDINGS[1])
    of_encoder = {name: shape for name, shape in shapes_of(tower).items() if is_encoder_weight(name)}
    for folder, part, found in ((tower, TOWER, of_encoder), (llm, LLM, shapes_of(llm))):
        named = {f"{part}{name}": shape for name, shape in found.items()}
        expect_shapes(folder, named, {name: shape for name, shape in expected.items() if name.startswith(part)})

    two = as_two_layers(projector["linear.weight"], projector["linear.bias"]) if form == "linear" else projector
    parts = (TOWER, encoder_weights(tower)), (PROJECTOR, two.items()), (LLM, tensors_of(llm))

    def weights() -> Iterator[tuple[str, Tensor]]:
        for part, named in parts:
            for name, tensor in named:
                config.dtype = precision or tensor.dtype  # in the end that of the language model
                yield f"{part}{name}", tensor.to(config.dtype)

    write_weights(out, weights())
    save_settings(config, processor_for(config, load_part(AutoTokenizer, llm), "square"), out)


def _config_of(tower: Path, llm: Path, form: Projector) -> Any:
    from transformers import AutoConfig, AutoTokenizer, LlavaConfig

    vision, text = load_part(AutoConfig, tower).vision_config, load_part(AutoConfig, llm)
    image_token: Any = load_part(AutoTokenizer, llm).convert_tokens_to_ids(IMAGE)
    return LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=image_token,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        image_seq_length=(vision.image_size // vision.patch_size) ** 2,
        tie_word_embeddings=text.tie_word_embeddings,
        projector_hidden_act=ACTIVATION if form == "linear" else "gelu",
    )
