"""The driver of an evolve run is killed in the middle of rounds; the same command again accepts the same rows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from toolace.rollouts.outputs import read_records

ROOT = Path(__file__).parent.parent.parent


def start(root: Path) -> subprocess.Popen[bytes]:
    places = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    command = [sys.executable, "tests/evolve_process.py", str(root)]
    with (root.parent / f"{root.name}.log").open("ab") as log:
        return subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "PYTHONPATH": places}, stdout=log, stderr=log, start_new_session=True
        )


def kill_when(root: Path, ready: str) -> None:
    """Start the driver and SIGKILL it once a file is in the run directory."""
    process = start(root)
    deadline = time.monotonic() + 200
    while process.poll() is None and not (root / "small" / ready).exists():
        assert time.monotonic() < deadline, f"{ready} did not appear"
        time.sleep(0.01)
    assert process.poll() is None, f"the driver ended before {ready} appeared"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def finish(root: Path) -> dict[str, Any]:
    code = start(root).wait(timeout=200)
    assert code == 0, (root.parent / f"{root.name}.log").read_text()[-3000:]
    summary: dict[str, Any] = json.loads((root / "small/summary.json").read_text())
    return summary


@pytest.mark.timeout(600)
def test_a_killed_driver_goes_on_to_the_same_accepted_rows(tmp_path: Path) -> None:
    for ready in ("evolve-1/evolve/part-00001.parquet", "evolve-2/evolve/part-00000.parquet"):
        kill_when(tmp_path / "broken", ready)
        assert not (tmp_path / "broken/small" / ready).with_name("done.json").exists()
    resumed, undisturbed = finish(tmp_path / "broken"), finish(tmp_path / "whole")
    assert resumed == undisturbed and len(resumed["rounds"]) == 2
    for number in (1, 2):
        folders = [tmp_path / name / f"small/evolve-{number}/evolve" for name in ("broken", "whole")]
        records = [list(read_records(str(folder))) for folder in folders]
        accepted = [pq.read_table(folder / "accepted.parquet").to_pylist() for folder in folders]
        assert records[0] == records[1] and accepted[0] == accepted[1]
        assert 0 < len(accepted[0]) == resumed["rounds"][number - 1]["accepted"] < len(records[0])
