"""Nothing of a scene reaches a model but captions, instruction rows and pixels.

Captions teach what is in an image by being that image's: when each belongs to another, what they taught is gone. And
the file of the scenes is read by the world that writes it and by the teacher alone.
"""

from __future__ import annotations

import ast
import shutil
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import permuted_captions
import pytest

from conftest import ENVIRONMENT, PROJECT, copy_of, planned_jobs, run
from mini_world import SOURCES
from sharegpt4v import layout
from sharegpt4v.code_hash import PACKAGE, modules_of
from sharegpt4v.config import load
from sharegpt4v.config.mini import InstructionRows
from sharegpt4v.config.sources import Sources
from sharegpt4v.config.training import Recipe
from sharegpt4v.files import read_json, sha256_of, write_json
from sharegpt4v.images.stage import fetch_source
from sharegpt4v.mini.endpoint_answers import describe_by_hash
from sharegpt4v.mini.files_server import serve_folder
from sharegpt4v.mini.world import write_world
from sharegpt4v.pipeline.rerun import roots_of
from sharegpt4v.pipeline.stages import STAGES

IMAGES, HELD_OUT = 300, 80
RECIPE = Recipe(
    learning_rate=2e-3, vision_learning_rate=2e-3, projector_learning_rate=2e-3, batch_size=6, batch_of="rows",
    epochs=8, sequence_length=140, template="plain", image_aspect_ratio="square", precision="float32",
    gradient_clip=1.0, tune_vit_from_layer=0,
)  # fmt: skip
READ_SCENES = {"synthetic_world", "seed_captions"}


class World(NamedTuple):
    """A drawn world with the teacher's caption of each image of COCO, and the images that have no row."""

    data: Path
    said: dict[str, str]
    held_out: list[str]


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("described")
    images = {name: 12 for name in ("llava", "sam", "web-celebrity", "web-landmark", "wikiart", "share_textvqa")}
    images |= {name: 12 for name in ("gqa", "ocr_vqa", "textvqa", "vg")} | {"coco": IMAGES + HELD_OUT}
    rows = InstructionRows(conversations=1, detail=IMAGES, text_only=1)
    scenes = folder / "scenes.jsonl"
    write_world(folder / "world", scenes, SOURCES, images, rows, 0, 48, questions_per_benchmark=12)
    with serve_folder(folder / "world") as url:
        for name in ("coco", "llava-detail23k"):
            fetch_source(SOURCES[name], folder / "data", folder / "work", Sources(workers=1), url)
    teacher = describe_by_hash(scenes)
    paths = sorted(path.relative_to(folder / "data") for path in (folder / "data/coco").rglob("*.jpg"))
    said = {path.as_posix(): teacher((folder / "data" / path).read_bytes(), "") for path in paths}
    shown = {row["image"] for row in read_json(folder / "data" / layout.DETAIL_CAPTIONS.relative_to("data"))}
    return World(folder / "data", said, [path for path in said if path not in shown][:HELD_OUT])


def seed_captions(world: World) -> list[dict[str, object]]:
    shown = [path for path in world.said if path not in world.held_out]
    return [
        {"id": path, "image": path, "conversations": [{"from": "human", "value": "<image>\nWhat is it?"},
                                                      {"from": "gpt", "value": world.said[path]}]}
        for path in shown
    ]  # fmt: skip


def parts(folder: Path) -> tuple[Path, Path]:
    """A CLIP and a Llama that nothing was trained on, small, with the miniature's tokenizer."""
    import torch
    from transformers import AutoTokenizer, CLIPConfig, CLIPModel, LlamaConfig, LlamaForCausalLM

    from sharegpt4v.mini.base_stage import make_tokenizer

    make_tokenizer(folder / "llm", 600, 0)
    tokenizer = AutoTokenizer.from_pretrained(folder / "llm")
    torch.manual_seed(0)
    width: dict[str, Any] = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    words: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": 1,
        "pad_token_id": 0,
    }
    clip = CLIPConfig(vision_config=width | {"image_size": 48, "patch_size": 12}, text_config=width | words)
    CLIPModel(clip).save_pretrained(folder / "tower")
    LlamaForCausalLM(LlamaConfig(**width, **words, initializer_range=0.1, tie_word_embeddings=True)).save_pretrained(
        folder / "llm"
    )
    return folder / "tower", folder / "llm"


def nats_seen(model_folder: Path, world: World) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """What looking is worth: the loss of the true caption of each held-out image beside another image, less that beside
    its own, in nats. A model that has not come to see has 0 of it, whatever it knows of how captions go."""
    import torch

    from sharegpt4v.images.loading import open_rgb
    from sharegpt4v.models.building import load_llava
    from sharegpt4v.models.pixels import to_pixels, to_square

    model, processor = load_llava(model_folder)
    paths, tokenizer = world.held_out, processor.tokenizer
    pixels = to_pixels([to_square(open_rgb(world.data / path), 48, "square") for path in paths], 48, "square")
    start = [tokenizer.bos_token_id, *[tokenizer.convert_tokens_to_ids("<image>")] * 16]
    worth = []
    for place, path in enumerate(paths):
        caption = tokenizer(world.said[path], add_special_tokens=False).input_ids
        images = torch.stack([torch.as_tensor(pixels[one]) for one in (place, place - 1)])
        ids = torch.tensor([start + caption] * 2)
        with torch.no_grad():
            logits = model.eval()(input_ids=ids, pixel_values=images.float()).logits
        told = logits[:, len(start) - 1 : -1].log_softmax(-1).gather(2, ids[:, len(start) :, None])
        own, other = told.sum((1, 2)).tolist()
        worth.append(own - other)
    return np.array(worth)


