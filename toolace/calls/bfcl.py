"""One call against one gold call by the rules of the Berkeley Function-Calling Leaderboard's AST checker (Python).

Two kinds of gold. `accepted`: the benchmark's own form, `{parameter: [acceptable value, ...]}`, where `""` among the
values means that the parameter may be left out. `plain`: a reference call, `{parameter: value}`, one value each.
Source of the rules and of the error kinds: bfcl-eval 2026.3.23 (Apache-2.0), `eval_checker/ast_eval/ast_checker.py`,
here without the prefix that names the checker.

- The name must be equal, every required parameter present.
- A value's type must be the schema's: int passes for float; float does not pass for int, nor a numeral in quotes, nor
  bool for int; a tuple passes for `tuple` only; the items of an array are checked one level deep.
- A value of another type passes if it has the type of the first acceptable value that is not `""` (the gold then holds
  a variable's name); it is compared as it is.
- Strings are compared without the characters ` ,./-_*^`, in lower case, with ' as "; strings in lists and as values of
  objects too. Lists are compared in order. Objects are compared key by key, one level deep.
- In the Java and JavaScript categories every argument is a text, which `Language.convert` makes into a value first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

_TYPES: dict[str, type] = {
    "string": str, "any": str, "integer": int, "float": float, "number": float, "boolean": bool,
    "array": list, "tuple": list, "dict": dict, "object": dict,
}  # fmt: skip
_SCALARS = frozenset((str, int, float, bool))
_DROPPED = str.maketrans("'", '"', " ,./-_*^")


class Failure(NamedTuple):
    """Why a call does not match: an error kind of the benchmark, and a sentence for a person."""

    error: str
    detail: str


class Called(Protocol):
    """A call: `toolace.calls.Call`, or what a benchmark's own decoder reads."""

    @property
    def name(self) -> str: ...

    @property
    def arguments(self) -> Mapping[Any, Any]: ...


class Language(NamedTuple):
    """How the benchmark reads arguments that a model writes as source text of another language.

    `types`: schema type -> type after conversion. `nested`: the schema types whose items have a type of their own.
    `convert(text, type, item type)` gives the value, or the text itself where it is not one. `error` is the kind of an
    argument that is not text.
    """

    error: str
    types: Mapping[str, type]
    nested: frozenset[str]
    convert: Callable[[str, str, str | None], Any]


def check_accepted(
    call: Called,
    name: str,
    gold: Mapping[str, Sequence[Any]],
    schema: Mapping[str, Any],
    language: Language | None = None,
) -> Failure | None:
    """None if `call` matches the benchmark's gold for the function `name` with this parameter schema."""
    if failure := _check_names(call, name, schema.get("required") or ()):
        return failure
    properties: Mapping[str, Any] = schema.get("properties") or {}
    for key, value in call.arguments.items():
        if key not in properties or key not in gold:
            return Failure("unexpected_param", f"{name}: {key!r} is not expected")
        where = f"{name}.{key}"
        if language is None:
            failure = _check_value(where, value, gold[key], properties[key], plain=False)
        else:
            failure = _check_text(where, value, gold[key], properties[key], language)
        if failure:
            return failure
    for key, accepted in gold.items():
        if key not in call.arguments and "" not in accepted:
            return Failure("missing_optional", f"{name}: {key!r} is missing, and the reference does not leave it out")
    return None


