"""Pieces that several sources share: JSON calls, tool lists, sharegpt turns, tool results, Python literals."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Any

from toolace.calls.formats import parse_answer
from toolace.calls.schema import Call, Message, Role, Tool
from toolace.data.records import RowError, parse_json, shorten
from toolace.data.schemas import Derive, make_tool

SHAREGPT_ROLES: dict[str, Role] = {
    "system": "system",
    "human": "user", "user": "user",
    "gpt": "assistant", "assistant": "assistant", "model": "assistant",
    "function_call": "assistant", "tool_call": "assistant",
    "observation": "tool", "tool": "tool", "tool_response": "tool", "function_response": "tool",
}  # fmt: skip
CALL_ROLES = ("function_call", "tool_call")
"""Sharegpt roles whose value is a JSON call or a list of them."""


def json_field(value: Any, what: str, reason: str = "bad_json") -> Any:
    """A field that may be a value or its JSON text. In the text of a call (`bad_call_text`) no key may stand twice, as
    in the calls of models."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        return parse_json(value, unique=reason == "bad_call_text")
    except ValueError as error:
        raise RowError(f"{reason}: {what} is not JSON: {error}; it begins with {shorten(value[:80])}") from None


def tool_list(value: Any, *, derive: Derive = "marked") -> list[Tool]:
    """Tools from a list (or its JSON text) of plain or OpenAI-wrapped definitions."""
    entries = json_field(value, "the tool list", "bad_tools")
    if not entries:
        return []
    if isinstance(entries, Mapping):
        entries = [entries]
    if not isinstance(entries, list):
        raise RowError(f"bad_tools: the tool list is {shorten(entries)}")
    tools = []
    for entry in entries:
        if isinstance(entry, Mapping) and isinstance(entry.get("function"), Mapping):
            entry = entry["function"]
        if not isinstance(entry, Mapping):
            raise RowError(f"bad_tools: a tool is {shorten(entry)}, not an object")
        tools.append(
            make_tool(
                entry.get("name"),
                entry.get("description"),
                entry.get("parameters", entry.get("input_schema")),
                required=entry.get("required"),
                derive=derive,
            )
        )
    return tools


def json_call(value: Any, key: str = "arguments") -> Call:
    """`{"name", "arguments"}`, OpenAI-wrapped or not; arguments may be JSON text."""
    if isinstance(value, Mapping) and isinstance(value.get("function"), Mapping):
        value = value["function"]
    if not isinstance(value, Mapping):
        raise RowError(f"bad_call_text: a call is {shorten(value)}, not an object with name and {key}")
    name = value.get("name")
    if not isinstance(name, str) or not name.strip():
        raise RowError(f"bad_call_text: a call's name is {shorten(name)}")
    arguments = json_field(value.get(key), f"{key} of {name!r}", "bad_call_text")
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, Mapping):
        raise RowError(f"bad_call_text: {key} of {name!r} are {shorten(arguments)}, not an object")
    return Call(name=name.strip(), arguments=dict(arguments))


def json_calls(value: Any, key: str = "arguments") -> tuple[Call, ...]:
    """One JSON call or a list of them, or the JSON text of either."""
    value = json_field(value, "a call", "bad_call_text")
    entries = value if isinstance(value, list) else [value]
    return tuple(json_call(entry, key) for entry in entries)


def text_field(value: Any, what: str) -> str:
    """A text, or a list of OpenAI text parts; None is empty."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        parts = []
        for part in value:
            text = part.get("text") if isinstance(part, Mapping) else part
            if not isinstance(text, str):
                raise RowError(f"bad_content: {what} holds {shorten(part)}; only text parts are read")
            parts.append(text)
        return "".join(parts)
    raise RowError(f"bad_content: {what} is {shorten(value)}, not text")


def sharegpt_turns(row: Mapping[str, Any]) -> list[Message]:
    """`conversations` of `{from, value}` as messages; calls are JSON turns of their own or ToolACE text."""
    raw = row.get("conversations")
    if not isinstance(raw, list):
        raise RowError(f"bad_row: conversations is {shorten(raw)}, not a list")
    if not raw:
        raise RowError("no_messages: conversations is empty")
    entries = []
    for entry in raw:
        if not isinstance(entry, Mapping) or "from" not in entry:
            raise RowError(f"bad_row: a turn is {shorten(entry)}, not an object with from and value")
        role = SHAREGPT_ROLES.get(str(entry["from"]))
        if role is None:
            raise RowError(f"bad_role: {shorten(entry['from'])}; known are {', '.join(SHAREGPT_ROLES)}")
        entries.append((str(entry["from"]), role, entry.get("value")))
    turns: list[Message] = []
    for index, (origin, role, value) in enumerate(entries):
        if origin in CALL_ROLES:
            turns.append(Message(role="assistant", calls=json_calls(value)))
        elif role == "assistant":
            answered = index + 1 < len(entries) and entries[index + 1][1] == "tool"
            turns.append(assistant_turn(text_field(value, "an assistant turn"), answered=answered))
        elif role == "tool":
            calls = turns[-1].calls if turns else ()
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            turns.extend(tool_turns(text, calls))
        else:
            turns.append(Message(role=role, content=text_field(value, f"a {origin} turn")))
    return turns


def assistant_turn(text: str, *, answered: bool = False) -> Message:
    """An assistant turn of ToolACE's bracket format: calls where it is a call list, else text.

    `answered`: a tool turn follows, so it must hold calls.
    """
    if not answered and not text.lstrip().startswith("["):
        return Message(role="assistant", content=text)
    answer = parse_answer(text, "pythonic")
    if answer.error is not None:
        raise RowError(f"bad_call_text: {answer.error}; the turn begins with {shorten(text[:80])}")
    if answer.calls:
        return Message(role="assistant", content=answer.text, calls=answer.calls)
    if answered:
        raise RowError(f"bad_call_text: a tool answers a turn without a call, {shorten(text)}")
    return Message(role="assistant", content=text)


def tool_turns(text: str, calls: Sequence[Call]) -> list[Message]:
    """A tool turn; ToolACE's list of `{"name", "results"}` becomes one turn a call where their numbers agree."""
    try:
        results = parse_json(text)
    except ValueError:
        results = None
    if (
        isinstance(results, list)
        and len(results) == len(calls) > 0
        and all(isinstance(item, dict) and set(item) == {"name", "results"} for item in results)
    ):
        return [
            Message(role="tool", content=as_text(item["results"]), name=str(item["name"]) or None) for item in results
        ]
    return [Message(role="tool", content=text, name=calls[0].name if len(calls) == 1 else None)]


def as_text(value: Any) -> str:
    """Text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def python_literal(text: str) -> Any:
    """A Python literal as JSON values; tuples become lists. Raises `ValueError` for anything else."""
    try:
        return _jsonable(ast.literal_eval(text.strip()))
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"not a Python literal: {error}") from None


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and value - value == 0:
        return value
    raise ValueError(f"{value!r} has no JSON form")
