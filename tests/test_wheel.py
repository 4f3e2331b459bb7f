"""An installed wheel needs no clone, and its light verbs none of the extras: config, prompts and rules come with it."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from conftest import PROJECT, run
from evaluation_files import make_evaluation

BUILT_FROM = ("Snakefile", "config", "workflow", "profiles", "envs", "src", "setup.py", "pyproject.toml")
ELSEWHERE = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@pytest.fixture(scope="module")
def bin_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of an environment with the wheel and the packages that it depends on, without the clone."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in BUILT_FROM:
        source, copy = PROJECT / name, folder / "tree" / name
        copy.parent.mkdir(exist_ok=True)
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(source, copy, ignore=ignored) if source.is_dir() else shutil.copy(source, copy)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    environment = folder / "environment"
    here = environment / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    for command in (
        [*pip, "wheel", str(folder / "tree"), "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)],
        [sys.executable, "-m", "venv", "--without-pip", str(environment)],
    ):
        assert (ended := run(command, folder, ELSEWHERE)).returncode == 0, ended.stderr
    (wheel,) = folder.glob("*.whl")
    install = [*pip, "--python", str(environment / "bin/python"), "install", "--no-deps", "--no-index", str(wheel)]
    assert (ended := run(install, folder, ELSEWHERE)).returncode == 0, ended.stderr
    link_dependencies(here)
    return environment / "bin"


def link_dependencies(folder: Path) -> None:
    """Put the locked packages that the wheel depends on into an environment, and none that only its extras do."""
    waiting = [
        Requirement(text) for text in tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    ]
    seen: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        installed = distribution(requirement.name)
        for top in {file.parts[0] for file in installed.files or ()} - {"..", "__pycache__"}:
            if not (folder / top).exists():
                (folder / top).symlink_to(Path(str(installed.locate_file(top))))
        for further in map(Requirement, installed.requires or ()):
            extras = ("", *requirement.extras)
            if not further.marker or any(further.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(further)


def test_verbs_work_in_an_empty_folder(bin_folder: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()

    def told(*command: str, code: int = 0) -> str:
        ended = run([str(bin_folder / command[0]), *command[1:]], work, ELSEWHERE)
        assert ended.returncode == code, ended.stdout + ended.stderr
        return ended.stdout or ended.stderr

    package = Path(told("python", "-c", "import sharegpt4v; print(sharegpt4v.__file__)").strip())
    assert package.is_relative_to(bin_folder.parent)
    told("s4v", "--help")
    assert told("s4v", "stage", "alignment", "7b", code=1).startswith(
        "s4v stage alignment: torch is not installed; `make setup` installs it, or"
    )
    assert re.search(r"^MISSING torch +not installed", told("s4v", "doctor", code=1), re.MULTILINE)
    assert "name: mini\n" in told("s4v", "config")
    assert "licence" in told("s4v", "where", "sam", "--config", "config/paper-7b.yaml")
    (work / "mine.yaml").write_text("base: config/paper-7b.yaml\nname: mine\nseed: 3\n")
    assert "seed: 3\n" in told("s4v", "config", "--config", "mine.yaml")

    plan = told("s4v", "plan", "--config", "config/paper-7b.yaml", code=1)  # keys and official files are lacking
    assert re.search(r"^captions +125  not made yet", plan, re.MULTILINE) and "OPENAI_API_KEY" in plan
    assert (work / "results/costs.csv").is_file()

    evaluation = make_evaluation(tmp_path / "eval", questions=12)
    answers = ["--answers", str(evaluation / "answers/gqa.jsonl"), "--data", str(evaluation / "gqa")]
    told("s4v", "score", "gqa", *answers, "--out", "gqa.json")
    assert (work / "gqa.json").is_file()
