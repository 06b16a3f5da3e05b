"""Values inside calls: a reader of Python and JSON literals in one pass, and their writer. Nothing is ever evaluated.

What is read beside JSON: `True`/`False`/`None`; single, triple and raw (`r`) quotes with Python's escapes; raw line
breaks inside quotes; tuples (as lists); trailing commas; `+1`, `.5`, `1_000`; and a bare identifier, which stands for
a string as in the decoder of the Berkeley Function-Calling Leaderboard. Refused: duplicate keys, numbers beyond a
float's range, nan and infinity, nesting deeper than `MAX_DEPTH`, expressions and nested calls.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, NoReturn

from toolace.errors import DataError, ParseError

MAX_DEPTH = 64
"""Deepest nesting of lists and objects that is read or written."""

STRING = (
    r"(?:"
    r'"""(?:[^"\\]++|\\.|"(?!""))*+"""|'
    r"'''(?:[^'\\]++|\\.|'(?!''))*+'''|"
    r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|'
    r"'[^'\\]*+(?:\\.[^'\\]*+)*+'"
    r")"
)
"""Regular expression of a quoted string (use with `re.DOTALL`); possessive, so it never backtracks."""

_INT = r"(?:0|[1-9][0-9]*+(?:_[0-9]++)*+)"
_EXPONENT = r"[eE][-+]?[0-9]++"
_TOKEN = re.compile(
    r"\s*+(?:"
    rf"(?P<string>[rRuU]?{STRING})|"
    rf"(?P<float>[-+]?(?:{_INT}(?:\.[0-9]*+(?:{_EXPONENT})?|{_EXPONENT})|\.[0-9]++(?:{_EXPONENT})?)(?![\w.]))|"
    rf"(?P<int>[-+]?{_INT}(?![\w.]))|"
    r"(?P<word>[-+]?[^\W\d]\w*+(?:\.\w++)*+)|"
    r"(?P<open>[\[({])"
    r")",
    re.DOTALL,
)
_SPACE = re.compile(r"\s*+")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}|[0-7]{1,3}|\r\n|.)", re.DOTALL)
_CLOSER = {"[": "]", "(": ")", "{": "}"}
_WORDS: dict[str, bool | None] = {
    "True": True, "true": True, "False": False, "false": False, "None": None, "null": None,
}  # fmt: skip
_NOT_A_NUMBER = frozenset({"nan", "inf", "infinity"})
_SIMPLE = {
    "n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "a": "\a", "v": "\v",
    "\\": "\\", "'": "'", '"': '"', "\n": "", "\r\n": "", "\r": "",
}  # fmt: skip


class UnreadableError(ParseError):
    """Reading stopped at character `pos`; `reach` is how far the text was read where that is farther, else 0."""

    pos = 0
    reach = 0


def fail(what: str, text: str, pos: int, reach: int = 0) -> NoReturn:
    """Raise `UnreadableError` that names the place and shows what stands there."""
    found = repr(text[pos : pos + 24]) if pos < len(text) else "the end of the text"
    error = UnreadableError(f"{what} at character {pos}, found {found}")
    error.pos, error.reach = pos, reach
    raise error


def skip_space(text: str, pos: int) -> int:
    match = _SPACE.match(text, pos)
    return match.end() if match else pos


def read_value(text: str, pos: int, depth: int = 0) -> tuple[Any, int]:
    """The literal that begins at `pos` (after white space) and the position behind it; `ParseError` where none does."""
    token = _TOKEN.match(text, pos)
    if token is None:
        fail("expected a value", text, skip_space(text, pos))
    kind, end = token.lastgroup, token.end()
    if kind == "open":
        if depth >= MAX_DEPTH:
            fail(f"lists and objects are nested deeper than {MAX_DEPTH}", text, end - 1)
        opener = text[end - 1]
        return (_read_object if opener == "{" else _read_list)(text, end, opener, depth + 1)
    raw = token.group(kind or 0)
    if kind == "string":
        return unquote(raw, text, token.start("string")), end
    if kind == "word":
        if raw in _WORDS:
            return _WORDS[raw], end
        if raw[0] in "+-" or raw.lower() in _NOT_A_NUMBER:
            fail("not a JSON value", text, token.start("word"))
        return raw, end
    return _number(raw, int if kind == "int" else float, text, token.start(kind or 0)), end


def unquote(raw: str, text: str, pos: int) -> str:
    """The string that the quoted `raw` stands for; `text` and `pos` say where, for errors."""
    prefix = ""
    if raw[0] not in "\"'":
        prefix, raw = raw[0], raw[1:]
    width = 3 if len(raw) >= 6 and raw[:3] in ('"""', "'''") else 1
    inner = raw[width:-width]
    if "\\" not in inner or prefix in ("r", "R"):
        return inner

    def replace(match: re.Match[str]) -> str:
        code = match.group(1)
        if code in _SIMPLE:
            return _SIMPLE[code]
        if len(code) > 1 or code in "01234567":
            number = int(code, 8) if code[0] in "01234567" else int(code[1:], 16)
            if number > 0x10FFFF:
                fail("escape outside Unicode in a string", text, pos)
            return chr(number)
        if code in "xuUN":
            fail(f"incomplete or unknown escape \\{code} in a string", text, pos)
        return "\\" + code  # as Python does with an unknown escape

    value = _ESCAPE.sub(replace, inner)
    if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        try:  # two \u escapes of one character, as JSON writes them
            value = value.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            fail("half a surrogate pair in a string", text, pos)
    return value


def _number(raw: str, convert: Callable[[str], int | float], text: str, pos: int) -> int | float:
    try:
        value = convert(raw)
    except ValueError:  # Python refuses to read integers of thousands of digits
        fail("number with too many digits", text, pos)
    if isinstance(value, float) and not math.isfinite(value):
        fail("number out of range", text, pos)
    return value


def _read_list(text: str, pos: int, opener: str, depth: int) -> tuple[Any, int]:
    closer, comma = _CLOSER[opener], False
    items: list[Any] = []
    while True:
        pos = skip_space(text, pos)
        if text.startswith(closer, pos):
            # `(1)` is a value in brackets; `()`, `(1,)` and `(1, 2)` are tuples.
            alone = opener == "(" and len(items) == 1 and not comma
            return (items[0] if alone else items), pos + 1
        if items and not comma:
            fail(f"expected ',' or '{closer}'", text, pos)
        value, pos = read_value(text, pos, depth)
        items.append(value)
        pos = skip_space(text, pos)
        comma = text.startswith(",", pos)
        pos += comma


def _read_object(text: str, pos: int, opener: str, depth: int) -> tuple[dict[str, Any], int]:
    result: dict[str, Any] = {}
    comma = True
    while True:
        pos = skip_space(text, pos)
        if text.startswith("}", pos):
            return result, pos + 1
        if not comma:
            fail("expected ',' or '}'", text, pos)
        start = pos
        key, pos = read_value(text, pos, depth)
        if isinstance(key, (list, dict)):
            fail("an object's key must be a string", text, start)
        name = key if isinstance(key, str) else json.dumps(key)
        if name in result:
            fail(f"duplicate key {name!r}", text, start)
        pos = skip_space(text, pos)
        if not text.startswith(":", pos):
            fail("expected ':'", text, pos)
        result[name], pos = read_value(text, pos + 1, depth)
        pos = skip_space(text, pos)
        comma = text.startswith(",", pos)
        pos += comma


def check_depth(value: Any) -> bool:
    """Whether the lists and objects in `value` are nested at most `MAX_DEPTH` deep."""
    level, depth = [value], 0
    while level := [child for child in level if isinstance(child, list | dict)]:
        depth += 1
        if depth > MAX_DEPTH:
            return False
        level = [item for child in level for item in (child.values() if isinstance(child, dict) else child)]
    return True


def quote(value: str) -> str:
    """A string in double quotes with JSON's escapes, unicode kept: the same text in JSON and in Python."""
    return json.dumps(value, ensure_ascii=False)


def write_value(value: Any, depth: int = 0) -> str:
    """A Python literal of a JSON value; `DataError` where the value is not JSON or nested deeper than `MAX_DEPTH`."""
    if isinstance(value, str):
        return quote(value)
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, int | float):
        return _write_number(value)
    if depth >= MAX_DEPTH:
        raise DataError(f"a call's argument is nested deeper than {MAX_DEPTH} levels; flatten it")
    if isinstance(value, list | tuple):
        return "[" + ", ".join([write_value(item, depth + 1) for item in value]) + "]"
    if isinstance(value, dict):
        items = [f"{quote(_key(key))}: {write_value(item, depth + 1)}" for key, item in value.items()]
        return "{" + ", ".join(items) + "}"
    raise DataError(f"a call's argument holds {value!r} ({type(value).__name__}), which is not a JSON value")


def _write_number(value: int | float) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        raise DataError(f"a call's argument holds {value}, which JSON cannot hold; use null or a string")
    try:
        return repr(value)
    except ValueError as error:
        raise DataError("a call's argument holds an integer of thousands of digits; use a string") from error


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    raise DataError(f"an object in a call's arguments has the key {key!r}; JSON keys are strings")
