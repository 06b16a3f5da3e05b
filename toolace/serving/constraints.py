"""What an answer must follow: checked before an engine compiles it, because one request's schema can hold up all.

An engine compiles the schemas of tools that must be called, `response_format` and `structured_outputs` into grammars.
Large counts make such a grammar gigabytes large and minutes slow, for every request of the engine. What is small
enough and still cannot be followed comes back as vLLM's unspecific 500; `blamed` says it as the 400 that it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from toolace.serving.errors import ApiError, bad_request, from_upstream, generation_failed
from toolace.serving.tools import kind

MAX_COUNT = 1_000
"""Largest count in a schema, or in a repetition of a pattern."""
MAX_CHOICES = 1_000
"""Most alternatives in all: entries of `choice` and `enum`, schemas of `anyOf` and the like. As OpenAI's."""
MAX_LETTERS = 100_000
"""Most letters in all of the names, values and patterns that an answer must follow; descriptions do not count."""
_COUNTS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties", "minContains")
_GRAMMAR = "Grammar error: "
_CONSTRAINT = re.compile(r"structured.outputs?|grammar|choice|constraint|regex", re.IGNORECASE)
_TOO_LONG = "array_above_max_length"
_MAX_INTEGER = 2**63 - 1
_REPETITION = re.compile(r"\{\s*(\d*)\s*(?:,\s*(\d*)\s*)?\}")
_PATTERNS = ("pattern", "regex", "grammar")
_DATA = ("const", "enum", "default", "examples")
"""Keywords whose values are data: what looks like a keyword in there is none."""
_CHOICES = ("choice", "enum", "anyOf", "oneOf", "allOf")
_KINDS = ("json", "regex", "choice", "grammar", "json_object", "structural_tag")
_WORDS = ("description", "title", "$comment")


def constraint_of(body: Mapping[str, Any]) -> str | None:
    """The field of a request that its answer must follow; None where it may say anything."""
    if body.get("structured_outputs"):
        return "structured_outputs"
    wanted = body.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") not in (None, "text"):
        return "response_format"
    return "tools" if body.get("tools") and body.get("tool_choice") not in (None, "auto", "none") else None


def check_constraints(body: Mapping[str, Any]) -> None:
    """Refuse what would hold up the engine. Raises a 400 naming the place."""
    if body.get("tool_choice") not in (None, "auto", "none"):
        _check(body.get("tools"), "tools", "tools")
    _check(body.get("response_format"), "response_format", "response_format")
    given = body.get("structured_outputs")
    if given is not None and not isinstance(given, dict):
        raise bad_request("structured_outputs", f"must be an object, got {kind(given)}")
    kinds = [name for name in _KINDS if (given or {}).get(name) is not None]
    if len(kinds) > 1:
        raise bad_request("structured_outputs", f"has {' and '.join(kinds)}; it may have one kind of constraint")
    for name, value in (given or {}).items():
        at = f"structured_outputs.{name}"
        if isinstance(value, str) and name in ("json", "structural_tag"):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                raise bad_request(at, "is not valid JSON") from None
        as_key = name in (*_PATTERNS, "choice")
        _check({name: value} if as_key else value, "structured_outputs" if as_key else at, at)


def blamed(failure: BaseException | Mapping[str, Any], body: Mapping[str, Any]) -> ApiError:
    """`from_upstream`, but a 400 that names the request's own constraint where that is what failed."""
    field = constraint_of(body)
    if field is None or not generation_failed(failure):
        known = from_upstream(failure)
        if field is not None and known.status == 400 and known.message.startswith(_GRAMMAR):
            return bad_request(
                _tool_of(body) if field == "tools" else field, known.message.replace(_GRAMMAR, "is wrong: ")
            )
        if field == "structured_outputs" and known.status == 400 and known.param is None:
            known.param = field if _CONSTRAINT.search(known.message) else None
        return known
    return bad_request(
        field, "cannot be followed: no answer fits it, or it is more than the engine can compile. Make it simpler"
    )


def _tool_of(body: Mapping[str, Any]) -> str:
    """The place of the one tool that must be called; `tools` where it may be any of several."""
    tools, choice = body["tools"], body["tool_choice"]
    if isinstance(choice, dict):
        return next(
            f"tools[{i}]" for i, tool in enumerate(tools) if tool["function"]["name"] == choice["function"]["name"]
        )
    return "tools" if len(tools) > 1 else "tools[0]"


def _check(schema: Any, at: str, field: str) -> None:
    """Look through a schema, one level after the other, for what is too large, and for too much of it in all."""
    level = [(schema, at, False)]
    choices = letters = 0
    while level:
        following: list[tuple[Any, str, bool]] = []
        for value, place, data in level:
            if isinstance(value, list):
                following += [(item, f"{place}[{i}]", data) for i, item in enumerate(value)]
            elif isinstance(value, dict):
                for key, item in value.items():
                    if not data and key in _WORDS and isinstance(item, str):
                        continue
                    letters += len(key)
                    following.append((item, f"{place}.{key}", data or key in _DATA))
                    if not data:
                        choices += len(item) if key in _CHOICES and isinstance(item, list) else 0
                        _check_value(key, item, f"{place}.{key}")
            elif isinstance(value, str):
                letters += len(value)
            elif isinstance(value, int) and abs(value) > _MAX_INTEGER:
                raise bad_request(place, "has more than 64 bits")
        if choices > MAX_CHOICES:
            raise bad_request(field, f"has {choices} alternatives or more in all; it may have {MAX_CHOICES}", _TOO_LONG)
        if letters > MAX_LETTERS:
            raise bad_request(field, f"has {letters} letters or more in all; it may have {MAX_LETTERS}", _TOO_LONG)
        level = following


def _check_value(key: str, value: Any, at: str) -> None:
    if key in _COUNTS and isinstance(value, int | float) and not isinstance(value, bool) and value > MAX_COUNT:
        large = f"{value:.6g}" if value < 1e300 else "too large"
        raise bad_request(at, f"is {large}; an answer that must follow it may have {MAX_COUNT}")
    if isinstance(value, str) and key in _PATTERNS:
        for found in _REPETITION.finditer(value):
            if any(part and (len(part) > 9 or int(part) > MAX_COUNT) for part in found.groups()):
                raise bad_request(at, f"repeats {found.group()[:20]}; a pattern may repeat {MAX_COUNT} times")
