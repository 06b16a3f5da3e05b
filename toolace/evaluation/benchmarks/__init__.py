"""Benchmarks of tool calling, each from a local folder in its official layout, scored by its authors' rules."""

from __future__ import annotations

from importlib import import_module

from toolace.errors import ConfigError
from toolace.evaluation.benchmarks.base import Benchmark

BENCHMARKS = {
    "bfcl": "bfcl:Bfcl",
    "acebench": "acebench:AceBench",
    "apibank": "apibank:ApiBank",
    "toolalpaca": "toolalpaca:ToolAlpaca",
    "sealtools": "sealtools:SealTools",
}
"""Name → module and class in this package. A module is imported when its benchmark is asked for."""


def benchmark_named(name: str) -> Benchmark:
    """The benchmark of that name. Raises `ConfigError` naming those that there are."""
    if name not in BENCHMARKS:
        raise ConfigError(f"unknown benchmark {name!r}; known: {', '.join(BENCHMARKS)}")
    module, _, kind = BENCHMARKS[name].partition(":")
    found: Benchmark = getattr(import_module(f"{__name__}.{module}"), kind)()
    return found
