"""The examples of docs/extending work as they stand there."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from conftest import BIN, ENVIRONMENT, PROJECT, run
from sharegpt4v.captions.rows import read_instruction
from sharegpt4v.config import load
from sharegpt4v.generation.engine import plain
from sharegpt4v.images.manifest import read_manifest
from tiny_llava import build_llava, write_llava, write_pictures, write_tower_and_llm


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a copy of the code, which an example may add to."""
    for folder in ("src", "config"):
        shutil.copytree(PROJECT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def example(page: str, file: str, project: Path) -> list[str]:
    """Put the one Python example of a page into `file` of the package, and return the page's other blocks."""
    text = (PROJECT / "docs/extending" / page).read_text()
    (module,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(module.split('"""\n', 1)[1].replace("\n\n", "\n").splitlines()) <= 35
    (project / "src/sharegpt4v" / file).write_text(module)
    return re.findall(r"```text\n(.*?)```", text, re.DOTALL)


def s4v(command: str, project: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of a page in a project with its example."""
    environment = ENVIRONMENT | {"PYTHONPATH": str(project / "src")}
    return run([str(BIN / "s4v"), *command.split()[1:]], project, environment)


def test_a_benchmark_is_a_file_and_a_row(project: Path) -> None:
    row, command = example("benchmark.md", "evaluation/benchmarks/vsr.py", project)
    with open(project / "config/benchmarks.tsv", "a") as table:
        table.write(row)
    data = project / "data/eval/vsr"
    (data / "images").mkdir(parents=True)
    truths = ["yes", "no", "no", "yes"]
    asked = [{"question_id": n, "image": "1.jpg", "text": "Is there a dog?", "label": t} for n, t in enumerate(truths)]
    (data / "questions.jsonl").write_text("".join(f"{json.dumps(question)}\n" for question in asked))
    said = ["Yes, there is.", "No.", "Yes", "no"]
    answers = [{"question_id": number, "text": text} for number, text in enumerate(said)]
    (project / "answers.jsonl").write_text("".join(f"{json.dumps(answer)}\n" for answer in answers))

    ended = s4v(command, project)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "VSR 50.0 ± 25.0\n"
    (project / "answers.jsonl").write_text(json.dumps(answers[0]) + "\n")
    ended = s4v(command, project)
    assert ended.returncode == 1 and "3 missing (first: 1)" in ended.stderr


def test_an_engine_is_a_file(project: Path) -> None:
    (command,) = example("engine.md", "generation/plain.py", project)
    images = project / "photographs"
    images.mkdir()
    for path in write_pictures(project / "data", 3):
        shutil.copy(project / "data" / path, images)
    (project / "checkpoints").mkdir()
    write_llava(project, "square").rename(project / "checkpoints/captioner")

    written = {}
    for engine in ("plain", "local"):
        ended = s4v(command.replace("plain", engine), project)
        assert ended.returncode == 0, ended.stderr
        written[engine] = (project / "captions.jsonl").read_text()
    assert written["plain"] == written["local"] and written["plain"].count('"caption":') == 3
    ended = s4v(command.replace("plain", "plane"), project)
    assert (
        ended.returncode == 1
        and "engine 'plane' is not known; expected one of endpoint, local, plain, vllm" in ended.stderr
    )


def test_a_family_of_models_is_a_file(project: Path) -> None:
    import torch
    from transformers import VipLlavaConfig, VipLlavaForConditionalGeneration

    from sharegpt4v.images.loading import open_rgb
    from sharegpt4v.models.building import image_token_count
    from sharegpt4v.models.pixels import to_pixels
    from sharegpt4v.models.templates import SYSTEM, prompt_ids

    (command,) = example("model_family.md", "models/families/vipllava.py", project)
    llava, processor = build_llava(*write_tower_and_llm(project), seed=1)
    parts: dict[str, Any] = {
        "vision_config": llava.config.vision_config,
        "text_config": llava.config.text_config,
        "vision_feature_layers": [-2, -1],
    }
    image_id = llava.config.image_token_index
    config: Any = VipLlavaConfig(**parts, image_token_index=image_id)
    torch.manual_seed(3)
    model = VipLlavaForConditionalGeneration(config).eval()
    for parameter in model.model.multi_modal_projector.parameters():
        parameter.data *= 40  # so that what is written depends on the picture
    model.generation_config.suppress_tokens = []
    folder = project / "checkpoints/vip"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    pictures = [project / "photographs" / path for path in write_pictures(project / "photographs", 6)]

    ended = s4v(command, project)
    assert ended.returncode == 0, ended.stderr
    captions = [json.loads(line)["caption"] for line in (project / "captions.jsonl").read_text().splitlines()]
    instruction = read_instruction(PROJECT / load(PROJECT / "config/config.yaml").captioner.instruction)
    prompt = f"{SYSTEM}###Human: <image>\n{instruction}###Assistant:"
    ids = torch.tensor([prompt_ids(processor.tokenizer, prompt, image_token_count(config))])
    limit = load(PROJECT / "config/config.yaml").captions.max_new_tokens
    expected = []
    for picture in pictures:
        pixels = to_pixels([open_rgb(picture)], config.vision_config.image_size, "square")
        written = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=pixels, do_sample=False,
            max_new_tokens=limit, eos_token_id=processor.tokenizer.eos_token_id,
        )  # fmt: skip
        expected.append(plain(processor.decode(written[0, ids.shape[1] :], skip_special_tokens=True)))
    assert captions == expected and len(set(captions)) > 1
    config_file = folder / "config.json"
    config_file.write_text(config_file.read_text().replace('"vipllava"', '"vipllama"'))
    ended = s4v(command, project)
    assert ended.returncode == 1
    assert re.search(r"model_type 'vipllama' is not supported; expected one of llava, .*vipllava", ended.stderr)


def test_a_tracker_is_a_file(project: Path) -> None:
    example("tracker.md", "tracking/trackers/csv.py", project)
    (project / "metrics.jsonl").write_text('{"step": 10, "loss": 2.5}\n{"step": 20, "loss": 1.5}\n')
    code = (
        "from pathlib import Path; from sharegpt4v.tracking.tracker import Run, track\n"
        "runs = [Run('mini', 'pipeline', metrics={'MME': 900.5})]\n"
        "runs += [Run('align', 'alignment', 'mini', records=[Path('metrics.jsonl')])]\n"
        "for uri in ('csv:runs.csv', 'csv:runs.csv', 'csv:no/folder.csv'):\n"
        "    print(track(uri, 'mini', runs).complete)\n"
    )
    ended = run([sys.executable, "-c", code], project, ENVIRONMENT | {"PYTHONPATH": str(project / "src")})
    assert ended.stdout.split() == ["True", "True", "False"], ended.stderr
    assert (
        ended.stderr.startswith("tracking: not shown in a table: the store is broken") and ended.stderr.count("\n") == 1
    )
    rows = [line.split(",")[1:] for line in (project / "runs.csv").read_text().splitlines()]
    assert rows == [
        ["mini", "mini", "pipeline", "MME", "900.5", "0"],
        ["mini", "align", "alignment", "loss", "2.5", "10"],
        ["mini", "align", "alignment", "loss", "1.5", "20"],
    ]


def test_a_kind_of_source_is_a_file(project: Path) -> None:
    row, command = example("source_kind.md", "images/kinds/parquet.py", project)
    catalogue = project / "config/sources.tsv"
    with open(catalogue, "a") as table:
        table.write(row)
    use = ", ".join([*load(PROJECT / "config/paper-7b.yaml").sources.use, "flowers"])
    (project / "flowers.yaml").write_text(f"base: config/paper-7b.yaml\nname: flowers\nsources: {{use: [{use}]}}\n")
    images = []
    for number in range(2):
        buffer = io.BytesIO()
        Image.new("RGB", (8, 6), (number, 90, 200)).save(buffer, "PNG")
        images.append({"path": f"{number}.png", "bytes": buffer.getvalue()})
    pq.write_table(pa.table({"image": images}), project / "flowers-00000-of-00001.parquet")

    ended = s4v(command, project)
    assert ended.returncode == 0, ended.stderr
    rows = list(read_manifest(project / "data/manifests/flowers.parquet"))
    assert [(row["path"], row["status"]) for row in rows] == [(f"flowers/images/{n}.png", "ok") for n in range(2)]
    catalogue.write_text(catalogue.read_text().replace("parquet", "parkett", 1))
    ended = s4v(command, project)
    assert ended.returncode == 1 and "kind 'parkett'; expected one of coco-rows, drive, file" in ended.stderr
