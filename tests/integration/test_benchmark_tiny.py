"""The tiny base on a handful of real BFCL rows with the real engine: answers, scores, and scoring them again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from toolace.config import load_config
from toolace.evaluation.benchmarks.bfcl import Bfcl
from toolace.evaluation.benchmarks.scoring import score_predictions
from toolace.rollouts.dataset import read_records
from toolace.rounds.benchmark import run_benchmark

ROOT = Path(__file__).parent.parent.parent
pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("ray_local"), pytest.mark.timeout(300)]
pytest.importorskip("vllm", reason="needs an engine: make install")


def test_a_few_rows_of_bfcl(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "bfcl-v4-dev"
    if not folder.is_dir():
        pytest.skip("no bfcl-v4-dev in ../shared/data")
    settings = ["evaluate.fixed_rounds=[1]", "evaluate.margins=[1.0]", "refine.max_rounds=2", "refine.max_tokens=64"]
    # The context of the tiny base may be too short for a row: that is counted, and no failure of this test.
    config = load_config(
        ROOT / "configs" / "demo.yaml", [*settings, "engine.kv_cache_gib=0.2", "rollout.max_error_share=1"]
    )
    options = {"categories": ["simple_python", "simple_java", "irrelevance"], "limit": 2}
    report = run_benchmark(config, "bfcl", folder, str(tmp_path / "out"), **options)  # type: ignore[arg-type]
    assert report["asked"] == 6 and report["rows"] == 1390
    assert list(report["arms"]) == ["direct", "adaptive", "fixed_1", "margin_1"]
    records = list(read_records(str(tmp_path / "out" / "model" / "answers")))
    answered = [record for record in records if "error" not in record]
    assert len(records) == 6 and len(answered) == 6 - len(report["unanswered"]) >= 3
    assert all(record["arms"]["direct"]["text"] == record["chain"][0] != "" for record in answered)
    for name, arm in report["arms"].items():
        assert set(arm["scores"].values()) == {None} and arm["missing"] == 1390 - 6
        assert [found["judged"] for found in arm["categories"].values()] == [2, 2, 2]
        again = score_predictions(Bfcl(), folder, tmp_path / "out" / f"predictions-{name}.jsonl").to_json()
        assert {category: again["categories"][category]["correct"] for category in arm["categories"]} == {
            category: found["correct"] for category, found in arm["categories"].items()
        }
    told = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert told == run_benchmark(config, "bfcl", folder, str(tmp_path / "out"), **options)  # type: ignore[arg-type]
