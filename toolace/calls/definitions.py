"""Tool definitions as text that a model writes: one JSON object a tool, a JSON list for several.

The same keys as in the OpenAI API's `function`, in this order: name, description, parameters. `parse_definitions` reads
what `render_definitions` writes, and what a model makes of it: a code fence around it, one object instead of a list,
the `{"type": "function", "function": {...}}` of the OpenAI API.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from toolace.calls.literals import MAX_DEPTH, check_depth
from toolace.calls.schema import Tool
from toolace.errors import ParseError

_FENCE = re.compile(r"\A```[a-zA-Z]*\s*\n(.*?)\n?```\Z", re.DOTALL)


def render_definition(tool: Tool) -> str:
    """The definition of one tool."""
    return json.dumps(
        {"name": tool.name, "description": tool.description, "parameters": tool.parameters}, ensure_ascii=False
    )


def render_definitions(tools: Sequence[Tool]) -> str:
    """The definitions of several tools: a JSON list, one tool a line."""
    return "[" + ",\n ".join(render_definition(tool) for tool in tools) + "]"


def parse_definition(text: str) -> Tool:
    """The tool that a text defines. Raises `ParseError` for anything but exactly one definition."""
    found = parse_definitions(text)
    if len(found) != 1:
        raise ParseError(f"expected the definition of one tool, found {len(found)}")
    return found[0]


def parse_definitions(text: str) -> list[Tool]:
    """The tools that a text defines, in its order. Raises `ParseError` for text that is no definition.

    What a definition says is not judged here (see `toolace.evolution.rules`), only that it has the three parts: a name,
    a description (a text; absent: empty) and parameters (an object; absent: none).
    """
    plain = text.strip()
    if fenced := _FENCE.match(plain):
        plain = fenced.group(1).strip()
    try:
        value = json.loads(plain, parse_constant=_no_constant, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise ParseError(f"no JSON: {error}") from None
    return [_tool(entry) for entry in (value if isinstance(value, list) else [value])]


def _tool(value: Any) -> Tool:
    if isinstance(value, dict) and isinstance(value.get("function"), dict) and "name" not in value:
        value = value["function"]
    if not isinstance(value, dict):
        raise ParseError(f"a definition is an object, not {json.dumps(value, ensure_ascii=False)[:80]}")
    name, description = value.get("name"), value.get("description", "")
    parameters = value.get("parameters", {"type": "object", "properties": {}})
    if not isinstance(name, str) or not name.strip():
        raise ParseError(f"a definition has no name: {json.dumps(value, ensure_ascii=False)[:80]}")
    if not isinstance(description, str):
        raise ParseError(f"the description of {name!r} is no text")
    if not isinstance(parameters, dict):
        raise ParseError(f"the parameters of {name!r} are no object")
    if not check_depth(parameters):
        raise ParseError(f"the parameters of {name!r} are nested deeper than {MAX_DEPTH} levels")
    if odd := sorted(value.keys() - {"name", "description", "parameters"}):
        raise ParseError(f"the definition of {name!r} has keys that no definition has: {', '.join(odd)[:80]}")
    return Tool(name=name, description=description, parameters=parameters)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found
