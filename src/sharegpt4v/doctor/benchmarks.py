"""Whether the files of the benchmarks are there, before any model answers (paper, section 5.1).

The questions are read as they are when a model answers, and every image is looked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sharegpt4v import layout
from sharegpt4v.catalogues.benchmarks import Benchmark, benchmark_named
from sharegpt4v.config import Config
from sharegpt4v.doctor.finding import Finding
from sharegpt4v.errors import MissingFile, UserError
from sharegpt4v.evaluation.modules import module_of


def benchmark_findings(config: Config) -> Iterator[Finding]:
    """Yield a line for each benchmark of the config; none where the synthetic world brings them."""
    if config.mini is None:
        for name in config.benchmarks.names:
            yield _finding(benchmark_named(name), layout.benchmark_folder(config, name))


def _finding(entry: Benchmark, folder: Path) -> Finding:
    what = f"benchmark {entry.name}"
    try:
        questions = module_of(entry).questions(folder)
    except MissingFile as error:
        return Finding(what, "its files are not there", entry.what_to_get(error))
    except UserError as error:
        return Finding(what, "its files cannot be read", str(error))
    images = {question.image for question in questions if isinstance(question.image, Path)}
    lost = sorted(image for image in images if not image.is_file())
    if lost:
        found = f"{len(lost):,} of {len(images):,} images are not there, such as {lost[0]}"
        return Finding(what, found, f"they come from {entry.source}")
    official = "" if len(questions) == entry.questions else f" (the official split has {entry.questions:,})"
    return Finding(what, f"{len(questions):,} questions{official}, images: all there")
