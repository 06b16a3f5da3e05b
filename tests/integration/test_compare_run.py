"""A comparison of two small arms with the real engines: what is the same is made once, and is the planned same."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from toolace.rounds.compare import compare
from toolace.rounds.compare_dry import planned_steps
from toolace.rounds.context import share_scope
from toolace.rounds.progress import Progress
from toolace.rounds.shared import identity_of

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]


def test_two_arms_share_what_is_the_same(compared: Any) -> None:
    outcome, runs = compared.outcome, compared.runs
    assert outcome["failed"] == {} and list(outcome["arms"]) == ["solved/clean/tiny_base", "no_keep/clean/tiny_base"]

    # data, base (2), bootstrap (4), first probe, selection; each arm its own corpus, training and evaluation (2)
    assert outcome["stages"] == {"made": 9 + 2 * 4, "shared": 9} and compared.plan["stages"] == 26
    planned = {
        identity_of(stage, share_scope(run.config))
        for run in runs
        for step in planned_steps(run.config)
        for stage in step.stages
    }
    assert planned == {entry.name for entry in (compared.place / "stages").iterdir()}

    folders = [Path(run.config.run_dir) for run in runs]
    first, second = (json.loads((folder / "summary.json").read_text()) for folder in folders)
    assert first["base"] == second["base"] and first["bootstrap"] == second["bootstrap"]
    assert first["rounds"][0]["train"]["rows_keep"] > 0 == second["rounds"][0]["train"]["rows_keep"]
    assert all((folder / "report.html").exists() for folder in folders)
    # Each run has its own model card, though their bootstrap is one model.
    cards = [(folder / "bootstrap/train/model/README.md").stat().st_ino for folder in folders]
    weights = [(folder / "bootstrap/train/model/model.safetensors").stat().st_ino for folder in folders]
    assert cards[0] != cards[1] and weights[0] == weights[1]

    before = {path: path.stat().st_mtime_ns for path in compared.place.rglob("*") if path.name != "comparison.html"}
    assert compare(compared.comparison, Progress(io.StringIO())) == json.loads(json.dumps(outcome))
    changed = {path for path, time in before.items() if not path.is_dir() and path.stat().st_mtime_ns != time}
    assert changed <= {compared.place / "comparison.json"}
