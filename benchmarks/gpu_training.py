"""How fast one GPU pre-trains the 7B model: tokens/s, MFU and memory for each kind of attention and micro-batch.

    python3 benchmarks/gpu_training.py --out rows.jsonl

needs this clone, torch and transformers, and no file: weights and samples are drawn. The model has the shape of
LLaVA-1.5-7B (CLIP-L/14-336, two projector layers, Vicuna-7B). The step is the project's own, at the recipe of the
pre-training (paper section 4.2): the upper half of the tower, projector and LLM learn, in bfloat16 with float32
weights, on samples of 764 tokens (576 of an image, then its caption), all packed into one row per micro-batch. Rates of
a step are real ones, of `--samples` samples with the optimiser's step; a paper's step has 256 and so spends less on it.

Every row takes the same samples at a learning rate of 0, so its loss must be that of sdpa: `apart` is the difference
as a share of it. The first lines say how far apart the loss would be if samples saw each other. MFU counts the
operations of `models/llava_flops.py`: no recomputation, and the vocabulary at every token (1.5 % more than computed).
What does not fit is a row, too. Where float32 moments do not fit, they are kept in 8 bits if bitsandbytes is there;
else the LLM has fewer layers. Each row says so. It ends before `--minutes`, with the rows that it has by then.
`--tiny` does the same in small, on a CPU too.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import platform
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import transformers

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from sharegpt4v.catalogues.hardware import flops_of_gpu  # noqa: E402
from sharegpt4v.errors import UserError, one_line  # noqa: E402
from sharegpt4v.models import llava_flops  # noqa: E402
from sharegpt4v.models.templates import IGNORED, Sample  # noqa: E402
from sharegpt4v.training.attention import set_attention  # noqa: E402
from sharegpt4v.training.loss import loss_of  # noqa: E402
from sharegpt4v.training.optimiser import optimiser_for  # noqa: E402
from sharegpt4v.training.packing import Batch, collate  # noqa: E402
from sharegpt4v.training.step import take_step  # noqa: E402

CLIP_L = {"hidden_size": 1024, "layers": 24, "heads": 16, "mlp_size": 4096, "image_size": 336, "patch_size": 14}
VICUNA_7B = {"hidden_size": 4096, "layers": 32, "heads": 32, "mlp_size": 11008}
TINY_CLIP = {"hidden_size": 64, "layers": 4, "heads": 2, "mlp_size": 128, "image_size": 28, "patch_size": 7}
TINY_LLM = {"hidden_size": 64, "layers": 2, "heads": 2, "mlp_size": 128}
VOCABULARY, TINY_VOCABULARY, CAPTION = 32_064, 300, 188
FITS = 0.85  # of the memory, for what does not depend on the micro-batch
SECONDS = 8.0  # per row, after its first step

# What `config.training.Recipe` would say; that needs pydantic, which not every release of transformers brings.
RECIPE: Any = SimpleNamespace(
    learning_rate=2e-5, vision_learning_rate=None, projector_learning_rate=None, weight_decay=0.0, adam_beta2=0.999,
    gradient_clip=None, precision="bfloat16", sequence_length=2048, train_llm=True, train_projector=True,
    tune_vit_from_layer=12,
)  # fmt: skip


def main() -> None:
    """Build, measure, print."""
    options = arguments()
    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(max(1, round(options.minutes * 60) - 5))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    about = machine(device, options.peak_tflops)
    print(json.dumps(about))
    rows: list[dict[str, Any]] = []
    out = options.out.open("a") if options.out else None
    try:
        for row in measured(options, device, about["peak_tflops"]):
            rows.append(row)
            print(as_text(row), flush=True)
            if out:
                out.write(json.dumps(about | row) + "\n")
                out.flush()
    except OutOfTime:
        print(f"stopped after {options.minutes:g} minutes")
    best = max(
        (row for row in rows if "tokens_per_second" in row), key=lambda row: row["tokens_per_second"], default={}
    )
    print(f"fastest: {as_text(best)}" if best else "nothing could be measured")
    sys.exit(not best or any(row.get("apart", 0) > options.tolerance for row in rows))


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attention", nargs="+", choices=["flash", "flex", "sdpa"], default=["flash", "flex", "sdpa"])
    parser.add_argument("--micro-batches", nargs="+", type=int, default=[8, 4, 16, 2], help="samples per pass")
    parser.add_argument("--samples", type=int, default=32, help="samples per step")
    parser.add_argument("--optimiser", choices=["auto", "adamw", "adamw_8bit"], default="auto")
    parser.add_argument("--layers", type=int, help="layers of the LLM (default: as many of its 32 as fit)")
    parser.add_argument("--recompute", choices=["both", "yes", "no"], default="both", help="activation checkpointing")
    parser.add_argument("--peak-tflops", type=float, help="bfloat16, dense (default: by name, config/hardware.tsv)")
    parser.add_argument("--tolerance", type=float, default=5e-3, help="largest difference to the loss of sdpa")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--out", type=Path, metavar="FILE", help="append the rows as JSON lines")
    parser.add_argument("--tiny", action="store_true", help="a model of a few thousand weights")
    return parser.parse_args()


class OutOfTime(BaseException):
    """The minutes are over. Not an `Exception`, because compilers catch those that are raised within them."""


def out_of_time(number: int, frame: Any) -> None:
    """End the measurement from within whatever it waits for."""
    raise OutOfTime


def machine(device: torch.device, peak: float | None) -> dict[str, Any]:
    """Return on what, by which versions and when this is measured."""
    gpu = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if gpu else platform.processor() or platform.machine()
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return {
        "device": name,
        "memory_gb": round(torch.cuda.get_device_properties(device).total_memory / 1e9, 1) if gpu else None,
        "peak_tflops": peak or (flops_of_gpu(name) or 0) / 1e12 or None,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip() or "unknown",
    }


def measured(options: argparse.Namespace, device: torch.device, peak: float | None) -> Iterator[dict[str, Any]]:
    """Yield a row for each setting, the promising ones first."""
    models = shape(options.tiny)
    RECIPE.tune_vit_from_layer = models.vision_tower.layers // 2
    kind, models.llm["7b"].layers = fitting(models, device, options)
    model = build(models, device)
    optimiser = optimiser_for(model, RECIPE, kind)
    samples = drawn(models, options.samples)
    pixels = torch.randn(options.samples, 3, *[models.vision_tower.image_size] * 2, device=device)
    operations = llava_flops.training_row(models, "7b", RECIPE, CAPTION) * len(samples)
    tokens = sum(len(sample.ids) for sample in samples)
    set_attention(model, "sdpa", device, RECIPE.precision)
    expected = loss_by_sdpa(model, samples, pixels, device)
    leaking = abs(loss_by_sdpa(model, samples, pixels, device, leaking=True) - expected) / expected
    print(f"loss by sdpa: {expected:.5f}; apart if samples saw each other: {leaking:.1e}")
    recompute = {"both": [False, True], "yes": [True], "no": [False]}[options.recompute]
    too_large: dict[tuple[Any, ...], int] = {}
    for again, size, attention in itertools.product(recompute, options.micro_batches, options.attention):
        row = {
            "attention": attention, "micro_batch": size, "recompute": again, "optimiser": kind,
            "layers": models.llm["7b"].layers, "samples": options.samples,
        }  # fmt: skip
        if size > options.samples or size >= too_large.get((attention, again), size + 1):
            continue
        try:
            set_attention(model, attention, device, RECIPE.precision)
            (model.activation_checkpointing_enable if again else model.activation_checkpointing_disable)()
            loss, seconds, memory = timed(model, optimiser, samples, pixels, size)
        except torch.OutOfMemoryError:
            too_large[attention, again] = size
            cannot = "out of memory"
        except (UserError, RuntimeError) as error:  # the compiler of flex has errors of its own
            cannot = one_line(error)
        else:
            cannot = ""
        if cannot:
            optimiser.zero_grad(set_to_none=True)
            yield row | {"cannot": cannot}
            continue
        yield row | {
            "tokens_per_second": tokens / seconds,
            "mfu": operations / seconds / (peak * 1e12) if peak else None,
            "memory_gb": memory / 1e9,
            "loss": loss,
            "apart": abs(loss - expected) / expected,
        }


def shape(tiny: bool) -> Any:
    """Return the sizes of the models, by the names that `config.base_models` has for them."""
    clip, llm = (TINY_CLIP, TINY_LLM) if tiny else (CLIP_L, VICUNA_7B)
    return SimpleNamespace(
        vision_tower=SimpleNamespace(**clip),
        llm={"7b": SimpleNamespace(**llm)},
        tokenizer=SimpleNamespace(vocabulary=TINY_VOCABULARY if tiny else VOCABULARY),
        projector_type="mlp2x_gelu",
    )


def fitting(models: Any, device: torch.device, options: argparse.Namespace) -> tuple[Any, int]:
    """Return the optimiser and how many layers of the LLM fit with it: 4 bytes per weight and gradient, and moments."""
    llm = models.llm["7b"]
    has_8_bits = importlib.util.find_spec("bitsandbytes") is not None
    kinds = [options.optimiser] if options.optimiser != "auto" else ["adamw", *["adamw_8bit"] * has_8_bits]
    if device.type == "cpu" or options.layers:
        return kinds[0], options.layers or llm.layers
    room = FITS * torch.cuda.get_device_properties(device).total_memory
    for layers, kind in itertools.product(range(llm.layers, 0, -1), kinds):
        fewer: Any = SimpleNamespace(
            **vars(models) | {"llm": {"7b": SimpleNamespace(**vars(llm) | {"layers": layers})}}
        )
        trained = llava_flops.trained_weights(fewer, "7b", RECIPE)
        state = {"adamw": 8.0, "adamw_8bit": 2.1}[kind]
        if 4 * llava_flops.all_weights(fewer, "7b") + (4 + state) * trained <= room:
            return kind, layers
    raise UserError("not one layer fits into the memory of this device; try --tiny")


def build(models: Any, device: torch.device) -> Any:
    """Return a LLaVA with random float32 weights, of which the pre-training's parts are trained."""
    tower, llm = models.vision_tower, models.llm["7b"]

    def sizes(one: Any) -> dict[str, Any]:
        return {
            "hidden_size": one.hidden_size, "intermediate_size": one.mlp_size, "num_hidden_layers": one.layers,
            "num_attention_heads": one.heads,
        }  # fmt: skip

    vision = transformers.CLIPVisionConfig(**sizes(tower), image_size=tower.image_size, patch_size=tower.patch_size)
    vocabulary = models.tokenizer.vocabulary
    text = transformers.LlamaConfig(**sizes(llm), vocab_size=vocabulary, max_position_embeddings=4096)
    config = transformers.LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=vocabulary - 1, vision_feature_layer=-2,
        vision_feature_select_strategy="default",
    )  # fmt: skip
    torch.manual_seed(0)
    with device:
        model = transformers.LlavaForConditionalGeneration(config)
    # As `models.building.set_trainable`, which needs Pillow.
    model.model.vision_tower.requires_grad_(False)
    model.model.vision_tower.encoder.layers[RECIPE.tune_vit_from_layer : -1].requires_grad_(True)
    return model.train()


