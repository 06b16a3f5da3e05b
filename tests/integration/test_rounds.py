"""The main job on the tiny base with the real engines: it ends, its counts add up, it does nothing twice."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from toolace.config import Config
from toolace.errors import StorageError
from toolace.rounds.driver import run_rounds
from toolace.rounds.progress import Progress
from toolace.rounds.summary import read_summary
from toolace.storage import Store

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]


@dataclass(frozen=True)
class Finished:
    """A finished run: its settings, and its summary."""

    config: Config
    summary: dict[str, Any]

    @property
    def folder(self) -> Path:
        return Path(self.config.run_dir)


@pytest.fixture(scope="module")
def finished(compared: Any, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run of a comparison that was brought to another place, where it makes what it was not asked for there: plain
    SFT. All the rest it takes as it is."""
    root, out = tmp_path_factory.mktemp("rounds"), io.StringIO()
    config = changed(changed(compared.runs[0].config, root=str(root)), rounds={"plain_sft": True})
    shutil.copytree(compared.runs[0].config.run_dir, config.run_dir)
    before = stamps(Path(config.run_dir))
    summary = run_rounds(config, Progress(out))
    assert "round 1" in out.getvalue() and "report:" in out.getvalue()
    after = stamps(Path(config.run_dir))
    assert before.items() < after.items()
    assert {path.relative_to(config.run_dir).parts[0] for path in after.keys() - before.keys()} == {"plain_sft"}
    return Finished(config, summary)


def changed(config: Config, **sections: Any) -> Config:
    """The settings with others in some sections."""
    data = config.model_dump(mode="json")
    for name, value in sections.items():
        data[name] = {**data[name], **value} if isinstance(value, dict) else value
    return Config.model_validate(data)


def stamps(run: Path) -> dict[Path, int]:
    """When each table of a run was written."""
    return {path: path.stat().st_mtime_ns for path in run.rglob("*.parquet")}


def test_the_summary_has_what_other_programs_rely_on(finished: Finished) -> None:
    summary = finished.summary
    assert json.loads((finished.folder / "summary.json").read_text()) == json.loads(json.dumps(summary))
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


def test_counts_add_up(finished: Finished) -> None:
    (entry,) = finished.summary["rounds"]
    assert entry["probed"] == 96 and entry["draws_full"] == 96 * 8
    assert 96 * 2 <= entry["draws"] < entry["draws_full"]
    assert 0 < entry["selected"] == entry["solved"] == entry["train"]["rows_direct"] < 96
    assert entry["train"]["rows_keep"] > 0 and entry["train"]["rows_fix"] > 0
    plain, last = (
        json.loads((finished.folder / name / "train/done.json").read_text())["counts"]
        for name in ("plain_sft", "round-1")
    )
    assert plain["target_tokens"] == pytest.approx(last["target_tokens"], rel=0.35)


def test_a_run_again_does_nothing_again(finished: Finished) -> None:
    before, attempts = stamps(finished.folder), attempts_of(finished)
    assert run_rounds(finished.config, Progress(io.StringIO())) == json.loads(json.dumps(finished.summary))
    assert stamps(finished.folder) == before and attempts_of(finished) == attempts + 1


def attempts_of(finished: Finished) -> int:
    return len(json.loads((finished.folder / "run.json").read_text())["attempts"])


def test_a_tracker_that_comes_late_gets_the_whole_run(finished: Finished) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed: pip install 'toolace[tracking]'")
    run_rounds(changed(finished.config, tracking={"wandb": {"mode": "offline"}}), Progress(io.StringIO()))
    (place,) = json.loads((finished.folder / "tracking.json").read_text())["trackers"].values()
    steps = len((finished.folder / "round-1" / "train" / "steps.jsonl").read_text().splitlines())
    assert place["logged"]["round-1/train/steps"] == steps and place["files"]
    assert {"data", "base/eval-test", "round-1/probe", "round-1/select", "round-1/eval-test"} <= place["logged"].keys()


def test_changed_settings_are_refused_with_the_difference(finished: Finished) -> None:
    with pytest.raises(StorageError, match=r"k: 8 -> 4"):
        run_rounds(changed(finished.config, probe={"k": 4}), Progress(io.StringIO()))
    assert read_summary(Store(str(finished.folder)))["rounds"]
    assert not (finished.folder / "lock.json").exists()


def test_the_trained_model_loads_in_stock_transformers(finished: Finished) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = finished.folder / "round-1" / "train" / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello."}], add_generation_prompt=True, return_tensors="pt"
    )
    ids = prompt["input_ids"] if not hasattr(prompt, "shape") else prompt
    assert model.generate(ids, max_new_tokens=4).shape[1] > ids.shape[1]
