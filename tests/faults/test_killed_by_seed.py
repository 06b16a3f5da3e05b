"""Drivers and rollout actors of whole runs are killed at moments that a seed picks; the runs end as undisturbed ones.

FAULT_SEEDS="11 12 13" tries others. Odd seeds run the evolution, even ones rounds.
"""

from __future__ import annotations

import json
import os
import pickle
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cluster_runs import eventually
from moments import Moment, Watch, pick, seeds, told
from scripted_run import MethodName, outcome, run

pytestmark = [pytest.mark.late(3), pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parent.parent.parent
ASKING: dict[str, tuple[str, ...]] = {"evolve": ("eval", "tasks", "evolve"), "rounds": ("eval", "probe")}
"""Kinds of stages that actors work in."""
KINDS: dict[str, tuple[str, ...]] = {
    "evolve": ("corpus", "data", "eval", "evolve", "queries", "run", "tasks", "train"),
    "rounds": ("corpus", "data", "eval", "probe", "run", "select", "train"),
}
"""Kinds of stages that the driver works in: all that there are; `run` is what is before and after them."""


def method_of(seed: int) -> MethodName:
    return "evolve" if seed % 2 else "rounds"


@contextmanager
def driving(method: MethodName, watch: Watch, root: Path, *settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """A driver of its own at work; it has ended at the end of the block. What it says is in `root.log`."""
    (root.parent / "watch").write_bytes(pickle.dumps(watch))
    command = [sys.executable, "tests/scripted_run.py", method, str(root), str(root.parent / "watch"), *settings]
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "RAY_worker_niceness": "0"}
    with Path(f"{root}.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
        try:
            yield process
            process.wait(timeout=400)
        finally:
            process.kill()
            process.wait()


def moments_of(moments: list[Moment], victim: str) -> list[Moment]:
    return [moment for moment in moments if moment.victim == victim]


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("seed", seeds("12 21"))
def test_a_driver_that_is_killed_in_every_kind_of_stage(seed: int, undisturbed_run: Any, tmp_path: Path) -> None:
    """Once in each, and once more while it publishes what was trained; the start after the last one goes on to the
    end. All are jobs of one Ray, whose starts would take most of the time; `test_rounds_killed.py` has drivers with a
    Ray of their own."""
    import ray

    joining = f"cluster.address={ray.get_runtime_context().gcs_address}"
    method = method_of(seed)
    whole, moments = undisturbed_run(method)
    mine = moments_of(moments, "driver")
    publishing = [moment for moment in mine if moment.kind == "train" and moment.what.startswith("done.json")]
    others = [moment for moment in mine if moment not in publishing]
    assert sorted({moment.kind for moment in others}) == list(KINDS[method])
    at = sorted([*pick(seed, others, KINDS[method]), *pick(seed, publishing, ["train"])], key=mine.index)
    told(seed, at)
    root = tmp_path / "run"
    watch = Watch.of(str(root), *at)
    for moment in at:
        assert not watch.pid(moment), f"{moment} came before it was due"
        with driving(method, watch, root, joining) as process:
            pass
        assert process.returncode == -signal.SIGKILL, Path(f"{root}.log").read_text()[-3000:]
        assert watch.pid(moment) == process.pid, f"it did not die in {moment}"
    run(method, str(root), watch)
    assert outcome(str(root)) == whole


@pytest.mark.parametrize("seed", seeds("7"))
def test_a_driver_that_is_told_to_stop(seed: int, undisturbed_run: Any, tmp_path: Path) -> None:
    """By SIGTERM, in the middle of a stage: it gives its lock back, and the next start goes on to the end."""
    method = method_of(seed)
    whole, moments = undisturbed_run(method)
    mine = moments_of(moments, "driver")
    kinds = sorted({moment.kind for moment in mine} - {"run"})  # what is before the first stage and after the last
    (moment,) = pick(seed, mine, [random.Random(seed).choice(kinds)])
    told(seed, [moment])
    root = tmp_path / "run"
    watch = Watch.of(str(root), moment, hold=True)
    with driving(method, watch, root) as process:
        eventually(lambda: watch.pid(moment) or process.poll() is not None, "the moment")
        process.terminate()
    assert process.returncode == 128 + signal.SIGTERM, Path(f"{root}.log").read_text()[-3000:]
    assert not (root / "small/lock.json").exists()
    events = [json.loads(line)["event"] for line in (root / "small/events.jsonl").open()]
    assert events[-1] == "run_stopped"
    run(method, str(root), watch)
    assert outcome(str(root)) == whole


@pytest.mark.parametrize("seed", seeds("1 2"))
def test_actors_that_are_killed_in_every_kind_of_stage(seed: int, undisturbed_run: Any, tmp_path: Path) -> None:
    """Without another start: Ray replaces each actor, and its open shards are done again."""
    method = method_of(seed)
    whole, moments = undisturbed_run(method)
    at = pick(seed, sorted(moments_of(moments, "actor")), ASKING[method])
    told(seed, at)
    watch = Watch.of(str(tmp_path / "run"), *at)
    run(method, str(tmp_path / "run"), watch)
    assert all(map(watch.pid, at))
    assert os.getpid() not in map(watch.pid, at) and len({*map(watch.pid, at)}) == len(at)
    assert outcome(str(tmp_path / "run")) == whole
    assert not list(tmp_path.glob("run/small/*/*/.part-*.tmp"))
