"""Cards: valid for the Hub, with the hashes and numbers of the run, code that runs, and texts of others as texts."""

from __future__ import annotations

import csv
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import sklearn.datasets
from huggingface_hub import DatasetCard, ModelCard

from conftest import ENVIRONMENT, PROJECT, copy_of, run
from sharegpt4v import layout, lineage
from sharegpt4v.config import Config, load
from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.table import IMAGE_COLUMNS
from sharegpt4v.files import read_json, sidecar, write_json, write_jsonl, write_text
from sharegpt4v.llava_format.reading import read_array
from sharegpt4v.miniature import NOTICE
from sharegpt4v.provenance import hash_of
from sharegpt4v.report.cards.data import data_card
from sharegpt4v.report.cards.models import model_card
from sharegpt4v.report.cards.writing import put_cards

FLOWER = Path(sklearn.datasets.__file__).parent / "images/flower.jpg"
HUB_LICENCES = {"apache-2.0", "cc-by-4.0", "cc-by-nc-4.0", "llama2", "mit", "other"}  # of those that the Hub lists
HASHED = re.compile(r"^\| `([^`]+)` \|.*\| `([0-9a-f]{64})` \|$", re.MULTILINE)
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def config() -> Config:
    return load(PROJECT / "config/smoke.yaml")


def body_of(card: str) -> str:
    """The text after the metadata."""
    return card.split("---\n", 2)[2]


def test_every_checkpoint_and_every_set_has_a_card(smoke: Path, config: Config) -> None:
    for name, folder in lineage.checkpoints(config).items():
        card = (smoke / layout.model_card(name)).read_text()
        assert (smoke / folder / "README.md").read_text() == card
        assert body_of(card).startswith(f"{NOTICE}\n\n# {name}\n")
    for name in lineage.data_sets(config):
        assert body_of((smoke / layout.data_card(name)).read_text()).startswith(f"{NOTICE}\n\n# {name}\n")
    assert len(list((smoke / "results/cards").rglob("*.md"))) == 8 + 6


def test_the_metadata_are_what_the_hub_asks_for(smoke: Path, config: Config) -> None:
    for name in lineage.checkpoints(config):
        data: Any = ModelCard.load(smoke / layout.model_card(name)).data  # raises for results that are none
        assert data.license in HUB_LICENCES and data.language == "en" and data.library_name == "transformers"
        assert data.pipeline_tag in ("image-text-to-text", "text-generation", "zero-shot-image-classification")
        assert "miniature" in data.tags
    for name, path in lineage.data_sets(config).items():
        about: Any = DatasetCard.load(smoke / layout.data_card(name)).data
        assert about.license in HUB_LICENCES and about.size_categories == "n<1K" and about.tags
        assert (smoke / path).exists()


def test_the_results_are_the_rows_of_the_tables_with_their_errors(smoke: Path) -> None:
    row: dict[str, str] = {}
    for table in (layout.TABLE, layout.MORE_TABLE):
        with open(smoke / table, newline="") as file:
            row |= next(row for row in csv.DictReader(file) if row["model"] == "sharegpt4v-7b")
    with open(smoke / layout.CELLS, newline="") as file:
        errors = {cell["benchmark"]: cell["stderr"] for cell in csv.DictReader(file) if cell["model"] == row["model"]}
    text = (smoke / layout.model_card("sharegpt4v-7b")).read_text()
    metadata: Any = ModelCard(text).data
    found = {one.metric_name: one for one in metadata.eval_results}
    not_scored = ("model", *IMAGE_COLUMNS)  # gain and leakage are differences of scores
    columns = {name: value for name, value in row.items() if name not in not_scored and value}
    assert columns.keys() == found.keys() and len(found) == 16
    for column, value in columns.items():
        error = f" ± {float(errors[column]):.1f}" if errors[column] else ""
        assert f"\n| {column} | {value}{error}" in text
        assert f"{found[column].metric_value:.1f}" == value and "miniature" in found[column].dataset_name


def test_the_hashes_are_those_of_the_files(smoke: Path, config: Config) -> None:
    cards = [layout.model_card(name) for name in lineage.checkpoints(config)]
    found = {
        (path, digest)
        for card in [*cards, *(layout.data_card(name) for name in lineage.data_sets(config))]
        for path, digest in HASHED.findall((smoke / card).read_text())
    }
    assert len(found) >= 10
    for path, digest in found:
        assert hash_of(smoke / path) == digest, path
    for name, folder in lineage.checkpoints(config).items():  # its own, without the card that is in it
        assert (
            f"| SHA-256 of its files | `{hash_of(smoke / folder)}` |" in (smoke / layout.model_card(name)).read_text()
        )


def test_the_code_of_the_cards_runs(smoke: Path, tmp_path: Path) -> None:
    for name in ("checkpoints", "data"):
        (tmp_path / name).symlink_to(smoke / name)
    shutil.copy(FLOWER, tmp_path / "photograph.jpg")
    cards = ["models/captioner", "models/vision-tower", "models/llm-7b", "data/captions", "data/llava-158k+coco"]
    blocks = [code for card in cards for code in PYTHON.findall((smoke / f"results/cards/{card}.md").read_text())]
    assert len(blocks) == 6
    environment = ENVIRONMENT | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home"), "PYTHONWARNINGS": "ignore"}
    script = "\nprint('-' * 9)\n".join(blocks)
    ended = run([sys.executable, "-c", script], tmp_path, environment)
    assert ended.returncode == 0, ended.stderr[-3000:]
    by_transformers, here, _, _, caption, row = ended.stdout.split("-" * 9)
    assert here.strip() and here.strip().startswith(by_transformers.strip())  # the card's code writes at most 64 tokens
    assert "'status'" in caption and "'conversations'" in row


