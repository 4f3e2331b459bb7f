"""Section ``compute``: on how many nodes and processes a model is trained (paper §4: 2 nodes with 8 A100-80G each),
and how it fits into their memory.

It says how the work is divided and not what comes out: batches stay as the recipes say, so a change of it makes
nothing again.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sharegpt4v.config.section import Count, Positive, Section


class Compute(Section):
    """How many processes train one model together; more than one are started by torchrun and joined by DeepSpeed."""

    nodes: Count = Field(default=2, description="Nodes per model (paper: 2). More than one need Slurm.")
    processes_per_node: Count = Field(
        default=8, description="Processes per node, one for each of its GPUs (paper: 8). On a CPU, 1."
    )
    rows_at_once: Count | None = Field(
        default=2,
        description="Packed rows per process in one forward and backward pass; gradients accumulate over its part of a "
        "batch. null: all in one pass.",
    )
    decoders: Count = Field(
        default=4,
        description="Threads per process that decode images ahead of the step, at most two passes ahead each (LLaVA's "
        "scripts: `dataloader_num_workers` 4).",
    )
    recompute_activations: bool = Field(
        default=True,
        description="Activation checkpointing, to save memory (paper: yes).",
    )
    zero_stage: Literal[2, 3] = Field(
        default=3,
        description="What DeepSpeed divides among processes: 2, gradients and the optimiser's state; 3, the weights "
        "too (paper: 3). Both take the same steps; 2 is faster where a whole model fits each GPU.",
    )
    offload_optimiser: bool = Field(
        default=False,
        description="Keep the optimiser's state and master weights in the memory of the host, for GPUs that cannot "
        "hold them; steps are slower (paper: no).",
    )
    attention: Literal["auto", "flash", "flex", "sdpa"] = Field(
        default="auto",
        description="How the language model attends in training: `flash` (the flash-attn package, GPUs, bfloat16; the "
        "paper's code), `flex` (PyTorch's flex attention, GPUs), `sdpa` (PyTorch's, with a mask), or `auto`: the first "
        "of these that runs on a GPU, and sdpa on a CPU. All give the same loss.",
    )
    optimiser: Literal["adamw", "adamw_8bit"] = Field(
        default="adamw",
        description="`adamw` (paper): its state takes 8 bytes per trained weight. `adamw_8bit`: 2 bytes, by "
        "bitsandbytes, in one process; steps differ a little, so this does change what comes out.",
    )
    wait_minutes: Positive = Field(
        default=60,
        description="Minutes that a process waits for the others before all of them give up; the first one tokenises "
        "the rows meanwhile.",
    )

    @property
    def processes(self) -> int:
        """How many train one model."""
        return self.nodes * self.processes_per_node


SINGLE_PROCESS = Compute(nodes=1, processes_per_node=1, rows_at_once=None, recompute_activations=False)
"""One process that takes whole batches through the model."""
