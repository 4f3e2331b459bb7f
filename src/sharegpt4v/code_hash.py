"""What code a stage depends on, as a hash: a stage is rerun when this changes, and not when other code does.

The code of a stage is its module in `stages` and every module of this package that it imports, directly or through
others, wherever in a file the import is. What counts is its meaning: comments, docstrings, formatting and the types
of arguments and variables may change. The types of a class's fields do count, for dataclasses and pydantic read them.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
NAME = PACKAGE.name

# These read, say, show, keep or place things and decide nothing about them. A change in them must not cost a day of
# training.
WITHOUT_EFFECT = (
    "ablations", "code_hash", "config", "errors", "files", "follower", "job_record", "layout", "ledger", "lifetime",
    "lineage", "llava_format", "locking", "models.llava_flops", "models.qwen_vl.cost", "pipeline", "plan", "progress",
    "project", "provenance", "record", "terminal", "tracking", "training.launch", "training.meter",
    "training.saved_states", "training.state", "training.zero_state", "verbs.options",
)  # fmt: skip


@cache
def code_of(*roots: str) -> str:
    """Return the hash of the code that the modules `roots` (such as `stages.captions`) depend on."""
    listing = "".join(f"{module} {_read(module)[0]}\n" for module in sorted(modules_of(*roots)))
    return hashlib.sha256(listing.encode()).hexdigest()[:16]


def modules_of(*roots: str) -> set[str]:
    """Return the modules that `roots` depend on, and themselves, without those that have no effect on artefacts."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        module = waiting.pop()
        if module not in found and not _without_effect(module):
            found.add(module)
            waiting += _read(module)[1]
    return found


def names_in(folder: str) -> list[str]:
    """Return the names of the modules in a folder of the package, such as `evaluation.benchmarks`: a registry's."""
    return sorted({file.stem for file in (PACKAGE / folder.replace(".", "/")).glob("*.py")} - {"__init__"})


def _without_effect(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in WITHOUT_EFFECT)


def _file(module: str) -> Path | None:
    path = PACKAGE / module.replace(".", "/")
    candidates = (path.with_name(f"{path.name}.py"), path / "__init__.py")
    return next((file for file in candidates if file.is_file()), None)


def meaning_of(source: str | bytes) -> str:
    """Return the syntax of a module's source without what its code does not depend on when it runs."""
    return _meaning(ast.parse(source))


def _meaning(tree: ast.Module) -> str:
    return ast.dump(_Meaning().visit(tree))


class _Meaning(ast.NodeTransformer):
    """Takes out of a module what its code does not depend on when it runs."""

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.body = [part if isinstance(part, ast.AnnAssign) else self.visit(part) for part in _without_text(node)]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        return ast.Assign([node.target], node.value) if node.value else None

    def visit_Module(self, node: ast.Module) -> ast.AST:
        node.body = _without_text(node)
        return self.generic_visit(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        node.returns, node.body = None, _without_text(node)
        return self.generic_visit(node)


def _without_text(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.stmt]:
    """Return the statements of a block without those that are a text alone: docstrings, also those of variables."""
    return [part for part in node.body if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))]


@cache
def _read(module: str) -> tuple[str, tuple[str, ...]]:
    """Return the hash of a module's code, and the modules of this package that its import statements name."""
    file = _file(module)
    if file is None:
        raise ValueError(f"{module}: no module of this name in {PACKAGE}")
    tree = ast.parse(file.read_bytes())
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    ours = (name.removeprefix(f"{NAME}.") for name in names if name.startswith(f"{NAME}."))
    return hashlib.sha256(_meaning(tree).encode()).hexdigest(), tuple(sorted(name for name in ours if _file(name)))
