"""Whether the files of the benchmarks are there, before any model answers (paper, section 5.1).

The questions are read as they are when a model answers, every image is looked for, and so are the other files that
`config/benchmark_files.tsv` knows of.
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
from sharegpt4v.official_files import lacking, official_files


def benchmark_findings(config: Config) -> Iterator[Finding]:
    """Yield a line for each benchmark of the config; none where the synthetic world brings them."""
    if config.mini is None:
        for name in config.benchmarks.names:
            yield benchmark_finding(config, name)


def benchmark_finding(config: Config, name: str) -> Finding:
    """Look at the files of one benchmark."""
    found = _looked_at(benchmark_named(name), layout.benchmark_folder(config, name))
    patterns = [one for row in official_files(config, [name]).values() for one in lacking(row, config.benchmarks.root)]
    if found.remedy is None and patterns:
        root = config.benchmarks.root
        return Finding(found.what, f"{root} has no {' and no '.join(patterns)}", f"`s4v fetch {name}` brings it")
    return found


def _looked_at(entry: Benchmark, folder: Path) -> Finding:
    what = f"benchmark {entry.name}"
    try:
        questions = module_of(entry).questions(folder)
    except MissingFile as error:
        return Finding(
            what,
            "its files are not there",
            f"{entry.what_to_get(error)}; `s4v fetch {entry.name}` brings it, or says how",
        )
    except UserError as error:
        return Finding(what, "its files cannot be read", str(error))
    images = {question.image for question in questions if isinstance(question.image, Path)}
    lost = sorted(image for image in images if not image.is_file())
    if lost:
        found = f"{len(lost):,} of {len(images):,} images are not there, such as {lost[0]}"
        return Finding(what, found, f"they come from {entry.source}")
    official = "" if len(questions) == entry.questions else f" (the official split has {entry.questions:,})"
    return Finding(what, f"{len(questions):,} questions{official}, images: all there")
