"""The memory that the plan counts is that of real trainings."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from sharegpt4v.config.base_models import BaseModels, LanguageModel, Tokenizer, VisionTower
from sharegpt4v.config.compute import SINGLE_PROCESS
from sharegpt4v.config.training import Recipe
from sharegpt4v.models.building import set_trainable
from sharegpt4v.plan.memory import Pass, training_memory
from sharegpt4v.training.engines import engine_for
from sharegpt4v.training.packing import Batch
from sharegpt4v.training.ranks import SINGLE_RANK

IMAGE, END = 3, 2
TEXT = 40  # tokens of a sample's answer


def models_of(width: int, layers: int, vocabulary: int) -> BaseModels:
    tower = VisionTower(hidden_size=64, layers=4, heads=2, mlp_size=256, image_size=112, patch_size=14)
    llm = LanguageModel(hidden_size=width, layers=layers, heads=4, mlp_size=round(2.7 * width))
    return BaseModels(vision_tower=tower, llm={"small": llm}, tokenizer=Tokenizer(vocabulary=vocabulary))


def llava_of(models: BaseModels) -> Any:
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    def sizes(part: Any) -> dict[str, Any]:
        return {
            "hidden_size": part.hidden_size, "num_hidden_layers": part.layers, "num_attention_heads": part.heads,
            "intermediate_size": part.mlp_size,
        }  # fmt: skip

    tower, llm = models.vision_tower, models.llm["small"]
    vision = CLIPVisionConfig(**sizes(tower), image_size=tower.image_size, patch_size=tower.patch_size)
    text = LlamaConfig(**sizes(llm), vocab_size=models.tokenizer.vocabulary)
    torch.manual_seed(0)
    return LlavaForConditionalGeneration(
        LlavaConfig(vision_config=vision, text_config=text, image_token_index=IMAGE, vision_feature_layer=-2)
    )


def part_of(samples: int, image_size: int) -> tuple[Batch, dict[str, torch.Tensor]]:
    """One packed row of samples with an image and an answer each, and the images."""
    sample = [1, *[IMAGE] * 64, *[5] * (TEXT - 1), END]
    ids = torch.tensor([sample * samples])
    labels = torch.where((ids == 5) | (ids == END), ids, -100)
    positions = torch.arange(len(sample)).repeat(samples)[None]
    batch = Batch(ids, labels, positions, torch.full(ids.shape, 1e-3), [], [], [len(sample)] * samples)
    return batch, {"pixel_values": torch.randn(samples, 3, image_size, image_size)}


def peak_of(step: Any) -> int:
    """Return the most bytes that torch had for a step beside what it had before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        step()
    result: Any = profiled.profiler
    events = [event for event in result.kineto_results.events() if event.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


@pytest.mark.parametrize("recomputes", [True, False])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("width", "layers", "vocabulary", "samples", "passes"), [(128, 4, 500, 8, 1), (192, 6, 1000, 4, 2)]
)
def test_the_peak_of_a_step_is_foreseen_within_a_tenth(
    width: int, layers: int, vocabulary: int, samples: int, passes: int, precision: Any, recomputes: bool
) -> None:
    models = models_of(width, layers, vocabulary)
    recipe = Recipe(precision=precision, tune_vit_from_layer=2)
    compute = SINGLE_PROCESS.model_copy(update={"recompute_activations": recomputes})
    model = llava_of(models)
    set_trainable(model, True, True, recipe.tune_vit_from_layer)
    if recomputes:
        model.activation_checkpointing_enable()
    engine = engine_for(model.train(), recipe, compute, SINGLE_RANK)
    part = part_of(samples, models.vision_tower.image_size)
    parts = [part] * passes
    engine.step(parts, 1.0)  # from then on there are moments
    held = [*model.parameters(), *(m for state in engine.optimiser.state.values() for m in state.values())]
    measured = sum(one.numel() * one.element_size() for one in held) + peak_of(lambda: engine.step(parts, 1.0))

    one = Pass(part[0].ids.numel(), samples, samples * TEXT, masked=True, alone=passes == 1)
    counted = training_memory(models, "small", recipe, compute, one)
    assert counted.device == pytest.approx(measured, rel=0.1), counted
