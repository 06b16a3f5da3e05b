"""xLAM rows: the 60k release (`query`, `tools`, `answers`, the last two as JSON text) and copies with `messages`.

No tool has a `required` list; optional parameters are marked in the type (`"str, optional"`) or have a default.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolace.calls.schema import Message
from toolace.data.records import Dialogue, RowError, shorten
from toolace.data.sources import openai
from toolace.data.turns import json_calls, json_field, tool_list

NEEDS = "`query`, `tools` and `answers`, or `messages` whose tool_calls are {name, arguments} without a wrapper"


def matches(row: Mapping[str, Any]) -> bool:
    """Whether a row is in this format."""
    if "query" in row and "answers" in row and "tools" in row:
        return True
    return any(
        isinstance(call, Mapping) and "name" in call and "function" not in call
        for message in openai.messages_of(row) or ()
        if isinstance(message.get("tool_calls"), list)
        for call in message["tool_calls"]
    )


def convert(row: Mapping[str, Any]) -> Dialogue:
    """A row as a dialogue. Raises `RowError`."""
    if "messages" in row:
        return openai.convert(row, derive="always")
    query = row.get("query")
    if not isinstance(query, str) or not query.strip():
        raise RowError(f"bad_row: query is {shorten(query)}, not text")
    tools = tool_list(row.get("tools"), derive="always")
    answers = json_field(row.get("answers"), "answers", "bad_call_text")
    if not answers:
        raise RowError("empty_answer: answers holds no call")
    return Dialogue(tools, [Message(role="user", content=query), Message(role="assistant", calls=json_calls(answers))])
