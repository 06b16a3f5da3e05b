"""From a model's own call format to the text that the leaderboard's rules read.

The leaderboard decodes the text of a model that was asked in prompt mode: a list of calls in brackets. Here tools are
given natively and a model answers in the format that it was trained on. An answer in `pythonic` is scored as it stands.
One in another format that holds readable calls is written anew as such a list, as the leaderboard takes the calls of a
native model and drops the text around them; one without stays as it is.

In Java and JavaScript every argument is source text, which the leaderboard's decoder takes out of its quotes: each is
written so that it comes out as the model gave it, in quotes or bare. Values that are no text are written as JSON.
Names that the category's language cannot read as names cannot be written, so that such an answer is wrong; where no
name is compared (relevance, irrelevance), such a call is written as `call()`, so that it still counts as one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from toolace.calls import parse_answer, render_calls
from toolace.calls.formats import CallFormat
from toolace.calls.schema import Call
from toolace.errors import DataError, ParseError
from toolace.evaluation.benchmarks.bfcl_decode import DecodedCall, decode_python
from toolace.evaluation.benchmarks.bfcl_java import decode_java
from toolace.evaluation.benchmarks.bfcl_js import decode_javascript
from toolace.evaluation.benchmarks.bfcl_patterns import EndlessError
from toolace.evaluation.benchmarks.bfcl_rows import IRRELEVANCE, RELEVANCE

_Decode = Callable[[str], list[DecodedCall] | None]
_NAME = re.compile(r"[^\W\d][\w$]*(?:\.[^\W\d][\w$]*)*\Z")
_SOURCE: dict[str, _Decode] = {"simple_java": decode_java, "simple_javascript": decode_javascript}


def scored_text(category: str, text: str, format: CallFormat) -> str:
    """The text that is scored for a model's raw text."""
    if format == "pythonic":
        return text
    calls = parse_answer(text, format).calls
    if not calls:
        return text
    decode = _SOURCE.get(category)
    if decode is not None:
        if not all(_NAME.match(name) for call in calls for name in (call.name, *call.arguments)):
            return text
        return _source(calls, decode, end=";" if category == "simple_java" and len(calls) == 1 else "")
    try:
        written = render_calls(calls)
    except DataError:  # an integer of thousands of digits
        return text
    if category in IRRELEVANCE + RELEVANCE and not _readable(written):
        return "[" + ", ".join(["call()"] * len(calls)) + "]"
    return written


def _readable(written: str) -> bool:
    try:
        return bool(decode_python(written))
    except ParseError:
        return False


def _source(calls: Sequence[Call], decode: _Decode, end: str) -> str:
    """The list in Java or JavaScript. `end`: a short Java source is only read with its semicolon."""
    written = [
        f"{call.name}({', '.join(f'{key}={_argument(value, decode)}' for key, value in call.arguments.items())})"
        for call in calls
    ]
    return "[" + ", ".join(written) + end + "]"


def _argument(value: Any, decode: _Decode) -> str:
    """The way to write a source text that is decoded to the same text; the text itself where there is none."""
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    for written in (f'"{value}"', value, f"'{value}'"):
        try:
            found = decode(f"[probed.call(argument={written});]")
        except (ParseError, EndlessError):
            continue
        if found and len(found) == 1 and found[0].arguments == {"argument": value}:
            return written
    return value
