"""Gold answers of BFCL rows as calls, and calls as model text in the language of the row's category."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from toolace.evaluation.benchmarks.base import BenchmarkRow


class Answer(NamedTuple):
    """A call to be written: parameter -> Python value."""

    name: str
    arguments: dict[str, Any]


def gold_calls(row: BenchmarkRow, choice: int = 0) -> list[Answer]:
    """The gold as calls, with acceptable value number `choice` (or the last) of each parameter.

    A parameter whose value is then "" is left out unless the schema requires it. Rows without gold (relevance and
    irrelevance) get a call of their first function with made-up arguments.
    """
    functions = {function["name"]: function["parameters"] for function in row.raw["function"]}
    if row.gold is None:
        return [
            Answer(name, {key: _made_up(details) for key, details in parameters["properties"].items()})
            for name, parameters in list(functions.items())[:1]
        ] or [Answer("search", {"query": "x"})]
    calls = []
    for name, parameters in (next(iter(call.items())) for call in row.gold):
        required = functions.get(name, {}).get("required", ())
        arguments = {}
        for key, accepted in parameters.items():
            value = accepted[min(choice, len(accepted) - 1)] if accepted else ""
            if value == "" and key in required:
                value = next((item for item in accepted if item != ""), "")
            if value != "" or key in required:
                arguments[key] = _chosen(value)
        calls.append(Answer(name, arguments))
    return calls


def _chosen(value: Any) -> Any:
    """In objects each key has a list of acceptable values: the first is taken, "" leaves the key out."""
    if isinstance(value, dict):
        return {
            key: choices[0] if isinstance(choices, list) and choices else choices
            for key, choices in value.items()
            if choices != [] and (not isinstance(choices, list) or choices[0] != "")
        }
    if isinstance(value, list):
        return [_chosen(item) if isinstance(item, dict) else item for item in value]
    return value


def _made_up(details: Mapping[str, Any]) -> Any:
    made_up = {"integer": 3, "float": 2.5, "boolean": True, "array": ["a", "b"], "tuple": ["a"], "dict": {"a": 1}}
    return made_up.get(details.get("type", "string"), "New York, NY")


def render(row: BenchmarkRow, calls: list[Answer]) -> str:
    """The calls as a list in brackets, in the language of the row's category."""
    return "[" + ", ".join(render_call(row, call) for call in calls) + "]"


def render_call(row: BenchmarkRow, call: Answer) -> str:
    types = next(
        (f["parameters"]["properties"] for f in row.raw.get("function", ()) if f["name"] == call.name),
        row.raw["function"][0]["parameters"]["properties"] if row.raw.get("function") else {},
    )
    write = {"simple_java": java_text, "simple_javascript": js_text}.get(row.category, python_text)
    given = ", ".join(f"{key}={write(value, types.get(key, {}))}" for key, value in call.arguments.items())
    return f"{call.name}({given})"


def python_text(value: Any, details: Mapping[str, Any] | None = None) -> str:
    return repr(value)


def java_text(value: Any, details: Mapping[str, Any]) -> str:
    kind = details.get("type", "String")
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int) and kind == "long":
        return f"{value}L"
    if isinstance(value, float) and kind == "float":
        return f"{value}f"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        item = details.get("items", {})
        items = ", ".join(java_text(part, item if item.get("type") != "any" else {"type": "String"}) for part in value)
        if kind == "ArrayList":
            return f"new ArrayList<>(Arrays.asList({items}))"
        return f"new {item.get('type', 'Object').replace('any', 'Object').replace('integer', 'int')}[]{{{items}}}"
    if isinstance(value, dict):
        puts = " ".join(f'put("{key}", {java_text(item, {})});' for key, item in value.items())
        return f"new HashMap<String, Object>() {{{{ {puts} }}}}"
    return str(value) if kind == "any" else json.dumps(value, ensure_ascii=False)


def js_text(value: Any, details: Mapping[str, Any]) -> str:
    kind = details.get("type", "String")
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int) and kind == "Bigint":
        return f"{value}n"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(js_text(part, details.get("items", {})) for part in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {js_text(item, {})}" for key, item in value.items()) + "}"
    return str(value) if kind == "any" else json.dumps(value, ensure_ascii=False)
