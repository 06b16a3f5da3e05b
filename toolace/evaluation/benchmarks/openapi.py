"""Tools from an OpenAPI description: an operation is a tool, its parameters and the fields of its JSON body are one
flat set of parameters, as ToolAlpaca gives them to a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from toolace.calls.schema import Tool
from toolace.data.records import RowError, parse_json, shorten
from toolace.data.schemas import make_tool

_METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
_MAX_DEPTH = 16
"""Deepest chain of nested schemas that is followed; a schema that refers to itself ends there as an open object."""


def read_tools(documentation: Any) -> tuple[Tool, ...]:
    """The operations of an OpenAPI 3 description given as JSON text. Raises `RowError`."""
    try:
        spec = parse_json(documentation) if isinstance(documentation, str) else documentation
    except ValueError as error:
        raise RowError(f"bad_tools: Documentation is not JSON: {error}") from None
    paths = spec.get("paths") if isinstance(spec, Mapping) else None
    if not isinstance(paths, Mapping):
        raise RowError("bad_tools: Documentation has no paths")
    tools = []
    for path in paths.values():
        for method, operation in path.items() if isinstance(path, Mapping) else ():
            if method in _METHODS and isinstance(operation, Mapping):
                tools.append(_tool(operation, spec))
    if not tools:
        raise RowError("bad_tools: Documentation has no operation")
    return tuple(tools)


def _tool(operation: Mapping[str, Any], spec: Mapping[str, Any]) -> Tool:
    properties: dict[str, Any] = {}
    required: list[str] = []
    for name, schema, needed in _parameters(operation, spec):
        properties[name] = schema
        if needed:
            required.append(name)
    schema = {"type": "object", "properties": properties}
    description = operation.get("description") or operation.get("summary")
    return make_tool(operation.get("operationId"), description, schema, required=required)


def _parameters(operation: Mapping[str, Any], spec: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """(name, schema, required) of each parameter and of each field of the JSON body."""
    listed = operation.get("parameters") or []
    if not isinstance(listed, list):
        raise RowError(f"bad_tools: the parameters of {operation.get('operationId')!r} are {shorten(listed)}")
    for raw in listed:
        entry = _resolve(raw, spec)
        name = entry.get("name")
        if not isinstance(name, str):
            raise RowError(f"bad_tools: a parameter of {operation.get('operationId')!r} is {shorten(raw)}")
        schema = _resolve(entry.get("schema") or {}, spec)
        if "description" in entry:
            schema = {**schema, "description": entry["description"]}
        yield name, schema, entry.get("required") is True
    body = _resolve(operation.get("requestBody") or {}, spec)
    content = body.get("content")
    media = content.get("application/json") if isinstance(content, Mapping) else None
    schema = _resolve(media.get("schema") or {}, spec) if isinstance(media, Mapping) else {}
    properties = schema.get("properties")
    needed = schema.get("required")
    for name, field in properties.items() if isinstance(properties, Mapping) else ():
        yield name, field, isinstance(needed, list) and name in needed


def _resolve(value: Any, spec: Mapping[str, Any], depth: int = 0) -> dict[str, Any]:
    """An object with its `$ref`s replaced by what they name, in nested schemas too."""
    if not isinstance(value, Mapping):
        raise RowError(f"bad_tools: a schema is {shorten(value)}, not an object")
    if depth >= _MAX_DEPTH:
        return {"type": "object"}
    if isinstance(reference := value.get("$ref"), str):
        target: Any = spec
        for part in reference.removeprefix("#/").split("/"):
            target = target.get(part) if isinstance(target, Mapping) else None
        if target is None:
            raise RowError(f"bad_tools: {reference} names nothing in the Documentation")
        return _resolve(target, spec, depth + 1)
    found = dict(value)
    if isinstance(found.get("items"), Mapping):
        found["items"] = _resolve(found["items"], spec, depth + 1)
    if isinstance(found.get("properties"), Mapping):
        found["properties"] = {name: _resolve(field, spec, depth + 1) for name, field in found["properties"].items()}
    return found
