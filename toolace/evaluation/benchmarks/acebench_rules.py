"""ACEBench's rules for calls, as its `checker.py` has them (MIT, commit 56dd66c).

1. The first outermost `[...]` of the answer is read; in multi-turn categories all white space is taken out before.
2. As many calls of each function as the gold has. Each gold call needs an output call that matches it; one output call
   may serve several.
3. Required parameters must be there, none that schema or gold lack; a gold parameter that is not required may be
   missing.
4. Types as in BFCL: a value has the schema's type (int passes for float), or else the gold value's.
5. Strings, without ` ,./-_*^`, in lower case, ' as ": the gold's must be a part of the output's. Lists: equal, in
   order, strings so standardised, objects in them too. Other objects: as many keys, each in the gold, with the gold's
   value, as text, a part of the output's.
6. Numbers and booleans at the top level: only rule 4. A wrong number is right, which is why strict rules stand beside.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from toolace.calls.bfcl import Failure, standardise
from toolace.calls.formats import Answer, parse_answer
from toolace.calls.schema import Call, Tool

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "str": (str,), "any": (str,), "integer": (int,), "int": (int,),
    "number": (float, int), "float": (float, int), "boolean": (bool,), "bool": (bool,),
    "array": (list,), "list": (list,), "tuple": (list,), "object": (dict,), "dict": (dict,), "objectArray": (list,),
}  # fmt: skip
_BY_TYPE = frozenset((int, float, bool, type(None)))
_BRACKET = re.compile(r"[\[\]]")


def read_official(text: str, *, squeeze: bool = False) -> tuple[Answer, bool]:
    """The calls in the first outermost brackets, and nowhere else.

    `squeeze` takes all white space out first. Beside them, whether `read_calls` would read the same calls: the text is
    the list in brackets and nothing else.
    """
    whole = text
    if squeeze:
        text = "".join(text.split())
    start = text.find("[")
    if start < 0:
        return Answer(text=text, error="no list of calls in brackets"), False
    depth = 0
    for bracket in _BRACKET.finditer(text, start):
        depth += 1 if bracket.group() == "[" else -1
        if depth == 0:
            found = text[start : bracket.end()]
            answer = parse_answer(found)
            return answer, bool(answer.calls) and found == whole
    return Answer(text=text, error="the list of calls is not closed"), False


def check_official(calls: Sequence[Call], gold: Sequence[Call], tools: Sequence[Tool]) -> Failure | None:
    """None where the calls match the gold by the official rules."""
    if len(calls) != len(gold):
        return Failure("wrong_count", f"expected {len(gold)} call(s), got {len(calls)}")
    names, wanted = [call.name for call in calls], [call.name for call in gold]
    if names != wanted and sorted(names) != sorted(wanted):
        return Failure("wrong_func_name", f"expected {dict(Counter(wanted))}, got {dict(Counter(names))}")
    schemas = {tool.name: tool.parameters for tool in tools}
    for reference in gold:
        schema = schemas.get(reference.name) or {}
        nearest: Failure | None = None
        for call in calls:
            if call.name == reference.name:
                failure = _check_call(call, reference, schema)
                if failure is None:
                    break
                nearest = nearest or failure
        else:
            return nearest
    return None


def _check_call(call: Call, gold: Call, schema: Mapping[str, Any]) -> Failure | None:
    properties: Mapping[str, Any] = schema.get("properties") or {}
    for key in schema.get("required") or ():
        if key not in call.arguments:
            return Failure("missing_required", f"{call.name}: the required {key!r} is missing")
    for key, value in call.arguments.items():
        if key not in properties or key not in gold.arguments:
            return Failure("unexpected_param", f"{call.name}: {key!r} is not expected")
        if failure := _check_value(f"{call.name}.{key}", value, gold.arguments[key], properties[key]):
            return failure
    return None


def _check_value(where: str, value: Any, gold: Any, details: Any) -> Failure | None:
    kind = type(value)
    if kind is type(gold) and (kind in _BY_TYPE or (kind is str and value == gold)):
        return None  # what the rules below come to for such a value
    declared = details.get("type") if isinstance(details, Mapping) else None
    expected = _TYPES.get(declared) if isinstance(declared, str) else None
    if kind not in (expected or ()) and kind is not type(gold):
        return Failure("type_error", f"{where}: expected {declared or type(gold).__name__}, got {type(value).__name__}")
    if isinstance(value, str) and isinstance(gold, str):
        error, right = "string", value == gold or standardise(gold) in standardise(value)
    elif isinstance(value, list) and isinstance(gold, list):
        error, right = "list", _equal_lists(value, gold)
    elif isinstance(value, dict) and isinstance(gold, dict):
        error, right = "dict", _holds(value, gold)
    else:
        error, right = "others", not isinstance(value, str | list | dict)
    return None if right else Failure(f"value_error:{error}", f"{where}: {value!r:.80} is not {gold!r:.80}")


def _equal_lists(value: Sequence[Any], gold: Sequence[Any]) -> bool:
    return len(value) == len(gold) and all(map(_equal_items, value, gold))


def _equal_items(value: Any, gold: Any) -> bool:
    if isinstance(value, str) and isinstance(gold, str):
        return value == gold or standardise(value) == standardise(gold)
    if isinstance(value, dict) and isinstance(gold, dict):
        return value.keys() == gold.keys() and all(_equal_items(item, gold[key]) for key, item in value.items())
    if isinstance(value, list) and isinstance(gold, list):
        return _equal_lists(value, gold)
    return bool(value == gold)


def _holds(value: Mapping[str, Any], gold: Mapping[str, Any]) -> bool:
    """Whether an object has the gold's keys and holds its values; objects in it are looked into."""
    if value.keys() != gold.keys():
        return False
    return all(
        _holds(item, gold[key])
        if isinstance(item, dict) and isinstance(gold[key], dict)
        else standardise(str(gold[key])) in standardise(str(item))
        for key, item in value.items()
    )
