"""The pipeline on a real Slurm: the same results as without, and every fault ends well by itself.

Where Slurm is not installed the tests are skipped; with S4V_REQUIRE_ALL set, as `.ci/run` does, they fail instead.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import BIN, PROJECT, copy_of, ledger_lines, snakemake
from sharegpt4v.errors import UserError
from sharegpt4v.lifetime import SECONDS_TO_SAVE
from sharegpt4v.mini.endpoint import serve
from sharegpt4v.mini.judge import grade
from sharegpt4v.pipeline.slurm import retry_until_answered
from sharegpt4v.training.saved_states import complete_states
from slurm_cluster import Cluster, processes, wait_for
from slurm_cluster import cluster as cluster
from smoke_files import made

# Slow enough, and saved often enough, to be caught in the middle. None of it changes what comes out.
CATCHABLE = ["teacher={concurrency: 1, requests_per_minute: 1200}", "captions={batch_size: 4}"]
# Small jobs together: what Snakemake does around each takes longer than they do.
TOGETHER = ["--groups", "source=sources", "judgements=grading", "scores=grading", "--group-components", "sources=8"]
AT_EVERY_STEP = [f"{stage}={{checkpoint_minutes: 1e-5}}" for stage in ("pretraining", "finetuning")]
AT_EVERY_STEP += ["captioner={recipe: {checkpoint_minutes: 1e-5}}"]
SPEEDS = "logs/speeds/sharegpt4v-7b-finetuned.jsonl"
GPU_RULES = (
    "language_model",
    "vision_tower",
    "alignment",
    "captioner",
    "captions",
    "pretraining",
    "finetuning",
    "answers",
)


class Run:
    """`snakemake --profile slurm`, or of another profile, in a folder."""

    def __init__(
        self,
        cluster: Cluster,
        folder: Path,
        target: str,
        *arguments: str,
        config: list[str],
        profile: Path = Path("slurm"),
    ) -> None:
        self.folder, self.cluster, self.said_in = folder, cluster, folder / "said.txt"
        command = snakemake(
            folder,
            target,
            *arguments,
            "--profile",
            str(profile),
            "--jobs",
            "4",
            "--seconds-between-status-checks",
            "1",
            config=config,
        )
        with open(self.said_in, "ab") as said:
            self.process = subprocess.Popen(
                command, cwd=PROJECT, env=cluster.environment, stdout=said, stderr=said, start_new_session=True
            )
        cluster.runs.append(self.process)

    def until(self, what: str, condition: Callable[[], object], seconds: float = 240) -> None:
        """Wait for something to happen while the run continues."""

        def happened() -> object:
            found = condition()
            assert found or self.process.poll() is None, f"the run ended before {what}{self.said()[-4000:]}"
            return found

        wait_for(what, happened, seconds)

    def end(self, seconds: float = 300) -> str:
        """Wait for the end, which has to be a good one, and return what was said."""
        assert self.process.wait(seconds) == 0, self.said()[-4000:] + self.cluster.logs()
        return self.said()

    def said(self) -> str:
        """What was said so far."""
        return self.said_in.read_text()

    def freeze(self, stage: str) -> list[int]:
        """Stop the processes of a stage where they are, so that a fault meets them in the middle; return them."""
        caught = processes_of(stage, self.folder)
        for process in caught:
            os.kill(process, signal.SIGSTOP)
        assert caught, f"caught too late: not while `s4v stage {stage}` was at work"
        return caught


def processes_of(stage: str, folder: Path) -> list[int]:
    """The processes that run a stage in a folder."""
    found = []
    for process, command, _ in processes():
        words = command.split(b"\0")
        python = words[0].rpartition(b"/")[2].startswith(b"python") and b"torch.distributed.run" not in words
        if python and any(word.endswith((b"/s4v", b"sharegpt4v.cli")) for word in words) and stage.encode() in words:
            try:
                inside = os.readlink(f"/proc/{process}/cwd") == str(folder)
            except OSError:
                continue
            if inside:
                found.append(process)
    return found


def rows(record: Path) -> list[str]:
    """The complete rows of a training's record."""
    return record.read_text().splitlines(keepends=True)


