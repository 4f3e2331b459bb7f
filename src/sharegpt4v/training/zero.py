"""How DeepSpeed divides a model among processes: ZeRO-3 (the paper's, section 4), ZeRO-2, and what the host keeps.

ZeRO-2 divides gradients, master weights and moments; every process holds a whole model. ZeRO-3 divides the weights too,
and gathers those of one layer at a time. The steps are the same.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from sharegpt4v.errors import UserError, one_line

if TYPE_CHECKING:
    from sharegpt4v.config.compute import Compute
    from sharegpt4v.config.training import Recipe
    from sharegpt4v.training.ranks import Ranks


def uses_deepspeed(recipe: Recipe, compute: Compute, ranks: Ranks) -> bool:
    """Whether DeepSpeed takes the steps: for several processes, and for one whose optimiser's state is on the host.

    A `UserError` for what is not divided so: adapters, and moments in 8 bits.
    """
    divided = ranks.count > 1 or compute.offload_optimiser
    if divided and (recipe.lora or compute.optimiser == "adamw_8bit"):
        what = "lora" if recipe.lora else "compute.optimiser adamw_8bit"
        raise UserError(f"{what} is for one process with its optimiser on the device; change that, or compute")
    return divided


def settings_of(recipe: Recipe, compute: Compute) -> dict[str, Any]:
    """Return DeepSpeed's settings for a recipe.

    Gradients are summed in float32 over the passes of a step, as one process sums them. The sizes for ZeRO-3 are those
    of the released `zero3.json`.
    """
    zero: dict[str, Any] = {"stage": compute.zero_stage, "overlap_comm": torch.cuda.is_available()}
    if compute.zero_stage == 3:
        zero |= {"sub_group_size": 10**9, "stage3_max_live_parameters": 10**9, "stage3_max_reuse_distance": 10**9}
    if compute.offload_optimiser:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": torch.cuda.is_available()}
    return {
        "train_micro_batch_size_per_gpu": 1,  # it only counts by this
        "gradient_clipping": recipe.gradient_clip or 0.0,
        "bf16": {"enabled": recipe.precision == "bfloat16"},
        "data_types": {"grad_accum_dtype": "fp32"},
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
    }


def bucket_sizes(hidden_size: int) -> dict[str, int]:
    """Return the sizes, in parameters, that the released `zero3.json` leaves to transformers ("auto")."""
    return {
        "reduce_bucket_size": hidden_size**2,
        "stage3_prefetch_bucket_size": int(0.9 * hidden_size**2),
        "stage3_param_persistence_threshold": 10 * hidden_size,
    }


@contextmanager
def parts_of_models(recipe: Recipe, compute: Compute, ranks: Ranks) -> Iterator[None]:
    """Have transformers' `from_pretrained` leave each process with its part of every weight, under ZeRO-3.

    The first process reads the checkpoint and hands each weight out; the others hold no more than their parts.
    """
    if not uses_deepspeed(recipe, compute, ranks) or compute.zero_stage < 3:
        yield
        return
    join_alone(ranks)
    import_deepspeed().init_distributed()
    from transformers.integrations.deepspeed import HfDeepSpeedConfig

    # transformers looks it up by a weak reference, so it has to live as long as models are loaded.
    kept = HfDeepSpeedConfig(settings_of(recipe, compute) | {"train_batch_size": ranks.count})
    yield
    del kept


def make_whole(model: Any, rank: int) -> None:
    """Give the model of rank 0 its whole weights again, on the host; for saving, no more steps are taken.

    Under ZeRO-2 nothing is to be done. Every process has to call it.
    """
    parameters = [parameter for parameter in model.parameters() if hasattr(parameter, "ds_id")]
    if not parameters:
        return
    gathered = import_deepspeed().zero.GatheredParameters
    whole = []
    for parameter in parameters:
        with gathered([parameter]):
            if rank == 0:
                whole.append(parameter.data.to("cpu", copy=True))
    for parameter, weights in zip(parameters, whole, strict=False):
        parameter.data = weights


def host_optimiser(groups: list[dict[str, Any]], **settings: Any) -> torch.optim.Optimizer:
    """Return AdamW whose state is on the host beside a GPU: DeepSpeed's, or torch's where that cannot be compiled.

    Both take the same steps; DeepSpeed's are faster. Without a GPU torch's are taken.
    """
    if torch.cuda.is_available():
        try:
            from deepspeed.ops.adam import DeepSpeedCPUAdam

            made: torch.optim.Optimizer = DeepSpeedCPUAdam(groups, adamw_mode=True, **settings)
            return made
        except Exception as error:  # whatever compilers and their tools raise
            reason = one_line(error.__cause__ or error)
            print(
                f"DeepSpeedCPUAdam cannot be built ({reason}); torch's AdamW takes the same steps on the host, slower. "
                "It needs g++, ninja and the CUDA toolkit of torch's version",
                file=sys.stderr,
            )
    return torch.optim.AdamW(groups, **settings)


def join_alone(ranks: Ranks) -> None:
    """Make a group of one process where torchrun has made none, for DeepSpeed always speaks to a group."""
    if ranks.count > 1 or torch.distributed.is_initialized():
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 1, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    for name, value in place.items():
        os.environ.setdefault(name, str(value))
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    store = torch.distributed.HashStore()  # type: ignore[attr-defined]  # torch does not list it
    torch.distributed.init_process_group(backend, store=store, rank=0, world_size=1)


def import_deepspeed() -> Any:
    """Import DeepSpeed so that it compiles nothing on a CPU; a `UserError` when it is not installed."""
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    os.environ.setdefault("DEEPSPEED_LOG_LEVEL", "error")
    try:
        import deepspeed
        import deepspeed.ops
    except ImportError:
        raise UserError("deepspeed is not installed; compute asks for several processes, which need it") from None
    # On CPUs DeepSpeed would compile an operator of its own for messages within a node; gloo does without.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed
