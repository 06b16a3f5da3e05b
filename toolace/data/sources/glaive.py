"""Sharegpt rows with `tools` beside `conversations`, calls as `function_call` turns and results as `observation`.

This is how LLaMA-Factory keeps glaive-function-calling-v2 and its own mixes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolace.calls.schema import Message
from toolace.data.records import Dialogue
from toolace.data.turns import sharegpt_turns, text_field, tool_list

NEEDS = "`conversations` of {from, value}, and `tools`"


def matches(row: Mapping[str, Any]) -> bool:
    """Whether a row is in this format."""
    turns = row.get("conversations")
    return isinstance(turns, list) and "tools" in row and all(isinstance(t, Mapping) and "from" in t for t in turns)


def convert(row: Mapping[str, Any]) -> Dialogue:
    """A row as a dialogue. Raises `RowError`."""
    turns = sharegpt_turns(row)
    system = text_field(row.get("system"), "system").strip()
    if system:
        turns.insert(0, Message(role="system", content=system))
    return Dialogue(tool_list(row.get("tools")), turns)
