"""ToolACE rows: `system` (instruction, JSON list of functions, output format) and `conversations` of {from, value}.

Call turns are `[Market Trends API(country="us")]`; a tool turn is a JSON list of `{"name", "results"}`. Copies of the
data with sharegpt roles (`function_call` with a JSON call) are read as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from toolace.calls.schema import Message, Tool
from toolace.data.records import Dialogue, RowError, shorten
from toolace.data.turns import sharegpt_turns, tool_list

NEEDS = "`system` with a function list in ToolACE's wording, and `conversations`"

MARKER = "Here is a list of functions in JSON format that you can invoke:\n"
PREFIX = (
    "You are an expert in composing functions. You are given a question and a set of possible functions. \n"
    "Based on the question, you will need to make one or more function/tool calls to achieve the purpose. \n"
    "If none of the function can be used, point it out. If the given question lacks the parameters required by the "
    "function,\nalso point it out. You should only return the function call in tools call sections.\n" + MARKER
)
SUFFIX = (
    ". \nShould you decide to return the function call(s). \n"
    "Put it in the format of [func1(params_name=params_value, params_name2=params_value2...), func2(params)]\n\n"
    "NO other text MUST be included."
)
"""The exact system prompt of the data. The renderer writes tools in its own way, so these words are taken away;
other text around the function list stays as a system turn."""


def matches(row: Mapping[str, Any]) -> bool:
    """Whether a row is in this format."""
    system = row.get("system")
    return isinstance(system, str) and MARKER.strip() in system and isinstance(row.get("conversations"), list)


def convert(row: Mapping[str, Any]) -> Dialogue:
    """A row as a dialogue. Raises `RowError`."""
    system = row.get("system") or ""
    if not isinstance(system, str):
        raise RowError(f"bad_row: system is {shorten(system)}, not text")
    tools, rest = split_system(system)
    turns = sharegpt_turns(row)
    if rest:
        turns.insert(0, Message(role="system", content=rest))
    return Dialogue(tools, turns)


def split_system(system: str) -> tuple[list[Tool], str]:
    """(the tools in a system prompt, what else it says)."""
    before, marker, after = system.partition(MARKER.strip())
    if not marker:
        return [], system.strip()
    after = after.lstrip()
    try:
        entries, end = json.JSONDecoder().raw_decode(after)
    except (ValueError, RecursionError) as error:
        raise RowError(f"bad_tools: the function list in the system prompt is not JSON: {error}") from None
    before = "" if _same(before + marker, PREFIX) else before.strip()
    rest = "" if _same(after[end:], SUFFIX) else after[end:].lstrip(". \n").rstrip()
    return tool_list(entries), "\n".join(part for part in (before, rest) if part)


def _same(left: str, right: str) -> bool:
    """Equal but for blank space."""
    return left.split() == right.split()