def check_plain(call: Called, reference: Called, schema: Mapping[str, Any]) -> Failure | None:
    """None if `call` matches a reference call with one value a parameter.

    Beside the rules above: a required parameter that the reference itself lacks is not asked for; a parameter that is
    not in the schema takes the reference value's type; an argument that the reference lacks, and an argument of the
    reference that is left out, pass if they hold the schema's `default` and are not required.
    """
    name, gold = reference.name, reference.arguments
    properties: Mapping[str, Any] = schema.get("properties") or {}
    required = frozenset(schema.get("required") or ())
    if failure := _check_names(call, name, [key for key in gold if key in required]):
        return failure
    for key, value in call.arguments.items():
        details = properties.get(key) or {}
        if key in gold:
            wanted = gold[key]
        elif key not in required and "default" in details:
            wanted = details["default"]
        else:
            return Failure("unexpected_param", f"{name}: {key!r} is not expected")
        if failure := _check_value(f"{name}.{key}", value, [wanted], details, plain=True):
            return failure if key in gold else Failure("unexpected_param", f"{failure.detail} (the default)")
    for key, wanted in gold.items():
        if key not in call.arguments:
            details = properties.get(key) or {}
            if "default" not in details or _check_value(key, wanted, [details["default"]], details, plain=True):
                return Failure("missing_optional", f"{name}: {key!r} is missing")
    return None


def _check_names(call: Called, name: str, required: Sequence[str]) -> Failure | None:
    if call.name != name:
        return Failure("wrong_func_name", f"expected {name!r}, got {call.name!r}")
    for key in required:
        if key not in call.arguments:
            return Failure("missing_required", f"{name}: the required {key!r} is missing")
    return None


def _check_value(where: str, value: Any, accepted: Sequence[Any], details: Any, plain: bool) -> Failure | None:
    """One argument. `details` is the parameter's schema; without a known type there, the gold's type is expected."""
    gold_type = _gold_type(accepted, plain)
    declared = details.get("type") if isinstance(details, Mapping) else None
    expected = _TYPES.get(declared) if isinstance(declared, str) else None
    items = None
    if expected is list and isinstance(details.get("items"), Mapping):
        item_type = details["items"].get("type")
        items = _TYPES.get(item_type) if isinstance(item_type, str) else None
    if expected is None:
        expected = gold_type or type(value)

    if declared == "tuple" and type(value) is tuple:
        value = list(value)
    if expected is float and type(value) is int:
        value = _as_float(value)
    return _compare(where, value, accepted, expected, items, gold_type, plain)


def _check_text(
    where: str, value: Any, accepted: Sequence[Any], details: Mapping[str, Any], language: Language
) -> Failure | None:
    """One argument of a Java or JavaScript call."""
    declared = details["type"]
    if type(value) is not str:
        return Failure(language.error, f"{where}: expected text, got {type(value).__name__}")
    item_type = details["items"]["type"] if declared in language.nested else None
    value = language.convert(value, declared, item_type)
    items = None if item_type is None else language.types[item_type]
    return _compare(where, value, accepted, language.types[declared], items, _gold_type(accepted), plain=False)


def _compare(
    where: str,
    value: Any,
    accepted: Sequence[Any],
    expected: type,
    items: type | None,
    gold_type: type | None,
    plain: bool,
) -> Failure | None:
    if expected in _SCALARS and type(value) is expected and type(accepted) is list and value in accepted:
        return None  # what all the rules below come to for such a value
    failure, variable = _check_type(where, value, accepted, expected, items, gold_type)
    if failure is None and not variable:
        if expected is dict:
            return _check_dict(where, value, accepted, plain)
        if expected is list and items is dict:
            return _check_dicts(where, value, accepted, plain)
        if expected is str:
            return _check_string(where, value, accepted)
        if expected is list:
            return _check_list(where, value, accepted, plain)
    if failure is None and value not in accepted:
        return _wrong("value_error:others", where, value, accepted)
    return failure


def _gold_type(accepted: Any, plain: bool = False) -> type | None:
    """The type of the first acceptable value; `""` is none, for in the benchmark's gold it only marks an option."""
    for item in accepted:
        if plain or item != "":
            return type(item)
    return None


