"""A rehearsal of a large round with logical GPUs: who gets which, and that no stage waits for another one for ever."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from cluster_runs import ROOT, driving
from rollout_fakes import expected, make_samples, put_samples
from scaling_cluster import Machines, presence, short_lived

from toolace.rollouts.outputs import read_records

pytestmark = [pytest.mark.late(2), pytest.mark.engine, pytest.mark.timeout(1800)]
NODES, GPUS, WORKERS = 4, 4, 8
ACTORS = {"probe": 16, "evaluate": 9}
"""All GPUs, and one more than the workers leave."""
ROWS = 160


def test_sixteen_actors_then_eight_training_workers_then_nine_actors(tmp_path: Path) -> None:
    put_samples(tmp_path / "samples", ROWS, shard_rows=2)
    with short_lived(Machines) as cluster:
        cluster.up(NODES, GPUS, {"RAY_worker_niceness": "0"}, gpus=GPUS)
        env = {**cluster.environment, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
        command = [sys.executable, "tests/scaling_driver.py", "stages", str(tmp_path)]
        with driving(command, env, tmp_path / "log", timeout=1500):
            pass
    records = [expected(sample) for sample in make_samples(ROWS)]
    for name, count in ACTORS.items():
        # All were there at the same time, for none answers before.
        actors = presence(tmp_path / name)
        assert len(actors) == count
        assert_no_gpu_twice(actors)
        assert list(read_records(str(tmp_path / f"{name}-out"))) == records
    workers = sorted(presence(tmp_path / "train"), key=lambda worker: worker["rank"])
    assert [worker["rank"] for worker in workers] == list(range(WORKERS))
    assert {(worker["size"], worker["sum_of_ranks"]) for worker in workers} == {(WORKERS, sum(range(WORKERS)))}
    assert_no_gpu_twice(workers)
    # As few nodes as hold them: what they tell each other stays inside a node where it can.
    assert list(Counter(worker["node"] for worker in workers).values()) == [GPUS] * (WORKERS // GPUS)
    assert [worker["local_rank"] for worker in workers] == list(range(GPUS)) * (WORKERS // GPUS)
    # What `start_worker` makes of it where GPUs are real: each worker of a node its own one.
    chosen = {(worker["node"], worker["visible"][worker["local_rank"] % len(worker["visible"])]) for worker in workers}
    assert len(chosen) == WORKERS


def assert_no_gpu_twice(present: list[dict[str, Any]]) -> None:
    """Each has one GPU, which exists and is nobody else's: so sixteen are four on each node."""
    held = [(one["node"], gpu) for one in present for gpu in one["gpus"]]
    assert len(held) == len(present) == len(set(held))
    assert {gpu for _, gpu in held} <= {str(gpu) for gpu in range(GPUS)}