def test_a_card_is_put_back_and_is_no_part_of_the_checkpoint(
    smoke: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: Config
) -> None:
    for name in ("results/cards", "checkpoints/captioner"):
        copy_of(smoke / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    readme, before = layout.CAPTIONER / "README.md", hash_of(layout.CAPTIONER)
    text = readme.read_text()
    readme.unlink()
    put_cards(config)
    assert readme.read_text() == text and hash_of(layout.CAPTIONER) == before
    assert sorted(path.name for path in Path("checkpoints").iterdir()) == ["captioner"]  # no folder for the others


def test_a_folder_that_cannot_be_written_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    card, readme = layout.model_card("captioner"), layout.CAPTIONER / "README.md"
    (readme / "in the way").mkdir(parents=True)
    write_text(card, "a card")
    put_cards(config)
    told = capsys.readouterr().err
    assert told.startswith(f"{readme}: cannot be written") and told.endswith(f"; the card is in {card}\n")


HOSTILE = "<script>alert(1)</script> [x](https://evil.example) | `a`\n# Heading"
ESCAPED = r"&lt;script&gt;alert(1)&lt;/script&gt; \[x\](https://evil.example) \| \`a\`\n# Heading"


def test_texts_of_others_stay_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: Config) -> None:
    monkeypatch.chdir(tmp_path)
    seed = layout.SEED_CAPTIONS
    write_json(seed, [])
    reply = {"model": HOSTILE, "answered_by": HOSTILE, "prompt_hash": "1`|<b>2"}
    write_jsonl(sidecar(seed, "provenance.jsonl"), [reply])
    write_json(sidecar(seed, "prompts.json"), {"1`|<b>2": HOSTILE})
    write_jsonl(sidecar(seed, "rejected.jsonl"), [{"image": "x", "source": HOSTILE, "reason": HOSTILE, "text": "t"}])
    write_json(layout.CAPTIONER / "provenance.json", {"rows": {"read": 1, "cut": 0, "left_out": {HOSTILE: 2}}})
    for card in (data_card(config, "seed"), model_card(config, "captioner")):
        lines = [line for line in body_of(card).splitlines() if "alert(1)" in line]
        assert lines and "# Heading" not in card.splitlines()
        for line in lines:
            assert ESCAPED in line.replace("` # H", "`\\n# H")  # a prompt is shown on one line
            assert "<script" not in line and "<b>" not in line.replace("`1'¦<b>2`", "")
            assert len(re.split(r"(?<!\\)\|", line)) in (4, 5)  # two or three cells


def test_what_has_no_record_is_said_to_have_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paper = load(PROJECT / "config/paper-7b.yaml")
    card = model_card(paper, "sharegpt4v-7b")
    assert "| Parameters | no record |" in card and "No scores are on record." in card
    metadata: Any = ModelCard(card).data
    assert metadata.base_model[:2] == ["openai/clip-vit-large-patch14-336", "lmsys/vicuna-7b-v1.5"]
    assert metadata.license == "other" and "liuhaotian/LLaVA-Instruct-150K" in metadata.datasets
    assert metadata.eval_results is None and NOTICE not in card and "miniature" not in metadata.tags
    assert "**OpenAI's terms**" in card and "Meta's own for SA-1B, research only" in card
    assert "## Statistics\n\nno record\n" in data_card(paper, "seed")


def test_a_published_model_says_where_it_is_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    released = load(PROJECT / "config/released.yaml")
    files = {"config.json": "a" * 64}
    taken = {"Lin-Chen/ShareGPT4V-7B": {"revision": "c2cf644", "files": files}, "/home/me/tower": {"files": files}}
    folder = lineage.checkpoints(released)["sharegpt4v-7b"]
    write_json(folder / "provenance.json", {"stage": "import", "checkpoints": taken})
    card = model_card(released, "sharegpt4v-7b")
    assert "nothing of it was trained here" in card and "/home/me" not in card
    assert "[Lin-Chen/ShareGPT4V-7B](https://huggingface.co/Lin-Chen/ShareGPT4V-7B)" in card
    assert f"| `Lin-Chen/ShareGPT4V-7B: config.json` | commit c2cf644 | `{'a' * 64}` |" in card
    metadata: Any = ModelCard(card).data
    assert metadata.base_model == ["Lin-Chen/ShareGPT4V-7B"]


def test_an_unknown_name_is_refused(config: Config) -> None:
    with pytest.raises(UserError, match="model 'x': no checkpoint of this run; expected one of vision tower, llm 7b"):
        model_card(config, "x")
    with pytest.raises(UserError, match="data set 'x': no set of this run; expected one of seed, captions"):
        data_card(config, "x")


def test_the_counts_of_a_set_are_those_of_its_files(smoke: Path) -> None:
    text = (smoke / layout.data_card("seed")).read_text()
    rows = sum(1 for _ in read_array(smoke / layout.SEED_CAPTIONS))
    assert f"\n| Rows | {rows} |\n" in text
    for prompt in read_json(sidecar(smoke / layout.SEED_CAPTIONS, "prompts.json")):
        assert f"| `{prompt}` |" in text
    with open(smoke / layout.caption_statistics("seed"), newline="") as file:
        words = [row["average_words"] for row in csv.DictReader(file)]
    assert f"\n| average words | {' | '.join(words)} |\n" in text
