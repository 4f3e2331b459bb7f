"""Weights & Biases, for ``wandb:PROJECT`` and ``wandb:ENTITY/PROJECT``; ``wandb:`` takes the experiment's name.

What its client takes from the environment stays as it is: WANDB_API_KEY, WANDB_BASE_URL for a server of one's own, and
WANDB_MODE=offline, which keeps the runs in `wandb/` for `wandb sync`. A job is shown when it is done. The file
`wandb/shown.txt` lists the runs that are shown.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from sharegpt4v.files import write_json, write_text
from sharegpt4v.tracking.tracker import Run, Tracker

FOLDER = Path("wandb")
SHOWN = FOLDER / "shown.txt"
OF_THE_MACHINE_NOTHING: dict[str, Any] = {
    "silent": True,
    "console": "off",
    "disable_git": True,
    "save_code": False,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_disable_machine_info": True,
    "x_save_requirements": False,
}
"""Settings: its client would send the console, code, packages and hardware."""


class WandB(Tracker):
    """A project of Weights & Biases."""

    title = "Weights & Biases"

    def __init__(self, uri: str, experiment: str) -> None:
        entity, _, project = uri.removeprefix("wandb:").rpartition("/")
        self.entity, self.project = entity or None, project or experiment
        self.shown = set(SHOWN.read_text().split()) if SHOWN.exists() else set()

    def show(self, run: Run, parent: str | None) -> str:
        """Write a run unless it is shown with this content; one with an identity is brought up to date."""
        import wandb

        key = run.key()
        name = run.identity or key
        if key in self.shown:
            return name
        curves: dict[int, dict[str, float]] = defaultdict(dict)
        for point in run.curves():  # read before anything is opened: a broken record is no half-written run
            curves[point.step][point.name] = point.value
        FOLDER.mkdir(exist_ok=True)
        with wandb.init(
            dir=str(Path.cwd()),
            entity=self.entity,
            project=self.project,
            id=name,
            name=run.name,
            group=run.parent or run.name,
            job_type=run.stage,
            config=dict(run.params),
            notes=run.tags.get("mlflow.note.content"),
            resume="allow",
            settings=wandb.Settings(**OF_THE_MACHINE_NOTHING),
        ) as opened:
            for step in sorted(curves):
                opened.log(curves[step], step=step)
            opened.summary.update(dict(run.metrics))
            self._files(opened, run)
        with open(SHOWN, "a", encoding="utf-8") as file:
            file.write(f"{key}\n")
        self.shown.add(key)
        return name

    def _files(self, opened: Any, run: Run) -> None:
        """Keep the files of a run as files of the run in W&B."""
        folder = Path(opened.dir)
        for name, whole in {"settings.json": run.settings, "provenance.json": run.provenance}.items():
            if whole:
                write_json(folder / name, dict(whole))
        for name, text in run.texts.items():
            write_text(folder / name, text)
        for path in run.artifacts:
            (folder / path.name).write_bytes(path.read_bytes())


TRACKER = WandB
