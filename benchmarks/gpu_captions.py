"""How fast one GPU writes captions with the 7B model: the project's engine, transformers' `generate`, and vLLM.

    python3 benchmarks/gpu_captions.py --out rows.jsonl

needs this clone, torch, transformers, accelerate and Pillow, and no file: weights and images are drawn. The model has
the shape of LLaVA-1.5-7B; its checkpoint of 14 GB is written once into a temporary folder (TMPDIR says where) and
loaded from there by each engine. Every caption has as many tokens as the paper's have on average: the marks that end a
text are suppressed, and the limit ends it. vLLM takes part where `make vllm` installed it, or this Python has it.

Per engine and images at a time: captions and tokens per second; how long reading the prompts takes (a run of one
token) and which share of the peak that is; milliseconds of a step of writing and which share of the memory's bandwidth
that is (the two shares that `s4v plan` assumes, by the same formula); the most memory; and how many texts equal those
that the project's engine wrote about the same images in its first run. In bfloat16 some may differ. Each engine writes
everything once before it is timed. What does not fit is a row, too. It ends before `--minutes` with what it has by
then, and says what was left out. `--tiny` does the same in small, on a CPU too.
"""

from __future__ import annotations

import argparse
import base64
import gc
import importlib.util
import io
import json
import random
import resource
import signal
import string
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from gpu_training import ROOT, OutOfTime, machine, out_of_time, shape
from PIL import Image

if importlib.util.find_spec("orjson") is None:  # the little that loading a checkpoint needs of it
    stand_in: Any = types.ModuleType("orjson")
    stand_in.loads, stand_in.JSONDecodeError = json.loads, json.JSONDecodeError
    stand_in.OPT_INDENT_2 = stand_in.OPT_APPEND_NEWLINE = 0
    stand_in.dumps = lambda value, option: (json.dumps(value, indent=2) + "\n").encode()
    sys.modules["orjson"] = stand_in

from sharegpt4v.catalogues.hardware import device_of_gpu
from sharegpt4v.errors import UserError, one_line
from sharegpt4v.generation.engine import Request
from sharegpt4v.generation.local import Generator
from sharegpt4v.mini.tokenizer import train_tokenizer
from sharegpt4v.models import llava_flops
from sharegpt4v.models.building import processor_for
from sharegpt4v.models.saving import expected_weights, save_settings
from sharegpt4v.models.templates import IMAGE, prompt_ids, prompt_text
from sharegpt4v.models.weight_files import write_weights
from sharegpt4v.plan.generation import Written

QUESTION = "Analyze the image in a comprehensive and detailed manner."
TINY_VOCABULARY, TINY_TOKENS = 800, 12
VLLM = ROOT / ".venv-vllm" / "bin" / "python"
SECONDS_TO_END = 40  # of the minutes, kept to stop a server and print

Ask = Callable[[Sequence[bytes], int], list[str]]
"""Describes images, given as files' bytes, in so many tokens each."""


def main() -> None:
    """Write a checkpoint, measure, print."""
    options = arguments()
    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(max(1, round(options.minutes * 60) - SECONDS_TO_END))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    about = machine(device, options.peak_tflops)
    print(json.dumps(about))
    left = [(engine, size) for engine in options.engines for size in options.images]
    out = options.out.open("a") if options.out else None
    measured = 0
    try:
        with tempfile.TemporaryDirectory(prefix="captions-") as folder:
            for row in rows(Path(folder), options, device, about):
                left.remove((row["engine"], row["images"]))
                measured += "captions_per_second" in row
                print(as_text(row), flush=True)
                if out:
                    out.write(json.dumps(about | row) + "\n")
                    out.flush()
    except OutOfTime:
        print(f"stopped after {options.minutes:g} minutes")
    if left:
        print(f"left out: {', '.join(f'{engine} with {size} images' for engine, size in left)}")
    sys.exit(not measured)


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES))
    parser.add_argument("--images", nargs="+", type=int, help="images at a time (default: 32 128; tiny: 2 4)")
    parser.add_argument("--tokens", type=int, help=f"tokens of a caption (default: 188; tiny: {TINY_TOKENS})")
    parser.add_argument("--peak-tflops", type=float, help="bfloat16, dense (default: by name, config/hardware.tsv)")
    parser.add_argument("--gb-per-s", type=float, help="bandwidth of the memory (default: by name, as the peak)")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--out", type=Path, metavar="FILE", help="append the rows as JSON lines")
    parser.add_argument("--tiny", action="store_true", help="a model of a few thousand weights")
    options = parser.parse_args()
    options.images = sorted(set(options.images or ([2, 4] if options.tiny else [32, 128])))
    options.tokens = options.tokens or (TINY_TOKENS if options.tiny else 188)
    return options


