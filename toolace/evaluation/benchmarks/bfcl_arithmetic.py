"""Arithmetic in arguments, such as `amount=12 * 500`: worked out over constants, calling nothing, within bounds.

The leaderboard evaluates such text as Python. Here it is operators over numbers, texts, lists and the like, and a few
pure functions of numbers. What else it could evaluate, and what grows beyond the bounds, counts as undecodable.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

from toolace.errors import ParseError

_BITS = 14_000
"""No whole number grows beyond this many bits (Python prints none with more digits), no text or list beyond 2**20."""
_ITEMS = 2**20

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow, ast.LShift: operator.lshift,
    ast.RShift: operator.rshift, ast.BitOr: operator.or_, ast.BitXor: operator.xor, ast.BitAnd: operator.and_,
}  # fmt: skip
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos, ast.USub: operator.neg, ast.Invert: operator.invert, ast.Not: operator.not_,
}  # fmt: skip
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs, "float": float, "int": int, "len": len, "max": max, "min": min, "round": round, "str": str, "sum": sum,
}  # fmt: skip


def work_out(node: ast.expr) -> Any:
    """The value. Raises `ParseError`, or what the operator raises: TypeError, ZeroDivisionError and the like."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.BinOp):
        left, right = work_out(node.left), work_out(node.right)
        _check_size(node.op, left, right)
        return _BINARY[type(node.op)](left, right)
    if isinstance(node, ast.UnaryOp):
        return _UNARY[type(node.op)](work_out(node.operand))
    if isinstance(node, ast.List):
        return [work_out(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple([work_out(item) for item in node.elts])
    if isinstance(node, ast.Set):
        return {work_out(item) for item in node.elts}
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {work_out(key): work_out(value) for key, value in pairs if key is not None}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
        if node.keywords:
            raise ParseError(f"{node.func.id}() with keywords is not worked out")
        return _FUNCTIONS[node.func.id](*[work_out(argument) for argument in node.args])
    raise ParseError(f"{type(node).__name__} is not worked out")


def _check_size(op: ast.operator, left: Any, right: Any) -> None:
    """Refuse what would take memory or minutes: a model's answer must not stop the scoring."""
    sized, times = (left, right) if isinstance(left, str | bytes | list | tuple) else (right, left)
    if isinstance(sized, str | bytes | list | tuple):
        if isinstance(op, ast.Mult) and isinstance(times, int) and len(sized) * times > _ITEMS:
            raise ParseError("a repetition that is too long")
        if isinstance(op, ast.Mod) and isinstance(left, str | bytes):
            raise ParseError("a formatted text is not worked out")
    elif isinstance(left, int) and isinstance(right, int):
        grown = left.bit_length() * right if isinstance(op, ast.Pow) else left.bit_length() + right.bit_length()
        if isinstance(op, ast.LShift):
            grown = left.bit_length() + right
        if grown > _BITS and isinstance(op, ast.Pow | ast.LShift | ast.Mult):
            raise ParseError("a number that is too large")