@pytest.mark.slow
@pytest.mark.timeout(1500)  # where other work takes the processor, the run and the one it is compared with are slow
def test_the_smoke_preset_under_all_faults_ends_as_it_does_without(
    smoke: Path, cluster: Cluster, tmp_path: Path
) -> None:
    folder = tmp_path

    def start() -> Run:
        return Run(cluster, folder, "results/table.csv", *TOGETHER, config=[*CATCHABLE, *AT_EVERY_STEP])

    def state_of(stage: str) -> Path | None:
        return next(iter(folder.glob(f".work/{stage}/**/rank-0-of-1.safetensors")), None)

    # Snakemake killed: its jobs go on, until the next run ends them and takes over.
    run = start()
    run.until("the teacher is asked", lambda: ledger_lines(folder, ".work/seed_captions/replies.jsonl") >= 3)
    run.freeze("seed_captions")
    os.killpg(run.process.pid, signal.SIGKILL)
    run.process.wait()
    assert cluster.jobs("rule_seed_captions", "RUNNING")
    asked = (folder / ".work/seed_captions/replies.jsonl").read_bytes().rpartition(b"\n")[0]
    run = start()

    # A job requeued, by an operator or for one of higher rank.
    run.until("the captioner learns", lambda: state_of("captioner"))
    run.freeze("captioner")
    (job,) = cluster.jobs("rule_captioner", "RUNNING")
    cluster.ask("scontrol", "requeue", job)

    # A job cancelled. The GPU it had asked for is there.
    run.until("the captioner writes", lambda: ledger_lines(folder, ".work/captions/*/*.jsonl") >= 3)
    process, *_ = run.freeze("captions")
    assert b"CUDA_VISIBLE_DEVICES=" in Path(f"/proc/{process}/environ").read_bytes()
    cluster.ask("scancel", *cluster.jobs("rule_captions", "RUNNING"))

    # A node dead, with all that ran on it.
    run.until("a model is pre-trained", lambda: state_of("pretraining"))
    run.freeze("pretraining")
    (job,) = cluster.jobs("rule_pretraining", "RUNNING")
    node = cluster.ask("squeue", "--noheader", "--format=%N", f"--jobs={job}").strip()
    cluster.kill_node(node)

    # A time limit reached.
    run.until(
        "the whole model is fine-tuned",
        lambda: processes_of("sharegpt4v-7b", folder) and state_of("finetuning"),
    )
    run.freeze("finetuning")
    (record,) = (path for path in folder.glob(".work/finetuning/**/speeds.jsonl") if path.with_name("states").exists())
    before = rows(record)
    (job,) = cluster.jobs("rule_finetuning_wildcards_sharegpt4v-7b", "RUNNING")
    cluster.ask("scontrol", "update", f"JobId={job}", "EndTime=now")
    run.until(
        "the time limit", lambda: cluster.jobs("rule_finetuning_wildcards_sharegpt4v-7b", "TIMEOUT", "COMPLETING")
    )

    said = run.end()
    assert "Slurm jobs of an earlier run in this folder" in said
    assert cluster.jobs("", "CANCELLED") and cluster.jobs("rule_finetuning_wildcards_sharegpt4v-7b", "TIMEOUT")
    assert rows(folder / SPEEDS)[: len(before) - 1] == before[:-1]
    assert (folder / ".work/seed_captions/replies.jsonl").read_bytes().startswith(asked)
    result = made(folder)
    whole = {name: digest for name, digest in made(smoke).items() if name in result}
    assert result == whole and "results/table.csv" in result
    assert not list(folder.glob(".work/**/rank-*")) and not list(folder.glob("**/.*.unfinished"))
    for rule in GPU_RULES:
        got = cluster.ask("squeue", "--noheader", "--states=all", "--format=%b|%k").splitlines()
        assert {line.partition("|")[0] for line in got if f"|rule_{rule}" in line} == {"gres:gpu:1"}, rule


def test_two_nodes_train_one_model_and_go_on_when_one_dies(smoke: Path, cluster: Cluster, tmp_path: Path) -> None:
    folder = copy_of(smoke, tmp_path / "run")
    out = folder / "checkpoints/sharegpt4v-7b/finetuned"
    shutil.rmtree(out)
    config = ["compute={nodes: 2, wait_minutes: 2}", *AT_EVERY_STEP]
    run = Run(cluster, folder, str(out.relative_to(folder) / "model.safetensors"), config=config)
    states = ".work/finetuning/*/*/states"
    run.until("a state of both processes", lambda: any(map(complete_states, folder.glob(states))))
    (record,) = folder.glob(".work/finetuning/**/speeds.jsonl")
    ranks = run.freeze("finetuning")
    assert len(ranks) == 2
    environments = [Path(f"/proc/{process}/environ").read_bytes().split(b"\0") for process in ranks]
    nodes = {word for words in environments for word in words if word.startswith(b"SLURMD_NODENAME=")}
    assert nodes == {b"SLURMD_NODENAME=n1", b"SLURMD_NODENAME=n2"}
    assert all(any(word.startswith(b"CUDA_VISIBLE_DEVICES=") for word in words) for words in environments)
    before = rows(record)
    os.kill(ranks[0], signal.SIGKILL)
    os.kill(ranks[1], signal.SIGCONT)

    run.end()
    assert cluster.jobs("rule_finetuning", "FAILED") and cluster.jobs("rule_finetuning", "COMPLETED")
    alone = [json.loads(row) for row in rows(smoke / "checkpoints/sharegpt4v-7b/finetuned/metrics.jsonl")]
    together = [json.loads(row) for row in rows(out / "metrics.jsonl")]
    assert [row["step"] for row in together] == [row["step"] for row in alone]
    assert [row["loss"] for row in together] == pytest.approx([row["loss"] for row in alone], abs=1e-4)
    assert rows(folder / SPEEDS)[: len(before) - 1] == before[:-1]


