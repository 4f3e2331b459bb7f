"""Keep artefacts after a change of the code that a person has judged harmless, and say so in their provenance.

Snakemake remembers with each output which code made it. To accept a stage is to note today's code there instead; the
reason is written beside the artefact and into ``logs/accepted.jsonl``. A change of settings or inputs still counts.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from sharegpt4v import layout
from sharegpt4v.config import load
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json, write_json
from sharegpt4v.pipeline.rerun import code_of_stage
from sharegpt4v.pipeline.stages import STAGES
from sharegpt4v.pipeline.start import lock_folder

METADATA = Path(".snakemake/metadata")
CODE = re.compile(r"'[0-9a-f]{16}'")  # among the params of a job, as Snakemake notes them


def accept(stages: Sequence[str], because: str) -> dict[str, int]:
    """Return how many outputs of each stage in this folder now count as made by today's code.

    `because` says why the change is harmless. An unknown stage, an empty reason, a folder without a run and one
    in which a run is working are a `UserError`.
    """
    if unknown := [stage for stage in stages if stage not in STAGES]:
        raise UserError(f"stage {unknown[0]!r}: expected one of {', '.join(STAGES)}")
    if not because.strip():
        raise UserError("--because: empty; expected why the results are the same, which goes into their provenance")
    if not METADATA.is_dir():
        raise UserError(f"{Path.cwd()}: no run of the pipeline here; expected {METADATA}")
    lock_folder()
    config = load(layout.RUN_CONFIG)
    accepted = dict.fromkeys(stages, 0)
    for file, noted in _notes(stages):
        stage, now = noted["rule"], repr(code_of_stage(noted["rule"], config))
        before = next((value for value in noted["params"] if CODE.fullmatch(value)), now)
        if before == now:
            continue
        name = file.relative_to(METADATA).as_posix().replace("/", "").replace("@", "")  # a long one is cut into folders
        output = Path(base64.urlsafe_b64decode(name).decode())
        _tell(stage, output, before.strip("'"), now.strip("'"), because)
        noted["params"] = [now if value == before else value for value in noted["params"]]
        write_json(file, noted)
        accepted[stage] += 1
    return accepted


def _notes(stages: Sequence[str]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield what Snakemake has noted of each output of the stages, and the file that holds it."""
    for file in sorted(path for path in METADATA.rglob("*") if path.is_file()):
        noted: dict[str, Any] = json.loads(file.read_bytes())
        if noted.get("rule") in stages and noted.get("params"):
            yield file, noted


def _tell(stage: str, output: Path, before: str, now: str, because: str) -> None:
    """Write into the provenance beside an output, and into the log, that its code counts as today's."""
    what = {"stage": stage, "code": now, "instead_of": before, "because": because}
    beside = output.parent / "provenance.json"
    if beside.is_file():
        about: dict[str, Any] = read_json(beside)
        write_json(beside, about | {"accepted": [*about.get("accepted", []), what]})
    line = {"output": output.as_posix(), **what, "time": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    layout.LOGS.mkdir(exist_ok=True)
    with open(layout.LOGS / "accepted.jsonl", "ab") as log:
        log.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
