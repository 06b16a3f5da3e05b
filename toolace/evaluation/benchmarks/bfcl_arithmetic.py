"""Arithmetic in arguments, such as `amount=12 * 500`: worked out over constants, calling nothing, within bounds.

The leaderboard evaluates such text as Python. Here it is operators over numbers, texts, lists and the like, and a few
pure functions of numbers. What else it could evaluate, and what grows beyond the bounds, counts as undecodable.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

from toolace.errors import ParseError

_BITS = 2**20
"""No whole number grows beyond this many bits, some 315,000 digits."""
_PRINTED_BITS = 14_000
"""Up to here Python prints every whole number; more than 4,300 digits it does not."""
_ITEMS = 2**20
"""No value holds more: characters and elements, those of elements included as often as they would be printed."""
_WORK = 2**22
"""Of all values in an answer together, those on the way included."""
_PRINTED = 64
"""Characters that an element can take in the text of a list."""
_FRAMES = 983
"""Officially an expression is first written as text (`ast.unparse`), which takes frames of Python's stack, 3 for most
levels. With more than these it meets Python's limit of 1,000, and nothing is decoded: a sum has at most 328 terms.
Measured with Python 3.11, where the official evaluation calls its decoder."""
_FRAMES_OF: dict[type[ast.expr], int] = {ast.List: 4, ast.Set: 4, ast.Tuple: 5, ast.Dict: 6}

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


_Weighed = tuple[Any, int]
"""A value and the most that it holds."""


class Arithmetic:
    """Works out the values of one answer, which share the work that there may be: no answer must stop the scoring."""

    def __init__(self) -> None:
        self._left = _WORK

    def work_out(self, node: ast.expr) -> Any:
        """The value. Raises `ParseError`, or what the operator raises: TypeError, ZeroDivisionError and the like."""
        if _is_too_deep(node):
            raise ParseError("an expression that is nested too deep")
        return self._weighed(node)[0]

    def _weighed(self, node: ast.expr) -> _Weighed:
        if isinstance(node, ast.Constant):
            if isinstance(node.value, int) and node.value.bit_length() > _PRINTED_BITS:
                str(node.value)  # officially it is written, which Python may refuse with a ValueError
            return node.value, _weight(node.value)
        if isinstance(node, ast.BinOp):
            left, right = self._weighed(node.left), self._weighed(node.right)
            most = self._spend(*_most(node.op, left, right))
            return _bounded(_BINARY[type(node.op)](left[0], right[0]), most)
        if isinstance(node, ast.UnaryOp):
            operand, most = self._weighed(node.operand)
            return _bounded(_UNARY[type(node.op)](operand), self._spend(most))
        if isinstance(node, ast.List):
            return self._gathered(list, node.elts)
        if isinstance(node, ast.Tuple):
            return self._gathered(tuple, node.elts)
        if isinstance(node, ast.Set):
            return self._gathered(set, node.elts)
        if isinstance(node, ast.Dict):
            return self._mapping(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
            if node.keywords:
                raise ParseError(f"{node.func.id}() with keywords is not worked out")
            arguments, most = self._gathered(list, node.args)
            most = self._spend(*_most_of_call(node.func.id, arguments, most))
            return _bounded(_FUNCTIONS[node.func.id](*arguments), most)
        raise ParseError(f"{type(node).__name__} is not worked out")

    def _gathered(self, kind: Callable[[list[Any]], Any], nodes: Sequence[ast.expr]) -> _Weighed:
        found = [self._weighed(node) for node in nodes]
        most = self._spend(len(found) + sum(most for _, most in found))
        return kind([value for value, _ in found]), most

    def _mapping(self, node: ast.Dict) -> _Weighed:
        """As Python makes it: a key stays where it came first, its last value counts. `**x` gives the pairs of x."""
        made: dict[Any, Any] = {}
        held = 0
        for key, node_of_value in zip(node.keys, node.values, strict=True):
            value, most = self._weighed(node_of_value)
            if key is not None:
                name, more = self._weighed(key)
                most += self._spend(more + 2)
                made[name] = value
            elif isinstance(value, dict):
                self._spend(most)
                made |= value
            else:
                raise ParseError(f"** before a {type(value).__name__}, which has no keys")
            held += most
        return made, self._spend(held)

    def _spend(self, most: int, work: int = 0) -> int:
        """Before a value is made: refuse what would take memory or minutes."""
        self._left -= most + work + 1
        if most > _ITEMS or self._left < 0:
            raise ParseError("a value that is too long")
        return most


def _weight(value: Any) -> int:
    """What a constant holds."""
    if isinstance(value, str | bytes):
        return len(value)
    return value.bit_length() // 64 if isinstance(value, int) else 0


def _bounded(value: Any, most: int) -> _Weighed:
    """A result with what it holds: of what has elements no more is known than the bound for it."""
    return value, most if isinstance(value, list | tuple | set | dict) else _weight(value)


def _is_too_deep(node: ast.expr) -> bool:
    """Whether writing the expression as text takes more than `_FRAMES`."""
    open_ = [(node, 0)]
    while open_:
        node, frames = open_.pop()
        if isinstance(node, ast.Constant):
            continue
        frames += _FRAMES_OF.get(type(node), 3)
        if frames > _FRAMES:
            return True
        if isinstance(node, ast.Dict):
            pairs = list(zip(node.keys, node.values, strict=True))
            open_ += [(key, frames) for key, _ in pairs if key is not None]
            open_ += [(value, frames - (key is None)) for key, value in pairs]  # what has no key takes a frame less
        else:
            open_ += [(child, frames) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
    return False


def _most(op: ast.operator, left: _Weighed, right: _Weighed) -> tuple[int, int]:
    """What the result can hold, and the work beside that. Raises `ParseError` for what is not worked out."""
    (a, weight), (b, other) = left, right
    if isinstance(a, int) and isinstance(b, int):
        return _most_of_whole(op, a, b)
    if isinstance(op, ast.Mod) and isinstance(a, str | bytes):
        raise ParseError("a formatted text is not worked out")
    if isinstance(op, ast.Mult) and isinstance(a, int | float) != isinstance(b, int | float):
        times, held = (a, other) if isinstance(a, int | float) else (b, weight)
        return (int(held * max(times, 0)) if isinstance(times, int) else held), 0
    return weight + other, 0


def _most_of_whole(op: ast.operator, a: int, b: int) -> tuple[int, int]:
    """As `_most`, of two whole numbers: the words of the result, and the work, in units of 4 products of words for a
    division (which makes them all), of fewer for a product of long numbers (Karatsuba's)."""
    bits, more = a.bit_length(), b.bit_length()
    words, others = bits // 64 + 1, more // 64 + 1
    if isinstance(op, ast.Pow):
        grown = _bits_of_power(a, b)
        return grown // 64, _work_of_product(grown // 64, grown // 64) + more
    if isinstance(op, ast.Mult):
        return _allowed(bits + more) // 64, _work_of_product(words, others)
    if isinstance(op, ast.LShift):
        return (_allowed(bits + b) // 64 if a else 0), 0
    if isinstance(op, ast.Div | ast.FloorDiv | ast.Mod):
        return max(words, others), max(words - others + 1, 0) * others // 4
    return max(words, others), 0


def _bits_of_power(a: int, b: int) -> int:
    if abs(a) < 2 or b <= 0:  # a float where b is negative
        return 1
    return _allowed(int(math.log2(abs(a)) * _allowed(b)) + 1)


def _work_of_product(words: int, others: int) -> int:
    return int(max(words, others) * min(words, others) ** 0.6) // 2


def _allowed(bits: int) -> int:
    if bits > _BITS:
        raise ParseError("a number that is too large")
    return bits


def _most_of_call(name: str, arguments: list[Any], most: int) -> tuple[int, int]:
    """As `_most`, of a function."""
    if name == "str" and not (arguments and isinstance(arguments[0], str)):
        return _PRINTED * most, 0
    if name == "sum" and len(arguments) > 1 and isinstance(arguments[1], list | tuple):
        return most * most, 0  # each list that is added is copied with those before it
    if name == "round" and len(arguments) == 2:
        number, places = arguments
        if isinstance(number, int) and isinstance(places, int) and places < 0:  # a division by a power of ten
            words, work = _most_of_whole(ast.Pow(), 10, -places)
            return most + words, work + (most + 1) * (words + 1) // 4
    if name == "int" and len(arguments) > 1:
        _allowed(6 * most)  # the base is at most 36
    return most, 0
