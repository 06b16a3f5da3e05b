"""The door to the call formats: `render_calls`, `parse_calls`, `parse_answer`.

To add a format: a `render(calls) -> str` and a `read(text)` that gives the calls and the text around them, None where
no call is attempted, `ParseError` where one is attempted and broken; then a line in `_FORMATS` and in `CallFormat`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from toolace.calls import json_calls, pythonic
from toolace.calls.schema import Call
from toolace.errors import ConfigError, ParseError

CallFormat = Literal["pythonic", "hermes", "llama3_json"]

_Render = Callable[[Sequence[Call]], str]
_Read = Callable[[str], tuple[list[Call], str] | None]
_FORMATS: dict[str, tuple[_Render, _Read]] = {
    "pythonic": (pythonic.render, pythonic.read),
    "hermes": (json_calls.render_hermes, json_calls.read_hermes),
    "llama3_json": (json_calls.render_llama3, json_calls.read_llama3),
}
_START = re.compile(r"\s*+(?:```\w*+\s*+)?(?:<\|python_tag\|>\s*+)?")
_JSON_CALL = re.compile(r"\[?\s*+\{\s*+['\"]name['\"]\s*+:")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said, taken apart.

    Either calls and the text around them; or plain text (no call attempted); or a broken attempt: no calls, `error`
    says what is wrong, `text` is the whole answer. `text` is stripped; a well-formed empty list has an empty `text`.
    """

    calls: tuple[Call, ...] = ()
    text: str = ""
    error: str | None = None


def render_calls(calls: Sequence[Call], format: CallFormat = "pythonic") -> str:
    """Calls as the text that a model is taught to write.

    No calls give `[]` in `pythonic` and an empty text in the others. Raises `DataError` for an argument that is not a
    JSON value or is nested deeper than 64 levels.
    """
    return _format(format)[0](calls)


def parse_answer(text: str, format: CallFormat = "pythonic") -> Answer:
    """Take an answer apart. Never raises for any text and never evaluates code; see `docs/formats.md`.

    All call lists (blocks, objects) of the text count. One broken attempt makes the whole answer broken, and so does
    an answer that opens like a call in another format.
    """
    read = _format(format)[1]
    stripped = text.strip()
    if not _is_unicode(text):
        shown = stripped.encode(errors="replace").decode()
        return Answer(text=shown, error="the text holds half a surrogate pair; it is not valid Unicode")
    try:
        found = read(text)
    except ParseError as error:
        return Answer(text=stripped, error=str(error))
    if found is not None:
        return Answer(calls=tuple(found[0]), text=found[1])
    if other := _other_format(text):
        return Answer(text=stripped, error=f"expected a call in the format {format}, found {other}")
    return Answer(text=stripped)


def parse_calls(text: str, format: CallFormat = "pythonic") -> list[Call]:
    """The calls in a text; the text around them is dropped (`parse_answer` keeps it).

    Raises `ParseError` where the text holds no call list or a broken one. `[]` is a call list without calls.
    """
    answer = parse_answer(text, format)
    if answer.error is not None:
        raise ParseError(f"broken {format} call: {answer.error}")
    if not answer.calls and (answer.text or not text.strip()):
        raise ParseError(f"no {format} call in {text[:80]!r}")
    return list(answer.calls)


def _format(name: str) -> tuple[_Render, _Read]:
    try:
        return _FORMATS[name]
    except KeyError:
        raise ConfigError(f"unknown call format {name!r}; known: {', '.join(_FORMATS)}") from None


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _other_format(text: str) -> str:
    """What the answer opens with, where that is a call in any format: the format asked for has not claimed it."""
    if json_calls.OPEN in text:
        return json_calls.OPEN
    match = _START.match(text)
    start = match.end() if match else 0
    if _JSON_CALL.match(text, start):
        return "a JSON object with a name"
    if pythonic.LIST_AT_START.match(text, start):
        return "a list of calls in brackets"
    return ""
