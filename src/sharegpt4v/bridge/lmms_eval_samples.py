"""What lmms-eval logged of our tasks, as answers in our format, joined to ours question by question.

A sample names its question itself (`lmms_eval_utils.process_results`), so nothing goes by position: samples of several
processes, of a part of the questions or in another order are joined all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.answering import clean
from sharegpt4v.evaluation.base import Answer, Completeness
from sharegpt4v.evaluation.comparing import asked_of, texts_of
from sharegpt4v.evaluation.joining import count
from sharegpt4v.evaluation.reading import Row, json_lines
from sharegpt4v.evaluation.sidecar import provenance_file
from sharegpt4v.files import sha256_of, write_csv, write_json, write_jsonl
from sharegpt4v.generation.engine import plain
from sharegpt4v.ledger import key_of
from sharegpt4v.terminal import plain_table

HEAD = ("benchmark", "questions", "equal", "different", "missing", "repeated", "unknown")
COLUMNS = ("benchmark", "question_id", "prompt", "what", "ours", "lmms_eval")
SHOWN = 10


@dataclass(frozen=True)
class Samples:
    """What lmms-eval answered to one benchmark: answer rows in its order, and the files that they are from."""

    benchmark: str
    rows: list[Answer] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class Joined:
    """Our answers to one benchmark and lmms-eval's to the same questions.

    `equal` texts are the same; `differences` are rows of `COLUMNS`, one for each question whose texts are not, which
    lmms-eval did not answer (missing), or which we did not (unknown). `completeness` counts them, by our answers.
    """

    benchmark: str
    equal: int
    differences: list[tuple[str, ...]]
    completeness: Completeness


def read_samples(path: Path) -> list[Samples]:
    """Read a file of samples, or those of our tasks in a folder and below it; a list with one entry per benchmark.

    A `UserError` when there are none, or a file is of another task.
    """
    files = sorted(path.rglob("*_samples_s4v_*.jsonl")) if path.is_dir() else [path]
    found: dict[str, Samples] = {}
    for file in files:
        for row in json_lines(file):
            if "s4v" not in row.values:
                raise UserError(f"{row.where}: no field 's4v'; expected a sample of a task of s4v bridge lmms-eval")
            answered = row.row("s4v")
            name = answered.text("benchmark")
            samples = found.setdefault(name, Samples(name))
            samples.rows.append(_answer(answered))
            if file not in samples.files:
                samples.files.append(file)
    if not found:
        raise UserError(f"{path}: no samples; expected files such as *_samples_s4v_mme.jsonl, of --log_samples")
    return list(found.values())


def _answer(answered: Row) -> Answer:
    """Return the row that the task holds, with the text as ours are cleaned."""
    try:
        row = Row.of(orjson.loads(answered.text("asked")), answered.where)
    except orjson.JSONDecodeError:
        raise UserError(f"{answered.where}, field 'asked': not JSON; expected an answer row") from None
    row.identifier("question_id")
    return row.values | {"text": clean(plain(answered.text("text")))}


def join(samples: Samples, answers: Path) -> Joined:
    """Join lmms-eval's answers to those of our file `answers`; of several to one question, the last counts."""
    ours = texts_of(answers)
    theirs = {asked_of(row): row["text"] for row in samples.rows}
    different: list[tuple[str, ...]] = [
        (samples.benchmark, *_shown(asked), what, ours.get(asked, ""), theirs.get(asked, ""))
        for asked, what in _judged(ours, theirs)
    ]
    equal = sum(theirs.get(asked) == text for asked, text in ours.items())
    return Joined(samples.benchmark, equal, different, count(ours, map(asked_of, samples.rows)))


def _judged(
    ours: Mapping[tuple[str, ...], str], theirs: Mapping[tuple[str, ...], str]
) -> Iterator[tuple[tuple[str, ...], str]]:
    for asked, text in ours.items():
        if asked not in theirs:
            yield asked, "missing"
        elif theirs[asked] != text:
            yield asked, "different"
    yield from ((asked, "unknown") for asked in theirs if asked not in ours)


def _shown(asked: tuple[str, ...]) -> tuple[str, str]:
    return asked[0], asked[1]


def write_answers(samples: Samples, out: Path, model_id: str) -> None:
    """Write an answer file, in the order of lmms-eval's questions, and its provenance beside it."""
    rows = {asked_of(row): row for row in samples.rows}
    write_jsonl(
        out,
        (
            row | {"answer_id": key_of("lmms-eval", model_id, *asked)[:22], "model_id": model_id, "metadata": {}}
            for asked, row in rows.items()
        ),
    )
    files = {file.name: sha256_of(file) for file in samples.files}
    about = {"model": model_id, "answers_sha256": sha256_of(out), "engine": "lmms-eval", "samples_sha256": files}
    write_json(provenance_file(out), about)


def write_differences(found: Sequence[Joined], out: Path) -> None:
    """Write every difference as a row of a CSV table."""
    write_csv(out, [COLUMNS, *(row for one in found for row in one.differences)])


def text_of(found: Sequence[Joined]) -> str:
    """Return a table for a terminal, a line per benchmark, and the first differences of all."""
    lines = [list(HEAD)]
    for one in found:
        known = one.completeness
        different = sum(row[3] == "different" for row in one.differences)
        counts = (known.expected, one.equal, different, known.missing, known.repeated, known.unknown)
        lines.append([one.benchmark, *(f"{number:,}" for number in counts)])
    differences = [row for one in found for row in one.differences]
    shown = [
        f"{name} {question_id}: {what}; ours {ours!r}, lmms-eval's {theirs!r}"
        for name, question_id, _, what, ours, theirs in differences[:SHOWN]
    ]
    more = [f"and {len(differences) - SHOWN:,} more"] if len(differences) > SHOWN else []
    return "\n".join([plain_table(lines, right=range(1, len(HEAD))), *shown, *more])
