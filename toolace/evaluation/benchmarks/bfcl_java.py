"""The Java category: from model text to a call whose arguments are source text.

Source of the rules: bfcl-eval 2026.3.23 (Apache-2.0), `model_handler/parser/java_parser.py`. What surprises there and
holds here too: only the first call counts; an assignment is an argument, and so is a bare name; text is cut at byte
positions, so letters outside ASCII shift everything behind them; white space between tokens goes, except in calls; the
body of an anonymous class goes; `new T[n]` cannot be decoded.
"""

from __future__ import annotations

from typing import Any

from toolace.errors import ParseError
from toolace.evaluation.benchmarks.bfcl_decode import BROKEN, DecodedCall, bracketed
from toolace.evaluation.benchmarks.bfcl_patterns import EndlessError
from toolace.evaluation.benchmarks.bfcl_plain import read_plain_java
from toolace.evaluation.benchmarks.bfcl_trees import tree_of

_QUOTED = ("string_literal", "character_literal")
_AS_WRITTEN = ("identifier", "class_literal", "type_identifier", "method_invocation")
_NAMELESS = ("identifier", "class_literal")
_FRAMES = 992
"""Frames of Python's stack that the official parser has until it meets the limit of 1,000, and nothing is decoded:
measured with Python 3.11, where the official evaluation calls it."""
_LEVEL = 3
"""Of these it takes one for each level of the tree above a call, and this many for most levels of an argument."""


def decode_java(text: str) -> list[DecodedCall] | None:
    """The first call of the text, None where it is Java without a call. Raises `ParseError`, and `EndlessError`."""
    source = bracketed(text)[1:-1]
    if (plain := read_plain_java(source)) is not None:
        return [DecodedCall._make(plain)]
    try:
        found = _first_call(tree_of(source, "java"))
        return None if found is None else [_call(source, *found)]
    except EndlessError:
        raise
    except BROKEN as error:
        raise ParseError(f"no Java call: {error!s:.200}") from None


def _first_call(root: Any) -> tuple[Any, int] | None:
    """The first call, and the frame that the official parser finds it in."""
    open_ = [(root, 1)]
    while open_:
        node, frame = open_.pop()
        if node.type == "method_invocation":
            return node, frame
        open_ += [(child, _checked(frame + 1)) for child in reversed(node.children)]
    return None


def _checked(frame: int) -> int:
    if frame > _FRAMES:
        raise ParseError("source that is nested too deep")
    return frame


def _text(source: str, node: Any) -> str:
    return source[node.start_byte : node.end_byte]


def _call(source: str, node: Any, frame: int) -> DecodedCall:
    frame = _checked(frame + 2)
    name = _text(source, node.child_by_field_name("name"))
    owner = node.child_by_field_name("object")
    named: dict[Any, Any] = {}
    for argument in node.child_by_field_name("arguments").children:
        if argument.type == "assignment_expression":
            target, _, value = argument.children[:3]
            key, given = _text(source, target), _value(source, value, frame)
        elif argument.type in _NAMELESS:
            key, given = None, _value(source, argument, frame)
        else:
            continue
        if key in named:
            raise ParseError(f"two arguments are called {key!r}")
        named[key] = given
    return DecodedCall(name if owner is None else f"{_text(source, owner)}.{name}", named)


def _value(source: str, root: Any, frame: int) -> str:
    """An argument as text: without the quotes around the whole of it, its parts without the space between them."""
    if root.type in _QUOTED:
        return _text(source, root)[1:-1]
    written: list[str] = []
    open_: list[str | tuple[Any, int]] = [(root, frame)]
    while open_:
        part = open_.pop()
        if isinstance(part, str):
            written.append(part)
        elif (parts := _parts(*part)) is None:
            _checked(part[1] + 1)
            written.append(_text(source, part[0]))
        else:
            open_ += reversed(parts)
    return "".join(written)


def _parts(node: Any, frame: int) -> list[str | tuple[Any, int]] | None:
    """What a node is written as, texts and nodes with the frame that each is looked at in; None: as it stands."""
    if node.type in _QUOTED + _AS_WRITTEN or not node.child_count:
        return None
    if node.type == "array_creation_expression":
        items = node.child_by_field_name("value")
        if items is None:
            raise ParseError("an array without its items")
        return ["new ", (node.child_by_field_name("type"), frame + 1), "[]", (items, frame + 1)]
    if node.type == "object_creation_expression":
        parts: list[str | tuple[Any, int]] = ["new ", (node.child_by_field_name("type"), frame + 1), "("]
        given = [one for one in node.child_by_field_name("arguments").children if one.type not in (",", "(", ")")]
        for number, argument in enumerate(given):
            parts += [", ", (argument, frame + 1)] if number else [(argument, frame + 1)]
        return [*parts, ")"]
    return [(child, frame + _LEVEL) for child in node.children]
