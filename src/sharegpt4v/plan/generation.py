"""How long an engine takes for a caption or an answer (paper section 3.3: 1.2 million captions in 44 A100-days).

Reading an image and a prompt is bound by operations. Writing is bound by the memory: for each new token of all the
sequences that are written at a time, all weights and all keys and values so far are read once. So the weights are
shared by as many sequences as fit beside them, at most as many as the engine takes. Nothing here imports torch or the
config's classes, for benchmarks/gpu_captions.py measures by the same formula.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sharegpt4v.catalogues.hardware import Device

if TYPE_CHECKING:
    from sharegpt4v.config import Config
    from sharegpt4v.config.generation import Generation
    from sharegpt4v.models.family import Family


def _priced_as(section: Generation) -> str:
    """Return the engine whose assumptions hold for that of a section: those of users count as `local`."""
    return "vllm" if section.engine == "vllm" else "local"


@dataclass(frozen=True)
class Written:
    """What is read of a device's memory while texts are written: weights, and keys and values of each token; bytes."""

    weights: float
    token: float

    def sequences(self, room: float, tokens: float, most: int) -> int:
        """Return how many sequences of `tokens` fit into `room` bytes beside the weights, `most` or fewer."""
        return max(0, min(most, int((room - self.weights) // (tokens * self.token))))

    def step_bytes(self, sequences: float, tokens: float) -> float:
        """Return the bytes that one new token of each of `sequences` takes, which have `tokens` so far on average."""
        return self.weights + sequences * tokens * self.token


@dataclass(frozen=True)
class Rate:
    """Seconds of one reply, at full load: to read its prompt, to write it, and at least, as the host prepares images.

    A job takes `start` seconds before its first reply.
    """

    sequences: int
    reading: float
    writing: float
    preparing: float
    start: float

    @property
    def seconds(self) -> float:
        """Seconds of one reply."""
        return max(self.reading + self.writing, self.preparing)


def reply_rate(
    family: Family,
    models: Any,
    size: str,
    section: Generation,
    reply: float,
    device: Device,
    assumed: Mapping[str, float],
) -> Rate | None:
    """Return how a section's engine answers with the model of a size: an image, then `reply` tokens on average.

    `assumed` are the rows of config/assumptions.tsv. None: the model does not fit the device, or those that share it.
    """
    engine, text, devices = _priced_as(section), assumed["question_tokens"], section.devices
    prompt = family.prompt_tokens(models, text)
    written = Written(assumed["bytes_per_weight"] * family.weights(models, size), family.cache_bytes(models, size))
    most = section.vllm.sequences if engine == "vllm" else section.batch_size
    sequences = written.sequences(devices * device.memory * assumed["usable_device_memory"], prompt + reply, most)
    if not sequences:
        return None
    bandwidth = devices * device.bandwidth * assumed[f"bandwidth_{engine}"]
    step = written.step_bytes(sequences, prompt + reply / 2) / bandwidth
    reading = family.reading_flops(models, size, text) / (devices * device.flops * assumed["mfu_reading"])
    preparing = 1 / assumed[f"images_per_second_{engine}"]
    return Rate(sequences, reading, reply * step / sequences, preparing, assumed[f"start_seconds_{engine}"])


def generation_lines(
    config: Config, family: Family, stages: Mapping[str, Any], name: str, device: Device, assumed: Mapping[str, float]
) -> Iterator[str]:
    """Yield for each stage that writes texts, among `stages`, how fast it does and on which assumptions that rests.

    `name` is that of the device. The miniature is left out, and so is what an endpoint writes.
    """
    captioner = [config.captioner.size]
    answering = list(dict.fromkeys(model.size for model in config.models if model.size))
    asked = (("captions", config.captions, captioner), ("answers", config.benchmarks, answering))
    for stage, section, sizes in asked:
        if config.mini or stage not in stages or section.asked_endpoint:
            continue
        engine, text = _priced_as(section), f"{stage.removesuffix('s')}_tokens"
        for size in sizes:
            rate = reply_rate(family, config.base_models, size, section, assumed[text], device, assumed)
            if rate is None:
                yield f"{stage} by {engine}, {size}: the model does not fit one {name}; take a larger device"
                continue
            limit = "images_per_second" if rate.seconds == rate.preparing else "bandwidth"
            names = (f"{limit}_{engine}", "mfu_reading", text, f"start_seconds_{engine}")
            rests = ", ".join(f"{one} {assumed[one]:g}" for one in names)
            yield (
                f"{stage} by {engine}, {size}: {1 / rate.seconds:,.1f} a second of each {name}, {rate.sequences} at a "
                f"time; computed from {rests} in config/assumptions.tsv"
            )