def rows(folder: Path, options: argparse.Namespace, device: torch.device, about: dict[str, Any]) -> Iterator[Any]:
    """Yield a row for each engine and number of images at a time."""
    models = shape(options.tiny)
    if options.tiny:
        models.tokenizer.vocabulary = TINY_VOCABULARY
    start = time.monotonic()
    tokenizer = write_checkpoint(folder, models, device)
    print(f"checkpoint drawn and written in {time.monotonic() - start:.0f} s", flush=True)
    visual = llava_flops.visual_tokens(models.vision_tower)
    prompt = len(prompt_ids(tokenizer, prompt_text(QUESTION, True, None), visual))
    images = [drawn_image(number, models.vision_tower.image_size) for number in range(max(options.images))]
    written = Written(2 * llava_flops.all_weights(models, "7b"), llava_flops.cache_bytes(models.llm["7b"]))
    known = device_of_gpu(about["device"])
    bandwidth = options.gb_per_s * 1e9 if options.gb_per_s else known.bandwidth if known else None
    reading = llava_flops.reading_row(models, "7b", prompt - visual)
    expected: list[str] = []
    for engine in options.engines:
        for row, texts in measured_by(engine, folder, images, options, device):
            expected = expected or (texts if engine == "local" else [])
            if texts:
                compared = list(zip(expected, texts, strict=False))
                step, size = row["step_ms"] / 1000, row["images"]
                moved = written.step_bytes(size, prompt + options.tokens / 2)
                row |= {
                    "bandwidth_share": moved / step / bandwidth if bandwidth and step > 0 else None,
                    "mfu_reading": size * reading / row["reading_seconds"] / (about["peak_tflops"] * 1e12)
                    if about["peak_tflops"]
                    else None,
                    "equal": sum(a == b for a, b in compared),
                    "compared": len(compared),
                    "different_texts": len({*texts}),
                }
            yield row
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()


