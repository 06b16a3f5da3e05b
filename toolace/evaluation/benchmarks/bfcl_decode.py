"""From raw model text to calls, by the rules of the Berkeley Function-Calling Leaderboard, evaluating nothing.

Source of the rules: bfcl-eval 2026.3.23 (Apache-2.0), `model_handler/utils.py`, prompt mode. They are not the rules of
`toolace.calls.formats`, which reads what people mean; these decide what the leaderboard counts:

- Backticks, spaces and line feeds around the text go; a missing `[` or `]` is added. What is left is one Python
  expression: a list of calls. Text before or after the list, or a fence with a language, makes it none.
- Positional arguments are dropped. A bare name becomes a text, a nested call without keywords its source, one with
  keywords an object; any unary operator is a minus; arithmetic is worked out (`bfcl_arithmetic`).
"""

from __future__ import annotations

import ast
import warnings
from typing import Any, NamedTuple

from toolace.errors import ParseError
from toolace.evaluation.benchmarks.bfcl_arithmetic import Arithmetic
from toolace.evaluation.benchmarks.bfcl_plain import read_plain

BROKEN = (SyntaxError, ValueError, TypeError, ArithmeticError, RecursionError, MemoryError, LookupError)
"""What a text that is no list of calls can raise; `ParseError` is a `ValueError`."""


class DecodedCall(NamedTuple):
    """A call as the leaderboard sees it.

    Values can be any Python constant, a tuple too. `**x` is an argument named None.
    """

    name: str
    arguments: dict[Any, Any]


def bracketed(text: str) -> str:
    """The text as a list: without outer backticks, spaces and line feeds, in brackets."""
    text = text.strip("`\n ")
    if not text.startswith("["):
        text = "[" + text
    return text if text.endswith("]") else text + "]"


def decode_python(text: str) -> list[DecodedCall]:
    """The calls in a text of a Python category. Raises `ParseError` where the leaderboard cannot decode it."""
    source = bracketed(text)
    if (plain := read_plain(source)) is not None:
        return list(map(DecodedCall._make, plain))
    try:
        with warnings.catch_warnings():  # unknown escapes, `1or 2` and the like: no one can act on them
            warnings.simplefilter("ignore")
            body = ast.parse(source, mode="eval").body
        if type(body) is ast.Call:
            return [_call(body, Arithmetic())]
        if not isinstance(body, ast.List | ast.Tuple | ast.Set):
            raise ParseError(f"a list of calls is expected, found {type(body).__name__}")
        arithmetic = Arithmetic()
        return [_call(item, arithmetic) for item in body.elts]
    except BROKEN as error:
        raise ParseError(f"no list of calls: {type(error).__name__}: {error!s:.200}") from None


def _call(node: ast.expr, arithmetic: Arithmetic) -> DecodedCall:
    if type(node) is not ast.Call:
        raise ParseError(f"a call is expected, found {type(node).__name__}")
    function: ast.expr = node.func
    if type(function) is ast.Name:
        name = function.id
    else:
        parts = []
        while isinstance(function, ast.Attribute):
            parts.append(function.attr)
            function = function.value
        if isinstance(function, ast.Name):
            parts.append(function.id)
        name = ".".join(reversed(parts))
    arguments: dict[Any, Any] = {}
    for keyword in node.keywords:
        value = keyword.value
        arguments[keyword.arg] = (
            value.value if type(value) is ast.Constant and value.value is not ... else _value(value, arithmetic)
        )
    return DecodedCall(name, arguments)


def _value(node: ast.expr | None, arithmetic: Arithmetic) -> Any:
    if isinstance(node, ast.Constant):
        return "..." if node.value is ... else node.value
    if isinstance(node, ast.List):
        return [_value(item, arithmetic) for item in node.elts]
    if isinstance(node, ast.Dict):
        return {
            _value(key, arithmetic): _value(value, arithmetic)
            for key, value in zip(node.keys, node.values, strict=True)
        }
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.UnaryOp):
        if not isinstance(node.operand, ast.Constant):
            raise ParseError("a sign before something that is no constant")
        return -node.operand.value  # type: ignore[operator]  # a text raises TypeError, which is a broken answer
    if isinstance(node, ast.Call):
        if not node.keywords:
            return ast.unparse(node)
        nested = _call(node, arithmetic)
        return {nested.name: nested.arguments}
    if isinstance(node, ast.Tuple):
        return tuple([_value(item, arithmetic) for item in node.elts])
    if isinstance(node, ast.BinOp):
        return arithmetic.work_out(node)
    if isinstance(node, ast.Subscript):
        return f"{ast.unparse(node.value)}[{ast.unparse(node.slice)}]"
    raise ParseError(f"{type(node).__name__} is no value")
