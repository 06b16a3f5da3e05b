"""Seeds of a comparison at the same time: the same outcome, and nothing lost when a process is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from compare_runs import Maker
from test_compare import load, quiet

from toolace.config import Config
from toolace.rounds.compare import compare
from toolace.rounds.progress import Progress
from toolace.rounds.shared import SharedStages

SMALL = ("pools={clean: {}}", "settings.data.train.rows=12", "arms={solved: {}, one_round: {scored: bootstrap}}")


class Dies(Maker):
    """Makes runs, and is killed in the second seed."""

    def __call__(self, config: Config, progress: Progress, shared: SharedStages | None) -> None:
        if config.seed == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        super().__call__(config, progress, shared)


class Waits(Maker):
    """Says which process it is, and then works for a very long time."""

    def __call__(self, config: Config, progress: Progress, shared: SharedStages | None) -> None:
        place = Path(config.root)
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{config.seed}.pid").write_text(str(os.getpid()))
        time.sleep(600)


def test_the_outcome_is_the_same(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    alone = compare(load(tmp_path / "one", *SMALL), quiet(), Maker())
    capfd.readouterr()
    together = compare(load(tmp_path / "two", *SMALL), quiet(), Maker(), jobs=2)
    assert together == alone and alone["arms"]["solved/clean/tiny_base"]["seeds"] == [1, 2]
    lines = capfd.readouterr().err.splitlines()
    for seed in (1, 2):
        assert f"seed {seed}: run 2 of 2: one_round-clean-tiny_base-seed{seed}" in lines
    maker = Maker()
    assert compare(load(tmp_path / "two", *SMALL), quiet(), maker) == alone and maker.worked == {}


def test_runs_that_fail_are_named(tmp_path: Path) -> None:
    outcome = compare(load(tmp_path, *SMALL), quiet(), Maker(fail="solved-clean-tiny_base-seed2"), jobs=2)
    assert list(outcome["failed"]) == ["solved-clean-tiny_base-seed2"] and "on fire" in str(outcome["failed"])
    assert outcome["arms"]["one_round/clean/tiny_base"]["seeds"] == [1, 2]


def test_a_process_that_is_killed_costs_its_own_runs_alone(tmp_path: Path) -> None:
    outcome = compare(load(tmp_path, *SMALL), quiet(), Dies(), jobs=2)
    assert sorted(outcome["failed"]) == ["one_round-clean-tiny_base-seed2", "solved-clean-tiny_base-seed2"]
    assert all("code -9" in error for error in outcome["failed"].values())
    assert outcome["arms"]["solved/clean/tiny_base"]["seeds"] == [1]
    healed = compare(load(tmp_path, *SMALL), quiet(), Maker(), jobs=2)
    assert healed["failed"] == {} and healed["arms"]["solved/clean/tiny_base"]["seeds"] == [1, 2]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_the_command_ends_its_processes(tmp_path: Path, how: signal.Signals) -> None:
    load(tmp_path, *SMALL)
    script = tmp_path / "script.py"
    overrides = [*SMALL]
    script.write_text(
        "from test_compare_jobs import Waits\nfrom toolace.rounds.compare import compare\n"
        "from toolace.rounds.compare_plan import load_comparison\n"
        f"if __name__ == '__main__':\n    compare(load_comparison('file.yaml', {overrides!r}), make=Waits(), jobs=2)\n"
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    driver = subprocess.Popen([sys.executable, str(script)], cwd=tmp_path, env=env, stderr=subprocess.DEVNULL)
    try:
        pids = [int(_wait(tmp_path / f"runs/small/runs/{seed}.pid")) for seed in (1, 2)]
        working = [psutil.Process(pid) for pid in pids]
        driver.send_signal(how)
        assert driver.wait(60) != 0
        assert psutil.wait_procs(working, timeout=60)[1] == []
    finally:
        driver.kill()
    outcome = compare(load(tmp_path, *SMALL), quiet(), Maker(), jobs=2)
    assert outcome["failed"] == {}
    assert json.loads((tmp_path / "runs/small/comparison.json").read_text())["arms"].keys() == outcome["arms"].keys()


def _wait(file: Path) -> str:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if file.exists() and (text := file.read_text()):
            return text
        time.sleep(0.1)
    raise AssertionError(f"{file} was never written")
