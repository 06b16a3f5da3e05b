"""OpenAI rows: `messages` and `tools` (or the older `functions`), as the fine-tuning API takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolace.calls.schema import Message
from toolace.data.records import Dialogue, RowError, shorten
from toolace.data.schemas import Derive
from toolace.data.turns import json_calls, json_field, text_field, tool_list

NEEDS = "`messages` of {role, content}, and `tools` where there are calls"


def matches(row: Mapping[str, Any]) -> bool:
    """Whether a row is in this format."""
    return messages_of(row) is not None


def messages_of(row: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
    """The messages of a row, which may be JSON text; None where they are none."""
    try:
        messages = json_field(row.get("messages"), "messages")
    except RowError:
        return None
    if not isinstance(messages, list) or not all(isinstance(m, Mapping) and "role" in m for m in messages):
        return None
    return messages


def convert(row: Mapping[str, Any], *, derive: Derive = "marked") -> Dialogue:
    """A row as a dialogue. `reasoning_content` is left out: the samples hold no thoughts. Raises `RowError`."""
    raw = json_field(row.get("messages"), "messages")
    if not isinstance(raw, list):
        raise RowError(f"bad_row: messages is {shorten(raw)}, not a list")
    if not raw:
        raise RowError("no_messages: messages is empty")
    turns: list[Message] = []
    called: dict[str, str] = {}
    for entry in raw:
        if not isinstance(entry, Mapping):
            raise RowError(f"bad_row: a message is {shorten(entry)}, not an object with role and content")
        turns.append(_turn(entry, called))
    return Dialogue(tool_list(row.get("tools", row.get("functions")), derive=derive), turns)


def _turn(entry: Mapping[str, Any], called: dict[str, str]) -> Message:
    """One message. `called` collects call id → tool name, by which a tool message tells what it answers."""
    role = entry.get("role")
    content = text_field(entry.get("content"), f"a {role} message")
    if role in ("system", "developer"):
        return Message(role="system", content=content)
    if role == "user":
        return Message(role="user", content=content)
    if role in ("tool", "function"):
        name = entry.get("name") or called.get(str(entry.get("tool_call_id")))
        return Message(role="tool", content=content, name=str(name) if name else None)
    if role != "assistant":
        raise RowError(f"bad_role: {shorten(role)}; known are system, developer, user, assistant, tool, function")
    raw = json_field(entry.get("tool_calls") or entry.get("function_call"), "tool_calls", "bad_call_text")
    if not raw:
        return Message(role="assistant", content=content or text_field(entry.get("refusal"), "a refusal"))
    calls = json_calls(raw)
    for item, call in zip(raw if isinstance(raw, list) else [raw], calls, strict=True):
        if item.get("id"):
            called[str(item["id"])] = call.name
    return Message(role="assistant", content=content, calls=calls)
