"""The `pythonic` format of ToolACE: `[Market Trends API(trend_type="MARKET_INDEXES", country="us"), f()]`.

Writing: keyword arguments, strings in double quotes with JSON's escapes and unicode kept, `True`/`False`/`None`,
lists and objects as Python literals, `, ` between everything. A name that the reader could not tell from the text
around it (see `_NAME` and `_ARGUMENT`) is written as a quoted string: `["odd=name"("a,b"=1)]`.

Reading: a function name runs to the bracket that opens its arguments, so it may hold spaces, dots, slashes, dashes,
commas and balanced brackets (`User Feed (Video Posts) V2`). The list may stand in a text or a code fence. Without
outer brackets the whole text must be calls. A reader in a few regular expressions and one level of recursion a bracket:
time grows with the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from toolace.calls.literals import STRING, fail, quote, read_value, skip_space, unquote, write_value
from toolace.calls.schema import Call
from toolace.errors import ParseError

_WORD = r"[^()\[\]{}=\"\x00-\x1f]"
_NAME = rf"(?!['\s,])(?:{_WORD}++|\((?!\s*+\)){_WORD}*+\))++"
_ARGUMENT = r"[^()\[\]{}=,\"'\x00-\x1f]++"
_BEGINS = rf"\s*+(?=\)|(?:{_ARGUMENT}|{STRING})\s*+=)"

_PLAIN_NAME = re.compile(rf"{_NAME}(?<!\s)")
_PLAIN_ARGUMENT = re.compile(rf"(?!\s){_ARGUMENT}(?<!\s)")
_READ_NAME = re.compile(rf"\s*+(?:(?P<plain>{_NAME})|(?P<quoted>{STRING})\s*+)\(", re.DOTALL)
_READ_ARGUMENT = re.compile(rf"\s*+(?:(?P<plain>{_ARGUMENT})|(?P<quoted>{STRING})\s*+)=", re.DOTALL)
_READ_PLAIN = re.compile(
    rf"\s*+(?P<key>{_ARGUMENT})=\s*+(?:\"(?P<double>[^\"\\]*+)\"|'(?P<single>[^'\\]*+)'|(?P<int>-?(?:0|[1-9][0-9]{{0,15}})))"
    r"\s*+(?P<end>[,)])"
)
"""An argument with the most frequent kinds of value, and what follows it: a short cut, with the same outcome."""

_FENCE = re.compile(r"```\w*+")
_START = re.compile(r"\s*+(?:```\w*+\s*+)?")
_EMPTY = re.compile(r"\[\s*+\]\s*+(?:```)?\s*+\Z")
_LIST = re.compile(rf"\[\s*+(?:{_NAME}|{STRING}\s*+)\({_BEGINS}", re.DOTALL)
"""A call list inside a text: what follows the first bracket must look like arguments, so that prose is left alone."""
LIST_AT_START = re.compile(rf"\[\s*+(?:(?!['\s,]){_WORD}++|{STRING}\s*+)\(", re.DOTALL)
"""A call list at the start of an answer: the opening bracket of a first call is enough to count as an attempt."""
_BARE = re.compile(rf"(?P<name>(?!['\s,]){_WORD}+?)\({_BEGINS}", re.DOTALL)

_POSITIONAL = re.compile(r"[\w./-]++\([^()]*+\)\s*+(?:```)?\s*+\Z")


def render(calls: Sequence[Call]) -> str:
    """The calls as text; `[]` where there are none. `DataError` for an argument that is not JSON."""
    return "[" + ", ".join([_render_call(call) for call in calls]) + "]"


def _render_call(call: Call) -> str:
    name = call.name if _PLAIN_NAME.fullmatch(call.name) else quote(call.name)
    arguments = [
        f"{key if _PLAIN_ARGUMENT.fullmatch(key) else quote(key)}={write_value(value)}"
        for key, value in call.arguments.items()
    ]
    return f"{name}({', '.join(arguments)})"


def read(text: str) -> tuple[list[Call], str] | None:
    """The calls of all lists in `text` and the text around them; None where no call is attempted.

    Raises `ParseError` where a call is attempted and broken, even if another list in the text is well formed.
    """
    match = _START.match(text)
    start = match.end() if match else 0
    if _EMPTY.match(text, start):
        return [], ""
    head = LIST_AT_START.match(text, start) or _LIST.search(text, start)
    if head is None:
        if text.startswith("[", start) and "]" not in text:
            fail("expected a call list that is closed with ']'", text, start)
        return _read_bare(text, start)
    calls: list[Call] = []
    around: list[str] = []
    pos = 0
    while head is not None:
        around.append(text[pos : head.start()])
        found, pos = _read_list(text, head.start() + 1)
        calls += found
        head = _LIST.search(text, pos)
    around.append(text[pos:])
    return calls, _FENCE.sub("", " ".join(filter(None, map(str.strip, around)))).strip()


def _read_bare(text: str, start: int) -> tuple[list[Call], str] | None:
    """Calls without outer brackets; they must be the whole answer."""
    head = _BARE.match(text, start)
    if head is None and _POSITIONAL.match(text, start):
        fail("expected a call: name(argument=value, ...)", text, start)
    if head is None or head["name"][-1].isspace():
        return None
    try:
        calls, pos = _read_calls(text, start, "")
        if _FENCE.sub("", text[pos:]).strip():
            fail("expected nothing after a call without brackets", text, pos)
    except ParseError:
        if " " in head["name"]:  # prose such as "The total(x=...", not a call
            return None
        raise
    return calls, ""


def _read_list(text: str, pos: int) -> tuple[list[Call], int]:
    calls, pos = _read_calls(text, pos, "]")
    return calls, pos + 1


def _read_calls(text: str, pos: int, closer: str) -> tuple[list[Call], int]:
    """Calls with commas between them, up to `closer` (left unread) or, where it is empty, up to the last call."""
    calls: list[Call] = []
    while True:
        call, pos = _read_call(text, pos)
        calls.append(call)
        pos = skip_space(text, pos)
        comma = text.startswith(",", pos)
        after = skip_space(text, pos + comma)
        if closer and text.startswith(closer, after):
            return calls, after
        if not comma:
            if closer:
                fail(f"expected ',' or '{closer}'", text, pos)
            return calls, pos
        pos = after


def _read_call(text: str, pos: int) -> tuple[Call, int]:
    match = _READ_NAME.match(text, pos)
    if match is None:
        fail("expected a call: name(argument=value, ...)", text, skip_space(text, pos))
    plain = match["plain"]
    name = plain.strip() if plain else unquote(match["quoted"], text, match.start("quoted"))
    if not name:
        fail("a function name is empty", text, pos)
    pos = match.end()
    arguments: dict[str, object] = {}
    comma = True
    while True:
        while comma and (match := _READ_PLAIN.match(text, pos)):
            key, double, single, integer, end = match.groups()
            key = key.strip()
            if key in arguments:
                break
            arguments[key] = int(integer) if integer else double if single is None else single
            pos = match.end()
            if end == ")":
                return Call(name=name, arguments=arguments), pos
        pos = skip_space(text, pos)
        if text.startswith(")", pos):
            return Call(name=name, arguments=arguments), pos + 1
        if not comma:
            fail("expected ',' or ')'", text, pos)
        match = _READ_ARGUMENT.match(text, pos)
        if match is None:
            fail("expected argument=value", text, pos)
        plain = match["plain"]
        key = plain.strip() if plain else unquote(match["quoted"], text, pos)
        if key in arguments:
            fail(f"argument {key!r} is given twice", text, pos)
        arguments[key], pos = read_value(text, match.end())
        pos = skip_space(text, pos)
        comma = text.startswith(",", pos)
        pos += comma
