"""Kubernetes quantities, such as 500m and 8Gi, as numbers."""

from __future__ import annotations

import re
from typing import Any

_UNITS = {"m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_UNITS |= {f"{letter}i": 1024.0**power for power, letter in enumerate("KMGTP", start=1)}
_QUANTITY = re.compile(r"([+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)([a-zA-Z]*)")


def amount(value: Any) -> float | None:
    """A quantity as a number of cores, bytes or pieces; None for what is none."""
    found = _QUANTITY.fullmatch(str(value))
    if isinstance(value, bool) or found is None or found[2] not in _UNITS:
        return None
    return float(found[1]) * _UNITS[found[2]]