def drawn(models: Any, count: int) -> list[Sample]:
    """Return samples of the plain template: a begin mark and an image, then a caption, which is supervised."""
    random = torch.Generator().manual_seed(0)
    visual, vocabulary = llava_flops.visual_tokens(models.vision_tower), models.tokenizer.vocabulary
    samples = []
    for _ in range(count):
        caption = torch.randint(3, vocabulary - 1, (CAPTION - 1,), generator=random).tolist()
        samples.append(
            Sample([1, *[vocabulary - 1] * visual, *caption], [IGNORED] * (1 + visual) + caption, Path("drawn"))
        )
    return samples


def parts_of(samples: list[Sample], pixels: Any, size: int, device: torch.device) -> list[tuple[Batch, Any]]:
    """Return a step in parts of at most `size` samples, all of a part in one row."""
    weights = dict.fromkeys(range(len(samples)), 1 / sum(sample.supervised for sample in samples))
    parts = []
    for first in range(0, len(samples), size):
        row = list(range(first, min(first + size, len(samples))))
        batch = collate(samples, [row], sum(len(samples[index].ids) for index in row), 0, weights)
        for name in ("ids", "labels", "positions", "weights"):
            setattr(batch, name, getattr(batch, name).to(device))
        parts.append((batch, {"pixel_values": pixels[row[0] : row[-1] + 1]}))
    return parts


