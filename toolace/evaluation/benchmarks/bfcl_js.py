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
from toolace.evaluation.benchmarks.bfcl_plain import read_plain_javascript
from toolace.evaluation.benchmarks.bfcl_source import JS_TOKENS, Node, Parser, node

_PREFIX_WORDS = frozenset(("typeof", "void", "delete", "await", "yield"))
_VALUES = frozenset(("this", "super", "null", "true", "false", "undefined"))
_LITERALS = frozenset(("string", "number", "template"))
_NO_VALUES = frozenset(("function", "class", "import", "in", "instanceof"))


def decode_javascript(text: str) -> list[DecodedCall] | None:
    """The first statement that is a call, None where there is none. Raises `ParseError`."""
    source = bracketed(text)[1:-1]
    if (plain := read_plain_javascript(source)) is not None:
        return [DecodedCall._make(plain)]
    try:
        statements = _JsParser(source).statements()
        call = next((statement for statement in statements if statement.kind == "call"), None)
        return None if call is None else [_decoded(source, call)]
    except BROKEN as error:
        raise ParseError(f"no JavaScript call: {error!s:.200}") from None


def _decoded(source: str, call: Node) -> DecodedCall:
    function, arguments = call.children
    named: dict[Any, Any] = {}
    for argument in arguments.children:
        value = source[argument.start : argument.end]
        key = None
        if argument.kind == "assignment" and argument.text == "=":
            left, _, right = argument.children
            key, value = source[left.start : left.end], source[right.start : right.end]
            if (value.startswith('"') and value.endswith('"')) or (value.startswith("'") and value.endswith("'")):
                value = value[1:-1]
        elif not (argument.kind == "name" or (argument.kind == "value" and argument.text == "true")):
            continue
        if key in named:
            raise ParseError(f"two arguments are called {key!r}")
        named[key] = value
    return DecodedCall(source[function.start : function.end], named)


class _JsParser(Parser):
    def __init__(self, source: str) -> None:
        super().__init__(source, JS_TOKENS, _PREFIX_WORDS)

    def statements(self) -> list[Node]:
        found = []
        while self.kind() != "end":
            if self.at(";"):
                self.take()
                continue
            found.append(self.statement())
            if not (self.at(";") or self.kind() == "end" or self.new_line()):
                raise ParseError(f"a statement ends before {self.peek()!r:.40}")
        return found

    def new_line(self) -> bool:
        """Whether a line break stands before the next token."""
        before, after = self.tokens[self.position - 1], self.tokens[self.position]
        return "\n" in self.source[before.end : after.start]

    def statement(self) -> Node:
        if self.at("{"):  # a block or an object: no call either way
            return self.group()
        if self.kind() == "name" and self.peek(1) == ":":
            return node("other", [self.take(), self.take(), self.statement()])
        if self.at("const", "let", "var", "return") and self.kind(1) not in ("operator", "end"):
            return node("other", [self.take(), self.expression()])
        if self.at("if") and self.peek(1) == "(":
            return node("other", [self.take(), self.group(), self.statement()])
        parts = [self.expression()]
        while self.at(","):
            parts += [self.take(), self.expression()]
        return parts[0] if len(parts) == 1 else node("other", parts)

    def function(self) -> Node | None:
        start = self.position
        parts = [self.take()] if self.at("async") and (self.kind(1) == "name" or self.peek(1) == "(") else []
        if self.at("function"):
            parts.append(self.take())
            if self.at("*"):
                parts.append(self.take())
            if self.kind() == "name":
                parts.append(self.take())
            return node("other", [*parts, self.group(), self.group()])
        if self.kind() == "name" and self.peek(1) == "=>":
            parts.append(self.take())
        elif self.at("(") and self.after_group() == "=>":
            parts.append(self.group())
        else:
            self.position = start
            return None
        return node("other", [*parts, self.take("=>"), self.group() if self.at("{") else self.expression()])

    def primary(self) -> Node:
        if self.kinds[self.position] in _LITERALS:
            return self.take()
        word = self.peek()
        if self.at("("):
            parts = [self.take(), self.expression()]
            while self.at(","):
                parts += [self.take(), self.expression()]
            return node("other", [*parts, self.take(")")])
        if self.at("["):
            return node("list", [self.take(), *self.separated(self.item, "]", holes=True), self.take("]")])
        if self.at("{"):
            return node("list", [self.take(), *self.separated(self.entry, "}", holes=True), self.take("}")])
        if word == "<" and self.kind(1) == "name" and self.peek(2) == ">":
            return self.element()
        if self.kind() != "name":
            raise ParseError(f"no expression at {word!r:.40}")
        if word == "new":
            made = [self.take(), self.member(self.primary())]
            return node("other", [*made, self.arguments()] if self.at("(") else made)
        if word == "class":
            parts = [self.take()]
            while not self.at("{"):
                parts.append(self.take_kind("name"))
            return node("other", [*parts, self.group()])
        if word in _NO_VALUES and not (word == "import" and self.peek(1) == "(") and self.peek(1) != "=":
            raise ParseError(f"no expression at {word!r}")
        if word in ("function", "class", "import") and self.peek(1) == "=":
            raise ParseError(f"no expression at {word!r}")
        token = self.take()
        return Node("value", token.start, token.end, (), word) if word in _VALUES else token

    def element(self) -> Node:
        """A JSX element, which a tag around the call looks like; braces in its text hold expressions."""
        parts = [self.take("<"), self.take(), self.take(">")]
        while not self.at("<"):
            if self.at(">", "}", "=>"):
                raise ParseError("a bracket in the text of an element")
            if self.at("{"):
                parts.append(self.take())
                parts += [self.take("}")] if self.at("}") else [self.expression(), self.take("}")]
            else:
                parts.append(self.take())
        return node("other", [*parts, self.take(), self.take("/"), self.take(parts[1].text), self.take(">")])

    def item(self) -> Node:
        return node("other", [self.take(), self.expression()]) if self.at("...", "**") else self.expression()

    def entry(self) -> Node:
        """One entry of an object."""
        if self.at("..."):
            return node("other", [self.take(), self.expression()])
        parts: list[Node] = []
        while self.at("get", "set", "async", "*") and self.peek(1) not in (":", "(", ",", "}"):
            parts.append(self.take())
        key = self.group() if self.at("[") else self.take_kind("name", "string", "number")
        parts.append(key)
        if self.at(":"):
            parts += [self.take(), self.expression()]
        elif self.at("("):
            parts += [self.group(), self.group()]
        elif key.kind != "name":
            raise ParseError("an entry of an object without a value")
        return node("other", parts)

    def arguments(self) -> Node:
        return node("other", [self.take("("), *self.separated(self.item, ")", holes=True), self.take(")")])

    def member(self, start: Node) -> Node:
        """`.name` and `[index]` behind a value."""
        while True:
            if self.at(".", "?.") and self.kind(1) == "name":
                start = node("member", [start, self.take(), self.take()])
            elif self.at("["):
                start = node("member", [start, self.take(), self.expression(), self.take("]")])
            else:
                return start

    def postfix(self, start: Node) -> Node:
        while True:
            start = self.member(start)
            if self.at("("):
                start = node("call", [start, self.arguments()])
            elif self.kind() == "template" or (self.at("++", "--") and not self.new_line()):
                start = node("other", [start, self.take()])
            else:
                return start
