"""Options that many verbs have."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sharegpt4v import layout
from sharegpt4v.errors import UserError
from sharegpt4v.project import preset

if TYPE_CHECKING:
    from sharegpt4v.config import Config
    from sharegpt4v.config.generation import Generation
    from sharegpt4v.evaluation.tasks import Task


def add_config(parser: ArgumentParser) -> None:
    """Add `--config`."""
    parser.add_argument(
        "--config", type=preset, default=layout.config_here(), metavar="FILE",
        help="the config (default: .work/config.json, that of the run in this folder; else config/config.yaml)",
    )  # fmt: skip


def add_engine(parser: ArgumentParser) -> None:
    """Add the options that say which model is asked, and by what."""
    from sharegpt4v.catalogues.engines import ENGINES

    known = f"{', '.join(ENGINES)} (default: by the config; with --base-url, endpoint)"
    parser.add_argument("--engine", metavar="NAME", help=f"what asks the model: {known}")
    _add_address(parser)


def add_served_model(parser: ArgumentParser) -> None:
    """Add the options that say which served model is asked."""
    parser.add_argument("--model", metavar="NAME", help="the name of the model at its address (default: by the config)")
    parser.set_defaults(engine=None)
    _add_address(parser)


def _add_address(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--base-url", metavar="URL", help="the OpenAI-compatible address of a served model; --model is its name there"
    )
    parser.add_argument(
        "--api-key-variable", metavar="NAME",
        help="the environment variable with the key (default: OPENAI_API_KEY; at an address of this machine, none)",
    )  # fmt: skip


def asked_by(options: Namespace, section: Generation, folder: Path | None = None) -> tuple[Path | None, Generation]:
    """Return the folder of the model that the options name, None at an endpoint, and what asks it.

    What the options leave open is as in a section of the config; `folder` is the default of `--model`. A `UserError`
    when no model is named.
    """
    from sharegpt4v.addresses import is_loopback
    from sharegpt4v.config.endpoint import Endpoint

    engine = options.engine or ("endpoint" if options.base_url else section.engine)
    if engine != "endpoint":
        if options.base_url:
            raise UserError(f"--base-url: for the engine endpoint, not for {engine}; leave one of the two out")
        model = Path(options.model).expanduser() if options.model else folder
        if model is None:
            raise UserError("--model: expected the folder of a model, or its name at an address, with --base-url")
        return model, section.model_copy(update={"engine": engine})
    configured = section.endpoint
    address = options.base_url or (configured.base_url if configured else None)
    name = options.model or (configured.model if configured else None)
    if not address or not name:
        raise UserError("engine endpoint: expected --base-url and --model, the name that the model has there")
    key = options.api_key_variable or (None if is_loopback(address) else "OPENAI_API_KEY")
    changed = {"base_url": address, "model": name, "api_key_variable": key}
    if configured and not options.base_url:
        changed = {"model": name, "api_key_variable": options.api_key_variable or configured.api_key_variable}
    endpoint = (configured or Endpoint(model=name)).model_copy(update=changed)
    return None, section.model_copy(update={"engine": engine, "endpoint": endpoint})


def add_path(parser: ArgumentParser, name: str, default: Path | str, what: str) -> None:
    """Add an option that is a path."""
    parser.add_argument(name, type=Path, default=Path(default), metavar="PATH", help=f"{what} (default: {default})")


def add_answers(parser: ArgumentParser) -> None:
    """Add `--answers`, what is graded or scored."""
    parser.add_argument(
        "--answers", type=Path, required=True, metavar="FILE",
        help="the answer file, or of MME the folder of the official tool's text files; with 'all', the folder of them",
    )  # fmt: skip


def add_outcome(parser: ArgumentParser, what: str) -> None:
    """Add `--out`, what is made of the answers."""
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help=f"{what} to write; with 'all', a folder"
    )


def add_benchmark_data(parser: ArgumentParser) -> None:
    """Add `--data`."""
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="the benchmark's folder (default: by the config)")


def tasks_of(
    options: Namespace, config: Config, names: Sequence[str], file_of: Callable[[str], str] = "{}.json".format
) -> list[Task]:
    """Return the task of the benchmark that the options name; for 'all' one of each of `names`, which go into the
    folder of `--out` as `file_of` names them."""
    from sharegpt4v.evaluation.tasks import Task, tasks_in

    every = options.benchmark == "all"
    if every and not options.data:
        return tasks_in(config, names, options.answers, options.out, file_of)
    if every:
        raise UserError(
            "--data: of one benchmark; with 'all', the config says where their folders are (benchmarks.root)"
        )
    data = options.data or layout.benchmark_folder(config, options.benchmark)
    return [Task(options.benchmark, data, options.answers, options.out)]


def config_of(options: Namespace) -> Config:
    """Read the config that the options name; a `UserError` with one line per mistake."""
    from sharegpt4v.config import load

    return load(options.config)


def notice_around(path: Path) -> str:
    """Return the notice of the run whose folder a file is in; empty where it is in none, and where images are real."""
    from sharegpt4v.config import load
    from sharegpt4v.miniature import notice_of

    for folder in path.resolve().parents:
        if (folder / layout.RUN_CONFIG).is_file():
            return notice_of(load(folder / layout.RUN_CONFIG))
    return ""
