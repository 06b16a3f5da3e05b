"""Checks of a request's `tools` and `tool_choice` that name the field at fault.

vLLM reads a tool whose call it does not have to constrain only when the chat template prints it, and some malformed
ones make it fail with a 500. So what the OpenAI API promises about tools is checked here, before anything else runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from toolace.calls.schema import OPENAI_NAME
from toolace.serving.errors import bad_request

_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
_SCHEMA = ("items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else", "prefixItems")
_SCHEMA_LISTS = ("anyOf", "oneOf", "allOf")
_SCHEMA_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_STRINGS = ("description", "title", "$ref", "pattern", "format")


def check_tools(tools: Any) -> list[str]:
    """The names of the tools, in order; none for null or an absent field. Raises a 400 naming what is wrong."""
    if tools is None:
        return []
    if not isinstance(tools, list):
        raise bad_request("tools", f"must be a list of tools, got {kind(tools)}")
    if not tools:
        raise bad_request("tools", "must not be an empty list: leave the field out, or give a tool")
    names: dict[str, int] = {}
    for i, tool in enumerate(tools):
        name = _check_tool(tool, f"tools[{i}]")
        if name in names:
            raise bad_request(
                f"tools[{i}].function.name", f"{name!r} is also the name of tools[{names[name]}]: names must differ"
            )
        names[name] = i
    return list(names)


def check_tool_choice(choice: Any, names: list[str]) -> None:
    """Raises a 400 unless it is null, `none`, `auto`, `required`, or names one of the tools."""
    if choice is None or choice == "none":
        return
    if isinstance(choice, dict):
        if choice.get("type", "function") != "function":
            raise bad_request("tool_choice.type", f'must be "function", got {show(choice["type"])}')
        function = choice.get("function")
        if not isinstance(function, dict):
            raise bad_request("tool_choice.function", f"must be an object with a name, got {kind(function)}")
        name = function.get("name")
        if not isinstance(name, str) or not name:
            raise bad_request("tool_choice.function.name", f"must be the name of a tool, got {show(name)}")
        if name not in names:
            raise bad_request("tool_choice.function.name", f"{show(name)} is not the name of one of the tools")
    elif choice not in ("auto", "required"):
        raise bad_request("tool_choice", f'must be "none", "auto", "required" or a named function, got {show(choice)}')
    elif not names:
        raise bad_request("tool_choice", f"{show(choice)} needs tools, and the request has none")


def _check_tool(tool: Any, at: str) -> str:
    if not isinstance(tool, dict):
        raise bad_request(at, f"must be an object, got {kind(tool)}")
    if tool.get("type") != "function":
        raise bad_request(f"{at}.type", f'must be "function", got {show(tool.get("type"))}')
    function = tool.get("function")
    if not isinstance(function, dict):
        raise bad_request(f"{at}.function", f"must be an object, got {kind(function)}")
    name = function.get("name")
    if not isinstance(name, str) or not OPENAI_NAME.match(name):
        raise bad_request(
            f"{at}.function.name", f"must have 1 to 64 letters, digits, underscores or dashes, got {show(name)}"
        )
    description = function.get("description")
    if description is not None and not isinstance(description, str):
        raise bad_request(f"{at}.function.description", f"must be a string, got {kind(description)}")
    strict = function.get("strict")
    if strict is not None and not isinstance(strict, bool):
        raise bad_request(f"{at}.function.strict", f"must be true or false, got {kind(strict)}")
    parameters = function.get("parameters")
    if parameters is not None:
        where = f"{at}.function.parameters"
        if not isinstance(parameters, dict):
            raise bad_request(where, f"must be a JSON Schema object, got {kind(parameters)}")
        if parameters.get("type", "object") != "object":
            raise bad_request(f"{where}.type", f'must be "object", got {show(parameters["type"])}')
        _check_schema(parameters, where)
    return name


def _check_schema(schema: Any, at: str) -> None:
    """Whether the keywords that describe values have the shapes that JSON Schema gives them; others are left alone."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        raise bad_request(at, f"must be a JSON Schema (an object), got {kind(schema)}")
    types = schema.get("type", [])
    for name in types if isinstance(types, list) else [types]:
        if not isinstance(name, str) or name not in _TYPES:
            raise bad_request(f"{at}.type", f"must be one of {', '.join(sorted(_TYPES))}, got {show(name)}")
    for key in _STRINGS:
        _expect(schema, key, at, "a string", lambda value: isinstance(value, str))
    _expect(schema, "enum", at, "a list", lambda value: isinstance(value, list))
    _expect(schema, "required", at, "a list of names", _is_names)
    for key in _SCHEMA:
        value = schema.get(key, True)
        if isinstance(value, list) and key in ("items", "prefixItems"):
            for i, item in enumerate(value):
                _check_schema(item, f"{at}.{key}[{i}]")
        else:
            _check_schema(value, f"{at}.{key}")
    for key in _SCHEMA_LISTS:
        _expect(schema, key, at, "a list of schemas", lambda value: isinstance(value, list) and bool(value))
        for i, item in enumerate(schema.get(key, ())):
            _check_schema(item, f"{at}.{key}[{i}]")
    for key in _SCHEMA_MAPS:
        _expect(schema, key, at, "an object", lambda value: isinstance(value, dict))
        for name, item in schema.get(key, {}).items():
            _check_schema(item, f"{at}.{key}.{name}")


def _expect(schema: dict[str, Any], key: str, at: str, what: str, fits: Callable[[Any], bool]) -> None:
    if key in schema and not fits(schema[key]):
        raise bad_request(f"{at}.{key}", f"must be {what}, got {kind(schema[key])}")


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def kind(value: Any) -> str:
    """What a JSON value is, in words."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "a boolean"
    names = {str: "a string", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), "something else")


def show(value: Any) -> str:
    """A short string as it is, anything else in words: error messages stay short whatever is sent."""
    return repr(value) if isinstance(value, str) and len(value) <= 80 else kind(value)
