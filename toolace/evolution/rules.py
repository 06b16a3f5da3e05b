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


def tool_fault(tools: Sequence[Tool], most: int) -> tuple[ToolFault, str] | None:
    """The first rule that candidate tools break, with the detail; None where they keep all.

    `most`: so many tools at the most. Names must be distinct, without control characters or outer white space;
    descriptions not empty; parameters an object schema whose properties have known types and whose `required` are
    properties.
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
        if detail := _schema_fault({"type": "object", **tool.parameters}):
            return "bad_schema", f"{tool.name!r}: {detail}"
    return None


def call_fault(calls: Sequence[Call], tools: Sequence[Tool]) -> tuple[CallFault, str] | None:
    """The first rule that calls over candidate tools break, with the detail; None where they keep all."""
    if not calls:
        return "no_call", "an answer without a call"
    by_name = {tool.name: tool for tool in tools}
    for call in calls:
        tool = by_name.get(call.name)
        if tool is None:
            return "unknown_tool", repr(call.name)
        properties = tool.parameters.get("properties") or {}
        for name in tool.parameters.get("required") or ():
            if name not in call.arguments:
                return "missing_required", f"{call.name}: {name!r}"
        for name, value in call.arguments.items():
            if name not in properties:
                return "unknown_param", f"{call.name}: {name!r}"
            if detail := _type_fault(value, properties[name]):
                return "wrong_type", f"{call.name}: {name!r} {detail}"
    return None


def _schema_fault(schema: Any) -> str | None:
    """Why a schema is of no use to a caller; None where it is."""
    if not isinstance(schema, Mapping):
        return f"{schema!r:.60} is no schema"
    kind, options = schema.get("type"), schema.get("enum")
    if kind not in _KINDS:
        return f"the type {kind!r:.60} is not one of {', '.join(_KINDS)}"
    if options is not None and (not isinstance(options, list) or not options):
        return f"the enum {options!r:.60} lists nothing"
    if kind == "array" and "items" in schema:
        return _schema_fault(schema["items"])
    properties = schema.get("properties", {})
    if not isinstance(properties, Mapping):
        return f"properties are {properties!r:.60}, no object"
    required = schema.get("required", [])
    if not isinstance(required, list) or any(name not in properties for name in required if isinstance(name, str)):
        return f"required {required!r:.60} names what is no property"
    if any(not isinstance(name, str) for name in required):
        return f"required {required!r:.60} is no list of names"
    return next((fault for child in properties.values() if (fault := _schema_fault(child))), None)


def _type_fault(value: Any, schema: Mapping[str, Any]) -> str | None:
    """Why a value does not fit a schema; None where it does. A whole number is no boolean, an integer is a number."""
    kind = schema.get("type")
    wanted = _KINDS.get(kind) if isinstance(kind, str) else None
    if wanted is not None and (not isinstance(value, wanted) or (isinstance(value, bool) and kind != "boolean")):
        return f"is {value!r:.60}, not of type {kind}"
    options = schema.get("enum")
    if isinstance(options, list) and value not in options:
        return f"is {value!r:.60}, not one of {options!r:.80}"
    if isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        return next((fault for item in value if (fault := _type_fault(item, schema["items"]))), None)
    if isinstance(value, dict) and isinstance(schema.get("properties"), Mapping):
        properties = schema["properties"]
        for name in schema.get("required") or ():
            if name not in value:
                return f"lacks {name!r}"
        for name, item in value.items():
            if name not in properties:
                return f"has an unknown key {name!r}"
            if fault := _type_fault(item, properties[name]):
                return fault
    return None
