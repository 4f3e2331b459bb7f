"""What a caption costs follows from the bandwidth of the memory, and from how many are written at a time."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import PROJECT
from sharegpt4v.catalogues.hardware import Device, read_hardware
from sharegpt4v.config import Config, load
from sharegpt4v.config.base_models import BaseModels, LanguageModel, Tokenizer, VisionTower
from sharegpt4v.config.captions import Captions
from sharegpt4v.config.endpoint import Endpoint
from sharegpt4v.models.family import family_named
from sharegpt4v.plan.estimate import Cost, Estimate
from sharegpt4v.plan.generation import Rate, Written, generation_lines, reply_rate
from sharegpt4v.plan.resources import Cluster, StageResources
from sharegpt4v.plan.tables import read_assumptions

PAPER_CAPTIONS, PAPER_HOURS = 1_246_901, 44 * 24
FAMILY = family_named("llava")


def config(engine: str, preset: str = "paper-7b", **values: Any) -> Config:
    loaded = load(PROJECT / f"config/{preset}.yaml")
    changed = {"engine": engine} | values
    return loaded.model_copy(
        update={name: getattr(loaded, name).model_copy(update=changed) for name in ("captions", "benchmarks")}
    )


def captions(engine: str, device: str, **values: Any) -> Cost:
    return Estimate(config(engine, **values), device).costs()["captions"]


def rate(engine: str, device: Device, batch_size: int = 32, reply: float = 188, **assumed: float) -> Rate | None:
    section = Captions(batch_size=batch_size).model_copy(update={"engine": engine})
    models = load(PROJECT / "config/paper-7b.yaml").base_models
    return reply_rate(FAMILY, models, "7b", section, reply, device, read_assumptions() | assumed)


def test_a_small_case_by_hand() -> None:
    """A Llama of 2 blocks, 8 wide: 2 x 640 + 300 x 8 weights in products, 2,400 in its embedding; 4 visual tokens."""
    tower = VisionTower(hidden_size=4, layers=1, heads=1, mlp_size=4, image_size=28, patch_size=14)
    llm = LanguageModel(hidden_size=8, layers=2, heads=1, mlp_size=16)
    models = BaseModels(vision_tower=tower, llm={"s": llm}, tokenizer=Tokenizer(vocabulary=300))
    weights = (2 * 640 + 2400 + 2400) + (4 * 16 + 2 * 16) + (4 * 8 + 8 * 8)
    token = 2 * 2 * 8 * 2  # keys and values, blocks, width, bytes
    assert (FAMILY.weights(models, "s"), FAMILY.cache_bytes(models, "s")) == (weights, token)
    assumed = read_assumptions() | {
        "question_tokens": 6, "mfu_reading": 0.5, "usable_device_memory": 0.5, "bandwidth_local": 0.25,
        "images_per_second_local": 1e9, "start_seconds_local": 7,
    }  # fmt: skip
    device = Device(flops=1e6, memory=2 * (2 * weights + 5 * 30 * token), bandwidth=1e6, cuda_names=())
    found = reply_rate(FAMILY, models, "s", Captions(batch_size=4), 20, device, assumed)
    assert found is not None
    reading = FAMILY.reading_flops(models, "s", 6) / (1e6 * 0.5)
    step = (2 * weights + 4 * 20 * token) / (1e6 * 0.25)  # 10 tokens are read, and half of 20 written on average
    assert (found.sequences, found.reading, found.writing) == pytest.approx((4, reading, 20 * step / 4))
    assert found.seconds == found.reading + found.writing and found.start == 7


def test_as_many_are_written_at_a_time_as_fit_and_the_engine_takes() -> None:
    a100 = read_hardware()["A100-80G"]
    at_once = {size: one.sequences for size in (1, 32, 1000) if (one := rate("local", a100, size))}
    sequence = (576 + 60 + 188) * 2 * 32 * 4096 * 2
    fit = int((0.92 * 80e9 - 2 * 7.06e9) / sequence)
    assert at_once == {1: 1, 32: 32, 1000: pytest.approx(fit, abs=1)}
    served = rate("vllm", a100, 1)  # the key batch_size is the local engine's
    larger = rate("vllm", Device(a100.flops, 1e12, a100.bandwidth, ()), 1)
    assert served and larger and (served.sequences, larger.sequences) == (at_once[1000], 256)
    assert rate("local", Device(a100.flops, 15e9, a100.bandwidth, ())) is None
    assert Written(10, 1).sequences(9, 1, 5) == 0


def test_a_batch_shares_the_weights() -> None:
    h100 = read_hardware()["H100"]
    alone, together, faster = rate("local", h100, 1), rate("local", h100, 32), rate("local", read_hardware()["H200"])
    assert alone and together and faster
    assert 15 < alone.writing / together.writing < 32  # keys and values are of each alone
    assert together.writing / faster.writing == pytest.approx(4800 / 3350) and together.reading == faster.reading


def test_preparing_images_is_a_bound() -> None:
    h200 = read_hardware()["H200"]
    free, bound = rate("vllm", h200, reply=1), rate("vllm", h200, reply=1, images_per_second_vllm=5)
    assert free and bound and free.seconds == free.reading + free.writing and bound.seconds == 0.2


def test_the_share_of_the_bandwidth_is_read_off_the_papers_hours() -> None:
    """The released tool asks transformers' generate about 4 images at a time, each with 3 beams."""
    a100, assumed = read_hardware()["A100-80G"], read_assumptions()
    models = load(PROJECT / "config/paper-7b.yaml").base_models
    written = Written(2 * FAMILY.weights(models, "7b"), FAMILY.cache_bytes(models, "7b"))
    tokens = FAMILY.prompt_tokens(models, assumed["question_tokens"]) + 188 / 2
    step = written.step_bytes(4 * 3, tokens) / (a100.bandwidth * assumed["bandwidth_local"])
    reading = FAMILY.reading_flops(models, "7b", assumed["question_tokens"]) / (a100.flops * assumed["mfu_reading"])
    hours = PAPER_CAPTIONS * (reading + 188 * step / 4) / 3600
    assert hours == pytest.approx(PAPER_HOURS, rel=0.01)


