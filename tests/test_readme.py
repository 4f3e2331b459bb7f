"""Every command of the README and of the pages in docs/ is one that works."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import sklearn.datasets

from conftest import ENVIRONMENT, PROJECT, copy_of, run
from sharegpt4v.mini.endpoint import serve

PACKAGE = PROJECT / "src/sharegpt4v"
PAGES = {page: page.read_text() for page in (PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md")))}
README = PAGES[PROJECT / "README.md"]
COMMANDS = [
    *(
        line
        for text in PAGES.values()
        for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
    ),
    *re.findall(r"\| `((?:make|snakemake|s4v) [^`]+)` \|", README),
]


def of(program: str) -> list[str]:
    """The commands that begin with `program`."""
    return [command for command in dict.fromkeys(COMMANDS) if command.startswith(program)]


def test_the_two_commands_come_first() -> None:
    assert COMMANDS[:2] == ["make table", "make test"]


def test_no_command_goes_unchecked() -> None:
    programs = {command.split()[0] for command in COMMANDS}
    assert programs == {"make", "snakemake", "s4v", "source", ".ci/run", "dvc", "git"}  # the last two: test_dvc.py


@pytest.mark.parametrize("command", of("make"))
def test_make_knows_its_targets(command: str) -> None:
    ended = run(["make", "--dry-run", *shlex.split(command)[1:]])
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("command", of("snakemake"))
def test_snakemake_plans_what_it_is_asked_for(command: str, tmp_path: Path) -> None:
    arguments = shlex.split(command)[1:]
    if "--report" in arguments:
        return  # of a finished run: test_report_page.py makes one
    if "--directory" not in arguments:
        arguments += ["--directory", str(tmp_path)]
    ended = run(["snakemake", "--dry-run", *arguments])
    assert ended.returncode == 0, ended.stderr


def test_commands_of_s4v_do_what_they_say(smoke: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copy_of(smoke, tmp_path / "run")
    (folder / "config").symlink_to(PROJECT / "config")
    (tmp_path / "photographs").mkdir()
    shutil.copy(Path(sklearn.datasets.__file__).parent / "images/flower.jpg", tmp_path / "photographs")
    monkeypatch.setitem(ENVIRONMENT, "HOME", str(tmp_path))
    assert len(of("s4v")) >= 5
    (folder / "photographs").symlink_to(tmp_path / "photographs")
    with serve(lambda image, prompt: "A flower.") as url:  # where the pages say that a model is served
        for command in of("s4v"):
            if "--slurm" in command:  # tried in test_slurm.py
                continue
            if command == "s4v pull":
                continue  # needs a clone with a remote: test_dvc.py
            if command.startswith(("s4v review", "s4v demo")) or "--people" in command:
                assert "http://127.0.0.1:" in line_with_address(f"{command} --port 0", folder)
                continue
            ended = run(["bash", "-c", command.replace("http://127.0.0.1:8000/v1", url)], folder)
            assert ended.returncode == 0, f"{command}: {ended.stderr}"
    assert "flower.jpg" in (folder / "captions.jsonl").read_text()


def line_with_address(command: str, folder: Path) -> str:
    """What a command that serves until it is stopped says of where it serves; empty when it ends before that."""
    with subprocess.Popen(
        ["bash", "-c", f"exec {command}"],
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as server:
        assert server.stdout is not None
        line = next((line for line in server.stdout if "http://" in line), "")
        server.terminate()
    return line


def test_the_python_of_the_page_on_models_runs(smoke: Path, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGES[PROJECT / "docs/models.md"], re.DOTALL)
    (tmp_path / "checkpoints").symlink_to(smoke / "checkpoints")
    for name in ("photograph", "another"):
        shutil.copy(Path(sklearn.datasets.__file__).parent / "images/flower.jpg", tmp_path / f"{name}.jpg")
    ended = run([sys.executable, "-c", code], tmp_path)
    assert ended.returncode == 0 and "captions 2/2 images" in ended.stderr, ended.stderr


def test_the_configs_are_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photographs").mkdir()
    monkeypatch.setitem(ENVIRONMENT, "HOME", str(tmp_path))
    told = []
    for text in re.findall(r"```yaml\n(.*?)```", "\n".join(PAGES.values()), re.DOTALL):
        preset = tmp_path / "mine.yaml"
        preset.write_text(re.sub("^base: ", f"base: {PROJECT}/config/", text, flags=re.MULTILINE))
        ended = run(["s4v", "config", "--config", str(preset)])
        assert ended.returncode == 0, ended.stderr
        told.append(ended.stdout)
    for line in ("photographs: ~/photographs", "tokens_per_minute: 800000", "uri: csv:runs.csv"):
        assert any(line in one for one in told), line


def test_what_else_is_named_is_there() -> None:
    assert os.access(PROJECT / ".ci/run", os.X_OK)
    assert run(["bash", "-n", ".ci/run"]).returncode == 0
    for page, text in PAGES.items():
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
    for folder in re.findall(r"^\| `([^`]+/)`", PAGES[PROJECT / "docs/development.md"], re.MULTILINE):
        there = (PROJECT / folder).is_dir() or (PACKAGE / folder).is_dir()
        assert there or folder.startswith(("data/", "checkpoints/", "results/")), folder


def test_the_folders_of_the_package_are_told_in_their_order() -> None:
    floors = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
    folders = [PACKAGE / name for floor in floors for name in floor.split(" | ") if (PACKAGE / name).is_dir()]
    about = [ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or "" for folder in folders]
    rows = "".join(
        f"| `{folder.name}/` | {text.splitlines()[0]} |\n" for folder, text in zip(folders, about, strict=True)
    )
    page = PROJECT / "docs/development.md"
    assert f"| Folder | What is in it |\n|---|---|\n{rows}\n" in PAGES[page], f"expected in {page}:\n{rows}"


def test_the_readme_is_read_in_a_few_minutes() -> None:
    assert len(README.splitlines()) <= 150
