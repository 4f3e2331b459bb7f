"""Is everything here that a preset needs on this machine: versions, commands, disk space, GPUs, keys."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from sharegpt4v import layout
from sharegpt4v.config import Config, missing_keys
from sharegpt4v.doctor.finding import Finding
from sharegpt4v.images.kind import kind_of_source
from sharegpt4v.pipeline.start import endpoints
from sharegpt4v.pipeline.targets import fetched_sources

PYTHON = (3, 11)
PACKAGES = ("torch", "transformers", "snakemake", "mlflow")
SPARE_BYTES = 2 * 10**9  # of checkpoints, answers and logs, beside what the catalogue says of the sources
UNPACKED = 2.2  # archives, what is in them, and lists


def machine_findings(config: Config, environ: Mapping[str, str], slurm: bool) -> Iterator[Finding]:
    """Yield what there is and what lacks here; `slurm`: models are trained elsewhere, so GPUs are not asked for."""
    yield _python()
    packages = [*PACKAGES, *(["deepspeed"] if config.compute.processes > 1 else [])]
    for package in [*packages, *(["snakemake-executor-plugin-slurm"] if slurm else [])]:
        yield _package(package, _locked())
    if any(kind_of_source(source).needs_img2dataset for source in fetched_sources(config).values()):
        yield _img2dataset(config)
    yield _disk(config)
    if not slurm and find_spec("torch"):
        yield _gpus(config)
    yield from _keys(config, environ)


def _python() -> Finding:
    found, wanted = sys.version.split()[0], ".".join(map(str, PYTHON))
    return Finding("Python", found, None if sys.version_info[:2] == PYTHON else f"expected {wanted}: `make setup`")


def _locked() -> dict[str, str]:
    """The versions in envs/core.lock; torch's is in core.in, because it is installed by itself."""
    texts = [(layout.PROJECT / "envs" / name).read_text() for name in ("core.in", "core.lock")]
    return dict(re.findall(r"^([\w.-]+)==([^\s\\;]+)", "\n".join(texts), re.MULTILINE))


def _package(name: str, locked: Mapping[str, str]) -> Finding:
    try:
        found = version(name)
    except PackageNotFoundError:
        return Finding(name, "not installed", "run `make setup`")
    wanted = locked.get(name)
    same = wanted is None or found.partition("+")[0] == wanted  # 2.13.0+cpu is a build of 2.13.0
    return Finding(name, found, None if same else f"expected {wanted}, as in envs/core.lock: run `make setup`")


def _img2dataset(config: Config) -> Finding:
    command = layout.of_project(config.sources.img2dataset.command)
    found = shutil.which(command)
    return Finding("img2dataset", str(command), None if found else "no such command there: run `make setup`")


def _disk(config: Config) -> Finding:
    downloads = [download for source in fetched_sources(config).values() for download in source.downloads]
    wanted = SPARE_BYTES + UNPACKED * sum(download.bytes or 0 for download in downloads)
    free = shutil.disk_usage(Path.cwd()).free
    found = f"{free / 1e9:,.0f} GB free here, {wanted / 1e9:,.0f} GB wanted"
    return Finding("disk", found, None if free >= wanted else "make room, or start in a folder on a larger disk")


def _gpus(config: Config) -> Finding:
    import torch

    found, processes = torch.cuda.device_count(), config.compute.processes_per_node
    wanted = processes if processes > 1 or not config.mini else 0
    remedy = f"expected {wanted}: use a machine with as many, or --profile slurm" if found < wanted else None
    return Finding("GPUs", f"{found} here, {wanted} needed", remedy)


def _keys(config: Config, environ: Mapping[str, str]) -> Iterator[Finding]:
    missing = missing_keys(endpoints(config), environ)
    for line in missing:
        yield Finding("key", line, "then start again")
    if not missing:
        named = [section.api_key_variable for section in config.endpoints.values() if section.api_key_variable]
        yield Finding("keys", f"{', '.join(named)} set" if named else "none needed")