def write_checkpoint(folder: Path, models: Any, device: torch.device) -> Any:
    """Write a LLaVA of bfloat16 weights drawn file by file, whose captions only a limit ends; return its tokenizer."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

    tower, llm, vocabulary = models.vision_tower, models.llm["7b"], models.tokenizer.vocabulary
    chosen = random.Random(0)
    words = ("".join(chosen.choices(string.ascii_lowercase, k=6)) for _ in range(vocabulary))
    tokenizer = train_tokenizer([" ".join(words)], vocabulary)

    def sizes(one: Any) -> dict[str, Any]:
        return {
            "hidden_size": one.hidden_size, "intermediate_size": one.mlp_size, "num_hidden_layers": one.layers,
            "num_attention_heads": one.heads,
        }  # fmt: skip

    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**sizes(tower), image_size=tower.image_size, patch_size=tower.patch_size),
        text_config=LlamaConfig(**sizes(llm), vocab_size=vocabulary, max_position_embeddings=4096),
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        image_seq_length=llava_flops.visual_tokens(tower),
        dtype="bfloat16",
    )
    save_settings(config, processor_for(config, tokenizer, "square"), folder)
    written = folder / "generation_config.json"
    settings = json.loads(written.read_text())
    settings["suppress_tokens"] = sorted({*(settings.get("suppress_tokens") or ()), *tokenizer.all_special_ids})
    written.write_text(json.dumps(settings))
    write_weights(folder, drawn_weights(expected_weights(config), device))
    return tokenizer


def drawn_weights(shapes: dict[str, tuple[int, ...]], device: torch.device) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield weights that keep what flows through a model of about the same size, so that texts differ by image."""
    generator = torch.Generator(device).manual_seed(0)
    for name, size in shapes.items():
        if len(size) == 1 and name.endswith(("norm.weight", "norm1.weight", "norm2.weight")):
            yield name, torch.ones(size, dtype=torch.bfloat16)
        elif name.endswith("bias"):
            yield name, torch.zeros(size, dtype=torch.bfloat16)
        else:
            drawn = torch.randn(size, generator=generator, dtype=torch.bfloat16, device=device)
            scale = 1.0 if "embed" in name else torch.Size(size[1:]).numel() ** -0.5
            yield name, (drawn * scale).cpu()


def drawn_image(number: int, size: int) -> bytes:
    """Return a JPEG of random patches of colour, as a file's bytes."""
    chosen = random.Random(number)
    patches = Image.frombytes("RGB", (6, 6), chosen.randbytes(6 * 6 * 3)).resize((size, size), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    patches.save(file, "JPEG", quality=90)
    return file.getvalue()


def measured_by(
    engine: str, folder: Path, images: Sequence[bytes], options: argparse.Namespace, device: torch.device
) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Yield for each number of images at a time what one engine does, and its texts; none where it cannot."""
    gpu = device.type == "cuda"
    left = list(options.images)
    try:
        with ENGINES[engine](folder, len(images), device) as ask:
            while left:
                row = {"engine": engine, "images": left[0], "tokens": options.tokens}
                some = images[: left[0]]
                if gpu:
                    torch.cuda.reset_peak_memory_stats()
                texts = ask(some, options.tokens)
                (_, reading), (_, whole) = timed(ask, some, 1), timed(ask, some, options.tokens)
                left.pop(0)
                yield (
                    row
                    | {
                        "captions_per_second": len(some) / whole,
                        "tokens_per_second": len(some) * options.tokens / whole,
                        "reading_seconds": reading,
                        "step_ms": 1000 * (whole - reading) / max(1, options.tokens - 1),
                        "peak_memory_gb": memory_of(engine, gpu) / 1e9,
                    },
                    texts,
                )
    except torch.OutOfMemoryError:
        cannot = "out of memory"
    except (UserError, RuntimeError, SystemExit, NotInstalled) as error:  # of vLLM's server too
        cannot = one_line(error)
    else:
        return
    for size in left:  # a larger number is not tried
        yield {"engine": engine, "images": size, "tokens": options.tokens, "cannot": cannot}, []


def timed(ask: Ask, images: Sequence[bytes], tokens: int) -> tuple[list[str], float]:
    """Return the texts, and the seconds that they took."""
    start = time.monotonic()
    texts = ask(images, tokens)
    return texts, time.monotonic() - start


def memory_of(engine: str, gpu: bool) -> float:
    """Return the most bytes that an engine had; of vLLM, what is in use of the GPU, of which it takes most."""
    if not gpu:
        return (
            resource.getrusage(resource.RUSAGE_CHILDREN if engine == "vllm" else resource.RUSAGE_SELF).ru_maxrss * 1e3
        )
    free, total = torch.cuda.mem_get_info()
    return float(total - free if engine == "vllm" else torch.cuda.max_memory_allocated())


class NotInstalled(Exception):
    """An engine is not there."""


@contextmanager
def by_project(folder: Path, most: int, device: torch.device) -> Iterator[Ask]:
    """The project's engine; all images of a call are one batch."""
    with Generator(folder, most) as generator:

        def ask(images: Sequence[bytes], tokens: int) -> list[str]:
            answers = dict(generator.answer([Request(QUESTION, image, tokens, "square") for image in images]))
            return plain([answers[index].text for index in range(len(images))])

        yield ask


@contextmanager
def by_transformers(folder: Path, most: int, device: torch.device) -> Iterator[Ask]:
    """`generate` of transformers, which knows nothing but the folder."""
    from transformers import AutoProcessor, LlavaForConditionalGeneration

    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    # Where torchvision is installed, transformers would resize by it, and up to two of 255 levels differ.
    processor: Any = AutoProcessor.from_pretrained(folder, backend="pil", trust_remote_code=False)
    model: Any = LlavaForConditionalGeneration.from_pretrained(folder, dtype=dtype, trust_remote_code=False)
    model = model.to(device).eval()
    turn = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]}]
    prompt = processor.apply_chat_template(turn, add_generation_prompt=True)

    @torch.inference_mode()
    def ask(images: Sequence[bytes], tokens: int) -> list[str]:
        opened = [Image.open(io.BytesIO(image)).convert("RGB") for image in images]
        given = processor(images=opened, text=[prompt] * len(opened), return_tensors="pt").to(device, dtype)
        ids = model.generate(**given, do_sample=False, max_new_tokens=tokens)[:, given["input_ids"].shape[1] :]
        return plain(processor.batch_decode(ids, skip_special_tokens=True))

    yield ask


