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
from toolace.evaluation.benchmarks.bfcl_plain import read_plain_java
from toolace.evaluation.benchmarks.bfcl_trees import tree_of

_QUOTED = ("string_literal", "character_literal")
_AS_WRITTEN = ("identifier", "class_literal", "type_identifier", "method_invocation")
_NAMELESS = ("identifier", "class_literal")


def decode_java(text: str) -> list[DecodedCall] | None:
    """The first call of the text, None where it is Java without a call. Raises `ParseError`."""
    source = bracketed(text)[1:-1]
    if (plain := read_plain_java(source)) is not None:
        return [DecodedCall._make(plain)]
    try:
        call = _first_call(tree_of(source, "java"))
        return None if call is None else [_call(source, call)]
    except BROKEN as error:
        raise ParseError(f"no Java call: {error!s:.200}") from None


def _first_call(node: Any) -> Any:
    if node.type == "method_invocation":
        return node
    return next((found for child in node.children if (found := _first_call(child)) is not None), None)


def _text(source: str, node: Any) -> str:
    return source[node.start_byte : node.end_byte]


def _call(source: str, node: Any) -> DecodedCall:
    name = _text(source, node.child_by_field_name("name"))
    owner = node.child_by_field_name("object")
    named: dict[Any, Any] = {}
    for argument in node.child_by_field_name("arguments").children:
        if argument.type == "assignment_expression":
            target, _, value = argument.children[:3]
            key, given = _text(source, target), _value(source, value)
        elif argument.type in _NAMELESS:
            key, given = None, _value(source, argument)
        else:
            continue
        if key in named:
            raise ParseError(f"two arguments are called {key!r}")
        named[key] = given
    return DecodedCall(name if owner is None else f"{_text(source, owner)}.{name}", named)


def _value(source: str, node: Any, nested: bool = False) -> str:
    """An argument as text: without the quotes around the whole of it, its parts without the space between them."""
    if node.type in _QUOTED:
        return _text(source, node) if nested else _text(source, node)[1:-1]
    if node.type in _AS_WRITTEN:
        return _text(source, node)
    if node.type == "array_creation_expression":
        kind, items = node.child_by_field_name("type"), node.child_by_field_name("value")
        if items is None:
            raise ParseError("an array without its items")
        return f"new {_value(source, kind, True)}[]{_value(source, items, True)}"
    if node.type == "object_creation_expression":
        arguments = node.child_by_field_name("arguments").children
        given = [_value(source, one, True) for one in arguments if one.type not in (",", "(", ")")]
        return f"new {_value(source, node.child_by_field_name('type'), True)}({', '.join(given)})"
    if node.child_count:
        return "".join([_value(source, child, True) for child in node.children])
    return _text(source, node)
