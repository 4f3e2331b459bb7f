"""What a change makes again: for each kind of change, exactly the rules that Snakemake would run, and why.

The changes are made to a copy of the project or of a finished run; nothing but the plan is computed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import sklearn.datasets

from conftest import BIN, ENVIRONMENT, PROJECT, copy_of, planned_jobs, run, snakemake
from sharegpt4v.catalogues.sources import KINDS
from sharegpt4v.code_hash import code_of, meaning_of, modules_of
from sharegpt4v.config import load
from sharegpt4v.files import read_jsonl
from sharegpt4v.pipeline.rerun import code_of_stage, roots_of, stage_params
from sharegpt4v.pipeline.stages import STAGES
from sharegpt4v.pipeline.targets import evaluation_manifests
from sharegpt4v.provenance import hash_of

Rules = set[str]

SHOWN: Rules = {"table", "report", "tracking"}
SCORED = {"scores", "cards", "cells", "metrics", "figures", *SHOWN}
ANSWERED = {"answers", "judgements", "submissions", *SCORED}
PAIR = {"substitution"}  # of models without pre-training
FINETUNED = {"finetuning", *ANSWERED}
CAPTIONED = {"captions", "pretraining_corpus", "mixture", "datasets", "pretraining", *FINETUNED}
MIXED = {"instruction_mix", "mixture", *PAIR, *FINETUNED}
ALIGNED = {"alignment", "text_baseline", "captioner", *CAPTIONED, *PAIR}
FETCHED = {"source", "seed_captions", "vision_tower", *ALIGNED, *MIXED}
ALL = {"synthetic_world", "tokenizer", "language_model", *FETCHED}


def planned(folder: Path, *config: str, project: Path = PROJECT) -> Rules:
    """The rules that a run would carry out, without the targets `all`, `all_sources` and so on."""
    return set(plan(folder, *config, project=project))


def plan(folder: Path, *config: str, project: Path = PROJECT) -> dict[str, int]:
    """How many jobs of each rule a run would carry out."""
    return planned_jobs(dry_run(folder, *config, "--quiet", "rules", project=project))


def dry_run(folder: Path, *arguments: str, project: Path = PROJECT) -> str:
    """What Snakemake says it would do; of the arguments, those with an equals sign are overrides of the config."""
    overrides = [argument for argument in arguments if "=" in argument]
    options = [argument for argument in arguments if "=" not in argument]
    environment = ENVIRONMENT | {"PYTHONPATH": str(project / "src")}
    ended = run(snakemake(folder, "--dry-run", *options, config=overrides), project, environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout + ended.stderr


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project, to be changed."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("src", "config", "workflow", "profiles"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "Snakefile", folder)
    return folder


# Keys of the config

KEYS = [
    ("seed=9", ALL),
    ("mini={questions_per_benchmark: 13}", ALL - {"tokenizer", "language_model"}),
    ("sources={largest_bad_fraction: 0.5}", FETCHED),
    ("sources={workers: 1}", set()),
    ("teacher={temperature: 0.3}", {"seed_captions", "captioner", *CAPTIONED, *MIXED}),
    ("teacher={mode: batch, concurrency: 3, tokens_per_minute: 9, timeout_seconds: 9}", set()),
    ("base_models={vision_tower: {training: {steps: 9}}}", {"vision_tower", *ALIGNED}),
    ("base_models={projector_type: linear}", ALIGNED),
    ("base_models={tokenizer: {vocabulary: 401}}", {"tokenizer", "language_model", "vision_tower", *ALIGNED}),
    ("base_models={llm: {13b: {layers: 1}}}", set()),  # no model of the smoke preset has this size
    ("base_models={llm_training: {rows: 2001}}", {"language_model", *ALIGNED}),
    ("alignment={learning_rate: 1e-3}", ALIGNED),
    ("captioner={recipe: {epochs: 7}}", {"captioner", *CAPTIONED}),
    ("captions={max_new_tokens: 25}", CAPTIONED),
    ("captions={batch_size: 3}", set()),
    ("corpora={substitution_sources: [sam]}", MIXED),
    ("pretraining={warmup_ratio: 0.5}", {"pretraining", *FINETUNED}),
    ("finetuning={learning_rate: 1e-4}", {*FINETUNED, *PAIR}),
    ("finetuning={checkpoint_minutes: 3}", set()),
    ("compute={nodes: 2, wait_minutes: 3}", set()),
    ("benchmarks={batch_size: 3}", set()),
    ("judge={model: another}", {"judgements", *SCORED, *PAIR}),
    ("judge={concurrency: 3, timeout_seconds: 9}", set()),
    ("tracking={experiment: another}", {"tracking"}),
]


@pytest.mark.parametrize(("change", "expected"), KEYS)
def test_a_key_on_the_command_line(smoke: Path, change: str, expected: Rules) -> None:
    assert planned(smoke, change) == expected


def test_the_same_key_in_the_file(smoke: Path, project: Path) -> None:
    edit("config/smoke.yaml", "finetuning:\n", "finetuning:\n  learning_rate: 1e-4\n")(project)
    assert plan(smoke, project=project) == plan(smoke, "finetuning={learning_rate: 1e-4}")


def test_another_model_makes_what_it_needs_and_the_table(smoke: Path, project: Path) -> None:
    more = (
        "  - {name: sharegpt4v-13b, size: 13b, pretraining: none, mix: llava-158k, substitution: coco, paper: null}\n"
    )
    edit("config/smoke.yaml", "\n# One pair", f"\n# One pair more\n{'# One pair'}")(project)
    edit("config/smoke.yaml", "paper: ShareGPT4V-7B}\n", f"paper: ShareGPT4V-7B}}\n{more}")(project)
    assert plan(smoke, project=project) == {
        "language_model": 1, "alignment": 1, "finetuning": 1, "answers": 1, "judgements": 1, "scores": 1,
        "text_baseline": 1, "submissions": 1, "metrics": 1, "figures": 1, "table": 1, "cards": 1, "report": 1,
        "tracking": 1, "cells": 1,
    }  # fmt: skip


# Files of the project


def edit(path: str, old: str, new: str) -> Callable[[Path], None]:
    """Replace a text in a file below a folder."""

    def change(folder: Path) -> None:
        text = (folder / path).read_text()
        assert old in text
        (folder / path).write_text(text.replace(old, new, 1))

    return change


def append(path: str, text: str) -> Callable[[Path], None]:
    """Append a text to a file below a folder."""

    def change(folder: Path) -> None:
        with open(folder / path, "a") as file:
            file.write(text)

    return change


FILES = [
    ("nothing", append("config/prompts/README", ""), set()),
    ("a prompt of the teacher", append("config/prompts/teacher/base.txt", "\nBe brief.\n"),
     {"seed_captions", "captioner", *CAPTIONED, *MIXED}),
    ("the captioner's instruction", append("config/prompts/captioner.txt", " Now.\n"), {"captioner", *CAPTIONED}),
    ("the questions for details", append("config/prompts/detail_questions.txt", "What is it?\n"), MIXED),
    ("the paper's numbers", append("config/paper/results.csv", "New,GQA,1.0,zoo\n"), SHOWN),
    ("the paper's data sets", append("config/paper/datasets.csv", "New,COCO,yes,us,1,2\n"),
     {"datasets", "figures", "cards", "report", "tracking"}),
    ("a row of the catalogue of sources", edit("config/sources.mini.tsv", "\n", "\n"), set()),
    ("code of the training loop", append("src/sharegpt4v/training/packing.py", "\nCHANGED = True\n"),
     ALL - {"synthetic_world", "source", "seed_captions", "instruction_mix"}),
    ("code of the client", append("src/sharegpt4v/endpoint/client.py", "\nCHANGED = True\n"),
     {"seed_captions", "captioner", *CAPTIONED, *MIXED}),
    ("code of one benchmark", append("src/sharegpt4v/evaluation/benchmarks/gqa.py", "\nCHANGED = True\n"),
     {*ANSWERED, *PAIR}),
    ("code of the table", append("src/sharegpt4v/evaluation/table_page.py", "\nCHANGED = True\n"), SHOWN),
    ("a comment and a text", append("src/sharegpt4v/training/packing.py", '\n# Changed.\n"""And told."""\n'), set()),
    ("code that decides nothing", append("src/sharegpt4v/progress.py", "\nCHANGED = True\n"), set()),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), [row[1:] for row in FILES], ids=[row[0] for row in FILES])
def test_a_file_of_the_project(smoke: Path, project: Path, change: Callable[[Path], None], expected: Rules) -> None:
    change(project)
    assert planned(smoke, project=project) == expected


# Files of a run


def touch(path: str) -> Callable[[Path], None]:
    """Give a file a new date and leave it equal."""

    def change(folder: Path) -> None:
        (folder / path).touch()

    return change


def remove(path: str) -> Callable[[Path], None]:
    """Take a file away."""

    def change(folder: Path) -> None:
        (folder / path).unlink()

    return change


MIX = "data/sharegpt4v/llava-158k+coco.json"
TABLES = {"metrics": 1, "table": 1, "substitution": 1, "figures": 2, "cards": 1, "report": 1, "tracking": 1, "cells": 1}
ONE_MODEL = {"finetuning": 1, "answers": 1, "judgements": 1, "scores": 1, "submissions": 1}
OUTPUTS = [
    ("a row of a mixture", edit(MIX, "image", "picture"), ONE_MODEL | TABLES | {"mixture": 1}),
    ("a mixture touched but equal", touch(MIX), {}),
    ("a manifest touched but equal", touch("data/manifests/coco.parquet"), {}),
    ("a shard lost that nothing needs any more", remove("data/captions/00001-of-00003.jsonl"), {}),
    ("an answer file of another content", append("results/answers/llava-7b/gqa.jsonl", "\n"),
     {"scores": 1, "submissions": 1} | TABLES),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), [row[1:] for row in OUTPUTS], ids=[row[0] for row in OUTPUTS])
def test_a_file_of_a_run(smoke: Path, tmp_path: Path, change: Callable[[Path], None], expected: dict[str, int]) -> None:
    folder = copy_of(smoke, tmp_path / "run")
    change(folder)
    assert plan(folder) == expected


# Images and official files of the user's own


def test_a_folder_of_ones_own_reruns_only_what_uses_it(smoke: Path, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    shutil.copy(Path(sklearn.datasets.__file__).parent / "images/flower.jpg", tmp_path / "own")
    joined = f"sources={{folder_sources: {{own: {tmp_path / 'own'}}}}}"
    captioned = plan(smoke, joined, "captions={sources: [llava, coco, sam, own]}")
    assert captioned["source"] == 1 and {"captions", "pretraining_corpus", "pretraining"} <= captioned.keys()
    assert captioned["finetuning"] == captioned["answers"] == 1  # the model with caption pre-training, of three
    assert plan(smoke, joined).keys() <= {"source"}  # nothing uses it


@pytest.mark.parametrize("stage", ["answers", "scores"])
def test_a_benchmarks_file_that_the_user_puts_in_place(tmp_path: Path, stage: str) -> None:
    (tmp_path / "gqa/images").mkdir(parents=True)
    reported = {"root": str(tmp_path), "names": ["gqa"], "missing": "report"}
    config = load(PROJECT / "config/smoke.yaml", {"benchmarks": reported})

    def settings() -> object:
        return stage_params(config, stage)["settings"]({})

    before = settings()
    (tmp_path / "gqa/images/1.jpg").write_bytes(b"an image is not looked at")
    assert settings() == before
    (tmp_path / "gqa/llava_gqa_testdev_balanced.jsonl").write_text("{}\n")
    assert settings() != before


def test_an_official_file_that_the_user_puts_in_place_instead_of_a_download(tmp_path: Path) -> None:
    questions, photograph = tmp_path / "gqa/llava_gqa_testdev_balanced.jsonl", tmp_path / "gqa/images/1.jpg"
    photograph.parent.mkdir(parents=True)
    config = load(PROJECT / "config/smoke.yaml", {"benchmarks": {"root": str(tmp_path), "names": ["gqa"]}})
    assert "data/manifests/eval-zip.parquet" in evaluation_manifests(config)  # an input of answers and scores

    def settings() -> object:
        return stage_params(config, "source")["settings"]({"source": "eval-zip"})

    seen = [settings()]
    for text in ("{}\n", "{}\n{}\n"):  # there, so that nothing is downloaded; then another one
        questions.write_text(text)
        seen.append(settings())
        photograph.write_text(text)
        assert settings() == seen[-1]
    assert len({str(one) for one in seen}) == 3


@pytest.mark.parametrize(("stage", "section"), [("captions", "captions"), ("seed_captions", "teacher")])
def test_what_people_say_of_captions_reruns_the_stage_of_their_gate(tmp_path: Path, stage: str, section: str) -> None:
    path = tmp_path / "reviewed.jsonl"
    config = load(PROJECT / "config/smoke.yaml", {section: {"quality": {"reviewed": str(path)}}})

    def settings() -> list[object]:
        return [stage_params(config, name)["settings"]({}) for name in ("captioner", stage)]

    with pytest.raises(SystemExit, match=r"reviewed\.jsonl: no such file or folder; the config names it"):
        settings()
    path.write_text("")
    before = settings()
    assert settings() == before
    path.write_text("{}\n")
    assert settings()[0] == before[0] and settings()[1] != before[1]


# Why


def test_snakemake_says_why_in_words(smoke: Path) -> None:
    said = dry_run(smoke, "finetuning={learning_rate: 1e-4}")
    assert "reason: Params have changed since last execution" in said
    assert "reason: Input files updated by another job: " in said


def test_the_code_of_a_stage_is_what_its_module_imports() -> None:
    assert {"endpoint.client", "corpora.quality", "stages.seed_captions"} <= modules_of("stages.seed_captions")
    assert not modules_of("stages.seed_captions") & {
        "training.run",
        "models.building",
        "evaluation.benchmarks.mme",
        "config.loading",
    }
    assert {"training.run", "training.packing"} <= modules_of("stages.finetuning")
    # What no import names: the files of the registries that are folders.
    config = load(PROJECT / "config/config.yaml")
    for stage, modules in {
        "source": {f"images.kinds.{kind.replace('-', '_')}" for kind in KINDS},
        "finetuning": {"models.families.llava", "models.building", "models.llava_rows"},
        "answers": {"generation.local", "models.families.llava", "evaluation.benchmarks.mme"},
        "captions": {"generation.local", "models.families.llava"},
    }.items():
        assert modules <= modules_of(*roots_of(stage, config)), stage
    assert not modules_of("stages.scores", "evaluation.benchmarks.mme") & {"generation.local", "training.run"}
    assert code_of("stages.seed_captions") != code_of("stages.finetuning")


def test_the_meaning_of_code_is_without_comments_docstrings_formatting_and_types_of_variables() -> None:
    said = '''
class Row:
    """A row."""
    image: str  # its path
    def words(self, more: int = 1) -> list[str]:
        """Return its words."""
        found: list[str] = self.image.split()
        return found * more
'''
    equal = """