def test_the_papers_captions_take_at_most_60_hours_of_an_h100_with_vllm() -> None:
    served, local = captions("vllm", "H100"), captions("local", "H100")
    assert served.gpu_hours and local.gpu_hours
    assert 20 < served.gpu_hours <= 60 < local.gpu_hours < PAPER_HOURS / 4
    one = rate("vllm", read_hardware()["H100"])
    assert one and served.gpu_hours == pytest.approx((PAPER_CAPTIONS * one.seconds + 125 * one.start) / 3600, rel=1e-3)


def test_time_limits_follow_the_engine() -> None:
    minutes = {engine: StageResources(config(engine), Cluster())("captions")["runtime"] for engine in ("local", "vllm")}
    longest = {engine: captions(engine, "A100-80G").longest_gpu_hours for engine in minutes}
    assert minutes["vllm"] < minutes["local"]
    assert all(hours and 120 * hours <= minutes[engine] <= 120 * hours + 10 for engine, hours in longest.items())


def test_an_endpoint_costs_money_and_no_device() -> None:
    asked = config("endpoint", endpoint=Endpoint(model="gpt-4o"))
    cost = Estimate(asked, "H100").costs()["captions"]
    assert cost.usd == pytest.approx(PAPER_CAPTIONS * ((60 + 765) * 2.5 + 188 * 10) / 1e6, rel=1e-3)
    assert (cost.gpu_hours, cost.longest_gpu_hours, cost.batch_usd) == (0, 0, cost.usd)
    unknown = Estimate(config("endpoint", endpoint=Endpoint(model="ours")), "H100").costs()["answers"]
    assert unknown.usd is None and unknown.gpu_hours == 0
    free = Estimate(config("endpoint", endpoint=Endpoint(model="ours", base_url="mini")), "H100").costs()["captions"]
    assert free.usd == 0
    resources = StageResources(asked, Cluster(gpu_partition="gpu", internet_partition="transfer"))("captions")
    assert resources["slurm_partition"] == "transfer" and "gres" not in resources and resources["mem_mb"] < 3000


def test_the_plan_says_on_what_it_rests() -> None:
    def lines(engine: str, device: str = "H100", preset: str = "paper-7b", **assumed: float) -> list[str]:
        plan = Estimate(config(engine, preset, endpoint=Endpoint(model="ours")), device)
        known = plan.assumed | assumed
        return list(generation_lines(plan.config, plan.family, plan.costs(), device, plan.device, known))

    (written, answered) = lines("vllm")
    assert written.startswith("captions by vllm, 7b: 7.6 a second of each H100, 137 at a time; computed from ")
    for name in ("bandwidth_vllm 0.25", "mfu_reading 0.4", "caption_tokens 188", "start_seconds_vllm 180"):
        assert name in written
    assert "answer_tokens 10" in answered
    assert "images_per_second_vllm 1," in lines("vllm", images_per_second_vllm=1)[0]
    assert lines("local", usable_device_memory=0.1)[0].endswith("does not fit one H100; take a larger device")
    assert lines("local", preset="config") == [] == lines("endpoint")
