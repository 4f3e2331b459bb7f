"""Writes `dvc.yaml`: what DVC remembers of a run, and when it asks Snakemake to look again.

Snakemake alone decides what is rerun; DVC records by hash what came out. Each DVC stage corresponds to one rule file:
its command runs these rules as far as they have to be run, its outputs are all they make, and it depends on their code,
their part of the config and what they read. Everything is kept while a stage runs (`persist`), or DVC would delete
finished work before it asks for the rest.

``python -m sharegpt4v.pipeline.dvc`` writes it for `config/config.yaml`, or for another by ``--config FILE``; with
``--check`` it writes nothing and exits 1 on drift.
"""

from __future__ import annotations

import re
import shlex
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sharegpt4v import layout, lineage
from sharegpt4v.code_hash import NAME, PACKAGE, modules_of
from sharegpt4v.config import Config, load
from sharegpt4v.errors import UserError
from sharegpt4v.files import write_text
from sharegpt4v.pipeline.rerun import roots_of
from sharegpt4v.pipeline.snakemake import Graph, graph_of
from sharegpt4v.pipeline.stages import STAGES

DVC_YAML = Path("dvc.yaml")
COMMAND = "python -m sharegpt4v.pipeline.dvc"
RULES = "workflow/rules"
DEFAULTS = f"src/{NAME}/config"  # of every key that no file of the chain of presets gives
TARGET = "all_"  # and the name of a file of rules: the rule in it that wants all which the others make

# An output is recorded as the folder directly below one of these, or as the file itself where it lies in one.
SHARED = {Path("data"), layout.SEED_CAPTIONS.parent, Path("checkpoints"), layout.RESULTS}
# Images are pinned by their manifests and drawn or fetched again; the notes of what MLflow shows are of one machine.
NOT_RECORDED = {layout.WORLD.parent, layout.TRACKED, layout.MLFLOW_RUNS}

# Sections of the config that decide which jobs there are, where no stage names them as what its result depends on.
SECTIONS_OF_JOBS = {
    "sources": {"sources", "mini"},
    "captions": {"captions", "captioner"},
    "corpora": {"models"},
    "lmm": {"models"},
    "benchmarks": {"benchmarks", "models"},
    "report": {"benchmarks", "models"},
    "tracking": {"benchmarks", "models"},
}


@dataclass(frozen=True)
class RuleFile:
    """A file of rules, and the stages of the table that are in it."""

    name: str
    rules: tuple[str, ...]

    @property
    def path(self) -> str:
        """The file, relative to the project."""
        return f"{RULES}/{self.name}.smk"


def rule_files(project: Path = layout.PROJECT) -> list[RuleFile]:
    """Return the files of rules in the order in which the Snakefile includes them."""
    names = re.findall(rf'include: "{RULES}/(\w+)\.smk"', (project / "Snakefile").read_text("utf-8"))
    rules = {
        name: re.findall(r"^ *rule (\w+):$", (project / RULES / f"{name}.smk").read_text("utf-8"), re.MULTILINE)
        for name in names
    }
    return [RuleFile(name, tuple(rule for rule in rules[name] if rule in STAGES)) for name in names]


def dvc_yaml(config_file: Path, project: Path = layout.PROJECT) -> str:
    """Return the content of `dvc.yaml` for a config, whose path is relative to `project`."""
    import yaml

    if shlex.quote(config_file.as_posix()) != config_file.as_posix():
        raise UserError(f"{config_file}: DVC gives this path to a shell; expected one without blanks and other signs")
    config, graph = load(project / config_file), graph_of(project / config_file, project)
    stages: dict[str, dict[str, Any]] = {"check": _check(config_file, project)}
    makers: dict[str, str] = {}
    for file in rule_files(project):
        rules = [rule for rule in file.rules if rule in graph.outputs]
        if not rules:
            continue
        makers |= dict.fromkeys(rules, file.name)
        outs = _outs(path for rule in rules for path in graph.outputs[rule])
        upstream = {makers[read] for rule in rules for read in graph.reads.get(rule, ())} - {file.name}
        made = [out for name in stages if name in upstream for out in stages[name].get("outs", ())]
        stages[file.name] = {
            "cmd": f"snakemake {TARGET}{file.name} --configfile ${{config}}",
            "deps": [*sorted({file.path, DEFAULTS, *_code(rules, config), *_texts(rules, config)}), *map(_name, made)],
            "params": list(_params(file, rules, config_file, project)),
        }
        if outs:
            stages[file.name]["outs"] = [{out: {"persist": True}} for out in outs]
    document = {"vars": [{"config": config_file.as_posix()}], "stages": stages} | _shown(config, graph)
    head = f"# Written from {RULES}/*.smk and {config_file.as_posix()} by `{COMMAND}`; do not edit.\n\n"
    return head + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def _check(config_file: Path, project: Path) -> dict[str, Any]:
    """The stage that stops `dvc repro` when what is written here no longer holds: a model more in the config, say."""
    presets = [path.as_posix() for path, _ in _presets(config_file, project)]
    deps = ["Snakefile", RULES, f"src/{NAME}/pipeline", *presets]
    return {"cmd": f"{COMMAND} --check --config ${{config}}", "deps": deps}


