"""The Snakefile on the smoke preset: every rule once, nothing twice, and only what a change touches."""

from __future__ import annotations

import csv
import fcntl
import json
import shutil
from pathlib import Path

import pytest
import sklearn.datasets

from conftest import BIN, copy_of, run, snakemake
from sharegpt4v.evaluation.table import COLUMNS
from sharegpt4v.images.findings import read_reasons
from sharegpt4v.images.manifest import read_manifest
from sharegpt4v.miniature import NOTICE, of_miniature
from sharegpt4v.pipeline.stages import STAGES
from sharegpt4v.report.results_page import FILES
from smoke_files import GOLDEN, HEAD, NOT_RUN, anywhere

S4V = str(BIN / "s4v")
PHOTOGRAPHS = Path(sklearn.datasets.__file__).parent / "images"


def test_a_run_ends_with_a_table_of_every_model_and_benchmark(smoke: Path) -> None:
    with open(smoke / "results/table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row.pop("model") for row in rows] == ["llava-7b", "llava-7b+sharegpt4v", "sharegpt4v-7b"]
    for row in rows:
        assert {column for column, value in row.items() if value} == set(COLUMNS)
    for name in (
        "table.md",
        "substitution.csv",
        "datasets.csv",
        "curves.csv",
        "report.html",
        "tables/table.html",
        "figures/substitution.svg",
        "figures/datasets.svg",
        "figures/captions/pretraining.svg",
        "figures/curves.png",
    ):
        assert (smoke / "results" / name).stat().st_size > 0
    assert (smoke / "results/tracked.txt").read_text() == "shown in MLflow\n"
    with open(smoke / "results/datasets.csv", newline="") as file:
        samples = {row["name"]: int(row["samples"]) for row in csv.DictReader(file)}
    with open(smoke / "results/captions/seed.csv", newline="") as file:
        captions = {row["source"]: int(row["captions"]) for row in csv.DictReader(file)}
    assert {"coco", "llava", "sam", "wikiart"} < set(captions) and captions["all"] == samples["ShareGPT4V"]
    assert samples["BLIP-LCS"] == 40 and 60 <= samples["ShareGPT4V"] <= 64 and samples["ShareGPT4V-PT"] > 0


def test_what_no_training_touches_is_the_same_on_any_machine(smoke: Path) -> None:
    expected = GOLDEN.read_text().splitlines()
    found = [*HEAD.splitlines(), *anywhere(smoke)]
    changed = [line.split()[-1] for line in set(found) ^ set(expected)]
    assert found == expected, f"after a change of the preset, tests/smoke_files.py writes it anew: {sorted(changed)}"


def test_what_the_miniature_shows_says_so_first_and_has_no_number_of_the_paper(smoke: Path) -> None:
    results = smoke / "results"
    for page in ("README.md", "table.md", "substitution.md"):
        lines = (results / page).read_text().splitlines()
        assert lines[:2] == [NOTICE, ""] and "in the paper" not in "".join(lines), page
    for page in ("table.md", "substitution.md", "report.html", "tables/table.html", "tables/substitution.html"):
        assert "Direction expected by the paper’s claim, in every column: " in (results / page).read_text(), page
    for page in ("substitution.md", "tables/substitution.html", "figures/substitution.svg"):
        assert "as expected" in (results / page).read_text(), page
    assert "paper samples" not in (results / "tables/datasets.html").read_text()
    for figure in (results / "figures").rglob("*.svg"):
        assert f"<title>{NOTICE} " in figure.read_text(), figure
    for table in ("substitution.csv", "datasets.csv"):
        with open(results / table, newline="") as file:
            rows = list(csv.DictReader(file))
        assert not any(value for row in rows for name, value in row.items() if name.startswith("paper_")), table
    assert all(of_miniature(path.parent) for path in smoke.glob("checkpoints/**/model.safetensors"))
    told = {name.strip("/") for name in FILES} | {"README.md"}
    assert {path.name for path in results.iterdir()} <= told | {"report.html"}


def test_answers_carry_the_name_of_their_model(smoke: Path) -> None:
    lines = (smoke / "results/answers/llava-7b+sharegpt4v/mme.jsonl").read_text().splitlines()
    assert {json.loads(line)["model_id"] for line in lines} == {"llava-7b+sharegpt4v"}


def test_every_job_is_timed_and_none_needs_three_gigabytes(smoke: Path) -> None:
    ended = run([S4V, "timings", "--out", "timings.csv"], smoke)
    assert ended.returncode == 0
    with open(smoke / "timings.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["stage"] for row in rows} == set(STAGES) - NOT_RUN
    assert max(float(row["max_rss_mb"] or 0) for row in rows) < 3000


def test_a_second_run_does_nothing(smoke: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in smoke.rglob("*") if path.is_file() and "/." not in str(path)}
    ended = run(snakemake(smoke))
    assert ended.returncode == 0 and "Nothing to be done" in ended.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_commands_of_rules_run_alone(smoke: Path, tmp_path: Path) -> None:
    before = (smoke / "results/table.csv").read_bytes()
    ended = run([S4V, "table", "--config", ".work/config.json", "--out", str(tmp_path / "table.csv")], smoke)
    assert ended.returncode == 0 and "sharegpt4v-7b" in ended.stdout
    assert (tmp_path / "table.csv").read_bytes() == before


def test_two_runs_in_two_folders_share_nothing(smoke: Path, tmp_path: Path) -> None:
    other = run(snakemake(tmp_path / "seed-1", "--dry-run", "--quiet", "rules", config=["seed=1"]))
    assert "synthetic_world" in other.stdout + other.stderr
    assert "Nothing to be done" in run(snakemake(smoke, "--dry-run")).stdout


def test_one_run_at_a_time_works_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / ".work").mkdir()
    with open(tmp_path / ".work/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = run(snakemake(tmp_path))
    assert ended.returncode == 1
    assert "another run is working in this folder" in ended.stderr and "Traceback" not in ended.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("sead=1", "command line: sead: unknown key; did you mean 'seed'?"),
        ("teacher={temperature: 7}", "command line: teacher.temperature is 7; expected a number between 0 and 2"),
        (
            "teacher={base_url: 'https://api.example.org/v1', api_key_variable: NO_SUCH_KEY}",
            "environment variable NO_SUCH_KEY is not set; expected the key of https://api.example.org/v1 in it, as "
            "teacher.api_key_variable says; set it, or name another",
        ),
    ],
)
def test_a_wrong_config_stops_snakemake_with_one_line(override: str, expected: str, tmp_path: Path) -> None:
    ended = run(snakemake(tmp_path, config=[override]))
    assert ended.returncode == 1
    told = [line for line in ended.stderr.splitlines() if "profile" not in line]
    assert told == [expected]
    assert not (tmp_path / "data").exists()


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Two real photographs, and half of one."""
    folder = tmp_path / "photographs"
    (folder / "holiday").mkdir(parents=True)
    shutil.copy(PHOTOGRAPHS / "china.jpg", folder)
    shutil.copy(PHOTOGRAPHS / "flower.jpg", folder / "holiday/flower one.jpg")
    whole = (PHOTOGRAPHS / "china.jpg").read_bytes()
    (folder / "broken.jpg").write_bytes(whole[: len(whole) // 3])
    return folder


def test_own_photographs_get_captions(smoke: Path, photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "captions.jsonl"
    ended = run([S4V, "caption", "--images", str(photographs), "--out", str(out)], smoke)
    assert ended.returncode == 0, ended.stderr
    assert "checkpoints/captioner: has been trained on drawn scenes only" in ended.stderr
    assert "s4v import" in ended.stderr and "--base-url" in ended.stderr
    drawn = ["caption", "--images", "data/manifests/wikiart.parquet", "--out", str(tmp_path / "drawn.jsonl")]
    page = tmp_path / "drawn.html"
    asked = run([S4V, *drawn, "--review", str(page)], smoke)
    assert asked.returncode == 0 and "drawn scenes" not in asked.stderr, asked.stderr
    assert f"<p><strong>{NOTICE}</strong></p>" in page.read_text()
    rows = {row["image"]: row for row in map(json.loads, out.read_text().splitlines())}
    assert set(rows) == {"china.jpg", "holiday/flower one.jpg", "broken.jpg"}
    assert "error" in rows["broken.jpg"] and "caption" not in rows["broken.jpg"]
    assert all(isinstance(rows[name]["caption"], str) for name in ("china.jpg", "holiday/flower one.jpg"))


def test_own_photographs_join_as_a_source(smoke: Path, photographs: Path, tmp_path: Path) -> None:
    folder = copy_of(smoke, tmp_path / "run")
    join = f"sources={{folder_sources: {{photographs: {photographs}}}, largest_bad_fraction: 0.5}}"
    ended = run(snakemake(folder, "data/manifests/photographs.parquet", config=[join]))
    assert ended.returncode == 0, ended.stderr
    rows = {Path(row["path"]).name: row for row in read_manifest(folder / "data/manifests/photographs.parquet")}
    assert {name: row["status"] for name, row in rows.items()} == {
        "china.jpg": "ok", "flower one.jpg": "ok", "broken.jpg": "broken",
    }  # fmt: skip
    assert read_reasons(folder / "data/manifests/photographs.parquet")["photographs/images/broken.jpg"]
    shutil.copy(PHOTOGRAPHS / "flower.jpg", photographs / "new.jpg")
    again = run(snakemake(folder, "data/manifests/photographs.parquet", "--dry-run", "--quiet", "rules", config=[join]))
    assert "source" in again.stdout + again.stderr and "Nothing to be done" not in again.stderr


def test_the_reasons_outlive_a_refused_source(smoke: Path, photographs: Path, tmp_path: Path) -> None:
    folder = copy_of(smoke, tmp_path / "run")
    join = f"sources={{folder_sources: {{photographs: {photographs}}}, largest_bad_fraction: 0.0}}"
    ended = run(snakemake(folder, "data/manifests/photographs.parquet", config=[join]))
    assert ended.returncode == 1
    assert "photographs: of 3 files 1 are broken" in (folder / "logs/source/photographs.log").read_text()
    with open(folder / "data/manifests/photographs.csv", newline="") as file:
        assert [row["path"] for row in csv.DictReader(file) if row["finding"] == "broken"] == [
            "photographs/images/broken.jpg"
        ]
    assert not (folder / "data/manifests/photographs.parquet").exists()
