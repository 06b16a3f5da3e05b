"""The JavaScript category: from model text to a call whose arguments are source text.

Source of the rules: bfcl-eval 2026.3.23 (Apache-2.0), `model_handler/parser/js_parser.py`. What surprises there and
holds here too: only the first statement that is a call counts; two calls with a comma between them, a call in brackets
or after `await` are no call; a line break ends a statement, so that a fence with a language does no harm; quotes around
an argument go, brackets do not.
"""

from __future__ import annotations

from typing import Any

from toolace.errors import ParseError
from toolace.evaluation.benchmarks.bfcl_decode import BROKEN, DecodedCall, bracketed
from toolace.evaluation.benchmarks.bfcl_patterns import EndlessError
from toolace.evaluation.benchmarks.bfcl_plain import read_plain_javascript
from toolace.evaluation.benchmarks.bfcl_trees import tree_of


def decode_javascript(text: str) -> list[DecodedCall] | None:
    """The first statement that is a call, None where there is none. Raises `ParseError`, and `EndlessError`."""
    source = bracketed(text)[1:-1]
    if (plain := read_plain_javascript(source)) is not None:
        return [DecodedCall._make(plain)]
    try:
        root = tree_of(source, "javascript")
        statements = (child for child in root.children if child.type == "expression_statement")
        parts = (part for statement in statements for part in statement.children)
        call = next((part for part in parts if part.type == "call_expression"), None)
        return None if root.type != "program" or call is None else [_call(call)]
    except EndlessError:
        raise
    except BROKEN as error:
        raise ParseError(f"no JavaScript call: {error!s:.200}") from None


def _call(node: Any) -> DecodedCall:
    function, arguments = node.children[:2]
    named: dict[Any, Any] = {}
    for argument in arguments.children:
        if argument.type == "assignment_expression":
            left, _, right = argument.children[:3]
            key, value = _text(left), _text(right)
            if (value.startswith('"') and value.endswith('"')) or (value.startswith("'") and value.endswith("'")):
                value = value[1:-1]
        elif argument.type in ("identifier", "true"):
            key, value = None, _text(argument)
        else:
            continue
        if key in named:
            raise ParseError(f"two arguments are called {key!r}")
        named[key] = value
    return DecodedCall(_text(function), named)


def _text(node: Any) -> str:
    text: str = node.text.decode()
    return text
