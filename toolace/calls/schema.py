"""The nouns: tools, calls, messages, chats and samples. Plain data, frozen, JSON in and out."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Role = Literal["system", "user", "assistant", "tool"]

OPENAI_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")
"""What the OpenAI API accepts as a function name."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tool(_Frozen):
    """A function that the model may call.

    `parameters` is a JSON Schema object (`{"type": "object", "properties": {...}, "required": [...]}`).
    `original_name` is the name in the source data where `name` had to be normalised for the OpenAI API.
    """

    name: str = Field(min_length=1)
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})
    original_name: str | None = None

    def openai(self) -> dict[str, Any]:
        """The tool as the `tools=` parameter of the OpenAI API and of chat templates wants it."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}


class Call(_Frozen):
    """One tool call: a function name and its arguments (JSON values)."""

    name: str = Field(min_length=1)
    arguments: dict[str, Any] = Field(default_factory=dict)


class Message(_Frozen):
    """One turn. An assistant turn holds `content`, `calls`, or both; a tool turn's `name` is the tool that answered.

    A draft whose exact text matters (see `toolace.rendering.refine_turn`) is an assistant message with the raw text
    as `content` and no `calls`.
    """

    role: Role
    content: str = ""
    calls: tuple[Call, ...] = ()
    name: str | None = None


class Chat(_Frozen):
    """What the model is given: the tools it may use and the dialogue so far, ending in a user or tool turn."""

    tools: tuple[Tool, ...] = ()
    messages: tuple[Message, ...] = ()

    def then(self, *messages: Message) -> Chat:
        """This chat with more turns at the end."""
        return Chat(tools=self.tools, messages=self.messages + messages)


class Sample(_Frozen):
    """A training or evaluation sample: a chat and the reference answer to it.

    `reference` is an assistant message: with `calls`, or text where no tool fits or a required parameter is missing.
    `kind` is a free label for reports (`single`, `parallel`, ...). `group` keys the train/dev/test split: samples
    that share a tool share a group. `source` names the file and row, for a person who looks for it.
    """

    id: str = Field(min_length=1)
    chat: Chat
    reference: Message
    kind: str = ""
    group: str = ""
    source: str = ""


def canonical_json(value: Any) -> str:
    """JSON text that is equal for equal values: sorted keys, no spaces, unicode kept.

    For keys and hashes, not to be read back: a model sees parameters and arguments in the order in which they came."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def stored_json(value: Any) -> str:
    """JSON text that gives the value back with its keys in their order: no spaces, unicode kept."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
