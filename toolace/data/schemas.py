"""Tool definitions of all sources → JSON Schema.

Sources write `"type": "dict"`, Python type names (`"List[int]"`, `"str, optional"`) and flat `{name: {type, ...}}`
parameters. All become `{"type": "object", "properties": {...}, "required": [...]}`; unknown keys stay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from toolace.calls.schema import Tool
from toolace.data.records import RowError, parse_json, shorten

Derive = Literal["always", "marked", "never"]
"""Which parameters of a definition without a `required` list are required: `always`: those neither marked optional
nor with a default; `marked`: the same, but only in tools where something is marked; `never`: none."""

JSON_TYPES = {
    "str": "string", "string": "string", "text": "string", "char": "string", "datetime": "string", "date": "string",
    "int": "integer", "integer": "integer", "long": "integer",
    "float": "number", "number": "number", "double": "number",
    "bool": "boolean", "boolean": "boolean",
    "list": "array", "array": "array", "tuple": "array", "set": "array", "sequence": "array", "iterable": "array",
    "dict": "object", "object": "object", "mapping": "object", "hashmap": "object",
    "none": "null", "null": "null", "nonetype": "null",
}  # fmt: skip
"""Type names in lower case. A name that is not here, such as `Callable`, becomes a string."""

_GENERIC = re.compile(r"\s*(?:typing\.)?([A-Za-z_][\w.]*)\s*(?:\[(.*)\])?\s*\Z", re.DOTALL)
_OPTIONAL = re.compile(r"\boptional\b|\bdefault\s*=", re.IGNORECASE)


def make_tool(
    name: Any, description: Any, parameters: Any, *, required: Any = None, derive: Derive = "marked", filler: Any = None
) -> Tool:
    """A tool from a source's parts, with the source's name. Raises `RowError` (`bad_tools`).

    `required` is a list that stands beside the parameters. `filler` is a default value that the source wrote where
    there was none.
    """
    if not isinstance(name, str) or not name.strip():
        raise RowError(f"bad_tools: a tool's name is {shorten(name)}")
    if isinstance(parameters, str):
        try:
            parameters = parse_json(parameters) if parameters.strip() else {}
        except ValueError as error:
            raise RowError(f"bad_tools: the parameters of {name!r} are not JSON: {error}") from None
    parameters = {} if parameters is None or parameters == [] else parameters
    if not isinstance(parameters, Mapping):
        raise RowError(f"bad_tools: the parameters of {name!r} are {shorten(parameters)}, not an object")
    schema = normalise_parameters(parameters, required=required, derive=derive, filler=filler)
    return Tool(name=name.strip(), description=str(description or ""), parameters=schema)


def normalise_parameters(
    raw: Mapping[str, Any], *, required: Any = None, derive: Derive = "marked", filler: Any = None
) -> dict[str, Any]:
    """Any source's parameters as a JSON Schema object."""
    if is_nested(raw):
        schema = {key: value for key, value in raw.items() if key not in ("properties", "required")}
        properties = raw.get("properties") or {}
        required = raw["required"] if isinstance(raw.get("required"), list) else required
    else:
        schema, properties = {}, raw
    if not isinstance(properties, Mapping):
        raise RowError(f"bad_tools: properties are {shorten(properties)}, not an object")
    schema["type"] = "object"
    out: dict[str, Any] = {}
    needed, marked = [], False
    for name, value in properties.items():
        out[name], optional, own = _property(value)
        marked = marked or optional
        has_default = isinstance(value, Mapping) and "default" in value and value["default"] != filler
        if own or (own is None and not optional and not has_default):
            needed.append(name)
    schema["properties"] = out
    if isinstance(required, Sequence) and not isinstance(required, str):
        # A name that is no parameter can never be given; leave it out.
        schema["required"] = [name for name in required if isinstance(name, str) and name in out]
    elif derive == "always" or (derive == "marked" and marked):
        schema["required"] = needed
    return {"type": "object", **schema}


def is_nested(raw: Mapping[str, Any]) -> bool:
    """Whether parameters are a schema with `properties`, not a flat `{name: {type, ...}}` map.

    A flat map may have parameters that are called `type` or `properties`.
    """
    if isinstance(raw.get("type"), str):
        return raw["type"].lower() in ("object", "dict")
    properties = raw.get("properties")
    return (
        "type" not in raw
        and isinstance(properties, Mapping)
        and all(isinstance(value, Mapping) for value in properties.values())
    )


