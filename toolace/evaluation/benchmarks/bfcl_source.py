"""A reader of Java and JavaScript call expressions: tokens, and what the two languages' expressions share.

The leaderboard decodes these categories with tree-sitter grammars. This reads the part that answers consist of:
expressions with calls, `new`, lambdas, literals. Precedence does not matter there and is not kept; bodies of functions,
lambdas and classes are only read to their closing bracket.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from toolace.errors import ParseError

_NUMBER = r"(?:0[xX][\da-fA-F_]+|0[bBoO][\d_]+|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d[\d_]*)?)[lLfFdDn]?"
_NAME = r"(?:[^\W\d]|\$)[\w$]*"
# The grammar takes any character for a letter that it has no other use for, typographic quotes too.
_JS_NOT_LETTERS = r"\x00-\x1f\s:;`\"'@#.,|^&<=>+\-*/\\%?!~()\[\]{}\u200b\u2060\ufeff"
_JS_NAME = rf"[^{_JS_NOT_LETTERS}0-9][^{_JS_NOT_LETTERS}]*"
_SPACE = r"(?P<space>\s+|//[^\n]*|/\*.*?\*/)"
_OPERATORS = (
    ">>>=", "...", "===", "!==", "**=", "&&=", "||=", "??=", "<<=", ">>=", ">>>", "==", "!=", "<=", ">=", "&&",
    "||", "??", "?.", "++", "--", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "=>", "->", "::", "**", "<<",
    ">>", "+", "-", "*", "/", "%", "&", "|", "^", "~", "!", "<", ">", "=", "?", ":", ".", ",", ";", "(", ")",
    "[", "]", "{", "}",
)  # fmt: skip
_OPERATOR = "|".join(re.escape(operator) for operator in _OPERATORS)
JAVA_TOKENS = re.compile(
    rf'{_SPACE}|(?P<name>{_NAME})|(?P<number>{_NUMBER})|(?P<string>"""(?:[^\\]|\\.)*?"""|"(?:[^"\\]|\\.)*")'
    rf"|(?P<char>'(?:[^'\\\n]|\\.)+')|(?P<operator>{_OPERATOR})",
    re.DOTALL,
)
JS_TOKENS = re.compile(
    rf"{_SPACE}|(?P<name>{_JS_NAME})|(?P<number>{_NUMBER})|(?P<string>\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*')"
    rf"|(?P<template>`(?:[^`\\]|\\.)*`)|(?P<operator>{_OPERATOR})",
    re.DOTALL,
)
_REGEX = re.compile(r"/(?:[^/\\\n\[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[a-z]*")

ASSIGNMENTS = frozenset((
    "=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>=", ">>>=", "**=", "&&=", "||=", "??=",
))  # fmt: skip
_BINARY = frozenset((
    "+", "-", "*", "/", "%", "**", "<<", ">>", ">>>", "&", "|", "^", "&&", "||", "??", "==", "!=", "===", "!==",
    "<", ">", "<=", ">=", "instanceof", "in",
))  # fmt: skip
_PREFIX = frozenset(["+", "-", "!", "~", "++", "--"])
_AHEAD = 4
_CLOSING = {"(": ")", "[": "]", "{": "}"}


class Node(NamedTuple):
    """A piece of source. `kind`: `name`, `number`, `string`, `char`, `operator`, `call` and others."""

    kind: str
    start: int
    end: int
    children: tuple[Node, ...] = ()
    text: str = ""


class Parser:
    """A cursor over tokens and the expression rules that both languages share."""

    def __init__(self, source: str, pattern: re.Pattern[str], prefix_words: frozenset[str] = frozenset()) -> None:
        self.source = source
        self.tokens = _tokens(source, pattern)
        self.position = 0
        self.prefix = _PREFIX | prefix_words
        self.kinds = [token.kind for token in self.tokens] + _AHEAD * ["end"]
        self.marks: list[str | None] = [
            token.text if token.kind in ("operator", "name") else None for token in self.tokens
        ]
        self.marks += _AHEAD * [None]
        """Texts of operators and names, None for other tokens."""

    def peek(self, ahead: int = 0) -> str:
        """The text of a coming token, at most `_AHEAD` - 1 ahead; empty at the end."""
        index = self.position + ahead
        return self.tokens[index].text if index < len(self.tokens) else ""

    def kind(self, ahead: int = 0) -> str:
        return self.kinds[self.position + ahead]

    def at(self, *texts: str) -> bool:
        return self.marks[self.position] in texts

    def take(self, *texts: str) -> Node:
        """The next token, which must be one of `texts` where some are given."""
        position = self.position
        if position >= len(self.tokens):
            raise ParseError("the source ends too early")
        if texts and self.marks[position] not in texts:
            start = self.tokens[position].start
            raise ParseError(f"expected {' or '.join(texts)} at {self.source[start:]!r:.40}")
        self.position = position + 1
        return self.tokens[position]

    def take_kind(self, *kinds: str) -> Node:
        if self.kind() not in kinds:
            raise ParseError(f"expected a {' or '.join(kinds)}, found {self.peek()!r:.40}")
        return self.take()

    def group(self) -> Node:
        """A bracket and everything to its partner."""
        first = self.take("(", "[", "{")
        children = [first]
        while not self.at(_CLOSING[first.text]):
            children.append(self.group() if self.at("(", "[", "{") else self.take())
            if children[-1].kind == "operator" and children[-1].text in (")", "]", "}"):
                raise ParseError(f"{children[-1].text} closes nothing")
        children.append(self.take())
        return node("other", children)

    def after_group(self) -> str:
        """The token after the bracket group that starts here."""
        start = self.position
        try:
            self.group()
            return self.peek()
        except ParseError:
            return ""
        finally:
            self.position = start

    def separated(
        self, item: Callable[[], Node], closing: str, holes: bool = False, last_hole: bool = False
    ) -> list[Node]:
        """Items and commas up to `closing`, which stays. `holes`: items may be left out; `last_hole`: the last may."""
        found: list[Node] = []
        while not self.at(closing):
            if holes and self.at(","):
                found.append(self.take())
                continue
            found.append(item())
            if not self.at(closing):
                found.append(self.take(","))
                if self.at(closing) and not (holes or last_hole):
                    raise ParseError("a comma before the closing bracket")
        return found

    def expression(self) -> Node:
        if function := self.function():
            return function
        left = self.ternary()
        if self.marks[self.position] in ASSIGNMENTS and left.kind in ("name", "member", "list"):
            operator = self.take()
            return node("assignment", [left, operator, self.expression()], operator.text)
        return left

    def ternary(self) -> Node:
        condition = self.binary()
        if not self.at("?"):
            return condition
        return node("other", [condition, self.take(), self.expression(), self.take(":"), self.expression()])

    def binary(self) -> Node:
        parts = [self.unary()]
        while self.marks[self.position] in _BINARY:
            parts.append(self.take())
            parts.append(self.unary())
        return parts[0] if len(parts) == 1 else node("other", parts)

    def unary(self) -> Node:
        if self.marks[self.position] in self.prefix:
            return node("other", [self.take(), self.unary()])
        return self.postfix(self.primary())

    def function(self) -> Node | None:
        """A lambda or arrow function, where one starts here."""
        raise ParseError("no functions in this language")

    def primary(self) -> Node:
        raise ParseError("no expressions in this language")

    def postfix(self, start: Node) -> Node:
        return start


def node(kind: str, children: list[Node], text: str = "") -> Node:
    """A node over its children."""
    return Node(kind, children[0].start, children[-1].end, tuple(children), text)


def _tokens(source: str, pattern: re.Pattern[str]) -> list[Node]:
    found: list[Node] = []
    position, end = 0, len(source)
    regular = pattern is JS_TOKENS and "/" in source
    while position < end:
        match = None
        if regular and source[position] == "/" and source[position : position + 2] not in ("//", "/*"):
            before = found[-1] if found else None
            if before is None or (before.kind == "operator" and before.text not in (")", "]", "}")):
                match = _REGEX.match(source, position)
        kind = "number" if match else ""
        if match is None:
            match = pattern.match(source, position)
            if match is None:
                raise ParseError(f"no token at {source[position:]!r:.40}")
            kind = match.lastgroup or ""
        start, position = match.span()
        if kind != "space":
            found.append(Node(kind, start, position, (), match[0]))
    return found