def _check_type(
    where: str, value: Any, accepted: Sequence[Any], expected: type, items: type | None, gold_type: type | None
) -> tuple[Failure | None, bool]:
    """The failure, if any, and whether the gold is a variable: a value of another type than the schema's."""
    variable = gold_type is not None and gold_type is not expected
    error = "type_error:simple"
    if type(value) is expected:
        if items is None or any(_items_pass(value, option, items) for option in accepted):
            return None, variable
        if gold_type is list:
            error = "type_error:nested"
    elif gold_type is not None and type(value) is gold_type:
        return None, True
    got = [type(item).__name__ for item in value] if error == "type_error:nested" else type(value).__name__
    return Failure(error, f"{where}: expected {expected.__name__}, got {got}"), variable


def _items_pass(value: Any, option: Any, items: type) -> bool:
    if type(option) is not list:
        return True
    gold_type = _gold_type(option)
    return all(type(item) is items or (gold_type is not None and type(item) is gold_type) for item in value)


def _check_string(where: str, value: str, accepted: Sequence[Any]) -> Failure | None:
    if standardise(value) in [standardise(option) for option in accepted if type(option) is str]:
        return None
    return _wrong("value_error:string", where, value, accepted)


def _check_list(where: str, value: list[Any], accepted: Sequence[Any], plain: bool) -> Failure | None:
    found = [_standard(item) for item in value]
    for option in accepted:
        # The benchmark takes a string option apart into letters; "" so becomes the empty list, which is accepted.
        whole = isinstance(option, list | tuple) or (type(option) is str and not plain)
        if whole and found == [_standard(item) for item in option]:
            return None
    return _wrong("value_error:list/tuple", where, value, accepted)


def _check_dict(where: str, value: dict[str, Any], accepted: Sequence[Any], plain: bool) -> Failure | None:
    failure = _wrong("value_error:dict_value" if plain else "dict_checker:unclear", where, value, accepted)
    for option in accepted:
        if isinstance(option, Mapping):
            if (found := _check_keys(where, value, option, plain)) is None:
                return None
            failure = found
    return failure


def _check_keys(where: str, value: dict[str, Any], option: Mapping[str, Any], plain: bool) -> Failure | None:
    # The benchmark takes a text in place of a list of choices for the list of its letters, and for an optional one.
    choices = {key: [item] if plain or not isinstance(item, list | str) else item for key, item in option.items()}
    for key, accepted in choices.items():
        if key not in value and (plain or "" not in accepted):
            return Failure("value_error:dict_key", f"{where}: key {key!r} is missing")
    for key, item in value.items():
        if key not in choices:
            return Failure("value_error:dict_key", f"{where}: key {key!r} is not expected")
        if _standard(item) not in [_standard(choice) for choice in choices[key]]:
            return _wrong("value_error:dict_value", f"{where}.{key}", item, choices[key])
    return None


def _check_dicts(where: str, value: list[Any], accepted: Sequence[Any], plain: bool) -> Failure | None:
    failure = _wrong("value_error:list_dict_count", where, value, accepted)
    for option in accepted:
        if not isinstance(option, str | list | tuple) or len(option) != len(value):
            failure = _wrong("value_error:list_dict_count", where, value, accepted)
            continue
        for index, (item, wanted) in enumerate(zip(value, option, strict=True)):
            found = (
                _check_dict(f"{where}[{index}]", item, [wanted], plain)
                if isinstance(item, dict)
                else _wrong("type_error:nested", f"{where}[{index}]", item, [wanted])
            )
            if found:
                failure = found
                break
        else:
            return None
    return failure


def standardise(text: str) -> str:
    """A string as the benchmark compares it: without ` ,./-_*^`, in lower case, with ' as "."""
    return text.translate(_DROPPED).lower()


def _standard(value: Any) -> Any:
    return standardise(value) if type(value) is str else value


def _as_float(value: int) -> int | float:
    try:
        return float(value)
    except OverflowError:
        return value


def _wrong(error: str, where: str, value: Any, accepted: Sequence[Any]) -> Failure:
    return Failure(error, f"{where}: {value!r:.80} is not among {list(accepted)!r:.160}")