_MEANT: dict[str, tuple[type | tuple[type, ...], str]] = {
    "type": ((str, list), "a name or a list of names"),
    "description": (str, "text"),
    "properties": (Mapping, "an object"),
    "required": ((list, bool), "a list"),
    "enum": (list, "a list"),
    "items": ((Mapping, list, bool), "a schema"),
    "anyOf": (list, "a list"),
    "oneOf": (list, "a list"),
    "allOf": (list, "a list"),
}
"""What JSON Schema's keywords hold, of those that chat templates go through."""


def wrong_part(schema: Mapping[str, Any], where: str = "") -> str | None:
    """The first keyword of a schema, at any level, that does not hold what it must; null counts as not given."""
    for key, (kinds, meant) in _MEANT.items():
        value = schema.get(key)
        if value is not None and not isinstance(value, kinds):
            return f"{where}{key} is {shorten(value)}, not {meant}"
    inner: list[tuple[str, Any]] = [
        (f"{where}{name}.", part) for name, part in (schema.get("properties") or {}).items()
    ]
    for key in ("items", "anyOf", "oneOf", "allOf"):
        value = schema.get(key)
        inner += [(f"{where}{key}.", part) for part in (value if isinstance(value, list) else [value])]
    for place, part in inner:
        if isinstance(part, Mapping):
            if wrong := wrong_part(part, place):
                return wrong
        elif part is not None and not isinstance(part, bool):
            return f"{place[:-1]} is {shorten(part)}, not a schema"
    return None


def _property(raw: Any) -> tuple[dict[str, Any], bool, bool | None]:
    """(schema of one parameter, marked optional, its own required flag if it has one)."""
    if isinstance(raw, str):
        raw = {"type": raw}
    if not isinstance(raw, Mapping):
        raise RowError(f"bad_tools: a parameter is {shorten(raw)}, not an object with a type")
    schema = {key: value for key, value in raw.items() if key not in ("type", "required")}
    for key in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(key), list):
            schema[key] = [_property(item)[0] for item in schema[key]]
    if isinstance(schema.get("items"), Mapping | str):
        schema["items"] = _property(schema["items"])[0]
    if isinstance(schema.get("properties"), Mapping):
        nested = {**schema, "type": "object", "required": raw.get("required")}
        schema = normalise_parameters(nested, derive="never")
    own = raw["required"] if isinstance(raw.get("required"), bool) else None
    declared = raw.get("type")
    if isinstance(declared, list):
        kinds = [JSON_TYPES.get(str(kind).lower(), "string") for kind in declared]
        return {"type": kinds, **schema}, False, own
    if not isinstance(declared, str):
        return schema, False, own
    text, comma, note = _split_note(declared)
    kind, optional = _python_type(text)
    return {**kind, **schema}, optional or bool(comma and _OPTIONAL.search(note)), own


def _split_note(text: str) -> tuple[str, str, str]:
    """`List[int], optional` → (`List[int]`, `,`, ` optional`): the first comma outside brackets."""
    depth = 0
    for index, char in enumerate(text):
        depth += (char in "[(") - (char in "])")
        if char == "," and depth == 0:
            return text[:index], ",", text[index + 1 :]
    return text, "", ""


def _python_type(text: str) -> tuple[dict[str, Any], bool]:
    """(JSON Schema of a Python or JSON type name, whether it is `Optional[...]`)."""
    found = _GENERIC.match(text)
    if not found:
        return {"type": "string"}, False
    name, inner = found.group(1).rpartition(".")[2].lower(), found.group(2)
    parts = _arguments(inner) if inner else []
    if name == "any":
        return {}, False
    if name in ("union", "optional") and parts:
        kinds = [_python_type(part)[0] for part in parts]
        some = [kind for kind in kinds if kind.get("type") != "null"]
        optional = name == "optional" or len(some) < len(kinds)
        unique = list({str(kind): kind for kind in some}.values())
        return (unique[0] if len(unique) == 1 else {"anyOf": unique}), optional
    kind: dict[str, Any] = {"type": JSON_TYPES.get(name, "string")}
    if kind["type"] == "array" and parts:
        items = [_python_type(part)[0] for part in parts if part != "..."]
        if items and all(item == items[0] for item in items):
            kind["items"] = items[0]
    return kind, False


def _arguments(inner: str) -> list[str]:
    """`int, List[float]` → [`int`, `List[float]`]."""
    parts, comma = [], ","
    while comma:
        part, comma, inner = _split_note(inner)
        parts.append(part.strip())
    return parts
