"""The leaderboard's own gold answers, written and read as calls, are right by its rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from toolace.calls import Call, CallFormat, Tool, match_gold, parse_calls, render_calls

ROWS = {"simple_python": 400, "multiple": 200, "parallel": 200, "parallel_multiple": 200}

FAULTY = {"parallel_multiple_26"}
"""Gold that is wrong by the leaderboard's own checker: it names a parameter that the schema does not have."""


def chosen(value: Any) -> Any:
    """A call's value from an acceptable one: in objects each key has a list of choices, the first of which is taken."""
    if isinstance(value, dict):
        return {key: choices[0] for key, choices in value.items() if choices[0] != ""}
    if isinstance(value, list):
        return [chosen(item) if isinstance(item, dict) else item for item in value]
    return value


def answer(gold: list[dict[str, Any]], tools: list[Tool]) -> list[Call]:
    """The first acceptable value of each parameter; where that is "", it is left out unless the schema requires it."""
    required = {tool.name: tool.parameters["required"] for tool in tools}
    calls = []
    for name, parameters in (next(iter(entry.items())) for entry in gold):
        arguments = {}
        for key, accepted in parameters.items():
            if accepted[0] != "":
                arguments[key] = chosen(accepted[0])
            elif key in required[name]:
                arguments[key] = chosen(next((value for value in accepted if value != ""), ""))
        calls.append(Call(name=name, arguments=arguments))
    return calls


def rows(folder: Path, category: str) -> list[tuple[str, list[dict[str, Any]], list[Tool]]]:
    def read(path: Path) -> list[dict[str, Any]]:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    questions = read(folder / f"BFCL_v4_{category}.json")
    golds = read(folder / "possible_answer" / f"BFCL_v4_{category}.json")
    return [
        (question["id"], gold["ground_truth"], [Tool(**function) for function in question["function"]])
        for question, gold in zip(questions, golds, strict=True)
    ]


@pytest.mark.parametrize("format", ["pythonic", "hermes", "llama3_json"])
@pytest.mark.parametrize("category", ROWS)
def test_gold_answers_are_right(shared_data: Path, category: str, format: CallFormat) -> None:
    folder = shared_data / "bfcl-v4-dev"
    if not folder.is_dir():
        pytest.skip("no bfcl-v4-dev in ../shared/data")
    entries = rows(folder, category)
    assert len(entries) == ROWS[category]
    wrong = set()
    for row, gold, tools in entries:
        calls = parse_calls(render_calls(answer(gold, tools), format), format)
        right = match_gold(calls[::-1], gold, tools, category).correct
        if not (right and match_gold(calls, gold, tools, category, assignment="greedy").correct):
            wrong.add(row)
        extra = [Call(name=call.name, arguments=call.arguments | {"zz": 1}) for call in calls]
        assert not match_gold(extra, gold, tools, category).correct
    assert wrong == {row for row in FAULTY if row.rsplit("_", 1)[0] == category}