@contextmanager
def by_vllm(folder: Path, most: int, device: torch.device) -> Iterator[Ask]:
    """vLLM's server, asked as anyone would ask it: by chat completions, all at once."""
    from vllm_server import VllmServer

    python = VLLM if VLLM.is_file() else Path(sys.executable)
    if python != VLLM and importlib.util.find_spec("vllm") is None:
        raise NotInstalled("vLLM is not installed; `make vllm` installs it")
    options = {"--max-num-seqs": str(max(64, most))}
    if device.type == "cuda":  # as people start it there
        options |= {"--dtype": "bfloat16", "--max-num-seqs": "256", "--no-enforce-eager": ""}
    with VllmServer(folder, python, options, at_once=most) as server:

        def ask(images: Sequence[bytes], tokens: int) -> list[str]:
            parts = [f"data:image/jpeg;base64,{base64.b64encode(image).decode()}" for image in images]
            content = [[{"type": "image_url", "image_url": {"url": part}}, {"type": "text", "text": QUESTION}]
                       for part in parts]  # fmt: skip
            return plain([text for text, _ in server.ask([[{"role": "user", "content": c}] for c in content], tokens)])

        yield ask


def plain(texts: Sequence[str]) -> list[str]:
    """Return texts without white space around them, and without a character that the limit cut in two."""
    return [text.strip().rstrip("\ufffd").strip() for text in texts]


ENGINES = {"local": by_project, "transformers": by_transformers, "vllm": by_vllm}


def as_text(row: dict[str, Any]) -> str:
    """Return a row as a line."""
    text = f"{row['engine']:12} {row['images']:3} images: "
    if "cannot" in row:
        return f"{text}{row['cannot']}"

    def share(name: str, of: str) -> str:
        return f" ({row[name]:.1%} of the {of})" if row[name] else ""

    return text + (
        f"{row['captions_per_second']:.2f} captions/s, {row['tokens_per_second']:,.0f} tokens/s, "
        f"reading {row['reading_seconds']:.2f} s{share('mfu_reading', 'peak')}, "
        f"a step {row['step_ms']:.1f} ms{share('bandwidth_share', 'bandwidth')}, {row['peak_memory_gb']:.1f} GB, "
        f"equal texts {row['equal']} of {row['compared']}"
    )


if __name__ == "__main__":
    main()
