"""Killed workers and killed drivers: the training ends as if nothing had happened."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from moments import EXPORT, STEPS, Moment, Watch, WatchedWorker, seeds, told
from training_models import make_model, make_spec, make_tokens

from toolace.errors import TrainingError
from toolace.storage import Store
from toolace.training import launch
from toolace.training.launch import run_training
from toolace.training.loop import train
from toolace.training.spec import TrainSpec
from toolace.training.steplog import read_steps
from toolace.training.watchdog import EXIT_CODE

pytestmark = [pytest.mark.late(3), pytest.mark.engine, pytest.mark.timeout(1200)]
ROOT = Path(__file__).resolve().parent.parent.parent
SETTINGS: dict[str, Any] = {"epochs": 12, "checkpoint_steps": 5, "zero_stage": 2, "lr": 1e-3}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("training")
    return make_model(folder / "model"), make_tokens(folder / "tokens")


@pytest.fixture(scope="module")
def undisturbed(places: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> TrainSpec:
    """The same training in one process, without Ray."""
    spec = make_spec(*places, tmp_path_factory.mktemp("undisturbed"), **SETTINGS)
    train(spec)
    return spec


def assert_same(spec: TrainSpec, undisturbed: TrainSpec) -> None:
    from safetensors.torch import load_file

    mine, theirs = (read_steps(Store(place.out)) for place in (spec, undisturbed))
    assert [(r["step"], r["rows"], r["rows_key"]) for r in mine] == [
        (r["step"], r["rows"], r["rows_key"]) for r in theirs
    ]
    assert [r["loss"] for r in mine] == pytest.approx([r["loss"] for r in theirs], abs=1e-4)
    one, two = (load_file(Path(place.out) / "model" / "model.safetensors") for place in (spec, undisturbed))
    assert max(float((one[name] - two[name]).abs().max()) for name in two) < 1e-3


def wait_for(what: str, condition: Any, seconds: float = 400) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.05)


def test_killed_workers_are_replaced_and_no_row_is_skipped_or_repeated(
    ray_local: None, places: tuple[Path, Path], undisturbed: TrainSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the two dies after a step beyond the first checkpoint, another one while it exports and publishes the
    model; the seed picks rank, step and place."""
    spec = make_spec(*places, tmp_path / "round-1" / "train", workers=2, **SETTINGS)
    seed = seeds("5")[0]
    chance = random.Random(seed)
    step = STEPS.format(rank=chance.randrange(2), step=chance.randrange(5, 55))
    at = [Moment("worker", "round-1/train", what) for what in (step, chance.choice(EXPORT))]
    told(seed, at)
    (tmp_path / "watch").mkdir()
    watch = Watch(str(tmp_path), str(tmp_path / "watch"), tuple(at))
    monkeypatch.setattr(launch, "_worker", WatchedWorker(watch, "round-1/train"))
    steps: list[Mapping[str, Any]] = []
    result = run_training(spec, steps.append)
    assert all(map(watch.pid, at))
    assert result.workers == 2
    assert result.rows == 12 * 40
    assert steps[-1]["step"] == result.steps - 1
    assert_same(spec, undisturbed)
    left, usual = (sorted(path.name for path in Path(place.out).iterdir()) for place in (spec, undisturbed))
    assert left == usual, "half a model, or what only a training that goes on needs"
    assert run_training(spec) == result


def test_a_killed_driver_continues_on_the_next_run(
    places: tuple[Path, Path], undisturbed: TrainSpec, tmp_path: Path
) -> None:
    """Without Ray: the process dies between two checkpoints, and the same command ends the run."""
    spec = make_spec(*places, tmp_path / "out", **SETTINGS)
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    command = [sys.executable, "-m", "toolace.training.torchrun", "--spec", str(tmp_path / "spec.json")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    first = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for("the first checkpoint", (tmp_path / "out" / "checkpoints" / "index.json").exists)
    first.kill()
    first.wait()
    assert not (tmp_path / "out" / "result.json").exists()
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=480)
    assert_same(spec, undisturbed)


def test_an_error_that_repeats_is_told_at_once(ray_local: None, places: tuple[Path, Path], tmp_path: Path) -> None:
    spec = make_spec(*places, tmp_path / "out", lr=1e30, warmup_ratio=0)
    with pytest.raises(TrainingError, match=r"the loss is .* at step \d+"):
        run_training(spec)
    assert not (tmp_path / "out" / "model").exists()


HANGS = """
import json, sys, threading, deepspeed, transformers, peft
from toolace.training.loop import train
from toolace.training.spec import TrainSpec
spec = TrainSpec.model_validate_json(open(sys.argv[1]).read())
train(spec, lambda record: threading.Event().wait() if record["step"] == 7 else None)
"""


def test_a_training_that_hangs_ends_itself_and_can_go_on(
    places: tuple[Path, Path], undisturbed: TrainSpec, tmp_path: Path
) -> None:
    spec = make_spec(*places, tmp_path / "out", no_progress_s=12, **SETTINGS)
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", HANGS, str(tmp_path / "spec.json")]
    hung = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
    assert hung.returncode == EXIT_CODE and "made no progress for 1" in hung.stderr, hung.stderr[-3000:]
    assert (tmp_path / "out" / "checkpoints" / "index.json").exists()
    train(spec)
    assert_same(spec, undisturbed)


def test_workers_that_find_no_place_are_told_within_the_limit(
    ray_local: None, places: tuple[Path, Path], tmp_path: Path
) -> None:
    spec = make_spec(*places, tmp_path / "out", workers=2, cpus_per_worker=64, no_progress_s=3)
    told = r"did not start within train\.no_progress_s=3 s: 2 workers of .*64.* has 4 CPU, 0 GPU in all.*train\.workers"
    with pytest.raises(TrainingError, match=told):
        run_training(spec)
