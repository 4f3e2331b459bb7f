"""The dependencies that pyproject.toml declares are those of the code, and the lock is within their ranges."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from conftest import PROJECT

DECLARED = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
EXTRAS = DECLARED["optional-dependencies"]
REQUIREMENTS = [
    Requirement(text) for text in (*DECLARED["dependencies"], *(one for extra in EXTRAS.values() for one in extra))
]
NAMESPACES = {"google": {"protobuf"}, "ruamel": {"ruamel-yaml"}}  # by the part of them that is imported
PINNED = re.compile(r"^([\w.-]+)==([^\s\\;]+)", re.MULTILINE)
LOCKED = {
    canonicalize_name(name): version
    for file in ("core.in", "core.lock")  # torch has a line of its own in core.in
    for name, version in PINNED.findall((PROJECT / "envs" / file).read_text())
}


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda one: one.name)
def test_the_lock_is_within_the_range(requirement: Requirement) -> None:
    assert {one.operator for one in requirement.specifier} == {">=", "<"}
    assert requirement.specifier.contains(LOCKED[canonicalize_name(requirement.name)])


def test_every_import_is_declared_once() -> None:
    names = [canonicalize_name(requirement.name) for requirement in REQUIREMENTS]
    assert sorted(names) == sorted(set(names))
    providers = packages_distributions()
    imported = {module for file in (PROJECT / "src").rglob("*.py") for module in third_party(file.read_text())}
    assert len(imported) > 20
    for module in imported:
        top = module.partition(".")[0]
        candidates = {canonicalize_name(name) for name in providers[top]}
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
