"""Plain answers, read by patterns: several times as fast as the parsers of the three languages, with the same outcome.

Plain is, in Python, a list of calls by dotted names with keyword arguments, whose values are numbers in decimal, texts
in one pair of quotes without backslashes and line breaks, `True`, `False`, `None`, and lists and objects of these, with
spaces between. In Java and JavaScript it is one such call, whose values are texts, numbers and dotted names, and, in
JavaScript, lists and objects of one level. Everything else is left to the parsers.
"""

from __future__ import annotations

import re
from keyword import kwlist
from typing import Any

_WORD = r"[A-Za-z_][A-Za-z_0-9]*+"
_TEXT = r"[^{0}\\\n\r\x00\ud800-\udfff]*+"
_VALUE = (
    rf"\"(?P<double>{_TEXT.format(chr(34))})\"|'(?P<single>{_TEXT.format(chr(39))})'"
    r"|(?P<int>-?(?:0|[1-9][0-9]{0,99}+)(?![0-9.eEjJ_xXoObB]))|(?P<float>-?[0-9]{1,99}+\.[0-9]{1,99}+(?![0-9.eEjJ_]))"
    r"|(?P<word>True|False|None)|(?P<open>[\[{])"
)
_CALL = re.compile(rf" *+({_WORD}(?:\.{_WORD})*+) *+\( *+(\))?")
_ARGUMENT = re.compile(rf" *+({_WORD}) *+= *+(?:{_VALUE})")
_ITEM = re.compile(rf" *+(?:{_VALUE})")
_NEXT = re.compile(r" *+([,)\]}:])")
_END = re.compile(r" *+\Z")
_WORDS = {"True": True, "False": False, "None": None}
_RESERVED = frozenset([*kwlist, "__debug__"])
_JAVA_WORDS = """
abstract assert boolean break byte case catch char class const continue default do double else enum exports
extends final finally float for goto if implements import instanceof int interface long module native new
non-sealed null open opens package permits private protected provides public record requires return sealed short
static strictfp super switch synchronized this throw throws to transient transitive true false try uses void
volatile when while with yield
"""
_JS_WORDS = """
as async await break case catch class const continue debugger default delete do else export extends false
finally for from function get if import in instanceof let meta new null of return set static super switch target
this throw true try typeof undefined var void while with yield
"""
_SOURCE_RESERVED = frozenset((*_JAVA_WORDS.split(), *_JS_WORDS.split()))
"""Words that mean something in one of the languages, some only in places: none of them is plain."""
_CONSTANTS = frozenset(("true", "false", "null"))
_SOURCE_NAME = r"[A-Za-z_$][A-Za-z_0-9$]*+"
_SOURCE_TEXT = r"\"[^\"\\\n\r\x00]*+\"|'[^'\\\n\r\x00]++'"
_JAVA_ATOM = rf"{_SOURCE_TEXT}|-?(?:0|[1-9][0-9]*+)(?:[lL]|(?:\.[0-9]++)?[fFdD]?)"
_JS_ATOM = rf"{_SOURCE_TEXT}|-?(?:0|[1-9][0-9]*+)(?:n|(?:\.[0-9]++)?)"
_SOURCE_CALL = re.compile(rf" *+({_SOURCE_NAME}(?:\.{_SOURCE_NAME})*+)\( *+(\))?")
_JAVA_ARGUMENT = re.compile(
    rf" *+({_SOURCE_NAME}) *+= *+(?:(?P<atom>{_JAVA_ATOM})|(?P<name>{_SOURCE_NAME}(?:\.{_SOURCE_NAME})*+)) *+([,)])"
)
_JS_ITEM = rf" *+(?:{_JS_ATOM}|true|false|null) *+"
_JS_LIST = rf"\[(?:{_JS_ITEM}(?:,{_JS_ITEM})*+)?\]"
_JS_PAIR = rf" *+(?:{_SOURCE_TEXT}|(?!get\b|set\b|async\b){_SOURCE_NAME}) *+:{_JS_ITEM}"
_JS_OBJECT = rf"\{{(?:{_JS_PAIR}(?:,{_JS_PAIR})*+)?\}}"
_JS_ARGUMENT = re.compile(
    rf" *+({_SOURCE_NAME}) *+= *+(?:(?P<atom>{_JS_ATOM}|{_JS_LIST}|{_JS_OBJECT})"
    rf"|(?P<name>{_SOURCE_NAME}(?:\.{_SOURCE_NAME})*+)) *+([,)])"
)
_SOURCE_END = re.compile(r" *+;? *+\Z")
_SOURCE_SHORTEST = 20
"""Characters; shorter Java is subject to rules of its own."""
_DEEPEST = 20
"""Python's parser gives up at some depth of brackets; far before that it is asked."""
_LONGEST = 500
"""Characters of a dotted name: with many dots too a parser gives up at some depth."""


class _NotPlainError(Exception):
    """Something that only Python's parser can read, or refuse."""


