"""Java and JavaScript source text as values, as the leaderboard converts arguments before it compares them.

Source of the rules: bfcl-eval 2026.3.23 (Apache-2.0), `ast_eval/type_convertor/`. They are patterns over text, not
parsers: a comma inside a text splits a list there, and a Java collection with a body has lost it before it comes here.
What does not fit its type stays text, and then fails the type check or is compared as a variable's name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from toolace.calls.bfcl import Language
from toolace.evaluation.benchmarks.bfcl_patterns import Bounded, EndlessError

_WHOLE = re.compile(r"-?\d+\n?\Z")
_LONG = re.compile(r"-?\d+[lL]\n?\Z")
_BIGINT = re.compile(r"-?\d+n\n?\Z")
_DECIMAL = re.compile(r"-?\d+(?:\.\d+)?\n?\Z")
_DOUBLE = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\n?\Z")
_FLOAT = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?[fF]\n?\Z")

_JAVA_ARRAY = Bounded(r"new\s+\w+\[\]\s*\{(?P<items>.*?)\}")
_JAVA_LIST = Bounded(r"new\s+ArrayList<\w*>\(Arrays\.asList\((?P<items>.+?)\)\)")
_JAVA_ADDS = Bounded(r"(?s)new\s+ArrayList<\w*>\(\)\s*\{\{\s*(?P<items>.+?)\s*\}\}")
_JAVA_NO_LIST = Bounded(r"new\s+ArrayList<\w*>\(\)")
_JAVA_MAP = Bounded(r"(?s)new\s+HashMap<.*?>\s*\(\)\s*\{\s*\{?\s*(?P<items>.*?)\s*\}?\s*\}")
_JAVA_NO_MAP = Bounded(r"new\s+HashMap<.*?>\s*\(\)")
_JAVA_ADD = Bounded(r"add\((.+?)\)")
_JAVA_PUT = Bounded(r'put\("(.*?)",\s*(.*?)\)')

_ROW = r"\s*\[.*?\]\s*(?:,\s*\[.*?\]\s*)*"
_JS_ROWS = Bounded(rf"\[{_ROW}\]|\bnew\s+Array\({_ROW}\)")
_JS_ROW = Bounded(r"\[(.*?)\]")
_JS_ARRAY = Bounded(r"\[(?P<literal>.*?)\]|\bnew\s+Array\((?P<made>.*?)\)")
_JS_OBJECT = Bounded(r"\{(?P<items>.*?)\}")
_JS_PAIR = Bounded(r"([^:]+):\s*(.*?)(?:,\s*(?=[^,]+:)|$)")


def _if_match(pattern: re.Pattern[str], make: Callable[[str], Any]) -> Callable[[str, str | None], Any]:
    return lambda text, _: make(text) if pattern.match(text) else text


def _boolean(text: str, _: str | None) -> Any:
    return {"true": True, "false": False}.get(text, text)


def _as_it_is(text: str, _: str | None) -> Any:
    return text


def _quoted(text: str) -> bool:
    return (text.startswith('"') and text.endswith('"')) or (text.startswith("'") and text.endswith("'"))


def _number(text: str) -> Any:
    for make in (int, float):
        try:
            return make(text)
        except ValueError:
            continue
    return text


def _java_item(text: str) -> Any:
    """A value of which no type is known."""
    if text in ("true", "false"):
        return text == "true"
    if text.startswith('"') and text.endswith('"'):
        return text[1:-1]
    if _LONG.match(text):
        return int(text[:-1])
    return float(text.rstrip("\n")[:-1]) if _FLOAT.match(text) else _number(text)


def _java_typed(text: str, items: str | None) -> Any:
    return _java_item(text) if items is None else _convert_java(text, items, None)


def _java_array(text: str, items: str | None) -> Any:
    found = _JAVA_ARRAY.search(text)
    if not found:
        return text
    return [_java_typed(item.strip(), items) for item in found["items"].split(",") if item.strip()]


def _java_list(text: str, items: str | None) -> Any:
    if found := _JAVA_LIST.search(text):
        parts = found["items"].split(",")
    elif found := _JAVA_ADDS.search(text):
        parts = _JAVA_ADD.findall(found["items"])
    else:
        return [] if _JAVA_NO_LIST.search(text) else text
    stripped = [part.strip() for part in parts]
    if items in ("char", "String"):  # the quotes go, whatever they are
        return [part[1:-1] for part in stripped]
    return [_java_typed(part, items) for part in stripped]


def _java_map(text: str, _: str | None) -> Any:
    if found := _JAVA_MAP.search(text):
        return {key: _java_item(value.strip()) for key, value in _JAVA_PUT.findall(found["items"])}
    return {} if _JAVA_NO_MAP.search(text) else text


def _js_item(text: str) -> Any:
    text = text.strip()
    if text in ("true", "false"):
        return text == "true"
    return text[1:-1] if _quoted(text) else _number(text)


def _js_array(text: str, items: str | None) -> Any:
    text = text.strip()
    if rows := _JS_ROWS.match(text):
        inner = _JS_ROW.findall(rows[0])
        first = [row.strip().removeprefix("[") for row in inner[:1]]
        return [[_js_item(item) for item in row.strip().split(",")] for row in first + inner[1:]]
    found = _JS_ARRAY.match(text)
    if not found:
        return text
    content = (found["made"] if found["literal"] is None else found["literal"]).strip()
    parts = [part.strip() for part in content.split(",")] if content else []
    try:
        return [_js_item(part) if items is None else _convert_js(part, items, None) for part in parts]
    except EndlessError:
        raise
    except (ValueError, LookupError):  # an integer of thousands of digits, items of no type: in Java this is not caught
        return text


def _js_object(text: str, _: str | None) -> Any:
    text = text.strip()
    if text == "{}":
        return {}
    found = _JS_OBJECT.match(text)
    if not found:
        return text
    out = {}
    for key, value in _JS_PAIR.findall(found["items"]):
        value = value.strip()
        if value.startswith("[") and value.endswith("]"):
            out[key.strip().strip("'\"")] = _js_array(value, None)
        elif value.startswith("{") and value.endswith("}"):
            out[key.strip().strip("'\"")] = _js_object(value, None)
        else:
            out[key.strip().strip("'\"")] = _js_item(value.strip("'\""))
    return out


_Rules = dict[str, tuple[type, Callable[[str, str | None], Any]]]
_whole = _if_match(_WHOLE, int)

_JAVA: _Rules = {
    "byte": (int, _whole), "short": (int, _whole), "integer": (int, _whole),
    "long": (int, _if_match(_LONG, lambda text: int(text.rstrip("\n")[:-1]))),
    "float": (float, _if_match(_FLOAT, lambda text: float(text.rstrip("\n")[:-1]))),
    "double": (float, _if_match(_DOUBLE, float)),
    "boolean": (bool, _boolean), "char": (str, _as_it_is), "String": (str, _as_it_is), "any": (str, _as_it_is),
    "Array": (list, _java_array), "ArrayList": (list, _java_list), "HashMap": (dict, _java_map),
}  # fmt: skip
_JS: _Rules = {
    "String": (str, lambda text, _: text[1:-1] if _quoted(text) else text), "any": (str, _as_it_is),
    "integer": (int, _whole), "float": (float, _if_match(_DECIMAL, float)),
    "Bigint": (int, _if_match(_BIGINT, lambda text: int(text[:-1]))), "Boolean": (bool, _boolean),
    "array": (list, _js_array), "dict": (dict, _js_object),
}  # fmt: skip


def _convert_java(text: str, type_name: str, items: str | None) -> Any:
    return _JAVA[type_name][1](text, items)


def _convert_js(text: str, type_name: str, items: str | None) -> Any:
    return _JS[type_name][1](text, items)


def _types(rules: _Rules) -> dict[str, type]:
    return {name: kind for name, (kind, _) in rules.items()}


JAVA = Language("type_error:java", _types(_JAVA), frozenset({"Array", "ArrayList"}), _convert_java)
JAVASCRIPT = Language("type_error:js", _types(_JS), frozenset({"array"}), _convert_js)
"""A schema type that is not in `types` is one the leaderboard cannot convert either: it stops there."""