def _name(out: dict[str, Any]) -> str:
    return next(iter(out))


def _outs(paths: Iterable[Path]) -> list[str]:
    """Return what is recorded of these files: folders where a folder is a stage's own."""
    found: dict[Path, None] = {}
    for path in paths:
        while path.parent not in SHARED:
            path = path.parent
        if path not in NOT_RECORDED:
            found[path] = None
    return sorted(path.as_posix() for path in found)


def _code(rules: Sequence[str], config: Config) -> Iterator[str]:
    """Yield the folders of the package, or its single files, that the rules run."""
    for rule in rules:
        for module in modules_of(*roots_of(rule, config)):
            package = module.partition(".")[0]
            if package == "stages" or not (PACKAGE / package).is_dir():
                yield f"src/{NAME}/{module.replace('.', '/')}.py"
            else:
                yield f"src/{NAME}/{package}"


def _texts(rules: Sequence[str], config: Config) -> Iterator[str]:
    """Yield the prompts and tables of the project that the rules read."""
    for name in {name for rule in rules for name in STAGES[rule].texts}:
        value: Any = config
        for key in () if "/" in name else name.split("."):
            value = getattr(value, key)
        if value is not None:
            yield name if "/" in name else value.as_posix()


def _params(file: RuleFile, rules: Sequence[str], config_file: Path, project: Path) -> Iterator[dict[str, list[str]]]:
    """Yield the sections of the config that the rules depend on, by the file of the chain of presets they are in."""
    sections = {key.partition(".")[0] for rule in rules for key in STAGES[rule].config}
    sections |= SECTIONS_OF_JOBS.get(file.name, set())
    for path, tree in _presets(config_file, project):
        if here := sorted(sections & set(tree)):
            yield {path.as_posix(): here}


def _presets(config_file: Path, project: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield a config file and what is in it, then the same for the preset it builds on, and so on."""
    import yaml

    tree = yaml.safe_load((project / config_file).read_text("utf-8"))
    yield config_file, tree
    if "base" in tree:
        yield from _presets(config_file.parent / tree["base"], project)


def _shown(config: Config, graph: Graph) -> dict[str, Any]:
    """Return what `dvc metrics` and `dvc plots` show: scores by model, curves of the trainings, figures."""
    figures = sorted(path.as_posix() for path in graph.outputs.get("figures", ()) if path.suffix == ".svg")
    axes = {"x": "percent", "x_label": "% of the training", "y_label": "loss"}
    file = layout.CURVES.as_posix()
    curves = [{f"loss of {name}": {**axes, "y": {file: name}}} for name in lineage.trainings(config)]
    metrics = [layout.metrics_of(model.name).as_posix() for model in config.models]
    return {"metrics": metrics, "plots": [*figures, *curves]}


def main(arguments: Sequence[str]) -> int:
    """Write `dvc.yaml`, or with `--check` compare it; return the exit status."""
    parser = ArgumentParser(prog=COMMAND)
    parser.add_argument("--config", type=Path, default=Path("config/config.yaml"), help="relative to this folder")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    text = dvc_yaml(options.config, Path.cwd())
    if not options.check:
        write_text(DVC_YAML, text)
        return 0
    if DVC_YAML.is_file() and DVC_YAML.read_text("utf-8") == text:
        return 0
    print(f"{DVC_YAML} differs from the rules or the config; run: {COMMAND} --config {options.config}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        sys.exit(str(error))
