"""Calls written as JSON objects: the formats `hermes` and `llama3_json`.

hermes: `<tool_call>\\n{"name": ..., "arguments": {...}}\\n</tool_call>`, one block a call, a line break between blocks.
llama3_json: `{"name": ..., "parameters": {...}}`, joined by `; `.

Both read `arguments` and `parameters`, ignore other keys of the object (such as an id), and read an object that is
not JSON as a Python literal (`toolace.calls.literals`). Duplicate keys, nan and infinity are refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from toolace.calls.literals import MAX_DEPTH, UnreadableError, check_depth, fail, read_value, skip_space, write_value
from toolace.calls.schema import Call
from toolace.errors import DataError, ParseError

OPEN, CLOSE = "<tool_call>", "</tool_call>"
PYTHON_TAG = "<|python_tag|>"
MAX_AGAIN = 1 << 24
"""Characters of an answer that are read again, for the objects within unreadable ones, before it is refused: a fraction
of a second. Answers of less than 10,000 characters cannot come to this."""
_NAMED = re.compile(r"\{\s*+(['\"])name\1\s*+:")
_OBJECT = re.compile(r"\{(?=\s*+['\"])")
_NAME_KEY = re.compile(r"(['\"])name\1\s*+:")
_SEPARATORS = re.compile(r"[\s;,\[\]]*+\Z")
_FENCE = re.compile(r"```\w*+")


def render_hermes(calls: Sequence[Call]) -> str:
    """The calls in `<tool_call>` blocks; an empty text where there are none."""
    return "\n".join([f"{OPEN}\n{_render(call, 'arguments')}\n{CLOSE}" for call in calls])


def render_llama3(calls: Sequence[Call]) -> str:
    """The calls as JSON objects; an empty text where there are none."""
    return "; ".join([_render(call, "parameters") for call in calls])


def _render(call: Call, key: str) -> str:
    try:
        text = json.dumps({"name": call.name, key: call.arguments}, ensure_ascii=False, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        write_value(call.arguments)  # names the offending value
        raise DataError(f"the arguments of {call.name!r} are not JSON: {error}") from error
    if text.count("{") + text.count("[") > MAX_DEPTH:
        write_value(call.arguments, depth=-1)  # refuses what `_read_object` would refuse
    return text


def read_hermes(text: str) -> tuple[list[Call], str] | None:
    """The calls of all blocks and the text around them; None without a block; `ParseError` for a broken block.

    A block ends at its closing tag, at the next opening tag, or at the end of the text.
    """
    start = text.find(OPEN)
    if start < 0:
        return None
    calls: list[Call] = []
    around: list[str] = []
    pos = 0
    while start >= 0:
        around.append(text[pos:start])
        at = skip_space(text, start + len(OPEN))
        value, end = _read_object(text, at)
        calls.append(_call(value, text, at))
        pos = skip_space(text, end)
        if text.startswith(CLOSE, pos):
            pos += len(CLOSE)
        elif pos < len(text) and not text.startswith(OPEN, pos):
            fail(f"expected {CLOSE}", text, pos)
        start = text.find(OPEN, pos)
    around.append(text[pos:])
    return calls, " ".join(filter(None, map(str.strip, around)))


def read_llama3(text: str) -> tuple[list[Call], str] | None:
    """The calls of all objects that are calls and the text around them; None without any; `ParseError` if broken.

    An object is a call when it has a name and parameters. Other objects belong to the text around; those within one
    that cannot be read are read on their own.
    """
    calls: list[Call] = []
    around: list[str] = []
    kept = pos = key = again = 0
    while (head := _OBJECT.search(text, pos)) is not None:
        start = head.start()
        if key <= start:  # objects behind the last name are no calls: they need not be read
            name = _NAME_KEY.search(text, start)
            if name is None:
                break
            key = name.start()
        named = _NAMED.match(text, start) is not None
        try:
            value, end = _read_object(text, start)
        except UnreadableError as error:
            if named:
                raise
            pos = max(start + 1, error.pos)
            again += max(0, error.reach - pos)
            if again > MAX_AGAIN:
                raise ParseError(f"too many objects within objects that cannot be read, the last: {error}") from None
            continue
        pos = end
        if named or ("name" in value and ("parameters" in value or "arguments" in value)):
            calls.append(_call(value, text, start))
            around.append(text[kept:start])
            kept = end
    if not calls:
        if PYTHON_TAG in text:
            raise ParseError(f"expected a JSON object with a name and parameters after {PYTHON_TAG}")
        return None
    around.append(text[kept:])
    clean = [_FENCE.sub("", piece.replace(PYTHON_TAG, "")) for piece in around]
    return calls, " ".join([piece.strip() for piece in clean if not _SEPARATORS.match(piece)])


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ParseError("an object has a key twice")
    return result


def _constant(word: str) -> NoReturn:
    raise ParseError(f"{word} is not a JSON value")


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ParseError(f"number out of range: {digits[:24]}")
    return value


_JSON = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_constant, parse_float=_float, strict=False)


def _read_object(text: str, pos: int) -> tuple[dict[str, Any], int]:
    """The object at `pos` and the position behind it. JSON first; a Python literal where that fails."""
    if not text.startswith("{", pos):
        fail("expected an object", text, pos)
    try:
        value, end = _JSON.raw_decode(text, pos)
    except (ValueError, RecursionError) as error:  # ParseError of a hook is a ValueError
        try:
            return read_value(text, pos, depth=-2)
        except UnreadableError as unreadable:
            if isinstance(error, json.JSONDecodeError):
                unreadable.pos = max(unreadable.pos, error.pos)
            else:  # a hook does not know where it was called
                unreadable.reach = len(text)
            raise unreadable from None
    if text.count("{", pos, end) + text.count("[", pos, end) > MAX_DEPTH and not all(map(_flat, value.values())):
        fail(f"lists and objects are nested deeper than {MAX_DEPTH}", text, pos, end)
    if text.find("\\u", pos, end) >= 0 and not _is_unicode(value):
        fail("half a surrogate pair in an object", text, pos, end)
    return value, end


def _flat(value: Any) -> bool:
    """Nesting is counted from the arguments' values, as in the other formats."""
    return all(map(check_depth, value.values())) if isinstance(value, dict) else check_depth(value)


def _is_unicode(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _call(value: dict[str, Any], text: str, pos: int) -> Call:
    name = value.get("name")
    if not isinstance(name, str) or not name:
        fail('expected an object with a "name" that is a string', text, pos)
    arguments = value["arguments"] if "arguments" in value else value.get("parameters")
    if not isinstance(arguments, dict):
        fail(f'expected the "arguments" of {name!r} as an object', text, pos)
    return Call(name=name, arguments=arguments)