def test_what_captions_teach_is_gone_when_they_belong_to_other_images(described: World, tmp_path: Path) -> None:
    """By the project's own world, teacher, substitution and training. With true captions a model comes to see: by at
    least 3 nats a caption. With permuted ones, and with those of the blind describer, it does not; a chance likeness of
    few hundred captions to their images is worth less than 0.6. (Measured: 6.9 ± 0.5, and twice 0.0 ± 0.04.)"""
    from sharegpt4v.corpora.substitution import substitute
    from sharegpt4v.training.stages import train_stage

    detail = described.data / layout.DETAIL_CAPTIONS.relative_to("data")
    true = seed_captions(described)
    corpora = {"blind": detail}
    for name, rows in (("true", true), ("permuted", permuted_captions.permuted(true, 0))):
        write_json(tmp_path / f"{name}.json", rows)
        corpora[name] = tmp_path / f"{name}-mix.json"
        taken = substitute(detail, detail, tmp_path / f"{name}.json", ["coco"], ["What is it?"], 0, corpora[name])
        assert taken.total()["rows_in"] == len(true) == IMAGES
    start = parts(tmp_path)
    seen = {}
    for name, rows_file in corpora.items():
        train_stage(start, rows_file, described.data, tmp_path / name, RECIPE, 0, tmp_path / "work", "finetuning")
        seen[name] = nats_seen(tmp_path / name, described)
    error = {name: float(values.std(ddof=1) / len(values) ** 0.5) for name, values in seen.items()}
    assert seen["true"].mean() > 3 and seen["true"].mean() > 8 * error["true"], (seen["true"].mean(), error)
    for name in ("permuted", "blind"):
        assert abs(seen[name].mean()) < 0.6 and error[name] < 0.2, (name, seen[name].mean(), error)


def test_every_caption_goes_to_another_image_of_its_source() -> None:
    sources = {"coco": 50, "sam": 7, "wikiart": 2, "web-celebrity": 1}
    rows: list[dict[str, Any]] = [
        {"image": f"{source}/{number}.jpg", "conversations": [{"from": "gpt", "value": f"{source} {number}"}]}
        for source, count in sources.items()
        for number in range(count)
    ]
    random = np.random.default_rng(0)
    mixed = [rows[place] for place in random.permutation(len(rows))]
    new = permuted_captions.permuted(mixed, 5)
    assert [row["image"] for row in new] == [row["image"] for row in mixed]
    said = [(row["image"], row["conversations"][0]["value"]) for row in new]
    assert sorted(text for _, text in said) == sorted(
        f"{one} {n}" for one, count in sources.items() for n in range(count)
    )
    for image, text in said:
        source, number = text.split()
        assert image.startswith(f"{source}/")
        assert (image == f"{source}/{number}.jpg") == (source == "web-celebrity")
    assert new == permuted_captions.permuted(mixed, 5) != permuted_captions.permuted(mixed, 6)


def test_permuted_captions_rerun_the_substituted_models_alone(
    smoke: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "permuted"
    permuted_captions.copy_permuted(smoke, folder, 0)
    command = [*permuted_captions.rerun_command(folder), "--dry-run", "--quiet", "rules"]
    ended = run(command)
    jobs = ("instruction_mix", "finetuning", "answers", "judgements", "scores", "substitution")
    assert planned_jobs(ended.stdout + ended.stderr) == dict.fromkeys(jobs, 1)  # of one pair, one model is substituted
    before, after = (read_json(one / layout.SEED_CAPTIONS) for one in (smoke, folder))
    assert len(before) == len(after) and before != after
    table = permuted_captions.compared(smoke / layout.SUBSTITUTION, folder / layout.SUBSTITUTION).splitlines()
    assert "permuted" in table[0] and all(line.split()[2:] for line in table[1:])
    assert permuted_captions.main(["--run", str(tmp_path / "none"), "--out", str(tmp_path / "new")]) == 1
    assert "expected a finished run of a pair" in capsys.readouterr().err and not (tmp_path / "new").exists()


@cache
def names_scenes(module: str) -> bool:
    """Whether the source of a module names the file of the scenes."""
    path = PACKAGE / module.replace(".", "/")
    file = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
    nodes = list(ast.walk(ast.parse(file.read_text("utf-8"))))
    named = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    named |= {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    texts = {str(node.value) for node in nodes if isinstance(node, ast.Constant)}
    return "SCENES" in named or any("scenes.jsonl" in text for text in texts)


def test_only_the_world_and_the_teacher_know_where_the_scenes_are() -> None:
    config = load(PROJECT / "config/config.yaml")
    found = {stage for stage in STAGES if any(map(names_scenes, modules_of(*roots_of(stage, config))))}
    assert found == READ_SCENES


def test_without_the_scenes_mix_model_and_answers_come_out_the_same(smoke: Path, tmp_path: Path) -> None:
    folder, model = copy_of(smoke, tmp_path / "run"), "llava-7b+sharegpt4v"
    shutil.rmtree(folder / "data/mini")
    files = [
        layout.corpus("llava-158k", "coco"),
        layout.weights(layout.finetuned(model)),
        layout.ANSWERS / model / "gqa.jsonl",
    ]
    before = [sha256_of(folder / file) for file in files]
    for file in files:
        shutil.rmtree((folder / file).parent) if file != files[0] else (folder / file).unlink()
    for stage, item in (("instruction_mix", "llava-158k+coco"), ("finetuning", model), ("answers", model)):
        command = ["s4v", "stage", stage, item, "--config", str(layout.RUN_CONFIG)]
        ended = run(command, folder, ENVIRONMENT | {"PYTHONPATH": str(PROJECT / "src")})
        assert ended.returncode == 0, ended.stderr[-2000:]
    assert [sha256_of(folder / file) for file in files] == before
