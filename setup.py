"""Puts a copy of the project's config, rules and profiles into a wheel, where `sharegpt4v.project` looks for them."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CARRIED = ("Snakefile", "config", "workflow", "profiles", "envs/core.in", "envs/core.lock")


class BuildWithProject(build_py):
    """Builds the package; an editable install uses the clone's own files and gets no copy."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "sharegpt4v" / "_project"
        shutil.rmtree(target, ignore_errors=True)
        for name in CARRIED:
            source, copy = Path(name), target / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, copy) if source.is_dir() else shutil.copy(source, copy)


setup(cmdclass={"build_py": BuildWithProject})
