"""The main job on the tiny base with the real engines: it ends, its counts add up, it does nothing twice."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from toolace.config import Config, load_config
from toolace.errors import StorageError
from toolace.rounds.driver import run_rounds
from toolace.rounds.progress import Progress
from toolace.rounds.summary import read_summary

ROOT = Path(__file__).parent.parent.parent
pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


def small(root: Path, *overrides: str) -> Config:
    return load_config(
        ROOT / "configs" / "demo.yaml",
        [
            f"root={root}",
            "data.train.rows=96",
            "data.dev={type: synthetic, rows: 16, seed: 2}",
            "data.test={type: synthetic, rows: 24, seed: 3}",
            "rollout.shard_rows=32",
            "rounds.max_rounds=1",
            "rounds.bootstrap_rows=24",
            "train.epochs=1",
            "evaluate.fixed_rounds=[1]",
            *overrides,
        ],
    )


@pytest.fixture(scope="module")
def finished(ray_local: None, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    root = tmp_path_factory.mktemp("rounds")
    out = io.StringIO()
    summary = run_rounds(small(root), Progress(out))
    assert "round 1" in out.getvalue() and "report:" in out.getvalue()
    return root, summary


def test_the_summary_has_what_other_programs_rely_on(finished: tuple[Path, dict[str, Any]]) -> None:
    root, summary = finished
    assert json.loads((root / "demo" / "summary.json").read_text()) == json.loads(json.dumps(summary))
    scores = [summary["base"], summary["bootstrap"], summary["plain_sft"]]
    (entry,) = summary["rounds"]
    assert entry.keys() >= {
        "round",
        "probed",
        "solved",
        "selected",
        "draws",
        "draws_full",
        "train",
        "dev",
        "test",
        "seconds",
    }
    assert entry["train"].keys() == {"rows_direct", "rows_keep", "rows_fix", "target_tokens", "seconds"}
    for found in [*scores, entry["dev"], entry["test"]]:
        assert found.keys() >= {"n", "direct", "adaptive", "mean_calls", "repairs", "regressions"}
        assert 0 <= found["direct"] <= 1 and 0 <= found["adaptive"] <= 1 and found["mean_calls"] >= 1
        assert (
            round(found["adaptive"] * found["n"])
            == round(found["direct"] * found["n"]) + found["repairs"] - found["regressions"]
        )
    assert [found["n"] for found in scores] == [24, 24, 24] and entry["dev"]["n"] == 16


def test_counts_add_up(finished: tuple[Path, dict[str, Any]]) -> None:
    (entry,) = finished[1]["rounds"]
    assert entry["probed"] == 96 and entry["draws_full"] == 96 * 8
    assert 96 * 2 <= entry["draws"] < entry["draws_full"]
    assert 0 < entry["selected"] == entry["solved"] == entry["train"]["rows_direct"] < 96
    assert entry["train"]["rows_keep"] > 0 and entry["train"]["rows_fix"] > 0
    run = finished[0] / "demo"
    plain, last = (
        json.loads((run / name / "train/done.json").read_text())["counts"] for name in ("plain_sft", "round-1")
    )
    assert plain["target_tokens"] == pytest.approx(last["target_tokens"], rel=0.35)


def test_a_run_again_does_nothing_again(finished: tuple[Path, dict[str, Any]]) -> None:
    root, summary = finished
    run = root / "demo"
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*.parquet")}
    assert run_rounds(small(root), Progress(io.StringIO())) == json.loads(json.dumps(summary))
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*.parquet")} == before
    assert len(json.loads((run / "run.json").read_text())["attempts"]) == 2


def test_a_tracker_that_comes_late_gets_the_whole_run(finished: tuple[Path, dict[str, Any]]) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed: pip install 'toolace[tracking]'")
    root, _ = finished
    run_rounds(small(root, "tracking.wandb.mode=offline"), Progress(io.StringIO()))
    (place,) = json.loads((root / "demo" / "tracking.json").read_text())["trackers"].values()
    steps = len((root / "demo" / "round-1" / "train" / "steps.jsonl").read_text().splitlines())
    assert place["logged"]["round-1/train/steps"] == steps and place["files"]
    assert {"data", "base/eval-test", "round-1/probe", "round-1/select", "round-1/eval-test"} <= place["logged"].keys()


def test_changed_settings_are_refused_with_the_difference(finished: tuple[Path, dict[str, Any]]) -> None:
    root, _ = finished
    with pytest.raises(StorageError, match=r"k: 8 -> 4"):
        run_rounds(small(root, "probe.k=4"), Progress(io.StringIO()))
    assert read_summary(finished_store(root))["rounds"]
    assert not (root / "demo" / "lock.json").exists()


def finished_store(root: Path) -> Any:
    from toolace.storage import Store

    return Store(str(root / "demo"))


def test_the_trained_model_loads_in_stock_transformers(finished: tuple[Path, dict[str, Any]]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = finished[0] / "demo" / "round-1" / "train" / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello."}], add_generation_prompt=True, return_tensors="pt"
    )
    ids = prompt["input_ids"] if not hasattr(prompt, "shape") else prompt
    assert model.generate(ids, max_new_tokens=4).shape[1] > ids.shape[1]
