"""What `s4v status` says of the jobs of a run in a real Slurm."""

from __future__ import annotations

from pathlib import Path

import pytest

from sharegpt4v.status.queue import queue_line
from slurm_cluster import Cluster, wait_for
from slurm_cluster import cluster as cluster


def test_the_jobs_of_a_run_are_counted_by_state(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SLURM_CONF", "PATH"):
        monkeypatch.setenv(name, cluster.environment[name])
    assert queue_line(tmp_path, True) == ""
    for comment, folder in (
        ("rule_captions_wildcards_a", tmp_path),
        ("mine", tmp_path),
        ("rule_other", cluster.folder),
    ):
        cluster.ask("sbatch", f"--comment={comment}", f"--chdir={folder}", "--output=/dev/null", "--wrap=sleep 60")
    cluster.ask(
        "sbatch", "--comment=rule_captions_wildcards_b", f"--chdir={tmp_path}", "--hold", "--wrap=sleep 60"
    )  # fmt: skip
    wait_for("a job runs", lambda: "1 running" in queue_line(tmp_path, True))
    assert sorted(queue_line(tmp_path, True).removeprefix("Slurm: ").split(", ")) == [
        "1 pending (JobHeldUser)",
        "1 running",
    ]
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "none.conf"))
    monkeypatch.setenv("PATH", "/usr/bin")  # without the wrapper that knows the cluster
    assert queue_line(tmp_path, True).startswith("Slurm: squeue ") and queue_line(tmp_path, False) == ""
