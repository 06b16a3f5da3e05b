"""The driver of a run with the real engines is killed while it trains and publishes; the same command again ends as an
undisturbed run does. `test_killed_by_seed.py` kills it anywhere, with a scripted engine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cluster_runs import ROOT, call, options, outcome

from toolace.storage import Store


def command(root: Path) -> list[str]:
    return [sys.executable, "ray_jobs/train_rounds.py", *options(str(root))]


def kill_when(root: Path, ready: str) -> None:
    """Start the driver and SIGKILL it once a file is in the run directory."""
    with (root / "driver.log").open("ab") as log:
        process = subprocess.Popen(command(root), cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
    deadline = time.monotonic() + 600
    while process.poll() is None and not (root / "demo" / ready).exists():
        assert time.monotonic() < deadline, f"{ready} did not appear"
        time.sleep(0.02)
    said = (root / "driver.log").read_text()
    assert process.poll() is None, f"the driver ended before {ready} appeared:\n{said[-3000:]}"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.late(5)
@pytest.mark.engine
@pytest.mark.timeout(1800)
def test_a_killed_driver_goes_on_to_the_same_model(reference: Any, tmp_path: Path) -> None:
    """What is before the training is the undisturbed run's own."""
    run = Path(shutil.copytree(reference.at(""), tmp_path / "demo"))
    for made in ("train", "eval-dev", "eval-test"):
        shutil.rmtree(run / "round-1" / made)
    (run / "summary.json").unlink()
    for ready in (
        "round-1/train/checkpoints/index.json",
        "round-1/train/result.json",  # the model is there, the stage not yet published
    ):
        kill_when(tmp_path, ready)
        assert (run / "lock.json").exists() and not (run / "round-1/train/done.json").exists()
    call(command(tmp_path))
    assert outcome(Store(str(run))) == outcome(reference)
