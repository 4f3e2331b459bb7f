"""A run in MLflow: everything once, nothing lost, nothing in the way of the run."""

from __future__ import annotations

import hashlib
import html
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import BIN, PROJECT, copy_of, serving, snakemake
from conftest import run as run_command
from sharegpt4v.config import Config, load
from sharegpt4v.evaluation.table import COLUMNS
from sharegpt4v.files import sha256_of, write_jsonl
from sharegpt4v.job_record import read_record
from sharegpt4v.provenance import git_state
from sharegpt4v.tracking.job_runs import job_run
from sharegpt4v.tracking.jobs import Job
from sharegpt4v.tracking.show import track_all
from sharegpt4v.tracking.tracker import Run, track, warn
from sharegpt4v.tracking.trackers.mlflow import flatten
from tracked_runs import rows_of, write_rows

CONFIG = PROJECT / "config" / "config.yaml"


S4V = (sys.executable, "-m", "sharegpt4v.cli")


WHOLE = Run(name="mini", stage="pipeline", params={"seed": 0})


def client(uri: str) -> Any:
    import mlflow

    return mlflow.MlflowClient(tracking_uri=uri)


def runs_by_name(uri: str, experiment: str = "test") -> dict[str, Any]:
    store = client(uri)
    found = store.search_runs([store.get_experiment_by_name(experiment).experiment_id])
    assert len({run.info.run_name for run in found}) == len(found)
    return {run.info.run_name: run for run in found}


def test_parameters_are_flat_and_short() -> None:
    flat = flatten({"teacher": {"model": "m", "budget": None, "a+b": True}, "names": ["mme"], "text": "é" * 400})
    assert flat.pop("text") == "é" * 249 + "…"
    assert flat == {"teacher.model": "m", "teacher.budget": "null", "teacher.a_b": "true", "names": '["mme"]'}


def test_everything_is_shown_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    record = write_rows(tmp_path / "metrics.jsonl", 2500)
    table = tmp_path / "table.csv"
    table.write_text("model,GQA\n")
    params = {f"p{number}": number for number in range(90)}
    settings = {f"s{number}": number for number in range(900)}
    runs = [
        WHOLE,
        Run("a/finetuning", "finetuning", "mini", params, settings, [record], provenance={"inputs": {"x": "1"}}),
        Run("a/scores", "scores", "mini", metrics={"MME-perception": 1510.7}, artifacts=[table]),
    ]
    assert track(uri, "test", runs).complete
    assert track(uri, "test", runs).complete
    assert capfd.readouterr().err == ""
    shown = runs_by_name(uri)
    assert set(shown) == {"mini", "a/finetuning", "a/scores"}
    whole, training, scores = shown["mini"], shown["a/finetuning"], shown["a/scores"]
    assert {run.info.status for run in shown.values()} == {"FINISHED"}
    assert training.data.tags["mlflow.parentRunId"] == scores.data.tags["mlflow.parentRunId"] == whole.info.run_id
    assert training.data.params == {name: str(value) for name, value in params.items()}
    for name, whole_file in {"settings.json": settings, "provenance.json": {"inputs": {"x": "1"}}}.items():
        assert json.loads(Path(client(uri).download_artifacts(training.info.run_id, name)).read_text()) == whole_file
    losses = client(uri).get_metric_history(training.info.run_id, "loss")
    assert [(point.step, point.value) for point in losses] == [(step, 1 / step) for step in range(1, 2501)]
    assert scores.data.metrics == {"MME-perception": 1510.7}
    stored = Path(client(uri).download_artifacts(scores.info.run_id, "table.csv"))
    assert stored.read_text() == "model,GQA\n"
    assert Path(scores.info.artifact_uri).is_relative_to(tmp_path / "mlruns")
    table.write_text("model,GQA\na,1\n")
    assert track(uri, "test", runs).complete
    assert len(client(uri).search_runs([whole.info.experiment_id])) == 4  # one result more, nothing else again


