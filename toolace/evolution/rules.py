"""Rules that a model's own tools and calls must keep before anything is trained on them.

The paper drops answers with a bad format, a tool that is not among the candidates, missing required parameters and
wrong types (ToolACE-DEV); unknown parameters, and what makes a definition usable, are this project's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from toolace.calls.schema import Call, Tool

ToolFault = Literal["no_tools", "too_many_tools", "duplicate_name", "bad_name", "no_description", "bad_schema"]
CallFault = Literal["no_call", "unknown_tool", "missing_required", "unknown_param", "wrong_type"]

_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}
_BRANCHES = frozenset(("anyOf", "oneOf", "allOf"))


def tool_fault(tools: Sequence[Tool], most: int) -> tuple[ToolFault, str] | None:
    """The first rule that candidate tools break, with the detail; None where they keep all. Never raises.

    `most`: so many tools at the most. Names must be distinct, without control characters or outer white space;
    descriptions not empty; parameters a schema of an object whose `required` are properties. Schemas may have JSON
    Schema's types, several of them, or none, and `anyOf`, `oneOf`, `allOf`, `enum`, `items`, `properties`,
    `additionalProperties`; a `$ref` is refused, other keywords are not looked at.
    """
    if not tools:
        return "no_tools", "an empty list"
    if len(tools) > most:
        return "too_many_tools", f"{len(tools)} tools, at most {most}"
    names = [tool.name for tool in tools]
    for tool in tools:
        if names.count(tool.name) > 1:
            return "duplicate_name", repr(tool.name)
        if tool.name != tool.name.strip() or not tool.name.isprintable():
            return "bad_name", repr(tool.name)
        if not tool.description.strip():
            return "no_description", repr(tool.name)
        kind = tool.parameters.get("type", "object")
        detail = _schema_fault(tool.parameters) if kind == "object" else f"the type {kind!r:.60} is not object"
        if detail:
            return "bad_schema", f"{tool.name!r}: {detail}"
    return None


def call_fault(calls: Sequence[Call], tools: Sequence[Tool]) -> tuple[CallFault, str] | None:
    """The first rule that calls over tools break, with the detail; None where they keep all.

    The tools are such that `tool_fault` finds nothing. Types are those of JSON Schema: 3.0 is an integer, true is none.
    Stricter than JSON Schema: a parameter, or a key of an object, that no property describes is unknown, unless
    `additionalProperties` allows it or the object describes no keys at all.
    """
    if not calls:
        return "no_call", "an answer without a call"
    by_name = {tool.name: tool for tool in tools}
    for call in calls:
        tool = by_name.get(call.name)
        if tool is None:
            return "unknown_tool", repr(call.name)
        properties, others = tool.parameters.get("properties") or {}, tool.parameters.get("additionalProperties")
        for name in tool.parameters.get("required") or ():
            if name not in call.arguments:
                return "missing_required", f"{call.name}: {name!r}"
        for name, value in call.arguments.items():
            if name not in properties and (others is None or others is False):
                return "unknown_param", f"{call.name}: {name!r}"
            if detail := _type_fault(value, properties.get(name, others)):
                return "wrong_type", f"{call.name}: {name!r} {detail}"
    return None


def _schema_fault(schema: Any) -> str | None:
    """Why a schema is of no use to a caller; None where it is."""
    if not isinstance(schema, Mapping):
        return f"{schema!r:.60} is no schema"
    if "$ref" in schema or "$dynamicRef" in schema:
        return "a $ref, whose target a call cannot be held against"
    if "type" in schema and (_kinds(schema) is None or not schema["type"]):
        return f"the type {schema['type']!r:.60} is not one of {', '.join(_KINDS)}"
    if "enum" in schema and (not isinstance(schema["enum"], list) or not schema["enum"]):
        return f"the enum {schema['enum']!r:.60} lists nothing"
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(properties, Mapping):
        return f"properties are {properties!r:.60}, no object"
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        return f"required {required!r:.60} is no list of names"
    if any(name not in properties for name in required):
        return f"required {required!r:.60} names what is no property"
    children = list(properties.values())
    if "items" in schema:
        children.append(schema["items"])
    if not isinstance(schema.get("additionalProperties", True), bool):
        children.append(schema["additionalProperties"])
    for word in _BRANCHES & schema.keys():
        branches = schema[word]
        if not isinstance(branches, list) or not branches:
            return f"{word} {branches!r:.60} lists no schemas"
        children += branches
    return next((fault for child in children if (fault := _schema_fault(child))), None)


def _kinds(schema: Mapping[str, Any]) -> list[str] | None:
    """The types that a schema names; None where one is no type of JSON Schema."""
    given = schema.get("type", [])
    kinds = given if isinstance(given, list) else [given]
    return kinds if all(isinstance(kind, str) and kind in _KINDS for kind in kinds) else None


def _type_fault(value: Any, schema: Any) -> str | None:
    """Why a value does not fit a schema; None where it does."""
    if not isinstance(schema, Mapping) or (value is None and schema.get("nullable") is True):
        return None
    kinds = _kinds(schema)
    if kinds and not any(_is(value, kind) for kind in kinds):
        return f"is {value!r:.60}, not of type {' or '.join(kinds)}"
    options = schema.get("enum")
    if options is not None and not any(_equal(value, option) for option in options):
        return f"is {value!r:.60}, not one of {options!r:.80}"
    for word, most in (("anyOf", None), ("oneOf", 1)):
        fits = sum(_type_fault(value, branch) is None for branch in schema.get(word, ()))
        if word in schema and not 1 <= fits <= (most or fits):
            return f"is {value!r:.60}, which fits {fits} of the schemas of {word}"
    for branch in schema.get("allOf", ()):
        if fault := _type_fault(value, branch):
            return fault
    if isinstance(value, list) and "items" in schema:
        return next((fault for item in value if (fault := _type_fault(item, schema["items"]))), None)
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        others = schema.get("additionalProperties", not properties)
        for name in schema.get("required", ()):
            if name not in value:
                return f"lacks {name!r}"
        for name, item in value.items():
            if name not in properties and others is False:
                return f"has an unknown key {name!r}"
            if fault := _type_fault(item, properties.get(name, others)):
                return fault
    return None


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _KINDS[kind])


def _equal(value: Any, option: Any) -> bool:
    """As in JSON: 1 is 1.0, and not true."""
    return isinstance(value, bool) == isinstance(option, bool) and value == option
