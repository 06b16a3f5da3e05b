"""Paired bootstrap intervals of a difference between two arms (Efron & Tibshirani 1993, the percentile interval)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

RESAMPLES = 10_000
LEVEL = 0.95
_SEED = 20_250_401
_CHUNK = 4_000_000


def paired_differences(arm: Mapping[Hashable, bool], reference: Mapping[Hashable, bool]) -> list[int]:
    """1, 0 or -1 for each row that both arms answered: right in `arm` alone, in both or neither, in the other alone."""
    return [int(arm[row]) - int(reference[row]) for row in sorted(arm.keys() & reference.keys(), key=repr)]


def bootstrap_interval(differences: Sequence[int], *, resamples: int = RESAMPLES) -> tuple[float, float] | None:
    """The 95 % interval of the mean of integer differences, by resampling rows; None without a row.

    Deterministic: the same rows are drawn for every sequence of the same length, so that negated differences have the
    negated interval to the last bit.
    """
    import numpy as np

    if not differences:
        return None
    values = np.asarray(differences, dtype=np.int64)
    n = len(values)
    rng = np.random.default_rng([_SEED, n])
    together = max(1, _CHUNK // n)
    sums = []
    for first in range(0, resamples, together):
        drawn = rng.integers(0, n, size=(min(together, resamples - first), n))
        sums.append(values[drawn].sum(axis=1))
    ordered = np.sort(np.concatenate(sums))
    outside = int(resamples * (1 - LEVEL) / 2)  # as many at either end
    return float(ordered[outside]) / n, float(ordered[resamples - 1 - outside]) / n
