"""Ray's autoscaler and probing: load brings nodes, idleness takes them away, and no record is lost or doubled."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from cluster_runs import ROOT, driving, eventually
from rollout_fakes import expected, make_samples, put_samples
from scaling_cluster import MOST, ScalingCluster, presence, short_lived

from toolace.rollouts.outputs import read_records

pytestmark = [pytest.mark.late(2), pytest.mark.engine, pytest.mark.timeout(1200)]
ROWS = 120


def test_load_brings_nodes_and_idleness_takes_them_away(tmp_path: Path) -> None:
    put_samples(tmp_path / "samples", ROWS, shard_rows=5)
    records = [expected(sample) for sample in make_samples(ROWS)]
    with short_lived(ScalingCluster) as cluster:
        cluster.up_empty()
        eventually(cluster.is_empty, "a head alone", every=0.5)
        env = {
            **cluster.environment,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
            "RAY_DATA_MIN_GAP_BETWEEN_AUTOSCALING_REQUESTS": "1",  # seconds; 10 as it comes
        }
        seen: list[set[str]] = []
        with driving([sys.executable, "tests/scaling_driver.py", "load", str(tmp_path)], env, tmp_path / "log") as job:
            for number in (1, 2):
                eventually(
                    lambda done=tmp_path / f"done-{number}": job.poll() is not None or done.exists(),
                    f"rollout {number}",
                    600,
                    every=0.5,
                )
                assert (tmp_path / f"done-{number}").exists(), (tmp_path / "log").read_text()[-3000:]
                seen.append({actor["node"] for actor in presence(tmp_path / f"actors-{number}")})
                # After the first rollout the driver waits, as it does in a stage that needs no node.
                eventually(cluster.is_empty, "the end of idle nodes", every=0.5)
                assert list(read_records(str(tmp_path / f"out-{number}"))) == records
                (tmp_path / "again").touch()
        assert [len(nodes) for nodes in seen] == [MOST, MOST]
        assert not seen[0] & seen[1], "the second rollout was on new nodes"