class Row:
    image: str

    def words(self, more=1):
        found = (
            self.image.split()
        )
        return found * more
"""
    assert meaning_of(said) == meaning_of(equal)
    assert meaning_of(said) != meaning_of(said.replace("more: int = 1", "more: int = 2"))
    assert meaning_of(said) != meaning_of(said.replace("image: str", "image: Path"))  # pydantic reads it


def test_every_stage_names_texts_and_modules_that_exist() -> None:
    config = load(PROJECT / "config/config.yaml")
    for name in STAGES:
        assert code_of_stage(name, config)


# A change that a person judges harmless


def test_what_is_accepted_is_not_made_again_and_tells_why(smoke: Path, project: Path, tmp_path: Path) -> None:
    folder = copy_of(smoke, tmp_path / "run")
    append("src/sharegpt4v/training/engine.py", "\nHARMLESS = True\n")(project)
    changed = planned(folder, project=project)
    assert {"alignment", "captioner", "pretraining", "finetuning"} <= changed
    provenance = folder / "checkpoints/llava-7b/finetuned/provenance.json"
    before = hash_of(folder / "results"), json.loads(provenance.read_text())
    environment = ENVIRONMENT | {"PYTHONPATH": str(project / "src")}
    stages = sorted(changed)
    ended = run([str(BIN / "s4v"), "accept", *stages, "--because", "a constant nobody reads"], folder, environment)
    assert ended.returncode == 0, ended.stderr
    assert "finetuning: 3 outputs count as made by this code" in ended.stdout
    assert planned(folder, project=project) == set()
    about = json.loads(provenance.read_text())
    (accepted,) = about.pop("accepted")
    assert accepted["because"] == "a constant nobody reads" and accepted["code"] != accepted["instead_of"]
    assert (hash_of(folder / "results"), about) == before
    assert planned(folder, "finetuning={learning_rate: 1e-4}", project=project) == {*FINETUNED, *PAIR}

    for arguments, told in ((["finetune", "--because", "x"], "stage 'finetune': expected one of"),
                            (["finetuning", "--because", " "], "--because: empty")):  # fmt: skip
        ended = run([str(BIN / "s4v"), "accept", *arguments], folder, environment)
        assert ended.returncode == 1 and told in ended.stderr and ended.stderr.count("\n") == 1


# Failures


def test_a_failed_shard_stops_no_other_is_told_in_short_and_is_made_again_alone(smoke: Path, tmp_path: Path) -> None:
    folder = copy_of(smoke, tmp_path / "run")
    names = [f"data/captions/0000{number}-of-00003.jsonl" for number in range(3)]
    images = [row["image"] for row in read_jsonl(folder / names[1])]
    kept = {image: (folder / "data" / image).read_bytes() for image in images}
    for image in images:
        (folder / "data" / image).write_bytes(b"no image")
    for name in names:
        (folder / name).unlink()

    command = snakemake(folder, *names, "--keep-going", config=["captions={quality: {largest_rejected_fraction: 0.5}}"])
    ended = run(command)
    assert ended.returncode == 1
    assert [(folder / name).exists() for name in names] == [True, False, True]
    told = ended.stderr.partition("\nfailed: captions/00001-of-00003\n")[2]
    assert "    captions 00001-of-00003: 40 of 40 images have no usable caption" in told
    assert f"    all of it: {folder}/logs/captions/00001-of-00003.log" in told
    assert len(told.splitlines()) <= 11  # with Snakemake's own last words

    for image, content in kept.items():
        (folder / "data" / image).write_bytes(content)
    again = run(command)
    assert again.returncode == 0, again.stderr
    assert "captions        1\n" in again.stderr and (folder / names[1]).exists()


def test_keep_going_makes_every_score_that_can_be_made(smoke: Path, tmp_path: Path) -> None:
    folder = copy_of(smoke, tmp_path / "run")
    shutil.rmtree(folder / "checkpoints/llava-7b")
    shutil.rmtree(folder / "results")
    rows = folder / "data/sharegpt4v/llava_instruct_158k.json"
    rows.write_bytes(rows.read_bytes()[:1000])
    ended = run(snakemake(folder, "--keep-going"))
    assert ended.returncode == 1
    assert "\nfailed: finetuning/llava-7b\n" in ended.stderr and "llava_instruct_158k.json" in ended.stderr
    scored = {path.name for path in (folder / "results/scores").iterdir()}
    assert scored == {"base", "llava-7b+sharegpt4v", "sharegpt4v-7b"}
    assert not (folder / "checkpoints/llava-7b/finetuned").exists()