def read_plain(source: str) -> list[tuple[str, dict[Any, Any]]] | None:
    """(name, arguments) of each call of `[f(a=1), g()]`; None where the source is not plain."""
    try:
        return _calls(source)
    except _NotPlainError:
        return None


def read_plain_java(source: str) -> tuple[str, dict[Any, Any]] | None:
    """(name, arguments as text) of `f(a=1)`; None where the source is not plain."""
    if len(source.strip(" ")) < _SOURCE_SHORTEST or not source.isascii():
        return None
    return _source_call(source, _JAVA_ARGUMENT)


def read_plain_javascript(source: str) -> tuple[str, dict[Any, Any]] | None:
    """(name, arguments as text) of `f(a=1)`; None where the source is not plain."""
    return _source_call(source, _JS_ARGUMENT)


def _source_call(source: str, pattern: re.Pattern[str]) -> tuple[str, dict[Any, Any]] | None:
    head = _SOURCE_CALL.match(source)
    if head is None or len(head[1]) > _LONGEST or not _SOURCE_RESERVED.isdisjoint(head[1].split(".")):
        return None
    position, mark = head.end(), head[2]
    arguments: dict[Any, Any] = {}
    while mark != ")":
        match = pattern.match(source, position)
        if match is None:
            return None
        key, atom, name, mark = match.groups()
        if key in arguments or key in _SOURCE_RESERVED:
            return None
        if atom is not None:
            arguments[key] = atom[1:-1] if atom[0] in "\"'" else atom
        elif name in _CONSTANTS or (len(name) <= _LONGEST and _SOURCE_RESERVED.isdisjoint(name.split("."))):
            arguments[key] = name
        else:
            return None
        position = match.end()
    return (head[1], arguments) if _SOURCE_END.match(source, position) else None


def _calls(source: str) -> list[tuple[str, dict[Any, Any]]]:
    found: list[tuple[str, dict[Any, Any]]] = []
    position = 1  # behind the opening bracket
    while True:
        head = _CALL.match(source, position)
        if head is None:
            raise _NotPlainError
        name, position = head[1], head.end()
        if len(name) > _LONGEST or not _RESERVED.isdisjoint(name.split(".")):
            raise _NotPlainError
        arguments: dict[Any, Any] = {}
        mark = head[2]
        while mark != ")":
            match = _ARGUMENT.match(source, position)
            if match is None:
                raise _NotPlainError
            key = match[1]
            if key in arguments or key in _RESERVED:
                raise _NotPlainError
            arguments[key], position = _value(source, match, 1)
            end = _NEXT.match(source, position)
            if end is None or (mark := end[1]) not in ",)":
                raise _NotPlainError
            position = end.end()
        found.append((name, arguments))
        end = _NEXT.match(source, position)
        if end is None:
            raise _NotPlainError
        position = end.end()
        if end[1] == "]" and _END.match(source, position):
            return found
        if end[1] != ",":
            raise _NotPlainError


def _value(source: str, match: re.Match[str], depth: int) -> tuple[Any, int]:
    """The value that the pattern has found, and where it ends."""
    kind = match.lastgroup
    raw = match[kind or 0]
    if kind in ("double", "single"):
        return raw, match.end()
    if kind == "int":
        return int(raw), match.end()
    if kind == "float":
        return float(raw), match.end()
    if kind == "word":
        return _WORDS[raw], match.end()
    if depth >= _DEEPEST:
        raise _NotPlainError
    return (_list if raw == "[" else _object)(source, match.end(), depth + 1)


def _list(source: str, position: int, depth: int) -> tuple[list[Any], int]:
    items: list[Any] = []
    end = _NEXT.match(source, position)
    if end is not None and end[1] == "]":
        return items, end.end()
    while True:
        match = _ITEM.match(source, position)
        if match is None:
            raise _NotPlainError
        item, position = _value(source, match, depth)
        items.append(item)
        end = _NEXT.match(source, position)
        if end is None:
            raise _NotPlainError
        position = end.end()
        if end[1] == "]":
            return items, position
        if end[1] != ",":
            raise _NotPlainError


def _object(source: str, position: int, depth: int) -> tuple[dict[Any, Any], int]:
    items: dict[Any, Any] = {}
    end = _NEXT.match(source, position)
    if end is not None and end[1] == "}":
        return items, end.end()
    while True:
        match = _ITEM.match(source, position)
        if match is None or match.lastgroup == "open":
            raise _NotPlainError
        key, position = _value(source, match, depth)
        colon = _NEXT.match(source, position)
        if colon is None or colon[1] != ":":
            raise _NotPlainError
        match = _ITEM.match(source, colon.end())
        if match is None:
            raise _NotPlainError
        items[key], position = _value(source, match, depth)
        end = _NEXT.match(source, position)
        if end is None:
            raise _NotPlainError
        position = end.end()
        if end[1] == "}":
            return items, position
        if end[1] != ",":
            raise _NotPlainError
