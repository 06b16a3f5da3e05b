"""The data stage: splits, quarantine, counts that add up."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from toolace.config import Config, load_config
from toolace.data.shards import read_samples
from toolace.errors import DataError, StorageError
from toolace.rounds.context import Run
from toolace.rounds.events import EventLog
from toolace.rounds.ingest import SPLITS, data_stage, ingest
from toolace.rounds.progress import Progress
from toolace.storage import Stage, Store


def row(number: int) -> dict[str, Any]:
    """A row with a tool of its own."""
    name = f"tool_{number}"
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    return {
        "messages": [
            {"role": "user", "content": f"Use number {number}."},
            {"role": "assistant", "tool_calls": [{"function": {"name": name, "arguments": json.dumps({"x": number})}}]},
        ],
        "tools": [{"type": "function", "function": {"name": name, "parameters": schema}}],
    }


def run(tmp_path: Path, *overrides: str) -> tuple[dict[str, Any], Store]:
    config: Config = load_config(None, [f"root={tmp_path}", "rollout.shard_rows=8", *overrides])
    stage = Stage(Store(str(tmp_path / "run")), "data", {"data": config.data.model_dump()})
    return ingest(config, stage), stage.store


def test_a_file_is_split_by_tool_and_its_bad_rows_are_kept_apart(tmp_path: Path) -> None:
    rows = [row(number) for number in range(60)]
    rows[7]["tools"] = []
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    counts, store = run(tmp_path, "data.train.type=files", f"data.train.path={tmp_path / 'rows.jsonl'}")
    assert counts["rows"] == 60 and counts["samples"] == 59 == sum(counts[name] for name in SPLITS)
    assert counts["quarantined"] == {"unknown_tool": 1}
    (bad,) = (json.loads(line) for line in store.read("quarantine.jsonl").decode().splitlines())
    assert bad["row"] == 8 and bad["reason"] == "unknown_tool"
    tools = {name: {t.name for s in read_samples(store.sub(name)) for t in s.chat.tools} for name in SPLITS}
    assert tools["train"] and tools["dev"] and tools["test"]
    assert not tools["train"] & tools["test"] and not tools["train"] & tools["dev"] and not tools["dev"] & tools["test"]
    assert run(tmp_path, "data.train.type=files", f"data.train.path={tmp_path / 'rows.jsonl'}")[0] == counts


def test_synthetic_splits_have_the_rows_asked_for_and_no_tool_in_common(tmp_path: Path) -> None:
    counts, store = run(tmp_path, "data.train.rows=50", "data.test={type: synthetic, rows: 20, seed: 9}")
    assert (counts["train"], counts["dev"], counts["test"]) == (50, 5, 20)
    tools = [{t.name for s in read_samples(store.sub(name)) for t in s.chat.tools} for name in ("train", "test")]
    assert not tools[0] & tools[1]


def test_too_many_bad_rows_are_refused_with_the_reasons(tmp_path: Path) -> None:
    rows = [row(number) for number in range(10)]
    for bad in rows[:6]:
        bad["tools"] = []
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    with pytest.raises(DataError, match=r"6 of 10 rows .*unknown_tool.*max_bad_share"):
        run(tmp_path, "data.train.type=files", f"data.train.path={tmp_path / 'rows.jsonl'}")
    assert not (tmp_path / "run" / "data" / "done.json").exists()


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="test split is empty"):
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row(n)) + "\n" for n in range(10)))
        source = f"data.train={{type: files, path: {tmp_path / 'rows.jsonl'}}}"
        run(tmp_path, source, "data.dev_share=0", "data.test_share=0")


def test_a_changed_source_of_a_run_is_refused_and_a_missing_one_is_said(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    lines = [json.dumps(row(number)) + "\n" for number in range(60)]
    file.write_text("".join(lines))
    config = load_config(None, [f"data.train.path={file}"])
    said = io.StringIO()

    def read() -> dict[str, Any]:
        store = Store(str(tmp_path / "run"))
        return ingest(config, data_stage(Run(config, store, EventLog(store), Progress(said))))

    counts = read()
    file.touch()
    assert read() == counts and not said.getvalue()
    file.write_text("".join(lines[::-1]))  # as many bytes, as many rows
    with pytest.raises(StorageError, match=r"(?s)input\.train\.rows\.jsonl: .*sha256.*Take another run name"):
        read()
    file.unlink()
    assert read() == counts and "going on with what was read" in said.getvalue() and str(file) in said.getvalue()
    (tmp_path / "run" / "data" / "done.json").unlink()
    with pytest.raises(DataError, match=r"no data file at .*rows\.jsonl"):
        read()


def test_a_run_on_synthetic_rows_depends_on_settings_alone(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    stage = data_stage(Run(load_config(), store, EventLog(store), Progress(io.StringIO())))
    assert set(stage.made_from) == {"data", "seed", "shard_rows"}
