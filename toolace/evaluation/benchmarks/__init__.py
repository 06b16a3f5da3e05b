"""Benchmarks of tool calling, each from a local folder in its official layout, scored by its authors' rules."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

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


def benchmark_named(name: str, official: Path | None = None) -> Benchmark:
    """The benchmark of that name. Raises `ConfigError` naming those that there are.

    `official` is the environment of the official checker (`make agreement-env`), which judges multi-turn rows of bfcl.
    """
    if name not in BENCHMARKS:
        raise ConfigError(f"unknown benchmark {name!r}; known: {', '.join(BENCHMARKS)}")
    module, _, kind = BENCHMARKS[name].partition(":")
    if official is not None and name != "bfcl":
        raise ConfigError(f"--official: {name} has no part that the official checker must run; it is for bfcl")
    options = {} if official is None else {"official": official}
    found: Benchmark = getattr(import_module(f"{__name__}.{module}"), kind)(**options)
    return found
