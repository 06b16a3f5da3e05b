"""The leaderboard's files as rows.

Layout: `BFCL_v4_<category>.json` (v3 files too), one JSON object a line, `{"id", "question": [turn, ...], "function"}`;
beside them `possible_answer/` with a file of the same name, aligned by line, `{"id", "ground_truth"}`. Categories of
relevance and irrelevance have no answers. Multi-turn entries name classes; the functions of each are in
`multi_turn_func_doc/`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from toolace.calls.schema import Chat, Message, Tool
from toolace.data.records import RowError
from toolace.data.schemas import normalise_parameters
from toolace.errors import DataError
from toolace.evaluation.benchmarks.base import BenchmarkRow, Dialogue

NON_LIVE = ("simple_python", "simple_java", "simple_javascript", "multiple", "parallel", "parallel_multiple")
LIVE = ("live_simple", "live_multiple", "live_parallel", "live_parallel_multiple")
IRRELEVANCE = ("irrelevance", "live_irrelevance")
RELEVANCE = ("live_relevance",)
MULTI_TURN = ("multi_turn_base", "multi_turn_miss_func", "multi_turn_miss_param", "multi_turn_long_context")
CATEGORIES = NON_LIVE + IRRELEVANCE[:1] + LIVE + IRRELEVANCE[1:] + RELEVANCE + MULTI_TURN
"""Those that can be loaded, by their v4 names. Left out: what needs the web or an embedding model (`web_search`,
`memory`), what is not scored (`format_sensitivity`), and v3's executable categories."""

ROWS: Mapping[str, int] = {
    "simple_python": 400, "simple_java": 100, "simple_javascript": 50, "multiple": 200, "parallel": 200,
    "parallel_multiple": 200, "irrelevance": 240, "live_simple": 258, "live_multiple": 1053, "live_parallel": 16,
    "live_parallel_multiple": 24, "live_irrelevance": 884, "live_relevance": 16,
    **dict.fromkeys(MULTI_TURN, 200),
}  # fmt: skip
"""Rows of each category in bfcl-eval 2026.3.23."""

NEEDS_BACKENDS = (
    "multi-turn rows are judged by running the calls against the official simulated backends, in an environment of "
    "their own: make it with `make agreement-env` and run this beside it, or name it with --official DIR"
)
"""Why multi-turn rows are loaded, but neither asked nor scored, where that environment is not given."""

MORE_TOOLS = "More functions are at hand now. Try again with them."
"""What the user says in a turn without words, with which the functions held back appear; the wording is ours."""

_V3_NAMES = {"simple_python": "simple", "simple_java": "java", "simple_javascript": "javascript"}
_CLASS_FILES = {
    "GorillaFileSystem": "gorilla_file_system", "MathAPI": "math_api", "MessageAPI": "message_api",
    "TicketAPI": "ticket_api", "TradingBot": "trading_bot", "TravelAPI": "travel_booking",
    "TwitterAPI": "posting_api", "VehicleControlAPI": "vehicle_control",
}  # fmt: skip


def find_files(folder: Path) -> dict[str, Path]:
    """The question file of each category in `folder`. Raises `DataError` where there is none."""
    found = {}
    for category in CATEGORIES:
        names = [f"BFCL_v4_{category}.json", f"BFCL_v3_{_V3_NAMES.get(category, category)}.json"]
        paths = [folder / name for name in names if (folder / name).is_file()]
        if len(paths) > 1:
            raise DataError(f"{folder} holds both {names[0]} and {names[1]}; keep the files of one version")
        if paths:
            found[category] = paths[0]
    if not found:
        raise DataError(
            f"no BFCL files in {folder}: looked for BFCL_v4_<category>.json (or BFCL_v3_...) with the categories "
            f"{', '.join(CATEGORIES)}; they are in the folder `data` of the package bfcl-eval"
        )
    return found


def other_files(folder: Path) -> list[str]:
    """Names of the leaderboard's question files in `folder` that are not loaded, for a reader who wonders."""
    known = set(find_files(folder).values())
    return sorted(path.name for path in folder.glob("BFCL_v*_*.json") if path not in known)


