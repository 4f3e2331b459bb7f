"""How much host memory a node takes while a training's checkpoint is loaded, in 1, 2 and 4 processes.

    python benchmarks/loading_memory.py
    python benchmarks/loading_memory.py --tiny

writes a LLaVA of 1.1 billion random weights in bfloat16 (2.2 GB; needs as much disk and 14 GB of memory), joins its
parts on disk as a first stage does, and loads it by `training.start.load_start` under ZeRO-2 and ZeRO-3, and by the
obvious alternative: every process builds the model and copies the weights in. The memory is the largest sum of PSS of
all processes, read every 20 ms, so that pages that processes share count once. Here the device is the host: weights
with memory of their own, which a GPU would hold, are taken off, but for a model that is built on the host before it is
moved; weights that are still pages of the file are not. The bound is 1.2 times the checkpoint and 2 GB for each
process. Exit code 1 when weights differ between two ways, or when the bound is broken.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sharegpt4v.config.compute import Compute
from sharegpt4v.config.training import Recipe
from sharegpt4v.models.weight_files import weight_files, write_weights

WAYS = ("zero-2", "zero-3", "built")
EACH = 2e9  # bytes that a process may take beside the checkpoint
SHARE = 1.2  # of the checkpoint that a node may hold
WIDE = {"hidden_size": 1536, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 12}
CLIP_L = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
          "image_size": 336, "patch_size": 14}  # fmt: skip
NARROW = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}


def write_parts(folder: Path, tiny: bool) -> tuple[Path, Path]:
    """Write a CLIP and a Llama of random weights in bfloat16, weight by weight; return their folders."""
    from transformers import CLIPConfig, CLIPModel, LlamaConfig, LlamaForCausalLM

    from sharegpt4v.mini.tokenizer import train_tokenizer

    tokenizer = train_tokenizer(["What is it? A red circle."], 300)
    vision = NARROW | {"image_size": 24, "patch_size": 12} if tiny else CLIP_L
    llm = LlamaConfig(vocab_size=512 if tiny else 32_064, dtype="bfloat16", **(NARROW if tiny else WIDE))  # type: ignore[arg-type]
    clip = CLIPConfig(vision_config=vision, text_config=NARROW, projection_dim=64, dtype="bfloat16")  # type: ignore[arg-type]
    for name, config, kind in (("tower", clip, CLIPModel), ("llm", llm, LlamaForCausalLM)):
        with torch.device("meta"):
            shapes = {key: weight.shape for key, weight in kind(config).named_parameters()}
        (folder / name).mkdir()
        write_weights(folder / name, ((key, 0.02 * torch.randn(shape).bfloat16()) for key, shape in shapes.items()))
        config.save_pretrained(folder / name)
    tokenizer.save_pretrained(folder / "llm")
    return folder / "tower", folder / "llm"


def join_parts(tower: Path, llm: Path, out: Path) -> None:
    """Join them as the first stage of a training does."""
    from sharegpt4v.models.joining import draw_projector, join_llava

    out.mkdir()
    join_llava(tower, llm, draw_projector(tower, llm, "mlp2x_gelu", 1), out, torch.bfloat16)


def load_way(folder: Path, way: str) -> None:
    """Load the checkpoint in one process of several, print what it holds, and wait for the others."""
    from sharegpt4v.models.family import DEFAULT, family_named
    from sharegpt4v.training.ranks import join
    from sharegpt4v.training.start import load_start

    ranks = join(10)
    if way == "built":
        model = _built(folder)
    else:
        # The optimiser on the host has one process use DeepSpeed too.
        compute = Compute(processes_per_node=ranks.count, zero_stage=int(way[-1]), offload_optimiser=True)  # type: ignore[arg-type]
        recipe = Recipe(batch_size=8, learning_rate=1e-4, precision="bfloat16")
        model, _ = load_start(family_named(DEFAULT), folder, torch.device("cpu"), recipe, compute, ranks)
    mapped = list(_mapped_weights())
    held = [getattr(weight, "ds_tensor", weight) for weight in model.parameters()]
    own = sum(part.nbytes for part in held if not any(part.data_ptr() in span for span in mapped))
    ranks.all_reduce_sum(0)  # all of them hold their weights now
    digest = sum(_digest(weight) for weight in model.parameters())
    owned = ranks.all_reduce_sum(own)[0]
    if ranks.rank == 0:
        print(json.dumps({"own": owned, "digest": digest}))


def _built(folder: Path) -> Any:
    """What every process did once: build the whole model, read the whole checkpoint, copy."""
    from safetensors.torch import load_file
    from transformers import AutoConfig, LlavaForConditionalGeneration

    from sharegpt4v.models.loading import load_part
    from sharegpt4v.models.saving import llava_hf_name

    model = LlavaForConditionalGeneration._from_config(load_part(AutoConfig, folder), dtype=torch.bfloat16)
    weights = {name: weight for file in weight_files(folder) for name, weight in load_file(file).items()}
    model.load_state_dict({name: weights[llava_hf_name(name)] for name in model.state_dict()})
    return model


def _mapped_weights() -> Iterator[range]:
    """Yield the addresses of this process at which a file of weights is."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(".safetensors"):
            first, _, last = line.split()[0].partition("-")
            yield range(int(first, 16), int(last, 16))