def loss_by_sdpa(model: Any, samples: list[Sample], pixels: Any, device: torch.device, leaking: bool = False) -> float:
    """Return the loss of a step, two samples at a time; with `leaking` they see each other."""
    total = 0.0
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16):
        for batch, images in parts_of(samples, pixels, 2, device):
            if leaking:
                batch.positions = torch.arange(batch.ids.shape[1], device=device)[None]
            total += loss_of(model, batch, images).item()
    return total


def timed(model: Any, optimiser: Any, samples: Any, pixels: Any, size: int) -> tuple[float, float, float]:
    """Take a first step, then step for some seconds; return loss, seconds per step and the most memory in bytes."""
    device = model.device
    parts = parts_of(samples, pixels, size, device)
    gpu = device.type == "cuda"
    if gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    take_step(model, optimiser, RECIPE, parts, 0.0)
    start, steps = time.monotonic(), 0
    while steps < 2 or time.monotonic() - start < SECONDS:
        loss = take_step(model, optimiser, RECIPE, parts, 0.0)
        if gpu:
            torch.cuda.synchronize()
        steps += 1
        if not gpu:
            break
    seconds = (time.monotonic() - start) / steps
    memory = torch.cuda.max_memory_allocated() if gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return loss, seconds, float(memory)


def as_text(row: dict[str, Any]) -> str:
    """Return a row as a line."""
    text: str = (
        f"{row['attention']:5} micro-batch {row['micro_batch']:2}, {'re' if row['recompute'] else 'not re'}computed, "
        f"{row['optimiser']}, {row['layers']} layers: "
    )
    if "cannot" in row:
        return f"{text}{row['cannot']}"
    mfu = f"MFU {row['mfu']:.1%}" if row["mfu"] else "MFU unknown"
    return text + (
        f"{row['tokens_per_second']:,.0f} tokens/s, {mfu}, {row['memory_gb']:.1f} GB, loss {row['loss']:.5f}, "
        f"apart {row['apart']:.1e}"
    )


if __name__ == "__main__":
    main()
