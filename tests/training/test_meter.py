"""What a step says of itself: shares of what is known, nothing that is not."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from conftest import PROJECT
from sharegpt4v.catalogues.hardware import flops_of_gpu
from sharegpt4v.config import load
from sharegpt4v.config.training import Recipe
from sharegpt4v.models.family import family_named
from sharegpt4v.models.llava_flops import Operations
from sharegpt4v.training.meter import LEARNED, Counted, Meter

COUNTED = Counted(samples=3, tokens=60, squared_tokens=1400, positions=80, images=2, seconds_waited=0.0)


def llava_of_the_paper(projector: str) -> Any:
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

    vision = CLIPVisionConfig(
        hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096, image_size=336,
        patch_size=14,
    )  # fmt: skip
    text = LlamaConfig(vocab_size=32_000)  # its defaults are those of 7B
    return LlavaConfig(vision_config=vision, text_config=text, projector_hidden_act=projector)


@pytest.mark.parametrize(("stage", "text"), [("alignment", 40), ("pretraining", 188), ("finetuning", 224)])
@pytest.mark.parametrize("projector", ["mlp2x_gelu", "linear"])
def test_a_loaded_model_costs_what_the_plan_says(stage: str, text: int, projector: Any) -> None:
    config = load(PROJECT / "config/paper-7b.yaml", {"base_models": {"projector_type": projector}})
    family, recipe = family_named("llava"), getattr(config, stage)
    loaded = llava_of_the_paper("linear" if projector == "linear" else "gelu")
    found = family.training_operations(loaded, recipe)
    tokens = 576 + text
    assert found and found.of(tokens, tokens**2, 1) == pytest.approx(
        family.training_flops(config.base_models, "7b", recipe, text), rel=1e-12
    )


def test_a_row_of_pretraining_costs_what_the_papers_numbers_give() -> None:
    found = family_named("llava").training_operations(
        llava_of_the_paper("gelu"), load(PROJECT / "config/paper-7b.yaml").pretraining
    )
    weights = 32 * (4 * 4096**2 + 3 * 4096 * 11008) + 32_000 * 4096
    assert found and found.token == 6 * weights
    # 1.2M captions of 764 tokens: 3.93e19, 18 % of 16 A100s in 12 hours
    assert found.of(764, 764**2, 1) * 1_246_901 == pytest.approx(3.93e19, rel=0.01)


def test_no_formula_is_no_number() -> None:
    assert family_named("auto").training_operations(object(), Recipe()) is None


def test_the_peak_is_that_of_the_very_gpu() -> None:
    assert flops_of_gpu("NVIDIA A100-SXM4-80GB") == 312e12 and flops_of_gpu("NVIDIA H200") == 989e12
    assert flops_of_gpu("NVIDIA H100 PCIe") is None and flops_of_gpu("") is None


def test_a_row_holds_shares_of_its_step_and_leaves_out_what_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    meter = Meter("a", 1000, 0, torch.device("cpu"), 2, Operations(100.0, 1.0, 10.0), every=0)
    assert meter.peak_flops is None
    row = meter.step(1, 2.0, 0.5, COUNTED)
    assert "mfu" not in row and "left_out" not in row and "MFU" not in capsys.readouterr().err
    assert row["real_tokens"] == 0.75 and row["waiting"] == 0 and row["peak_memory_gb"] > 0
    assert row["tokens_per_second"] == pytest.approx(20 * row["samples_per_second"])
    meter.peak_flops = 1e9  # as for a GPU of the table
    row = meter.step(2, 1.0, 0.25, COUNTED)
    seconds = COUNTED.samples / row["samples_per_second"]
    assert row["mfu"] == pytest.approx((6000 + 1400 + 20) / (seconds * 2 * 1e9))
    # What differs from time to time stays out of what a checkpoint holds.
    assert {name for name in row if name in LEARNED} == {"step", "loss", "learning_rate_factor"}
    assert ", MFU " in (line := capsys.readouterr().err) and "loss 1.900" in line and "(75% real)" in line


def test_a_line_of_a_long_training_fits_a_terminal() -> None:
    meter = Meter("checkpoints/sharegpt4v-7b/finetuned", 5196, 0, torch.device("cpu"))
    row = {
        "step": 4123, "loss": 1.0, "learning_rate_factor": 0.5, "samples_per_second": 128.4, "real_tokens": 0.98,
        "tokens_per_second": 98_123.0, "mfu": 0.51, "peak_memory_gb": 71.2, "waiting": 0.01, "seconds_left": 86_400.0,
    }  # fmt: skip
    assert len(meter._line(row)) <= 160, meter._line(row)