def test_a_run_that_was_left_half_written_is_written_anew(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    run = Run("a/finetuning", "finetuning", records=[write_rows(tmp_path / "metrics.jsonl", 5)])
    assert track(uri, "test", [WHOLE]).complete
    store = client(uri)
    experiment = store.get_experiment_by_name("test").experiment_id
    store.create_run(experiment, run_name=run.name, tags={"sharegpt4v.key": run.key()})
    assert track(uri, "test", [WHOLE, run]).complete
    assert len(store.get_metric_history(runs_by_name(uri)["a/finetuning"].info.run_id, "loss")) == 5


def test_eight_processes_on_a_fresh_store_lose_nothing(tmp_path: Path) -> None:
    write_rows(tmp_path / "metrics.jsonl", 600)
    code = (
        "import sys; from pathlib import Path; from sharegpt4v.tracking.tracker import Run, track\n"
        "name, record = sys.argv[1], Path('metrics.jsonl')\n"
        "runs = [Run(f'{name}-{number}', 'stage', params={'n': number}, records=[record]) for number in range(3)]\n"
        "whole = Run('mini', 'pipeline', params={'seed': 0})\n"
        "sys.exit(not track('sqlite:///mlflow.db', 'test', [whole, *runs]).complete)"
    )
    jobs = [
        subprocess.Popen([sys.executable, "-c", code, name], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        for name in "abcdefgh"
    ]
    assert [job.communicate()[1] for job in jobs] == [""] * 8
    assert [job.returncode for job in jobs] == [0] * 8
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    shown = runs_by_name(uri)
    assert set(shown) == {"mini", *(f"{name}-{number}" for name in "abcdefgh" for number in range(3))}
    for name, run in shown.items():
        points = 0 if name == "mini" else 600
        assert len(client(uri).get_metric_history(run.info.run_id, "loss")) == points


@pytest.mark.parametrize("broken", ["no database", "no folder", "no server", "no such scheme"])
def test_a_broken_store_is_one_warning(tmp_path: Path, capfd: pytest.CaptureFixture[str], broken: str) -> None:
    (tmp_path / "file").write_text("this is no database, and long enough to be looked at as one " * 20)
    with socket.socket() as listener:  # a port where nobody answers
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        uri = {
            "no database": f"sqlite:///{tmp_path}/file",
            "no folder": f"sqlite:///{tmp_path}/file/mlflow.db",
            "no server": f"http://127.0.0.1:{port}",
            "no such scheme": "postgres-but-misspelt://somewhere",
        }[broken]
        assert not track(uri, "test", [WHOLE]).complete
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("tracking: not shown in MLflow: ")


def test_a_warning_holds_no_password(capfd: pytest.CaptureFixture[str]) -> None:
    warn("cannot reach\nhttps://me:secret@host/x", "sqlite:///mlflow.db")
    line = capfd.readouterr().err
    assert "https://host/x" in line and "secret" not in line and line.count("\n") == 1


def shown_by_name(uri: str, experiment: str = "sharegpt4v") -> dict[str, Any]:
    store = client(uri)
    found = store.search_runs([store.get_experiment_by_name(experiment).experiment_id], max_results=1000)
    return {run.info.run_name: run for run in found}


def artifact(uri: str, run: Any, name: str) -> Any:
    return json.loads(Path(client(uri).download_artifacts(run.info.run_id, name)).read_text())


def config_of(folder: Path, **tracking: object) -> Config:
    return load(folder / ".work/config.json", {"tracking": tracking})


MODELS = ("llava-7b", "llava-7b+sharegpt4v", "sharegpt4v-7b")


def test_a_pipeline_is_a_run_with_a_run_for_each_job_and_each_model_is_one(smoke: Path) -> None:
    uri = f"sqlite:///{smoke}/mlflow.db"
    shown = shown_by_name(uri)
    logs = {path.relative_to(smoke / "logs").with_suffix("").as_posix() for path in (smoke / "logs").rglob("*.log")}
    assert set(shown) == {"smoke", *MODELS} | logs - {"tracking"}
    whole = shown["smoke"]
    top = {name for name, run in shown.items() if "mlflow.parentRunId" not in run.data.tags}
    assert top == {"smoke", *MODELS}
    for name, run in shown.items():
        item = name.rpartition("/")[2]
        parent = shown[item if item in MODELS else "smoke"]
        assert name in top or run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["folder"] == str(smoke) and run.info.end_time > run.info.start_time
    assert whole.data.params == {"preset": "smoke", "seed": "0"}
    settings = json.loads(Path(client(uri).download_artifacts(whole.info.run_id, "settings.json")).read_text())
    assert settings == json.loads((smoke / ".work/config.json").read_text())
    lasted = max(run.info.end_time for run in shown.values()) - min(run.info.start_time for run in shown.values())
    assert whole.info.end_time - whole.info.start_time == pytest.approx(lasted, abs=2)
    files = {file.path for file in client(uri).list_artifacts(whole.info.run_id)}
    assert {"table.csv", "table.md", "datasets.csv", "substitution.svg", "curves.svg"} <= files


def test_a_model_is_a_run_whose_parameters_are_few_and_whose_metrics_are_its_scores(smoke: Path) -> None:
    shown = shown_by_name(f"sqlite:///{smoke}/mlflow.db")
    for name in MODELS:
        scores = [json.loads(path.read_text()) for path in (smoke / "results/scores" / name).glob("*.json")]
        columns = {column: value for score in scores for column, value in score["columns"].items()}
        assert shown[name].data.metrics == pytest.approx(columns, abs=1e-4) and set(COLUMNS) <= set(columns)
        finetuning = shown[f"finetuning/{name}"].info
        assert shown[name].info.start_time == finetuning.start_time
        assert shown[name].info.end_time - shown[name].info.start_time >= finetuning.end_time - finetuning.start_time
    params = {"preset", "seed", "size", "pretraining", "mix", "substitution", "learning_rate", "epochs", "batch_size"}
    assert set(shown["sharegpt4v-7b"].data.params) == params
    assert shown["sharegpt4v-7b"].data.params["pretraining"] == "captions"
    assert shown["llava-7b"].data.params["pretraining"] == "none"


def test_scores_are_shown_with_their_errors(smoke: Path) -> None:
    shown = shown_by_name(f"sqlite:///{smoke}/mlflow.db")
    score = json.loads((smoke / "results/scores/sharegpt4v-7b/mme.json").read_text())
    for column in ("MME-perception", "MME-cognition"):
        metrics = shown["scores/sharegpt4v-7b"].data.metrics
        assert metrics[column] == pytest.approx(score["columns"][column], abs=1e-4)
        error = metrics.get(f"standard error/{column}")
        assert error == pytest.approx(score["stderr"].get(column), abs=1e-4)  # none where all images are worth the same
    gqa = json.loads((smoke / "results/scores/sharegpt4v-7b/gqa.json").read_text())
    assert ("GQA" in gqa["stderr"]) != ("GQA" in gqa["interval"])
    assert set(COLUMNS) <= set(shown["scores/sharegpt4v-7b"].data.metrics)
    settings = artifact(f"sqlite:///{smoke}/mlflow.db", shown["scores/sharegpt4v-7b"], "settings.json")
    assert settings["mme"]["n"]["MME-perception"] == 60


def test_a_training_is_shown_with_its_curves_and_where_it_came_from(smoke: Path) -> None:
    uri = f"sqlite:///{smoke}/mlflow.db"
    training = shown_by_name(uri)["finetuning/sharegpt4v-7b"]
    learned = rows_of(smoke / "checkpoints/sharegpt4v-7b/finetuned/metrics.jsonl")
    speeds = rows_of(smoke / "logs/speeds/sharegpt4v-7b-finetuned.jsonl")
    assert set(learned[0]) == {"step", "loss", "learning_rate_factor"} and len(learned) == len(speeds)
    for name, rows in {"loss": learned, "samples_per_second": speeds, "tokens_per_second": speeds}.items():
        points = client(uri).get_metric_history(training.info.run_id, name)
        assert [(point.step, point.value) for point in points] == [(row["step"], row[name]) for row in rows]
    provenance, tags = artifact(uri, training, "provenance.json"), training.data.tags
    assert training.data.params["learning_rate"] == "0.0007"
    assert artifact(uri, training, "settings.json")["finetuning"]["learning_rate"] == 0.0007
    assert provenance["git_commit"] == tags["mlflow.source.git.commit"] == git_state()["git_commit"]
    assert provenance["command"] == tags["mlflow.source.name"] == "s4v stage finetuning sharegpt4v-7b"
    assert provenance["config"] == sha256_of(smoke / ".work/config.json")
    for what, path in (
        ("inputs", "checkpoints/pretrained/7b/model.safetensors"),
        ("outputs", "checkpoints/sharegpt4v-7b/finetuned/model.safetensors"),
    ):
        assert provenance[what][path] == hashlib.md5((smoke / path).read_bytes()).hexdigest()
    assert training.data.metrics["seconds"] > 0 and training.info.end_time - training.info.start_time > 1000


def test_captions_are_shown_beside_their_pictures(smoke: Path) -> None:
    uri = f"sqlite:///{smoke}/mlflow.db"
    shown = shown_by_name(uri)
    captions = json.loads((smoke / "data/sharegpt4v/sharegpt4v_instruct_gpt4-vision_cap100k.json").read_text())
    page = Path(client(uri).download_artifacts(shown["seed_captions"].info.run_id, "captions.html")).read_text()
    assert html.escape(captions[0]["conversations"][1]["value"]) in page
    assert page.count('src="data:image/png;base64,') == page.count("<tr>") == 12
    of_shard = Path(client(uri).download_artifacts(shown["captions/00000-of-00003"].info.run_id, "captions.html"))
    assert 'src="data:image/png;base64,' in of_shard.read_text()


def test_a_job_of_slurm_is_known_by_its_number(smoke: Path, tmp_path: Path) -> None:
    environment = os.environ | {"S4V_JOBS": str(tmp_path), "SLURM_JOB_ID": "4711"}
    subprocess.run([*S4V, "table", "--out", str(tmp_path / "table.csv")], cwd=smoke, env=environment, check=True)
    arguments = ["table", "--out", str(tmp_path / "table.csv")]
    record = read_record(tmp_path, arguments)
    run = job_run(Job("table", "table", arguments, [], [Path("results/table.csv")], record), smoke, load(CONFIG))
    assert run.provenance["slurm_job"] == "4711"
    assert run.time is not None and run.time[1] > run.time[0]


def test_what_changed_becomes_a_new_run_and_the_rest_stays(smoke: Path, tmp_path: Path) -> None:
    folder, uri = copy_of(smoke, tmp_path / "run"), f"sqlite:///{tmp_path}/mlflow.db"
    assert track_all(folder, config_of(folder, uri=uri)).complete
    before = shown_by_name(uri)
    rows = rows_of(folder / "checkpoints/captioner/metrics.jsonl")
    write_jsonl(folder / "checkpoints/captioner/metrics.jsonl", [row | {"loss": 1.0} for row in rows])
    (folder / "results/table.md").write_text("another table\n")
    assert track_all(folder, config_of(folder, uri=uri)).complete
    experiment = client(uri).get_experiment_by_name("sharegpt4v").experiment_id
    found = client(uri).search_runs([experiment], max_results=1000)
    known = {run.info.run_id for run in before.values()}
    assert sorted(run.info.run_name for run in found if run.info.run_id not in known) == [
        "captioner",
        "table",
    ]
    whole = before["smoke"].info.run_id  # one run as long as config and commit are the same
    assert Path(client(uri).download_artifacts(whole, "table.md")).read_text() == "another table\n"


def test_one_broken_file_hides_no_other_run(smoke: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder, uri = copy_of(smoke, tmp_path / "run"), f"sqlite:///{tmp_path}/mlflow.db"
    (folder / "checkpoints/captioner/provenance.json").write_text("{")
    (folder / "checkpoints/sharegpt4v-7b/finetuned/metrics.jsonl").write_text('{"step": 1}\n{"st')
    assert not track_all(folder, config_of(folder, uri=uri)).complete
    hidden = {"captioner", "finetuning/sharegpt4v-7b"}
    assert set(shown_by_name(uri)) == set(shown_by_name(f"sqlite:///{smoke}/mlflow.db")) - hidden
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 2 and all(line.startswith("tracking: ") for line in lines)


def test_with_tracking_off_there_is_no_store(smoke: Path, tmp_path: Path) -> None:
    folder = copy_of(smoke, tmp_path / "run")
    (folder / "results/tracked.txt").unlink()
    (folder / "mlflow.db").unlink()
    ended = run_command(snakemake(folder, config=["tracking={enabled: false}"]))
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert (folder / "results/tracked.txt").read_text() == "tracking is off\n"
    assert not (folder / "mlflow.db").exists()


def test_a_run_ends_well_without_its_server_and_is_shown_when_that_is_back(
    smoke: Path, tmp_path: Path, free_port: int
) -> None:
    folder, uri = copy_of(smoke, tmp_path / "run"), f"http://127.0.0.1:{free_port}"
    (folder / "results/tracked.txt").unlink()
    ended = run_command(snakemake(folder, config=[f"tracking={{uri: '{uri}'}}"]))
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert (folder / "results/tracked.txt").read_text() == "not all of it could be shown in MLflow\n"
    server = [str(BIN / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(free_port), "--workers", "1"]
    with serving([*server, "--backend-store-uri", f"sqlite:///{tmp_path}/server.db"], tmp_path, tmp_path, uri):
        ended = run_command([*S4V, "stage", "tracking"], folder)
        assert ended.returncode == 0 and ended.stderr == ""
        assert (folder / "results/tracked.txt").read_text() == f"shown in MLflow at {uri}\n"
        shown = shown_by_name(uri)
        assert set(shown) == set(shown_by_name(f"sqlite:///{smoke}/mlflow.db"))
        page = client(uri).download_artifacts(shown["seed_captions"].info.run_id, "captions.html", str(tmp_path))
        assert "data:image/png" in Path(page).read_text()


def test_stages_that_write_records_do_not_import_mlflow() -> None:
    code = "import sys, sharegpt4v.record; sys.exit('mlflow' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
