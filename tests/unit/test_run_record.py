"""What a run says it was made with: a start that is refused, more rounds, damaged files, bad tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from toolace.cli.refine import read_tools
from toolace.config import Config
from toolace.errors import DataError, StorageError
from toolace.report import write_report
from toolace.rounds.context import Run
from toolace.rounds.driver import PLAIN_SFT, _forget_outgrown
from toolace.rounds.events import EventLog
from toolace.rounds.progress import Progress
from toolace.rounds.record import record_start, recorded, restore
from toolace.rounds.summary import SUMMARY, read_summary
from toolace.storage import StageMismatch, Store


def config(**train: Any) -> Config:
    return Config.model_validate({"train": train})


def test_a_refused_start_leaves_the_settings_of_the_run(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    assert recorded(store) is None
    record_start(store, config(lr=1e-3))
    written = store.read("config.yaml")
    before = recorded(store)
    record_start(store, config(lr=1e-2))
    assert b"0.01" in store.read("config.yaml")
    restore(store, before)
    assert store.read("config.yaml") == written
    found = recorded(store)
    assert found is not None and found["config"]["train"]["lr"] == 1e-3
    assert [attempt["number"] for attempt in found["attempts"]] == [1, 2], "the attempt stays on record"


@pytest.mark.parametrize("damaged", ["[]", "{}", '{"attempts": 3}'])
def test_a_damaged_record_is_named(tmp_path: Path, damaged: str) -> None:
    (tmp_path / "run.json").write_text(damaged)
    with pytest.raises(StorageError, match=r"run\.json is damaged.*Delete it"):
        record_start(Store(str(tmp_path)), Config())


def test_a_damaged_run_has_no_report_and_no_summary(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("[]")
    (tmp_path / SUMMARY).write_text("[]")
    again = rf"damaged.*Delete it and start the run again.*toolace run --config {tmp_path}/config\.yaml"
    with pytest.raises(StorageError, match=again):
        write_report(Store(str(tmp_path)))
    for text in ("[]", "{}", '{"name": "x", "rounds": 3}', "{broken"):
        (tmp_path / SUMMARY).write_text(text)
        with pytest.raises(StorageError, match=again):
            read_summary(Store(str(tmp_path)))


def test_a_run_that_has_not_finished_is_told_from_a_place_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="not a run directory"):
        read_summary(Store(str(tmp_path)))
    record_start(Store(str(tmp_path)), Config())
    with pytest.raises(StorageError, match=rf"has not finished.*toolace run --config {tmp_path}/config\.yaml"):
        read_summary(Store(str(tmp_path)))


def plain(run: Run, tokens: int, lr: float = 1e-3) -> Any:
    made_from = {"start": "base", "train": {"settings": {"target_tokens": tokens, "lr": lr}}}
    return run.stage(f"{PLAIN_SFT}/train", made_from)


def test_plain_sft_is_made_anew_for_more_rounds_and_for_nothing_else(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    run = Run(Config(), store, EventLog(store), Progress())
    first = plain(run, 1000)
    assert first.done() is None
    first.publish({"steps": 1})
    store.write(f"{PLAIN_SFT}/eval-test/part.txt", b"old")
    _forget_outgrown(run, plain(run, 1000))
    assert plain(run, 1000).done() == {"steps": 1}
    with pytest.raises(StageMismatch, match="lr"):
        _forget_outgrown(run, plain(run, 2000, lr=1e-2))
    assert plain(run, 1000).done() == {"steps": 1}
    _forget_outgrown(run, plain(run, 2000))
    assert plain(run, 2000).done() is None and not store.exists(f"{PLAIN_SFT}/eval-test")


@pytest.mark.parametrize(
    "tools",
    [[{"name": "x", "parameters": "foo"}], [{"name": ""}], [{"name": "x", "description": 5}], "[" * 100_000],
)
def test_bad_tools_are_one_error(tmp_path: Path, tools: Any) -> None:
    path = tmp_path / "tools.json"
    path.write_text(tools if isinstance(tools, str) else json.dumps(tools))
    with pytest.raises(DataError, match=r"tools\.json"):
        read_tools(path)
