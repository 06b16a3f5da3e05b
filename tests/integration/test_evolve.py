"""The job of evolution on the tiny base with the real engine and trainer. A few steps of training do not teach it to
write definitions, so its round accepts nothing: that round is asked for real, and is the error that it must be."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from toolace.config import Config, load_config
from toolace.errors import TrainingError
from toolace.rollouts.outputs import read_records
from toolace.rounds.evolve import run_evolve
from toolace.rounds.progress import Progress
from toolace.storage import Store
from toolace.training.dataset import TokenTable

ROOT = Path(__file__).parent.parent.parent
pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


def small(root: Path, *overrides: str) -> Config:
    return load_config(
        ROOT / "configs" / "demo_evolve.yaml",
        [
            f"root={root}",
            "data.train.rows=48",
            "data.dev={type: synthetic, rows: 8, seed: 2}",
            "data.test={type: synthetic, rows: 16, seed: 3, profile: documented}",
            "evaluate.splits=[test]",
            "evolve.tools_tokens=48",
            "train.epochs=0.3",
            *overrides,
        ],
    )


def test_the_stages_run_for_real_and_a_round_that_accepts_nothing_says_why(
    ray_local: None, tiny_base: Path, tmp_path: Path
) -> None:
    out = io.StringIO()
    summary = run_evolve(small(tmp_path, "evolve.rounds=0"), Progress(out))
    run = tmp_path / "demo-evolve"
    assert [stage["name"] for stage in summary["stages"]] == ["adaption", "decomposed"] and summary["rounds"] == []
    for scores in (summary["base"], *(stage["scores"] for stage in summary["stages"])):
        assert scores["n"] == 16 and scores["tasks"]["errors"] == 0
        assert scores["tasks"]["definitions"] > 0 < scores["tasks"]["queries"] and 0 <= scores["tools_valid"] <= 1
    for stage in summary["stages"]:
        table = TokenTable.open(Store(str(run / stage["name"] / "train/tokens")))
        kinds = {kind: table.kinds.count(kind) for kind in ("adaption", "generation", "invocation")}
        assert kinds == {kind: stage["train"][f"rows_{kind}"] for kind in kinds}
        assert stage["train"]["target_tokens"] > 0 and (run / stage["name"] / "train/model/config.json").exists()
    assert "report:" in out.getvalue() and (run / "report.html").exists()

    before = {path: path.stat().st_mtime_ns for path in run.rglob("*.parquet")}
    with pytest.raises(TrainingError, match=r"accepted none of \d+ queries") as error:
        run_evolve(small(tmp_path, "evolve.rounds=1"), Progress(io.StringIO()))
    assert {path: path.stat().st_mtime_ns for path in before} == before, "what was done is not done again"
    counts: dict[str, Any] = json.loads((run / "evolve-1/evolve/done.json").read_text())["counts"]
    assert counts["queries"] == sum(counts["rejected"].values()) > 0 == counts["accepted"]
    for reason, number in counts["rejected"].items():
        assert f"{number} {reason}" in str(error.value)
        assert sum(one["reason"] == reason for one in read_records(str(run / "evolve-1/evolve"))) == number
    assert not (run / "evolve-1/corpus").exists()
