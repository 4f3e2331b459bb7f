"""The module of each benchmark, found by the name in its row of `config/benchmarks.tsv`."""

from __future__ import annotations

import importlib
from typing import cast

from sharegpt4v.catalogues.benchmarks import Benchmark
from sharegpt4v.evaluation.base import BenchmarkModule
from sharegpt4v.evaluation.judged import JudgedModule

PACKAGE = "sharegpt4v.evaluation.benchmarks"


def module_of(benchmark: Benchmark) -> BenchmarkModule:
    """Import the module of a benchmark."""
    return cast(BenchmarkModule, importlib.import_module(f"{PACKAGE}.{benchmark.module}"))


def judged_module_of(benchmark: Benchmark) -> JudgedModule:
    """Import the module of a benchmark whose answers a judge grades."""
    return cast(JudgedModule, importlib.import_module(f"{PACKAGE}.{benchmark.module}"))
