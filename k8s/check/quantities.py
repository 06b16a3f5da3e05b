"""Kubernetes quantities, such as 500m and 8Gi: as numbers, and those that are none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from k8s.check.findings import Finding, Path
from k8s.check.rendering import Scene

_UNITS = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_UNITS |= {f"{letter}i": 1024.0**power for power, letter in enumerate("KMGTPE", start=1)}
_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)([a-zA-Z]*)")
_TABLES = {
    "resources": ("limits", "requests"),
    "spec": ("capacity", "hard"),
    "limits": ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio"),
}
"""Fields that hold quantities by name, below fields by these names."""


def amount(value: Any) -> float | None:
    """A quantity as a number of cores, bytes or pieces; None for what is none."""
    found = _QUANTITY.fullmatch(str(value))
    if isinstance(value, bool) or found is None or found[2] not in _UNITS:
        return None
    return float(found[1]) * _UNITS[found[2]]


def check_quantities(scene: Scene) -> Iterator[Finding]:
    """Everything in a scene that should be an amount of something and is none."""
    for thing in scene.things:
        for path, value in _quantities((), thing.data):
            number = amount(value)
            if number is None:
                yield thing.wrong(
                    path, f"{value!r} is no quantity: a number, and one of m k M G T P E Ki Mi Gi Ti Pi Ei"
                )
            elif number < 0:
                yield thing.wrong(path, f"{value!r} is below 0")
            elif "/" in str(path[-1]) and number != int(number):
                yield thing.wrong(path, f"{value!r} is no whole number: {path[-1]} is given in whole pieces")


def _quantities(path: Path, node: Any) -> Iterator[tuple[Path, Any]]:
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _quantities((*path, index), item)
    if not isinstance(node, dict):
        return
    parents = [key for key in path if isinstance(key, str)]
    for key, value in node.items():
        if parents and key in _TABLES.get(parents[-1], ()) and isinstance(value, dict):
            yield from (((*path, key, name), one) for name, one in value.items() if not isinstance(one, dict | list))
        elif key == "sizeLimit" and not isinstance(value, dict | list):
            yield (*path, key), value
        else:
            yield from _quantities((*path, str(key)), value)
