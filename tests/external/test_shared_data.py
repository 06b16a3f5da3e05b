"""Real rows from other projects; skipped where `../shared/data` is absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolace.data import check_file, load_samples, split_by_tools
from toolace.data.sources.toolace import split_system

TRAIN = {
    "toolrl-rlla/rlla_sft.json": ("toolrl", 400),
    "api-bank/lv3-api-train.json": ("api_bank", 907),
    "api-bank/lv3-response-train.json": ("api_bank", 338),
    "glaive-toolcall-300/glaive_toolcall_en_demo.json": ("glaive", 300),
    "seal-tools/finetune_dev.json": ("seal_tools", 700),
    "xlam-star-1k/example_messages.jsonl": ("xlam", 1024),
}
DEV = {
    "toolrl-rlla/rlla_4k_test.parquet": ("toolrl", 80),
    "seal-tools/finetune_test_in_domain.json": ("seal_tools", 700),
    "api-bank/level-2-api.json": ("api_bank", 135),
    "api-bank/level-3-batch-inf.json": ("api_bank", 245),
}


@pytest.mark.parametrize("name", TRAIN)
def test_training_files_load_nearly_whole(shared_data: Path, name: str) -> None:
    format, rows = TRAIN[name]
    loaded = load_samples(shared_data / name)
    assert loaded.formats == {format: loaded.used}
    assert loaded.rows == rows == loaded.used + len(loaded.quarantined) + len(loaded.skipped)
    assert loaded.used >= 0.97 * rows, loaded.reasons()
    assert all(bad.detail for bad in loaded.quarantined)
    assert len({sample.id for sample in loaded.samples}) == len(loaded.samples)


@pytest.mark.parametrize("name", DEV)
def test_evaluation_files_load(shared_data: Path, name: str) -> None:
    format, rows = DEV[name]
    loaded = load_samples(shared_data / name)
    assert loaded.rows == rows
    assert loaded.used >= 0.88 * rows, loaded.reasons()
    assert loaded.formats == {format: loaded.used}


def test_damaged_toolace_rows_are_quarantined_for_their_cut_names(shared_data: Path) -> None:
    report = check_file(shared_data / "toolace-sample-100/sharegpt_func_fixed.json")
    assert (report.format, report.rows) == ("toolace", 100)
    assert report.quarantined == {"unknown_tool": 100 - report.used}
    assert report.used < 40
    assert "cut from" in report.examples["unknown_tool"][0]["detail"]


def test_toolace_system_prompts_hold_nothing_but_the_known_words(shared_data: Path) -> None:
    import json

    rows = json.loads((shared_data / "toolace-sample-100/sharegpt_func_fixed.json").read_text(encoding="utf-8"))
    for row in rows:
        tools, rest = split_system(row["system"])
        assert tools
        assert rest == ""


@pytest.mark.parametrize("name", ["toolrl-rlla/rlla_sft.json", "xlam-star-1k/example_messages.jsonl"])
def test_real_pools_split_by_tool(shared_data: Path, name: str) -> None:
    samples = load_samples(shared_data / name).samples
    splits = split_by_tools(samples, 0.1, 0.1, 0)
    seen = [{tool.name for s in part for tool in s.chat.tools} for part in splits.values()]
    assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])
    assert sum(map(len, splits.values())) == len(samples)
