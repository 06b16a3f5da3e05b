"""The driver is killed in the middle of stages; the same command again ends as an undisturbed run does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from toolace.rollouts.outputs import read_records

ROOT = Path(__file__).parent.parent.parent
SETTINGS = [
    "data.train.rows=96",
    "data.dev={type: synthetic, rows: 16, seed: 2}",
    "data.test={type: synthetic, rows: 24, seed: 3}",
    "rollout.shard_rows=16",
    "rollout.rows_in_flight=32",
    "rounds.max_rounds=2",
    "rounds.bootstrap_rows=0",
    "rounds.plain_sft=false",
    "rounds.stop_when_selection_stalls=false",
    "evaluate.fixed_rounds=[1]",
    "train.epochs=1",
    "train.global_batch=16",
    "train.checkpoint_steps=2",
]


def command(root: Path) -> list[str]:
    overrides = [arg for setting in [*SETTINGS, f"root={root}"] for arg in ("--set", setting)]
    return [sys.executable, "ray_jobs/train_rounds.py", "--config", "configs/demo.yaml", *overrides]


def run_whole(root: Path) -> dict[str, object]:
    done = subprocess.run(command(root), cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    summary: dict[str, object] = json.loads((root / "demo" / "summary.json").read_text())
    return summary


def kill_when(root: Path, ready: str) -> None:
    """Start the driver and SIGKILL it once a file that matches `ready` is in the run directory."""
    process = subprocess.Popen(
        command(root), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 300
    while process.poll() is None and not any((root / "demo").glob(ready)):
        assert time.monotonic() < deadline, f"{ready} did not appear"
        time.sleep(0.02)
    assert process.poll() is None, f"the driver ended before {ready} appeared"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.engine
@pytest.mark.timeout(900)
def test_a_killed_driver_goes_on_to_the_same_selections(tmp_path: Path, tiny_base: Path) -> None:
    undisturbed = run_whole(tmp_path / "whole")
    broken = tmp_path / "broken"
    for ready in (
        "round-1/probe/part-00001.parquet",
        "round-1/train/checkpoints/index.json",
        "round-1/train/result.json",  # the model is there, the stage not yet published
        "round-1/eval-dev/begun.json",
    ):
        kill_when(broken, ready)
        assert (broken / "demo" / "lock.json").exists()
    resumed = run_whole(broken)
    for number in (1, 2):
        whole, again = (tmp_path / name / "demo" / f"round-{number}" for name in ("whole", "broken"))
        assert (whole / "select/selected.json").read_bytes() == (again / "select/selected.json").read_bytes()
        assert list(read_records(str(whole / "probe"))) == list(read_records(str(again / "probe")))
        losses = [
            [
                (line["step"], line["loss"], line["rows_key"])
                for line in map(json.loads, (run / "train/steps.jsonl").open())
            ]
            for run in (whole, again)
        ]
        assert losses[0] == losses[1]
    for run in (undisturbed, resumed):
        for entry in run["rounds"]:  # type: ignore[attr-defined]
            entry.pop("seconds"), entry["train"].pop("seconds")
        for model in ("base",):
            run[model].pop("seconds", None)  # type: ignore[attr-defined]
    assert resumed == undisturbed


@pytest.mark.engine
@pytest.mark.timeout(300)
def test_sigterm_leaves_a_run_that_can_go_on(tmp_path: Path, tiny_base: Path) -> None:
    process = subprocess.Popen(command(tmp_path), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (tmp_path / "demo" / "base" / "eval-dev" / "begun.json").exists():
        time.sleep(0.05)
    process.terminate()
    assert process.wait(timeout=120) == 128 + signal.SIGTERM
    run = tmp_path / "demo"
    assert not (run / "lock.json").exists()
    assert (run / "data" / "done.json").exists() and not (run / "summary.json").exists()
    events = [json.loads(line)["event"] for line in (run / "events.jsonl").open()]
    assert events[-1] == "run_stopped"
