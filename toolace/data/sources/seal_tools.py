"""Seal-Tools fine-tuning rows: one human turn with `api_list` and `task_instruction`, one answer, both Python literals.

Nested calls refer to responses of earlier calls as `API_call_k`. These stay as literal string values, which is what
a model must write, and the convention is told in a system turn and in each tool's description, because the row's own
instruction is replaced by the renderer's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from toolace.calls.schema import Call, Message, Tool, canonical_json
from toolace.data.records import Dialogue, RowError, shorten
from toolace.data.schemas import make_tool
from toolace.data.turns import python_literal

NEEDS = '`conversations` of a human turn with `api_list = [...]` and `task_instruction = "..."`, and its answer'

CONVENTION = (
    "A call may use what earlier calls return: API_call_0, API_call_1, ... number the responses of all calls in order."
)
_HUMAN = re.compile(r'api_list = (\[.*\])\s*\ntask_instruction = "(.*)"\s*\n\s*Output:', re.DOTALL)
_REFERENCE = re.compile(r"API_call_\d+")


def matches(row: Mapping[str, Any]) -> bool:
    """Whether a row is in this format."""
    turns = row.get("conversations")
    if not isinstance(turns, list) or not turns or not isinstance(turns[0], Mapping):
        return False
    return "api_list = [" in str(turns[0].get("value")) and "task_instruction = " in str(turns[0].get("value"))


def convert(row: Mapping[str, Any]) -> Dialogue:
    """A row as a dialogue. Raises `RowError`."""
    turns = row.get("conversations")
    if not isinstance(turns, list) or len(turns) != 2 or not all(isinstance(turn, Mapping) for turn in turns):
        raise RowError(f"bad_row: conversations is {shorten(turns)}, not a human turn and its answer")
    found = _HUMAN.search(str(turns[0].get("value")))
    if not found:
        raise RowError("bad_row: the human turn has no api_list and task_instruction")
    try:
        entries = python_literal(found.group(1))
    except ValueError as error:
        raise RowError(f"bad_tools: api_list is {error}") from None
    if not isinstance(entries, list):
        raise RowError("bad_tools: api_list is not a list")
    calls = _calls(str(turns[1].get("value")))
    nested = any(_REFERENCE.search(canonical_json(call.arguments)) for call in calls)
    messages = [
        Message(role="system", content=CONVENTION),
        Message(role="user", content=found.group(2).strip()),
        Message(role="assistant", calls=calls),
    ]
    return Dialogue([_tool(entry) for entry in entries], messages, kind="nested" if nested else "")


def _tool(entry: Any) -> Tool:
    if not isinstance(entry, Mapping):
        raise RowError(f"bad_tools: a tool is {shorten(entry)}, not an object")
    tool = make_tool(
        entry.get("api_name"), entry.get("api_description"), entry.get("parameters"), required=entry.get("required")
    )
    responses = entry.get("responses")
    if not isinstance(responses, Mapping) or not responses:
        return tool
    described = f"{tool.description.rstrip('. ')}. Returns {', '.join(responses)}."
    return tool.model_copy(update={"description": described})


def _calls(text: str) -> tuple[Call, ...]:
    try:
        entries = python_literal(text)
    except ValueError as error:
        raise RowError(f"bad_call_text: the answer is {error}; it begins with {shorten(text[:80])}") from None
    if not isinstance(entries, list) or not entries:
        raise RowError(f"bad_call_text: the answer is {shorten(entries)}, not a list of calls")
    calls = []
    for entry in entries:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("api"), str) or not entry["api"].strip():
            raise RowError(f"bad_call_text: a call is {shorten(entry)}, not an object with api and parameters")
        arguments = entry.get("parameters") or {}
        if not isinstance(arguments, Mapping):
            raise RowError(f"bad_call_text: parameters of {entry['api']!r} are {shorten(arguments)}, not an object")
        calls.append(Call(name=entry["api"].strip(), arguments=dict(arguments)))
    return tuple(calls)
