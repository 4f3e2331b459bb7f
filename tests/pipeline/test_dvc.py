"""DVC: `dvc repro` makes and records a run, `s4v pull` brings it to a fresh clone where Snakemake has nothing to do.

The run is made in a clone of its own, so it also shows that a run is the same wherever it is made.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from PIL import Image

from conftest import ENVIRONMENT, PROJECT, planned_jobs, shared_folder
from sharegpt4v.evaluation.table import COLUMNS
from sharegpt4v.files import sha256_of
from sharegpt4v.images.findings import read_reasons
from sharegpt4v.images.manifest import read_manifest
from sharegpt4v.pipeline.dvc import dvc_yaml
from smoke_files import differing

pytestmark = pytest.mark.timeout(1800)  # the first of them makes the run, records and pulls it

CONFIG = Path("config/smoke.yaml")
NAMED = {f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
ELSEWHERE = {"TZ": "Pacific/Kiritimati", "LC_ALL": "C", "PYTHONHASHSEED": "11", "OMP_NUM_THREADS": "2"}


def attempt(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a clone, with the code of that clone."""
    path = os.pathsep.join([str(folder / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = ENVIRONMENT | NAMED | ELSEWHERE | {"PYTHONPATH": path}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def done(folder: Path, *command: str) -> str:
    """Run a command in a clone, which has to end well, and return what it printed."""
    ended = attempt(folder, *command)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    return ended.stdout + ended.stderr


class Clones(NamedTuple):
    """The clone that a run was recorded in, what `dvc repro` told there, and a fresh clone that it was pulled to."""

    recorded: Path
    told: str
    pulled: Path


@pytest.fixture(scope="session")
def clones(tmp_path_factory: pytest.TempPathFactory) -> Clones:
    """Make and record a run in one clone; push it; pull it in another."""
    shared = shared_folder(tmp_path_factory)
    recorded, pulled, told = shared / "recorded", shared / "pulled", shared / "repro.txt"
    with open(shared / "dvc.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not pulled.exists():
            working_copy(recorded)
            told.write_text(done(recorded, "dvc", "repro"))
            done(recorded, "git", "add", "--all")
            done(recorded, "git", "commit", "--quiet", "--message", "a run")
            done(recorded, "dvc", "remote", "add", "--default", "--local", "store", str(shared / "store"))
            done(recorded, "dvc", "push")
            unfinished = clone(recorded, shared / "pulling")
            done(unfinished, "s4v", "pull")
            unfinished.rename(pulled)
    return Clones(recorded, told.read_text(), pulled)


def working_copy(folder: Path) -> None:
    """Make a git checkout of the files of this project as they are now, with the stages of the smoke preset."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=PROJECT, capture_output=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (PROJECT / name).is_file() or (PROJECT / name).is_symlink():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, folder / name, follow_symlinks=False)
    (folder / "dvc.yaml").write_text(dvc_yaml(CONFIG, folder))
    done(folder, "git", "init", "--quiet")
    with_crawler(folder)


def clone(recorded: Path, folder: Path) -> Path:
    """Make a fresh clone with the same remote."""
    done(recorded, "git", "clone", "--quiet", str(recorded), str(folder))
    shutil.copy(recorded / ".dvc/config.local", folder / ".dvc")
    with_crawler(folder)
    return folder


def with_crawler(folder: Path) -> None:
    """Give a checkout the environment of img2dataset, as `make setup` does."""
    crawler = folder / ".venv-img2dataset"
    if not crawler.exists():
        crawler.symlink_to((PROJECT / ".venv-img2dataset").resolve())
    with open(folder / ".git/info/exclude", "a") as file:
        file.write(".venv*\n")


def planned(folder: Path, *arguments: str) -> set[str]:
    """The rules that Snakemake would carry out in a clone."""
    return set(
        planned_jobs(
            done(folder, "snakemake", *arguments, "--dry-run", "--quiet", "rules", "--configfile", str(CONFIG))
        )
    )


def test_dvc_repro_makes_the_table_once(clones: Clones) -> None:
    assert "localrule source:" in clones.told and "localrule table:" in clones.told
    assert (clones.recorded / "results/table.csv").stat().st_size > 0
    assert "Data and pipelines are up to date" in done(clones.recorded, "dvc", "repro")
    assert planned(clones.recorded) == set()


def test_a_run_is_the_same_in_another_clone(smoke: Path, clones: Clones) -> None:
    assert differing(smoke, clones.recorded) == []
    assert differing(clones.recorded, clones.pulled) == ["results/tracked.txt"]  # what MLflow shows is of one machine


def test_what_is_recorded(clones: Clones) -> None:
    stages = yaml.safe_load((clones.recorded / "dvc.lock").read_text())["stages"]
    outs = {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", ())}
    for path in (
        "data/manifests", "data/captions", "checkpoints/captioner", "checkpoints/pretrained", "checkpoints/llava-7b",
        "data/sharegpt4v/sharegpt4v_instruct_gpt4-vision_cap100k.json", "data/sharegpt4v/llava-158k+coco.json",
        "data/sharegpt4v/share-captioner_coco_lcs_sam_1246k_1107.json", "results/answers", "results/judged",
        "results/scores", "results/table.csv", "results/substitution.csv", "results/datasets.csv",
    ):  # fmt: skip
        assert outs[path]


def test_no_picture_is_in_the_cache(clones: Clones) -> None:
    files = [path for path in (clones.recorded / ".dvc/cache/files").rglob("*") if path.is_file()]
    assert len(files) > 100
    figures = (clones.recorded / "results/figures").rglob("*.png")  # which are no images of a source
    drawn = {hashlib.md5(path.read_bytes()).hexdigest() for path in figures}
    for path in files:
        if path.parent.name + path.name in drawn:
            continue
        with pytest.raises(OSError), Image.open(path):
            pass


def test_no_stage_deletes_finished_work_before_it_runs() -> None:
    stages = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
    outs = [options for stage in stages.values() for out in stage.get("outs", ()) for options in out.values()]
    assert len(outs) > 20 and all(options == {"persist": True} for options in outs)


def test_a_pulled_run_has_nothing_to_do(clones: Clones) -> None:
    assert planned(clones.pulled, "results/table.csv") == set()
    assert done(clones.pulled, "dvc", "status").strip() == "Data and pipelines are up to date."
    assert done(clones.pulled, "git", "status", "--porcelain") == ""
    table = "results/table.csv"
    assert (clones.pulled / table).read_bytes() == (clones.recorded / table).read_bytes()


def test_pulled_images_are_those_of_the_manifests(clones: Clones) -> None:
    rows = [row for name in ("coco", "web-landmark") for row in read_manifest(manifest(clones.pulled, name))]
    assert [row["path"] for row in rows if row["status"] == "missing"] == [
        "web-landmark/images/gone_landmark_00049.jpg"
    ]
    assert len(rows) == 91
    for row in (row for row in rows if row["status"] == "ok"):
        assert sha256_of(clones.pulled / "data" / row["path"]) == row["sha256"]
    one, other = (read_reasons(manifest(folder, "web-landmark")) for folder in (clones.recorded, clones.pulled))
    assert one != other and one.keys() == other.keys()  # the servers had different ports


def manifest(folder: Path, name: str) -> Path:
    return folder / f"data/manifests/{name}.parquet"


def test_after_a_pull_a_changed_key_makes_again_what_depends_on_it(clones: Clones) -> None:
    after = {"judgements", "scores", "substitution", "table", "cells", "metrics", "figures", "cards", "report"}
    assert planned(clones.pulled, "all_report", "--config", "judge={model: another}") == after
    assert planned(clones.pulled, "all_lmm", "--config", "pretraining={warmup_ratio: 0.5}") == {
        "pretraining",
        "finetuning",
    }


def test_a_changed_key_is_made_again_where_it_was_pulled(clones: Clones, tmp_path: Path) -> None:
    folder = shutil.copytree(clones.pulled, tmp_path / "pulled", symlinks=True)
    told = done(
        folder, "snakemake", "results/table.csv", "--configfile", str(CONFIG), "--config", "judge={mm_vet_runs: 2}"
    )
    assert {line.split()[1] for line in told.splitlines() if line.startswith("localrule")} == {
        "judgements:", "scores:", "table:",
    }  # fmt: skip


def test_what_was_recorded_with_another_config_is_not_passed_off_as_made(clones: Clones, tmp_path: Path) -> None:
    folder = clone(clones.recorded, tmp_path / "fresh")
    config = (folder / CONFIG).read_text().replace("finetuning:\n", "finetuning:\n  learning_rate: 1e-4\n")
    (folder / CONFIG).write_text(config)
    told = done(folder, "s4v", "pull", "--without-images")
    assert "lmm and what follows from it is left to Snakemake: finetuning changed since" in told
    assert not (folder / "checkpoints/sharegpt4v-7b").exists() and not (folder / "results/table.csv").exists()
    assert planned(folder, "data/captions/00000-of-00003.jsonl", "checkpoints/captioner/model.safetensors") == set()
    assert "finetuning" in planned(folder, "results/table.csv")


def test_scores_and_parameters_are_shown_by_name(clones: Clones, tmp_path: Path) -> None:
    folder = shutil.copytree(clones.pulled, tmp_path / "pulled", symlinks=True)
    shown: dict[str, Any] = json.loads(done(folder, "dvc", "metrics", "show", "--json"))
    scores = shown[""]["data"]["results/metrics/sharegpt4v-7b.json"]["data"]
    assert set(scores) == {*COLUMNS, "MMStar", "MMStar-text", "POPE"}
    path = folder / "results/metrics/sharegpt4v-7b.json"
    path.write_text(json.dumps(scores | {"GQA": scores["GQA"] + 1}))
    assert "GQA" in done(folder, "dvc", "metrics", "diff") and "MMBench" not in done(folder, "dvc", "metrics", "diff")
    config = (folder / CONFIG).read_text().replace("finetuning:\n  batch_size: 2\n", "finetuning:\n  batch_size: 3\n")
    (folder / CONFIG).write_text(config)
    line = next(line for line in done(folder, "dvc", "params", "diff").splitlines() if "finetuning" in line)
    assert line.split() == ["config/smoke.yaml", "finetuning.batch_size", "2", "3"]
    done(folder, "dvc", "plots", "show", "--out", str(tmp_path / "plots"))
    page = (tmp_path / "plots/index.html").read_text()
    assert "loss of captioner" in page and "results_figures_curves.svg" in page
    assert (tmp_path / "plots/static/workspace_results_figures_substitution.svg").stat().st_size > 0


def test_commands_of_the_readme_work(clones: Clones, tmp_path: Path) -> None:
    folder = shutil.copytree(clones.recorded, tmp_path / "recorded", symlinks=True)
    done(folder, "dvc", "remote", "remove", "--local", "store")
    done(folder, "git", "commit", "--quiet", "--allow-empty", "--message", "another")
    readme = re.findall(r"```bash\n(.*?)```", (PROJECT / "docs/runs.md").read_text(), re.DOTALL)
    commands = [line for block in readme for line in block.splitlines() if line.startswith(("dvc", "git"))]
    assert len(commands) > 6
    for command in commands:
        done(folder, "bash", "-c", f"export HOME='{tmp_path}' && {command}")
    assert any((tmp_path / "s4v-store").rglob("*"))


def test_dvc_yaml_that_does_not_fit_stops_dvc_repro(clones: Clones, tmp_path: Path) -> None:
    folder = clone(clones.recorded, tmp_path / "fresh")
    rules = folder / "workflow/rules/report.smk"
    rules.write_text(rules.read_text().replace("layout.DATASETS", '"results/data_sets.csv"'))
    config = folder / "src/sharegpt4v/pipeline/targets.py"
    config.write_text(config.read_text().replace('["datasets", "captions/seed"', '["data_sets", "captions/seed"'))
    ended = attempt(folder, "dvc", "repro", "check")
    assert ended.returncode != 0
    assert "dvc.yaml differs from the rules or the config; run: python -m sharegpt4v.pipeline.dvc" in ended.stderr
