"""A comparison of two small arms with the real engines: what is the same is made once, and is the planned same."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from toolace.rounds.compare import compare
from toolace.rounds.compare_dry import count_plan, planned_steps
from toolace.rounds.compare_plan import load_comparison, plan_runs
from toolace.rounds.context import share_scope
from toolace.rounds.progress import Progress
from toolace.rounds.shared import identity_of

CONFIGS = Path(__file__).resolve().parent.parent.parent / "configs"
pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

FILE = """
base: {base}
root: {root}
name: two
seeds: [1]
settings:
  data.train.rows: 48
  data.dev.rows: 8
  data.test.rows: 16
  rounds: {{bootstrap_rows: 24, max_rounds: 1, plain_sft: false}}
  evaluate: {{splits: [test], fixed_rounds: [1]}}
arms:
  solved:
  no_keep: {{settings: {{corpus.keep_pairs: false}}}}
reference: solved
"""


def test_two_arms_share_what_is_the_same(ray_local: None, tiny_base: Path, tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(FILE.format(base=CONFIGS / "demo.yaml", root=tmp_path))
    comparison = load_comparison(tmp_path / "two.yaml")
    runs = plan_runs(comparison)
    plan = count_plan(runs, None)
    outcome = compare(comparison, Progress(io.StringIO()))
    assert outcome["failed"] == {} and list(outcome["arms"]) == ["solved/clean/tiny_base", "no_keep/clean/tiny_base"]

    # data, base, bootstrap (3), first probe, selection; each arm its own corpus, training and evaluation
    assert outcome["stages"] == {"made": 7 + 2 * 3, "shared": 7} and plan["stages"] == 20
    planned = {
        identity_of(stage, share_scope(run.config))
        for run in runs
        for step in planned_steps(run.config)
        for stage in step.stages
    }
    assert planned == {entry.name for entry in (tmp_path / "two" / "stages").iterdir()}

    folders = [Path(run.config.run_dir) for run in runs]
    first, second = (json.loads((folder / "summary.json").read_text()) for folder in folders)
    assert first["base"] == second["base"] and first["bootstrap"] == second["bootstrap"]
    assert first["rounds"][0]["train"]["rows_keep"] > 0 == second["rounds"][0]["train"]["rows_keep"]
    assert all((folder / "report.html").exists() for folder in folders)
    # Each run has its own model card, though their bootstrap is one model.
    cards = [(folder / "bootstrap/train/model/README.md").stat().st_ino for folder in folders]
    weights = [(folder / "bootstrap/train/model/model.safetensors").stat().st_ino for folder in folders]
    assert cards[0] != cards[1] and weights[0] == weights[1]

    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.name != "comparison.html"}
    assert compare(comparison, Progress(io.StringIO())) == json.loads(json.dumps(outcome))
    changed = {path for path, time in before.items() if not path.is_dir() and path.stat().st_mtime_ns != time}
    assert changed <= {tmp_path / "two" / "comparison.json"}