def _digest(weight: Tensor) -> int:
    """Return a sum over the bits of a weight, which is gathered for it where ZeRO-3 has divided it."""
    if not hasattr(weight, "ds_tensor"):
        return int(weight.detach().view(torch.int16).sum(dtype=torch.int64))
    from sharegpt4v.training.zero import import_deepspeed

    with import_deepspeed().zero.GatheredParameters([weight]):
        return int(weight.detach().view(torch.int16).sum(dtype=torch.int64))


def measure(command: Sequence[str]) -> tuple[str, float]:
    """Run a command; return what it printed and the most bytes that it and its children had at once."""
    peak = 0.0
    with tempfile.TemporaryFile("w+") as out:
        running = subprocess.Popen(command, stdout=out)
        while running.poll() is None:
            peak = max(peak, sum(_pss(process) for process in _family(running.pid)))
            time.sleep(0.02)
        if running.returncode:
            sys.exit(f"{' '.join(command)}: ended with {running.returncode}")
        out.seek(0)
        return out.read(), peak


def _family(process: int) -> Iterator[int]:
    """Yield a process and all that it started."""
    yield process
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:  # it has ended
        return
    for child in children:
        yield from _family(int(child))


def _pss(process: int) -> float:
    try:
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return sum(1024.0 * int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))


def main() -> None:
    """Measure every way in so many processes, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a model of some thousand weights, to try the script")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--load", nargs=2, metavar=("WAY", "FOLDER"), help="what this script starts itself for")
    parser.add_argument("--join", nargs=3, metavar=("TOWER", "LLM", "OUT"), help="what this script starts itself for")
    given = parser.parse_args()
    if given.load:
        load_way(Path(given.load[1]), given.load[0])
        return
    if given.join:
        join_parts(*map(Path, given.join))
        return
    with tempfile.TemporaryDirectory() as folder:
        parts = write_parts(Path(folder), given.tiny)
        out = Path(folder) / "joined"
        again = [sys.executable, str(Path(__file__).resolve())]
        _, peak = measure([*again, "--join", *map(str, parts), str(out)])
        checkpoint = sum(file.stat().st_size for file in weight_files(out))
        print(f"checkpoint {checkpoint / 1e9:.2f} GB; joined on disk with {peak / 1e9:.2f} GB of memory")
        print("| Processes | Way | Host memory | Bound | Weights in memory of their own | Seconds |")
        print("|---|---|---|---|---|---|", flush=True)
        digests, broken = set(), False
        for count in given.processes:
            for way in WAYS:
                start = time.monotonic()
                torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
                said, peak = measure([sys.executable, *torchrun, *again[1:], "--load", way, str(out)])
                found = json.loads(said.strip().splitlines()[-1])
                digests.add(found["digest"])
                host, bound = peak - (0 if way == "built" else found["own"]), SHARE * checkpoint + EACH * count
                broken |= way != "built" and host > bound
                print(
                    f"| {count} | {way} | {host / 1e9:.2f} GB | {bound / 1e9:.2f} GB | {found['own'] / 1e9:.2f} GB | "
                    f"{time.monotonic() - start:.0f} |",
                    flush=True,
                )
        print(f"weights are equal by every way: {'yes' if len(digests) == 1 else 'NO'}")
        sys.exit(broken or len(digests) != 1)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
