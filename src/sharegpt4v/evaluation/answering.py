"""Answering benchmarks with a model: one load for all of them, an official answer row per question.

Every answer is in a ledger the moment it exists, so a killed run resumes. The answer file is written
when a benchmark is complete, in question order, and the same model and questions give the same bytes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sharegpt4v.catalogues.benchmarks import benchmark_named
from sharegpt4v.config.generation import LOCAL, Generation
from sharegpt4v.errors import MissingFile, UserError
from sharegpt4v.evaluation.base import Question
from sharegpt4v.evaluation.modules import module_of
from sharegpt4v.evaluation.sidecar import provenance_file
from sharegpt4v.files import open_atomically, sha256_of, write_json
from sharegpt4v.generation.engine import (
    Engine,
    Request,
    about_engine,
    code_roots,
    model_key,
    open_engine,
    texts,
)
from sharegpt4v.ledger import Ledger, key_of
from sharegpt4v.progress import Progress
from sharegpt4v.provenance import code_version

# The files of a model folder that decide its answers; logs and model cards do not.
MODEL_FILES = (
    "*.safetensors", "pytorch_model*.bin", "*config.json", "*tokens*.json", "tokenizer*", "chat_template*",
    "vocab.*", "merges.txt",
)  # fmt: skip


def answer(
    benchmarks: Sequence[tuple[str, Path, Path]],
    model: Path | None,
    model_id: str,
    work: Path,
    generation: Generation = LOCAL,
    open_engine: Callable[[Path | None, Generation, Path], Engine] = open_engine,
    without_missing: bool = False,
) -> None:
    """Write an answer file for each (benchmark, its data folder, answer file), and its provenance beside it.

    `model` is a transformers folder, None for the one that an endpoint has; `generation` says what asks it, `model_id`
    is what answer rows call it, `work` holds the ledgers, one per model content and benchmark. All questions and images
    are read before the model is loaded, so that a missing file is found at once; the model is not loaded at all when
    nothing is left to ask. Raises `UserError` for whatever is missing or malformed; but `without_missing`, a benchmark
    whose files are not at hand is reported and gets an empty file.
    """
    model_hash = model_key(model, generation, fingerprint)
    prepared = []
    lacking: dict[str, dict[str, str]] = {}
    for name, data, out in benchmarks:
        entry = benchmark_named(name)
        try:
            questions = module_of(entry).questions(data)
            prepared.append((name, questions, _keys(name, questions), out))
        except MissingFile as error:
            if not without_missing:
                raise
            print(f"{name}: not answered; {entry.what_to_get(error)}", file=sys.stderr)
            prepared.append((name, [], [], out))
            lacking[name] = {"missing": str(error)}

    with ExitStack() as stack:
        started: Engine | None = None
        for name, questions, keys, out in prepared:
            with Ledger(work / model_hash / f"{name}.jsonl") as ledger:
                pending = {key: question for key, question in zip(keys, questions, strict=True) if key not in ledger}
                if pending:
                    started = started or stack.enter_context(
                        open_engine(model, generation, work / model_hash / "engine")
                    )
                    _ask(started, pending, ledger, name)
                answers = [ledger[key]["text"] for key in keys]
            _write_rows(out, name, questions, answers, model_id, model_hash)
            about = {"model": model_id, "model_sha256": model_hash, "answers_sha256": sha256_of(out)}
            code = code_version(
                __name__, *code_roots(generation.engine, model), f"evaluation.benchmarks.{benchmark_named(name).module}"
            )
            write_json(provenance_file(out), about | about_engine(generation) | code | lacking.get(name, {}))


def fingerprint(model: Path) -> str:
    """Return a hash of the content of a model folder: weights, configuration, tokenizer, processor."""
    files = {path.name: path for pattern in MODEL_FILES for path in model.glob(pattern) if path.is_file()}
    if "config.json" not in files:
        raise UserError(f"{model}: no config.json; expected the folder of a model as transformers saves it")
    return key_of([[name, sha256_of(files[name])] for name in sorted(files)])


def clean(text: str) -> str:
    """Strip a generated text and take off one end mark."""
    return text.strip().removesuffix("</s>").strip()


def _keys(name: str, questions: Sequence[Question]) -> list[str]:
    """Return what each answer depends on beside the model: the texts asked, the image's content, the limits."""
    if not questions:
        raise UserError(f"{name}: the question file is empty; expected at least one question")
    hashes: dict[Path, str] = {}
    keys = []
    for question in questions:
        image = question.image
        if isinstance(image, Path):
            if image not in hashes:
                if not image.is_file():
                    raise MissingFile(
                        f"{name}, question {question.question_id}: no image {image}; expected a file there"
                    )
                hashes[image] = sha256_of(image)
            content = hashes[image]
        else:
            content = "" if image is None else _hash_of(image)
        keys.append(
            key_of(question.system, question.prompt, content, question.max_new_tokens, question.image_aspect_ratio)
        )
    return keys


def _hash_of(image: bytes) -> str:
    import hashlib

    return hashlib.sha256(image).hexdigest()


def _ask(engine: Engine, pending: dict[str, Question], ledger: Ledger, name: str) -> None:
    keys = list(pending)
    requests = [
        Request(
            question.prompt,
            question.image,
            question.max_new_tokens,
            question.image_aspect_ratio,
            system=question.system,
        )
        for question in pending.values()
    ]
    progress = Progress(f"answers to {name}", len(requests), "questions")
    for index, text in texts(engine, requests):
        ledger.append(keys[index], {"text": clean(text)})
        progress.advance()


def _write_rows(
    out: Path, name: str, questions: Sequence[Question], texts: Sequence[str], model_id: str, model_hash: str
) -> None:
    with open_atomically(out, "w") as file:
        for position, (question, text) in enumerate(zip(questions, texts, strict=True)):
            prompt = question.prompt if question.stored_prompt is None else question.stored_prompt
            row: dict[str, Any] = {
                "question_id": question.question_id,
                "prompt": prompt,
                "text": text,
                **question.extra,
                "answer_id": key_of(model_hash, name, position, question.question_id, prompt)[:22],
                "model_id": model_id,
                "metadata": {},
            }
            file.write(json.dumps(row) + "\n")  # escaped to ASCII, as the official files are