def test_a_controller_that_is_away_is_waited_for_within_limits(
    smoke: Path, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from snakemake_executor_plugin_slurm import query_job_status

    folder = copy_of(smoke, tmp_path / "run")
    shutil.rmtree(folder / "results/scores/llava-7b")
    run = Run(cluster, folder, "results/scores/llava-7b/mme.json", config=[])
    run.until("the job runs", lambda: processes_of("scores", folder))
    frozen = run.freeze("scores")
    cluster.stop_controller()
    monkeypatch.setenv("SLURM_CONF", cluster.environment["SLURM_CONF"])
    query = retry_until_answered(query_job_status, longest_silence=5, pause=1)
    with pytest.raises(UserError, match=r"Slurm has not answered `squeue` for .* seconds"):
        asyncio.run(query("squeue", logging.getLogger()))  # type: ignore[arg-type]  # it is a coroutine
    run.until("the run meets the outage", lambda: "Slurm does not answer" in run.said())
    cluster.start_controller()
    for process in frozen:
        os.kill(process, signal.SIGCONT)
    run.end()
    assert (folder / "results/scores/llava-7b/mme.json").exists()


def test_a_job_that_can_never_start_is_told_and_not_waited_for(smoke: Path, cluster: Cluster, tmp_path: Path) -> None:
    folder = copy_of(smoke, tmp_path / "run")
    shutil.rmtree(folder / "results/scores/llava-7b")
    cluster.ask("scontrol", "update", "PartitionName=main", "MaxTime=5")
    run = Run(cluster, folder, "results/scores/llava-7b/mme.json", "--retries", "0", config=[])
    assert run.process.wait(120) == 1
    assert "can never start, so it was cancelled: PartitionTimeLimit" in run.said()
    assert cluster.jobs("rule_scores", "CANCELLED")


def test_a_profile_that_doctor_writes_runs_and_what_asks_others_stays_on_the_submit_host(
    smoke: Path, cluster: Cluster, tmp_path: Path
) -> None:
    cluster.ask("scontrol", "delete", "PartitionName=gpu")
    cluster.ask("scontrol", "create", "PartitionName=accelerated", "Nodes=n[1-2]", "MaxTime=600", "State=UP")
    profile = tmp_path / "profile"
    command = [str(BIN / "s4v"), "doctor", "--config", "config/smoke.yaml", "--write-profile", str(profile), "--slurm"]
    ended = subprocess.run(command, cwd=PROJECT, env=cluster.environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "job: 1 GPU in accelerated" in ended.stdout and "job: CPU in main" in ended.stdout
    again = subprocess.run(command, cwd=PROJECT, env=cluster.environment, capture_output=True, text=True)
    assert again.returncode == 1 and "exists; name another folder" in again.stderr

    folder = copy_of(smoke, tmp_path / "run")
    shutil.rmtree(folder / "results/judged/llava-7b")
    shutil.rmtree(folder / "results/answers/llava-7b")
    with serve(grade, model="mini-judge") as url:
        scores = "results/scores/llava-7b/mm-vet.json"
        run = Run(cluster, folder, scores, config=[f"judge={{base_url: '{url}'}}"], profile=profile)
        run.end()
    assert (folder / scores).exists() and any((folder / "results/judged/llava-7b").iterdir())
    rows = cluster.ask("squeue", "--noheader", "--states=all", "--format=%P|%b|%l|%m|%k").splitlines()
    assert "accelerated|gres:gpu:1|30:00|2501M|rule_answers_wildcards_llava-7b" in rows
    assert not cluster.jobs("rule_judgements")


def test_doctor_tries_every_kind_of_job_and_names_what_lacks(cluster: Cluster, tmp_path: Path) -> None:
    def doctor(*arguments: str, **environment: str) -> tuple[int, str]:
        command = [str(BIN / "s4v"), "doctor", "--config", "config/smoke.yaml", *arguments]
        ended = subprocess.run(
            command, cwd=PROJECT, env=cluster.environment | environment, capture_output=True, text=True
        )
        assert "Traceback" not in ended.stderr
        return ended.returncode, ended.stdout + ended.stderr

    code, told = doctor("--profile", "slurm", "--slurm")
    assert code == 0 and "MISSING" not in told, told
    assert "job: CPU in main" in told and "job: 1 GPU in gpu" in told and "status command" in told
    profile = (PROJECT / "profiles/slurm/config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(profile.replace("gpu_partition: gpu", "gpu_partition: gpus"))
    code, told = doctor("--profile", str(tmp_path))
    assert code == 1 and "put the right partition in the profile" in told
    changed = profile.replace("squeue\n", "sacct\n") + "set-resources:\n  finetuning:\n    gres: \"'gpu:8'\"\n"
    (tmp_path / "config.yaml").write_text(changed)
    code, told = doctor("--profile", str(tmp_path))
    assert code == 1 and "0 nodes of partition gpu can take it" in told
    assert "set slurm-status-command: squeue" in told
    code, told = doctor("--profile", "slurm", PATH=str(BIN))
    assert code == 1 and "no sbatch, srun, squeue" in told


TRAINING = """
from sharegpt4v.pipeline.start import prepare_environment
prepare_environment()
rule training:
    output: "weights.pt"
    resources: mem_mb=2000, runtime=60, slurm_partition="main", slurm_extra="--signal=USR1@{seconds}"
    shell: "{command} 2>&1 | tee -i log.txt"
"""
PROGRAM = """
from pathlib import Path
from resumable import run
run(Path("work"), Path("out"), stop_after=10**9, epochs=2000, pause=3)
"""


def test_slurm_warns_before_the_time_limit_and_a_job_ends_with_its_state_saved(
    cluster: Cluster, tmp_path: Path
) -> None:
    """The signal goes to Snakemake and to the shell in the job too; they have to wait."""
    (tmp_path / "program.py").write_text(PROGRAM)
    paths = f"{PROJECT / 'tests'}:{PROJECT / 'tests/training'}:{PROJECT / 'src'}"
    command_line = f"PYTHONPATH={paths} {BIN / 'python'} {tmp_path / 'program.py'}"
    (tmp_path / "Snakefile").write_text(TRAINING.format(command=command_line, seconds=round(SECONDS_TO_SAVE)))
    command = [str(BIN / "snakemake"), "--executor", "slurm", "--jobs", "1", "--directory", str(tmp_path)]
    environment = cluster.environment | {"PYTHONPATH": str(PROJECT / "src")}
    with open(tmp_path / "said.txt", "wb") as said:
        run = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=said, stderr=said, start_new_session=True)
    cluster.runs.append(run)
    wait_for("the first steps", lambda: "loss" in read(tmp_path / "log.txt"), 120)
    (job,) = cluster.jobs("rule_training", "RUNNING")
    assert not complete_states(tmp_path / "work/states")
    cluster.ask("scontrol", "update", f"JobId={job}", "TimeLimit=3")  # less than the warning comes before
    wait_for("the end of the job", lambda: cluster.jobs("rule_training", "COMPLETED", "FAILED"), 120)
    assert complete_states(tmp_path / "work/states"), read(tmp_path / "log.txt") + read(tmp_path / "said.txt")


HANDLES = "import signal, sys, time; signal.signal(signal.SIGUSR1, lambda *_: sys.exit(138)); print(1, flush=True)"
OUTER = """
import subprocess, sys
from sharegpt4v.pipeline.slurm import pass_on_warnings
pass_on_warnings()
shell = "set -o pipefail; trap '' USR1; " + sys.argv[1] + " -c '" + sys.argv[2] + "; time.sleep(60)' | tee"
sys.exit(subprocess.run(["bash", "-c", shell]).returncode)
"""


def test_a_warning_that_only_the_first_process_hears_reaches_the_one_that_handles_it() -> None:
    """As where Slurm tracks the processes of a job by cgroups: it signals the first of a step alone."""
    command = [sys.executable, "-c", OUTER, sys.executable, HANDLES]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as outer:
        assert outer.stdout and outer.stdout.readline() == "1\n"
        outer.send_signal(signal.SIGUSR1)
        assert outer.wait(30) == 138


def read(path: Path) -> str:
    """What a file says, nothing when it is not there."""
    return path.read_text() if path.exists() else ""
