"""The report of `toolace data check`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from toolace.calls.schema import Sample
from toolace.data import check_file
from toolace.errors import DataError, TemplateError

TOOL = {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}
USER = {"role": "user", "content": "go"}


def row(tools: list[dict[str, object]], **arguments: str) -> dict[str, object]:
    answer = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": arguments}}]}
    return {"messages": [USER, answer], "tools": tools}


def write(path: Path, *rows: object) -> Path:
    path.write_text("\n".join(json.dumps(item) for item in rows))
    return path


def test_report_counts_everything(tmp_path: Path) -> None:
    other = {**TOOL, "name": "g"}
    path = write(
        tmp_path / "a.jsonl",
        row([TOOL], a="1"),
        row([TOOL], a="1"),
        row([TOOL, other], b="2"),
        row([other], a="1"),
        {"messages": [USER], "tools": []},
    )
    report = check_file(path)
    assert (report.format, report.rows, report.used, report.samples) == ("openai", 5, 3, 3)
    assert report.quarantined == {"unknown_tool": 1}
    assert report.skipped == {"no_assistant_turn": 1}
    assert report.rows == report.used + sum(report.quarantined.values()) + sum(report.skipped.values())
    assert report.examples["unknown_tool"][0]["row"] == 4
    assert (report.duplicate_queries, report.duplicate_samples) == (2, 1)
    assert report.kinds == {"single": 2, "multiple": 1}
    assert (report.tools, report.arguments_outside_schema) == (2, 1)
    assert report.tokens["unit"] == "characters"
    assert report.tokens["min"] < report.tokens["max"]
    again = json.loads(json.dumps(report.to_json()))
    assert {"rows", "samples", "quarantined", "duplicate_queries", "tokens", "kinds", "format"} <= set(again)


def test_tokens_are_counted_by_the_given_function(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", *[row([TOOL], a=str(n)) for n in range(20)])
    report = check_file(path, length=lambda sample: int(sample.reference.calls[0].arguments["a"]))
    assert report.tokens == {"unit": "tokens", "min": 0, "median": 9, "p95": 18, "max": 19, "total": 190}


def test_a_file_without_a_usable_row_still_gives_a_report(tmp_path: Path) -> None:
    report = check_file(write(tmp_path / "a.jsonl", row([], a="1")))
    assert (report.rows, report.samples, report.quarantined) == (1, 0, {"unknown_tool": 1})
    assert report.tokens == {"unit": "characters", "total": 0}
    with pytest.raises(DataError, match="no data file"):
        check_file(tmp_path / "gone.json")


def test_samples_that_the_template_cannot_render_are_named(tmp_path: Path) -> None:
    def length(sample: Sample) -> int:
        if sample.reference.calls[0].arguments["a"] in ("3", "4"):
            raise TemplateError("the template cannot render it")
        return 7

    path = write(tmp_path / "a.jsonl", *[row([TOOL], a=str(n)) for n in range(20)])
    report = check_file(path, length=length)
    assert (report.samples, report.not_rendered, report.used, report.quarantined) == (20, 2, 20, {})
    assert report.tokens["total"] == 7 * 18
    shown = report.examples["not_rendered"]
    assert [bad["row"] for bad in shown] == [4, 5] and "cannot render it" in shown[0]["detail"]
