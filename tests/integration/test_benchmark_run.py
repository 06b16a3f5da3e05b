"""A model on a benchmark through Ray Data with the scripted engine: scores, files, what is asked again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from benchmark_answers import TurnsCodec, answer, no_answer, write_bfcl

from toolace.config import Config, load_config
from toolace.data.shards import read_index
from toolace.errors import RolloutError, StorageError
from toolace.evaluation.benchmarks import benchmark_named
from toolace.evaluation.benchmarks.scoring import score_predictions
from toolace.rollouts.dataset import read_records
from toolace.rounds.benchmark import run_benchmark
from toolace.storage import Store

pytestmark = pytest.mark.usefixtures("ray_local")
ARMS = ["direct", "adaptive", "fixed_1", "fixed_2", "margin_1"]


def config(*overrides: str) -> Config:
    settings = ["engine.kind=scripted", "rollout.shard_rows=3", "rollout.rows_in_flight=4", "rollout.no_progress_s=60"]
    return load_config(
        None, [*settings, "rollout.max_error_share=0.5", "evaluate.fixed_rounds=[2, 1]", "seed=3", *overrides]
    )


def run(data: Path, out: Path, *overrides: str, script: Any = answer, **options: Any) -> dict[str, Any]:
    return run_benchmark(config(*overrides), "bfcl", data, str(out), script=script, make_codec=TurnsCodec, **options)


def test_a_benchmark_from_questions_to_scores(tmp_path: Path) -> None:
    data, out = write_bfcl(tmp_path / "data"), tmp_path / "out"
    report = run(data, out)
    assert (report["benchmark"], report["rows"], report["asked"]) == ("bfcl", 7, 5)
    assert report["not_scored"] == {"multi_turn_base": 1}
    assert list(report["faulty"]) == ["simple_python_3"]
    assert report["unanswered"] == {"irrelevance_1": "engine: RuntimeError: no answer to this"}
    assert list(report["arms"]) == ARMS
    direct, adaptive = report["arms"]["direct"], report["arms"]["adaptive"]
    assert direct["categories"] == {
        "simple_python": {"n": 4, "judged": 4, "correct": 2},
        "irrelevance": {"n": 2, "judged": 2, "correct": 1},
        "multi_turn_base": {"n": 1, "judged": 0, "correct": 0},
    }
    assert direct["scores"]["simple_python"] == 2 / 4 and direct["scores"]["irrelevance"] == 1 / 2
    assert direct["scores"]["multi_turn_base"] is None and direct["scores"]["v3_2025_08_non_live"] is None
    assert (direct["repairs"], direct["regressions"], direct["mean_calls"], direct["missing"]) == (0, 0, 1.0, 0)
    # Row 0: wrong, right, right. Row 1: right, wrong, wrong. The others: an answer and its repetition.
    assert (adaptive["repairs"], adaptive["regressions"], adaptive["mean_calls"]) == (1, 1, (3 + 3 + 2 + 2) / 4)
    assert adaptive["mean_tokens"] == pytest.approx((3 * 9 + 3 * 9 + 2 * 9 + 2 * 18) / 4)
    assert json.loads((out / "scores.json").read_text()) == report
    for arm in ARMS:
        verdicts = [json.loads(line) for line in (out / f"verdicts-{arm}.jsonl").read_text().splitlines()]
        assert [verdict["error"] for verdict in verdicts[-4:]] == ["bad_row", None, "unanswered", "not_scored"]
        again = score_predictions(benchmark_named("bfcl"), data, out / f"predictions-{arm}.jsonl").to_json()
        assert again["scores"] == report["arms"][arm]["scores"], "the predictions give other scores than the run"


def test_the_same_again_asks_only_what_is_missing_and_scores_anew(tmp_path: Path) -> None:
    data, out = write_bfcl(tmp_path / "data"), tmp_path / "out"
    report = run(data, out)
    answers = out / "model" / "answers"
    before = list(read_records(str(answers)))
    (out / "scores.json").unlink()
    assert run(data, out, script=no_answer) == report
    assert json.loads((out / "scores.json").read_text()) == report

    stamps = {path.name: path.stat().st_mtime_ns for path in answers.glob("part-*")}
    assert len(stamps) == 2
    (answers / "part-00000.parquet").unlink()
    (answers / "done.json").unlink()
    assert run(data, out) == report and list(read_records(str(answers))) == before
    assert {n for n, stamp in stamps.items() if (answers / n).stat().st_mtime_ns != stamp} == {"part-00000.parquet"}

    # Another gold answer: no question differs, so nothing is asked, and the scores change.
    gold = data / "possible_answer" / "BFCL_v4_simple_python.json"
    gold.write_text(gold.read_text().replace("[2]", "[5]"))
    assert run(data, out, script=no_answer)["arms"]["direct"]["categories"]["simple_python"]["correct"] == 1
    with pytest.raises(StorageError, match=r"max_rounds: 5 -> 1"):
        run(data, out, "refine.max_rounds=1")


def test_answers_appear_by_small_shards_whatever_the_shards_of_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolace.rounds.benchmark.SHARD_ROWS", 2)
    run(write_bfcl(tmp_path / "data"), tmp_path / "out", "rollout.shard_rows=256")
    assert [shard.rows for shard in read_index(Store(str(tmp_path / "out/data/rows"))).shards] == [2, 2, 1]


def test_a_part_gives_no_full_score(tmp_path: Path) -> None:
    data, out = write_bfcl(tmp_path / "data", rows=4, faulty=False), tmp_path / "out"
    report = run(data, out, categories=["simple_python"], limit=2)
    assert (report["asked"], report["not_scored"]) == (2, {})
    for arm in report["arms"].values():
        assert set(arm["scores"].values()) == {None} and arm["missing"] == 5
        assert list(arm["categories"]) == ["simple_python"]
    assert report["arms"]["direct"]["categories"]["simple_python"] == {"n": 4, "judged": 2, "correct": 1}
    assert len((out / "predictions-direct.jsonl").read_text().splitlines()) == 2
    with pytest.raises(StorageError, match=r"rows.simple_python: 2 -> 4"):
        run(data, out, categories=["simple_python"])


def test_too_many_rows_without_an_answer_are_no_result(tmp_path: Path) -> None:
    data, out = write_bfcl(tmp_path / "data"), tmp_path / "out"
    with pytest.raises(RolloutError, match=r"max_error_share allows 0.1 of 5"):
        run(data, out, "rollout.max_error_share=0.1")
    assert not (out / "scores.json").exists()
    assert run(data, out)["unanswered"]
