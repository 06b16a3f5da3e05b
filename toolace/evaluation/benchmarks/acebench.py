"""ACEBench, English, normal and special categories, by the official rules and by strict ones beside them.

Data: chenchen0103/ACEBench (MIT) at commit 56dd66c, folder `data_all/data_en`: JSON Lines `data_CATEGORY.json` of
`{id, question, function, time}` (preference: and `profile`) and, in `possible_answer`, files of the same names with
`{id, ground_truth}`. The rules for calls are in `acebench_rules`; for the special categories, official:

- incomplete: the answer holds "Missing necessary parameters", the function's name and each missing parameter;
- error_param: it holds "There is incorrect value" and each bad value;
- irrelevant: it holds "the limitations of the function".

Strict asks, beside that, for an answer without any call and, in incomplete, for exactly the missing parameters. The
phrases are part of the task, so the prompts here ask for them.

The agent categories are not offered: their user is a GPT-4o simulation, and the scenarios are code of their own.
So there is no overall score, of which they are 15 %. Nor is the Chinese part.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from toolace.calls import parse_answer, render_calls
from toolace.calls.formats import CallFormat
from toolace.calls.matching import match_calls
from toolace.calls.schema import Call, Chat, Message, Tool
from toolace.data.records import RowError, shorten
from toolace.errors import DataError
from toolace.evaluation.benchmarks.acebench_prompts import NORMAL, SPECIAL
from toolace.evaluation.benchmarks.acebench_rules import check_official, read_official
from toolace.evaluation.benchmarks.base import BenchmarkRow, Output, RowVerdict
from toolace.evaluation.benchmarks.common import (
    AsWritten,
    build_rows,
    faulty,
    find_file,
    not_text,
    nothing_found,
    read_calls,
    read_lines,
)

_ATOM = tuple(f"normal_atom_{kind}" for kind in ("bool", "enum", "number", "list", "object_short", "object_deep"))
DIALOGUES = ("normal_multi_turn_user_switch", "normal_multi_turn_user_adjust")
NORMALS = (
    *_ATOM,
    "normal_single_turn_single_function",
    "normal_single_turn_parallel_function",
    *DIALOGUES,
    "normal_similar_api",
    "normal_preference",
)
INCOMPLETE, ERROR, IRRELEVANT = SPECIALS = ("special_incomplete", "special_error_param", "special_irrelevant")
ROWS = {
    **dict.fromkeys((*NORMALS, *SPECIALS), 50),
    "normal_single_turn_single_function": 100,
    "normal_single_turn_parallel_function": 100,
    "normal_multi_turn_user_switch": 100,
    "normal_multi_turn_user_adjust": 123,
}
"""Rows of each category at that commit: 973."""
_BELOW = ("data_en", "data_all/data_en")
_TURN = re.compile(r"^(user|system|assistant)[ \t]*:[ \t]*", re.MULTILINE)
_MISSING = re.compile(r"Missing necessary parameters \(([^()]*)\) for the api \(([^()]*)\)")
_NUMBERED = re.compile(r"_\d+\Z")
_OF_A_DIALOGUE = re.compile(r"(.+)_\d+(?:#\d+)?")
"""The id of a turn, with the mark of one that was given before."""


class Gold(NamedTuple):
    """`calls`: the sets of calls each of which is right; `texts` (special): function or parameter → what to name."""

    calls: tuple[tuple[Call, ...], ...] = ()
    texts: Mapping[str, tuple[str, ...]] = {}


class AceBench(AsWritten):
    """ACEBench, normal and special. `correct` is the official verdict; the strict one is the part `strict`."""

    name = "acebench"

    def load(self, folder: Path) -> list[BenchmarkRow]:
        """The rows of the categories in `folder` or its `data_all/data_en`, under their ids."""
        if os.path.basename(os.path.realpath(folder)) == "data_zh":
            raise DataError(f"{folder} is the Chinese part of ACEBench, which is not offered. Give data_all/data_en")
        rows = []
        for category in (*NORMALS, *SPECIALS):
            if path := find_file(folder, [f"data_{category}.json"], _BELOW):
                answers = path.parent / "possible_answer" / path.name
                golds: dict[str, Any] = {
                    entry["id"]: entry.get("ground_truth")
                    for entry in read_lines(answers)
                    if isinstance(entry, Mapping) and isinstance(entry.get("id"), str)
                }
                make = partial(_make, category, golds, answers)
                rows += _with_ids(build_rows(path, read_lines(path), partial(_place, category), make), golds)
        if not rows:
            raise nothing_found(self.name, folder, [f"data_{category}.json" for category in (*NORMALS, *SPECIALS)])
        return rows

    def judge(self, row: BenchmarkRow, output: Output) -> RowVerdict:
        """The official verdict; part `strict` is 1 where the strict rules are met too."""
        if row.problem:
            return faulty(row)
        if not isinstance(output, str):
            return not_text(self.judge(row, ""))
        judge = _judge_special if row.category in SPECIALS else _judge_calls
        error, detail, strict = judge(row, output)
        return RowVerdict(row.id, row.category, error is None, error, detail, {"strict": error is None and strict})

    def scored_text(self, row: BenchmarkRow, text: str, format: CallFormat) -> str:
        """The calls as a list in brackets, which is all that the official rules read. Special rows are scored by the
        whole text, and so is one without a readable call."""
        calls = () if format == "pythonic" or row.category in SPECIALS else parse_answer(text, format).calls
        try:
            return render_calls(calls) if calls else text
        except DataError:  # an integer of thousands of digits
            return text

    def left_out(self, folder: Path, verdicts: Sequence[RowVerdict], sizes: Mapping[str, int]) -> list[str]:
        """Categories with more or fewer rows than the benchmark has."""
        return [
            f"{category}: {size} rows are here, the benchmark has {ROWS[category]}"
            for category, size in sizes.items()
            if size != ROWS[category]
        ]

    def scores(self, verdicts: Iterable[RowVerdict], sizes: Mapping[str, int]) -> dict[str, float | None]:
        """Each category's accuracy (dialogues in multi-turn), `normal` (mean of 12) and `special` (mean of 3); and all
        of them again with `_strict`."""
        by_category: dict[str, list[RowVerdict]] = {}
        for verdict in verdicts:
            by_category.setdefault(verdict.category, []).append(verdict)
        scores: dict[str, float | None] = {}
        for suffix in ("", "_strict"):
            for category, size in sizes.items():
                chosen = by_category.get(category, [])
                scores[category + suffix] = _accuracy(category, chosen, bool(suffix)) if len(chosen) == size else None
            for group, categories in {"normal": NORMALS, "special": SPECIALS}.items():
                if any(sizes.get(category) for category in categories):
                    means = [scores.get(category + suffix) for category in categories]
                    known = [mean for mean in means if mean is not None]
                    scores[group + suffix] = sum(known) / len(known) if len(known) == len(means) else None
        return scores


def _accuracy(category: str, verdicts: Sequence[RowVerdict], strict: bool) -> float:
    right: dict[str, bool] = {}
    for verdict in verdicts:
        turn = _OF_A_DIALOGUE.fullmatch(verdict.id) if category in DIALOGUES else None
        dialogue = turn[1] if turn else verdict.id  # a turn that nobody can place is a dialogue of its own
        passed = verdict.correct and (not strict or bool((verdict.parts or {}).get("strict")))
        right[dialogue] = right.get(dialogue, True) and passed
    return sum(right.values()) / len(right) if right else 0.0


def _judge_calls(row: BenchmarkRow, output: str) -> tuple[str | None, str, bool]:
    answer, whole = read_official(output, squeeze=row.category in DIALOGUES)
    if answer.error is not None or not answer.calls:
        return "decoder_failed", answer.error or "no list of calls in brackets", False
    gold: Gold = row.gold
    found = [check_official(answer.calls, calls, row.chat.tools) for calls in gold.calls]
    failure = None if None in found else found[0]
    if failure is not None:
        return failure.error, failure.detail, False
    calls = answer.calls if whole else read_calls(output).calls
    return None, "", any(match_calls(calls, wanted, row.chat.tools).correct for wanted in gold.calls)


def _judge_special(row: BenchmarkRow, output: str) -> tuple[str | None, str, bool]:
    gold: Gold = row.gold
    strict = not read_calls(output).calls
    if row.category == IRRELEVANT:
        needed = ["the limitations of the function"]
    elif row.category == ERROR:
        needed = ["There is incorrect value", *(text for texts in gold.texts.values() for text in texts)]
    else:
        needed = ["Missing necessary parameters"]
        for function, parameters in gold.texts.items():
            needed += [function, *parameters]
        named = {(api.strip(), frozenset(map(str.strip, keys.split(",")))) for keys, api in _MISSING.findall(output)}
        strict = strict and named == {(function, frozenset(keys)) for function, keys in gold.texts.items()}
    missing = next((text for text in needed if text not in output), None)
    if missing is None:
        return None, "", strict
    return ("wrong_phrase" if missing == needed[0] else "missing_detail"), f"{missing!r} is not in the answer", False


def _place(category: str, entry: Mapping[str, Any]) -> tuple[str | None, str]:
    row_id = entry.get("id")
    return row_id if isinstance(row_id, str) and row_id else None, category


def _with_ids(rows: Sequence[BenchmarkRow], golds: Iterable[str]) -> list[BenchmarkRow]:
    """Rows that cannot be read have the ids of the answers that no row is for, in their order, where there are as many:
    so a turn that is broken is one of its own dialogue."""
    given = {row.id for row in rows}
    absent = [row_id for row_id in golds if row_id not in given]
    nameless = [number for number, row in enumerate(rows) if _place("", row.raw)[0] is None]
    found = list(rows)
    if len(absent) == len(nameless):
        for number, row_id in zip(nameless, absent, strict=True):
            found[number] = replace(rows[number], id=row_id)
    return found


def _make(category: str, golds: Mapping[str, Any], answers: Path, entry: Mapping[str, Any]) -> tuple[Chat, Gold]:
    row_id = entry.get("id")
    if not isinstance(row_id, str) or row_id not in golds:
        raise RowError(f"bad_row: no answer with the id {shorten(row_id)} in {answers}")
    functions, question = entry.get("function"), entry.get("question")
    functions = [functions] if isinstance(functions, Mapping) else functions
    if not isinstance(functions, list):
        raise RowError(f"bad_row: function is {shorten(functions)}, not a list")
    if not isinstance(question, str) or not question.strip():
        raise RowError(f"bad_row: question is {shorten(question)}")
    tools = tuple(_tool(function) for function in functions)
    gold = _special_gold(golds[row_id], category) if category in SPECIALS else _normal_gold(golds[row_id], tools)
    context = [SPECIAL if category in SPECIALS else NORMAL]
    if isinstance(time := entry.get("time"), str) and time.strip():
        context.append(f"The current time is {time.strip()}.")
    if profile := entry.get("profile"):
        context.append(f"What is known about the user: {profile}")
    messages = (Message(role="system", content="\n".join(context)), *_turns(question))
    return Chat(tools=tools, messages=messages), gold


def _tool(function: Any) -> Tool:
    """A function with its schema as it stands: the checks read it."""
    schema = function.get("parameters", function.get("arguments")) if isinstance(function, Mapping) else None
    if not isinstance(schema, dict) or not isinstance(function.get("name"), str) or not function["name"]:
        raise RowError(f"bad_tools: a function is {shorten(function)}, not an object with name and parameters")
    properties, required = schema.get("properties") or {}, schema.get("required") or []
    if not (isinstance(properties, dict) and all(isinstance(value, dict) for value in properties.values())):
        raise RowError(f"bad_tools: the properties of {function['name']!r} are {shorten(properties)}")
    if not (isinstance(required, list) and all(isinstance(name, str) for name in required)):
        raise RowError(f"bad_tools: the required parameters of {function['name']!r} are {shorten(required)}")
    return Tool(name=function["name"], description=str(function.get("description") or ""), parameters=schema)


def _turns(question: str) -> list[Message]:
    """`user: ...` and `system: ...` (the assistant's lines) as turns; a text without labels is the user's."""
    pieces = _TURN.split(question)
    turns = [Message(role="user", content=pieces[0].strip())] if pieces[0].strip() else []
    for label, text in zip(pieces[1::2], pieces[2::2], strict=True):
        if text.strip():
            turns.append(Message(role="user" if label == "user" else "assistant", content=text.strip()))
    return turns


def _normal_gold(truth: Any, tools: Sequence[Tool]) -> Gold:
    """`{Api: {parameter: value}}` or a list of such alternatives; `Api_1`, `Api_2` are calls of the same function."""
    options = truth if isinstance(truth, list) else [truth]
    names = {tool.name for tool in tools}
    sets = []
    for option in options:
        if not isinstance(option, Mapping) or not option:
            raise RowError(f"bad_row: the answer is {shorten(option)}, not an object of calls")
        calls = []
        for key, arguments in option.items():
            name = key if key in names else _NUMBERED.sub("", key)
            if name not in names or not isinstance(arguments, dict):
                raise RowError(
                    f"bad_row: the answer holds {key!r}: {shorten(arguments)}, no call of the row's functions"
                )
            calls.append(Call(name=name, arguments=arguments))
        sets.append(tuple(calls))
    if not sets:
        raise RowError("bad_row: the answer is empty")
    return Gold(calls=tuple(sets))


def _special_gold(truth: Any, category: str) -> Gold:
    """What the answer must name, by function (incomplete) or parameter (error_param); a text where it is irrelevant."""
    if isinstance(truth, list):
        truth = {key: value for entry in truth if isinstance(entry, Mapping) for key, value in entry.items()}
    texts = {str(key): _strings(value) for key, value in truth.items()} if isinstance(truth, Mapping) else {}
    if category != IRRELEVANT and not any(texts.values()):
        raise RowError(f"bad_row: the answer is {shorten(truth)}, which names nothing that must be said")
    return Gold(texts=texts)


def _strings(value: Any) -> tuple[str, ...]:
    if isinstance(value, Mapping | list):
        items = value.values() if isinstance(value, Mapping) else value
        return tuple(text for item in items for text in _strings(item))
    return () if value is None else (str(value),)
