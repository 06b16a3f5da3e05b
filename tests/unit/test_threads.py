"""Processes that compute on CPUs leave cores to others while their threads wait."""

import os
import subprocess
import sys

import pytest

from toolace.threads import SPIN, SPIN_COUNT, sharing

LOADS = "from toolace.threads import share_cores; share_cores(); import torch; torch.ones(4) @ torch.ones(4)"


def spin_of(**variables: str) -> str:
    """What GNU's OpenMP has read when torch was loaded, as it tells itself."""
    environment = {key: value for key, value in os.environ.items() if key != SPIN}
    shown = subprocess.run(
        [sys.executable, "-c", LOADS],
        env=environment | {"OMP_DISPLAY_ENV": "VERBOSE"} | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = [line for line in shown.stderr.splitlines() if SPIN in line]
    if not found:
        pytest.skip("torch uses another OpenMP here")
    return found[0].partition("=")[2].strip().strip("'")


def test_threads_spin_briefly_once_torch_is_loaded() -> None:
    assert spin_of() == SPIN_COUNT


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    assert spin_of(**{SPIN: "77"}) == "77"
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    assert sharing() == {}
