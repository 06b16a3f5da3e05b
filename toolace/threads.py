"""How the CPU threads of one operation wait for each other, so that processes can share a machine."""

from __future__ import annotations

import os

SPIN = "GOMP_SPINCOUNT"
SPIN_COUNT = "1000"
"""Turns of the loop in which a thread of GNU's OpenMP, torch's on Linux, waits before it sleeps.

Its own 300,000 turns are milliseconds. Where another process has a core, they are spent waiting for a thread that
cannot run. With 1,000, two trainings beside each other on two cores are 1.7 times as fast, and one alone loses 3 % at
the most (docs/results.md, "Training").
"""


def sharing() -> dict[str, str]:
    """The environment variables of processes that compute on CPUs; what the user has set stays."""
    if "OMP_WAIT_POLICY" in os.environ:
        return {}
    return {SPIN: os.environ.get(SPIN, SPIN_COUNT)}


def share_cores() -> None:
    """Set them for this process and those that it starts; too late for this one once torch is imported."""
    os.environ.update(sharing())