def read_category(category: str, path: Path) -> list[BenchmarkRow]:
    """The rows of one category. A line or answer that cannot be used is a row with a `problem`.

    Raises `DataError` where the answers are missing or not aligned with the questions.
    """
    answers: list[tuple[Any, str | None]] | None = None
    if category not in IRRELEVANCE + RELEVANCE:
        answer_path = path.parent / "possible_answer" / path.name
        if not answer_path.is_file():
            raise DataError(f"{path} has no answers: {answer_path} is missing")
        answers = list(_lines(answer_path))
    questions = list(_lines(path))
    if answers is not None and len(answers) != len(questions):
        raise DataError(
            f"{path} has {len(questions)} rows, its file in possible_answer/ {len(answers)}; copy both anew"
        )
    rows: dict[str, BenchmarkRow] = {}
    for number, (entry, problem) in enumerate(questions):
        answer, answer_problem = answers[number] if answers is not None else (None, None)
        row = _row(category, path, number, entry, problem, answer, answer_problem)
        if row.id in rows:
            problem = row.problem or f"{path.name} line {number + 1} ({row.id}): the id is given twice"
            row = replace(row, id=f"{row.id}#{number + 1}", problem=problem)
        rows[row.id] = row
    return list(rows.values())


def _lines(path: Path) -> Iterator[tuple[Any, str | None]]:
    """(the object, or None; what is wrong with it) of each line, empty ones too but for those at the end."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    for line in data.rstrip().split(b"\n") if data.strip() else ():
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:  # bytes that are no UTF-8 among them
            yield None, f"not JSON: {error}"
            continue
        yield (entry, None) if isinstance(entry, dict) else (None, "not a JSON object")


def _row(
    category: str, path: Path, number: int, entry: Any, problem: str | None, answer: Any, answer_problem: str | None
) -> BenchmarkRow:
    place = f"{path.name} line {number + 1}"
    if entry is None:
        return BenchmarkRow(f"{category}_line_{number + 1}", category, Chat(), {}, None, f"{place}: {problem}")
    name = entry.get("id")
    row_id = name if isinstance(name, str) and name else f"{category}_line_{number + 1}"
    gold, chat, dialogue = None, Chat(), None
    try:
        if row_id != name:
            raise RowError(f"the id is {name!r}, not a text")
        if category in MULTI_TURN:
            shown, held = _class_functions(path.parent, entry)
            entry = {**entry, "function": shown}
            dialogue = _dialogue(category, entry, held)
        chat = Chat(tools=tuple(_tools(category, entry.get("function"))), messages=tuple(_messages(entry)))
        if category not in IRRELEVANCE + RELEVANCE:
            gold = _gold(category, entry, answer, answer_problem)
    except (RowError, ValueError) as error:
        return BenchmarkRow(row_id, category, chat, entry, gold, f"{place} ({row_id}): {error!s:.300}")
    if dialogue is not None and len(gold or ()) != len(dialogue.turns) + 1:
        problem = f"{place} ({row_id}): {len(dialogue.turns) + 1} turn(s), and answers for {len(gold or ())}"
    needs = None if dialogue is None else NEEDS_BACKENDS
    return BenchmarkRow(row_id, category, chat, entry, gold, problem, needs, dialogue)


def _messages(entry: Mapping[str, Any], number: int = 0) -> Iterator[Message]:
    """A turn, the first one: single-turn rows have no other."""
    turns = entry.get("question")
    if not (isinstance(turns, list) and turns and all(isinstance(turn, list) for turn in turns) and turns[0]):
        raise RowError("`question` is not a list of turns, each a list of messages")
    for message in turns[number]:
        if not isinstance(message, dict) or message.get("role") not in ("system", "user", "assistant"):
            raise RowError(f"a message has no role and content: {message!r:.80}")
        yield Message(role=message["role"], content=str(message.get("content", "")))


def _tools(category: str, functions: Any) -> Iterator[Tool]:
    """The functions as a model is shown them: JSON Schema. In Java and JavaScript every argument is source text."""
    if not isinstance(functions, list):
        raise RowError("`function` is not a list")
    language = {"simple_java": "Java", "simple_javascript": "JavaScript"}.get(category)
    for function in functions:
        try:
            name, parameters = function["name"], function["parameters"]
            described = parameters["properties"], parameters["required"]
            if any("type" not in details for details in described[0].values()):
                raise KeyError("type")
            if language:
                shown = {key: _as_text(language, details) for key, details in parameters["properties"].items()}
                parameters = {**parameters, "properties": shown}
            schema = normalise_parameters(parameters)
        except (KeyError, TypeError, AttributeError) as error:
            raise RowError(f"a function lacks a name, parameters, properties, required or a type: {error!r}") from None
        yield Tool(name=name, description=str(function.get("description", "")), parameters=schema)


def _as_text(language: str, details: Mapping[str, Any]) -> dict[str, Any]:
    items = details.get("items")
    of = f" of {items['type']}" if isinstance(items, Mapping) and "type" in items else ""
    note = f"{language} source text of type {details['type']}{of}."
    return {"type": "string", "description": f"{details.get('description', '')} {note}".strip()}


def _gold(category: str, entry: Mapping[str, Any], answer: Any, problem: str | None) -> Any:
    if answer is None:
        raise RowError(f"its answer is {problem}")
    # A handful of official answers carry another row's id: lines count, ids do not.
    gold = answer.get("ground_truth")
    if not isinstance(gold, list) or not gold:
        raise RowError("its answer has no ground_truth list")
    if category in MULTI_TURN:
        if not all(isinstance(turn, list) and all(isinstance(call, str) for call in turn) for turn in gold):
            raise RowError("its answer is no list of calls, as texts, for each turn")
        return gold
    names = {function["name"] for function in entry["function"]}
    for call in gold:
        if not (isinstance(call, dict) and len(call) == 1 and isinstance(next(iter(call.values())), dict)):
            raise RowError(f"its answer holds {call!r:.80}, not one function with its parameters")
        name, parameters = next(iter(call.items()))
        if not names or (name not in names and not category.startswith(("simple", "live_simple"))):
            raise RowError(f"its answer calls {name!r}, which is not among its functions")
        if bad := next((key for key, values in parameters.items() if not isinstance(values, list)), None):
            raise RowError(f"its answer has no list of acceptable values for {bad!r}")
    return gold


def _dialogue(category: str, entry: Mapping[str, Any], held: Mapping[int, list[Any]]) -> Dialogue:
    """The turns after the first, and what the backends start from."""
    config = entry.get("initial_config", {})
    if not isinstance(config, dict):
        raise RowError("`initial_config` is no object")
    turns = []
    for number in range(1, len(entry["question"]) if isinstance(entry.get("question"), list) else 1):
        messages = tuple(_messages(entry, number))
        turns.append((Message(role="user", content=MORE_TOOLS),) if number in held and not messages else messages)
        if not turns[-1]:
            raise RowError(f"turn {number} has no message")
    tools = {number: tuple(_tools(category, functions)) for number, functions in held.items()}
    start = {"id": entry["id"], "initial_config": config, "involved_classes": entry["involved_classes"]}
    return Dialogue(tuple(turns), start, tools)


def _class_functions(folder: Path, entry: Mapping[str, Any]) -> tuple[list[Any], dict[int, list[Any]]]:
    """The functions of a multi-turn entry's classes, and those that it holds back by the turn that brings them."""
    functions = []
    classes = entry.get("involved_classes")
    if not (isinstance(classes, list) and all(isinstance(name, str) for name in classes)):
        raise RowError("`involved_classes` is no list of names")
    for name in classes:
        path = folder / "multi_turn_func_doc" / f"{_CLASS_FILES.get(name, name)}.json"
        if not path.is_file():
            raise RowError(f"multi_turn_func_doc/{path.name} with the functions of {name} is missing")
        functions += [function for function, _ in _lines(path) if function]
    missed = entry.get("missed_function") or {}
    if not (isinstance(missed, dict) and all(isinstance(names, list) for names in missed.values())):
        raise RowError("`missed_function` is no object with a list of names for each turn")
    held: dict[int, list[Any]] = {}
    for turn, names in missed.items():
        for name in names:
            # As officially: one name, one function.
            found = next((number for number, function in enumerate(functions) if function.get("name") == name), None)
            if found is not None:
                held.setdefault(int(turn), []).append(functions.pop(found))
    return functions, held
