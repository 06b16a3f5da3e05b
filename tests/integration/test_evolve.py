"""The job of evolution on the tiny base with the real engine and trainer: its stages, and a round that accepts
nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from toolace.rollouts.outputs import read_records
from toolace.storage import Store
from toolace.training.dataset import TokenTable

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


def test_the_stages_run_for_real_and_a_round_that_accepts_nothing_says_why(evolution: Any, tiny_base: Path) -> None:
    summary, run = evolution.summary, evolution.run
    assert [stage["name"] for stage in summary["stages"]] == ["adaption", "decomposed"] and summary["rounds"] == []
    for scores in (summary["base"], *(stage["scores"] for stage in summary["stages"])):
        assert scores["n"] == 16 and scores["tasks"]["errors"] == 0
        assert scores["tasks"]["definitions"] > 0 < scores["tasks"]["queries"] and 0 <= scores["tools_valid"] <= 1
    for stage in summary["stages"]:
        table = TokenTable.open(Store(str(run / stage["name"] / "train/tokens")))
        kinds = {kind: table.kinds.count(kind) for kind in ("adaption", "generation", "invocation")}
        assert kinds == {kind: stage["train"][f"rows_{kind}"] for kind in kinds}
        assert stage["train"]["target_tokens"] > 0 and (run / stage["name"] / "train/model/config.json").exists()
    assert "report:" in evolution.said and (run / "report.html").exists()

    assert re.search(r"accepted none of \d+ queries", str(evolution.error))
    now = {path: path.stat().st_mtime_ns for path in evolution.written}
    assert now == evolution.written, "what was done is not done again"
    counts: dict[str, Any] = json.loads((run / "evolve-1/evolve/done.json").read_text())["counts"]
    assert counts["queries"] == sum(counts["rejected"].values()) > 0 == counts["accepted"]
    for reason, number in counts["rejected"].items():
        assert f"{number} {reason}" in str(evolution.error)
        assert sum(one["reason"] == reason for one in read_records(str(run / "evolve-1/evolve"))) == number
    assert not (run / "evolve-1/corpus").exists()
