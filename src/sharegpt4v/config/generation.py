"""What the sections ``captions`` and ``benchmarks`` share: which engine asks the model, and how much at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from sharegpt4v.catalogues.engines import ENGINES
from sharegpt4v.config.endpoint import Endpoint
from sharegpt4v.config.section import Count, Positive, Section, Text

if TYPE_CHECKING:
    EngineName = str
else:
    EngineName = Literal[ENGINES]


class Vllm(Section):
    """How a job runs the vLLM server of its own that the engine `vllm` asks. It changes no result on one device."""

    tensor_parallel: Count = Field(
        default=1, description="Devices that hold one model together: for models that do not fit into one."
    )
    sequences: Count = Field(
        default=256, description="Texts written at a time. Halved, and said so, where the device runs out of memory."
    )
    longest_tokens: Count | None = Field(
        default=None, description="Longest prompt and answer together, in tokens. null: the model's own limit."
    )
    deterministic: bool = Field(
        default=True,
        description="Whether a GPU computes each text as if it were alone (vLLM's batch invariance), so that the same "
        "run gives the same bytes. false is faster, and near-ties may then fall otherwise.",
    )
    start_minutes: Positive = Field(default=20, description="Minutes after which a server counts as not starting.")
    arguments: tuple[Text, ...] = Field(
        default=(), description="More arguments of vLLM's server, such as `--quantization=fp8`."
    )


class Generation(Section):
    """Which engine asks the model."""

    engine: EngineName = Field(
        default="local",
        description="What asks the model: `local`, this project's own loop; `vllm`, a vLLM server that each job starts "
        "and stops; `endpoint`, any OpenAI-compatible address. Texts made by one stay when it changes.",
    )
    batch_size: Count = Field(default=16, description="Images or questions at a time on one device, by `local`.")
    vllm: Vllm = Field(default=Vllm(), description="The server of `vllm`.")
    endpoint: Endpoint | None = Field(default=None, description="The model that `endpoint` asks, and where.")

    @property
    def devices(self) -> int:
        """Devices that hold one model together."""
        return self.vllm.tensor_parallel if self.engine == "vllm" else 1

    @property
    def asked_endpoint(self) -> Endpoint | None:
        """The endpoint that is asked; None where an engine runs on a device of the run."""
        return self.endpoint if self.engine == "endpoint" else None

    @model_validator(mode="after")
    def _names_a_model(self) -> Self:
        if self.engine == "endpoint" and self.endpoint is None:
            raise ValueError("engine 'endpoint' needs `endpoint`, with at least `base_url` and `model`")
        return self


LOCAL = Generation()
"""By this project's own loop."""
