"""Drivers and rollout actors of whole runs are killed at moments that a seed picks; the runs end as undisturbed ones.

FAULT_SEEDS="11 12 13" tries others. Odd seeds run the evolution, even ones rounds.
"""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from moments import Watch, pick, seeds, told
from scripted_run import MethodName, outcome, run

pytestmark = pytest.mark.timeout(600)
ROOT = Path(__file__).resolve().parent.parent.parent
ASKING: dict[str, tuple[str, ...]] = {"evolve": ("eval", "tasks", "evolve"), "rounds": ("eval", "probe")}
"""Kinds of stages that actors work in."""


def method_of(seed: int) -> MethodName:
    return "evolve" if seed % 2 else "rounds"


def drive(method: MethodName, watch: Watch, root: Path) -> tuple[int, str]:
    """A driver of its own, from its start to its end: how it ended, and what it said."""
    (root.parent / "watch").write_bytes(pickle.dumps(watch))
    command = [sys.executable, "tests/scripted_run.py", method, str(root), str(root.parent / "watch")]
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "RAY_worker_niceness": "0"}
    with (root.parent / "log").open("w+b") as log:
        code = subprocess.run(command, cwd=ROOT, env=env, stdout=log, stderr=log, timeout=400).returncode
        log.seek(0)
        return code, log.read().decode()[-3000:]


@pytest.mark.parametrize("seed", seeds("1 2"))
def test_a_driver_that_is_killed_twice(seed: int, undisturbed_run: Any, tmp_path: Path) -> None:
    method = method_of(seed)
    whole, moments = undisturbed_run(method)
    mine = [moment for moment in moments if moment.victim == "driver"]
    at = pick(seed, mine, random.Random(seed).sample(sorted({moment.kind for moment in mine}), 2))
    told(seed, at)
    root = tmp_path / "run"
    watch = Watch.of(str(root), *at)
    for moment in at:
        assert not watch.pid(moment), f"{moment} came before it was due"
        code, said = drive(method, watch, root)
        assert code == -signal.SIGKILL and watch.pid(moment), f"it did not die in {moment}:\n{said}"
    code, said = drive(method, watch, root)
    assert code == 0, said
    assert outcome(str(root)) == whole


@pytest.mark.parametrize("seed", seeds("1 2"))
def test_actors_that_are_killed_in_every_kind_of_stage(seed: int, undisturbed_run: Any, tmp_path: Path) -> None:
    """Without another start: Ray replaces each actor, and its open shards are done again."""
    method = method_of(seed)
    whole, moments = undisturbed_run(method)
    mine = sorted(moment for moment in moments if moment.victim == "actor")
    at = pick(seed, mine, ASKING[method])
    told(seed, at)
    watch = Watch.of(str(tmp_path / "run"), *at)
    run(method, str(tmp_path / "run"), watch)
    assert all(map(watch.pid, at))
    assert os.getpid() not in map(watch.pid, at) and len({*map(watch.pid, at)}) == len(at)
    assert outcome(str(tmp_path / "run")) == whole
    assert not list(tmp_path.glob("run/small/*/*/.part-*.tmp"))
