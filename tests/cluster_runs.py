"""Runs with the real engines that several tests share or compare: settings, commands and what must be the same at the
end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolace.rollouts.outputs import read_records
from toolace.storage import Store

ROOT = Path(__file__).resolve().parent.parent
SMALL = (
    "data.train.rows=64",
    "data.dev={type: synthetic, rows: 12, seed: 2}",
    "data.test={type: synthetic, rows: 16, seed: 3}",
    "engine.kv_cache_gib=0.2",
    "rollout.shard_rows=16",
    "rollout.rows_in_flight=32",
    "probe.k=4",
    "refine.max_rounds=2",
    "rounds.max_rounds=1",
    "rounds.bootstrap_rows=0",
    "rounds.plain_sft=false",
    "evaluate.fixed_rounds=[1]",
    "train.epochs=1",
    "train.global_batch=16",
    "train.checkpoint_steps=2",
)
EVOLUTION = (
    "data.train.rows=48",
    "data.dev={type: synthetic, rows: 8, seed: 2}",
    "data.test={type: synthetic, rows: 16, seed: 3, profile: documented}",
    "engine.kv_cache_gib=0.2",
    "evaluate.splits=[test]",
    "evolve.tools_tokens=48",
    "train.epochs=0.3",
)
"""A small run of evolution. A few steps of training do not teach the tiny base to write definitions, so a round of it
accepts nothing, and that is the error that it must be."""
COMPARISON = """
base: {base}
root: {root}
name: two
seeds: [1]
settings:
  data.train.rows: 96
  data.dev.rows: 16
  data.test.rows: 24
  engine.kv_cache_gib: 0.2
  rollout.shard_rows: 32
  rounds: {{bootstrap_rows: 24, max_rounds: 1, plain_sft: false}}
  evaluate.fixed_rounds: [1]
arms:
  solved:
  no_keep: {{settings: {{corpus.keep_pairs: false}}}}
reference: solved
"""
"""A small comparison, for `str.format` with the settings file of its runs and its root."""
TOOLACE = (sys.executable, "-m", "toolace")


def options(root: str, *more: str) -> list[str]:
    """Options of `toolace run` for the small run below a root."""
    settings = [*SMALL, f"root={root}", *more]
    return ["--config", "configs/demo.yaml", *(part for one in settings for part in ("--set", one))]


def call(
    command: Sequence[str], env: Mapping[str, str] | None = None, *, code: int | None = 0, timeout: float = 500
) -> str:
    """Run a command in the project's directory; what it printed, on both channels."""
    clean = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run(
        command, cwd=ROOT, env={**clean, "PYTHONPATH": str(ROOT), **(env or {})},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout,
    )  # fmt: skip
    assert code is None or done.returncode == code, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


@contextmanager
def driving(
    command: Sequence[str], env: Mapping[str, str], log: Path, *, timeout: float = 600
) -> Iterator[subprocess.Popen[bytes]]:
    """A driver at work; at the end of the block it has ended, without an error."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **env}, stdout=out, stderr=subprocess.STDOUT)
        try:
            yield process
            assert process.wait(timeout=timeout) == 0, log.read_text()[-3000:]
        finally:
            process.kill()
            process.wait()


def eventually(find: Callable[[], Any], what: str, seconds: float = 400, *, every: float = 0.1) -> Any:
    """The first truthy value of `find`. The limit only ends a test that hangs."""
    end = time.monotonic() + seconds
    while not (found := find()):
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(every)
    return found


def outcome(run: Store) -> dict[str, Any]:
    """What a run came to: selections, records, losses, scores. Equal for runs that differ in place and time only."""
    summary = run.read_json("summary.json")
    rounds = [entry["round"] for entry in summary["rounds"]]
    found: dict[str, Any] = {"scores": {"base": _scores(summary["base"])}}
    for number in rounds:
        name = f"round-{number}"
        steps = run.read(f"{name}/train/steps.jsonl").decode().splitlines()
        found[name] = {
            "selected": run.read_json(f"{name}/select/selected.json"),
            "probe": list(read_records(run.at(f"{name}/probe"))),
            "steps": [(line["step"], line["rows_key"]) for line in map(json.loads, steps)],
            "loss": [round(json.loads(line)["loss"], 4) for line in steps],
            "corpus": _counts(run, f"{name}/corpus"),
        }
        found["scores"][name] = _scores(summary["rounds"][number - 1]["test"])
    return found


def _scores(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: entry[key] for key in ("n", "direct", "adaptive", "mean_calls", "repairs", "regressions")}


def _counts(run: Store, stage: str) -> Any:
    return run.read_json(f"{stage}/done.json")["counts"]
