"""Tool definitions of all sources → JSON Schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from toolace.data import load_samples
from toolace.data.records import RowError
from toolace.data.schemas import make_tool, normalise_parameters, wrong_part


@pytest.mark.parametrize(
    ("written", "schema"),
    [
        ("str", {"type": "string"}),
        ("str, optional", {"type": "string"}),
        ("str, default='x'", {"type": "string"}),
        ("int", {"type": "integer"}),
        ("float", {"type": "number"}),
        ("bool", {"type": "boolean"}),
        ("dict", {"type": "object"}),
        ("Dict[str, int]", {"type": "object"}),
        ("set", {"type": "array"}),
        ("List[int]", {"type": "array", "items": {"type": "integer"}}),
        ("List[List[float]], optional", {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}),
        ("Tuple[float, float]", {"type": "array", "items": {"type": "number"}}),
        ("Tuple[str, int]", {"type": "array"}),
        ("typing.Optional[int]", {"type": "integer"}),
        ("Union[int, None]", {"type": "integer"}),
        ("List[Union[int, float]]", {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "number"}]}}),
        ("Callable[[float], float]", {"type": "string"}),
        ("Any", {}),
        ("string", {"type": "string"}),
        ("no type at all!", {"type": "string"}),
        (["string", "null"], {"type": ["string", "null"]}),
    ],
)
def test_type_names(written: Any, schema: dict[str, Any]) -> None:
    assert normalise_parameters({"p": {"type": written}})["properties"]["p"] == schema


def test_json_schema_is_kept_with_unknown_keys() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string", "enum": ["x"], "x-note": 1}, "b": {"type": "number", "minimum": 0}},
        "required": ["a"],
        "additionalProperties": False,
    }
    assert normalise_parameters(schema) == schema


def test_nested_objects_and_items() -> None:
    raw = {
        "type": "dict",
        "properties": {
            "place": {"type": "dict", "properties": {"lat": {"type": "float"}}, "required": ["lat"]},
            "tags": {"type": "array", "items": {"type": "dict", "properties": {"k": {"type": "str"}}}},
        },
    }
    place, tags = normalise_parameters(raw)["properties"].values()
    assert place == {"type": "object", "properties": {"lat": {"type": "number"}}, "required": ["lat"]}
    assert tags["items"] == {"type": "object", "properties": {"k": {"type": "string"}}}


def test_flat_map_may_have_parameters_named_like_schema_keys() -> None:
    raw = {"type": {"type": "str"}, "properties": {"type": "int", "description": "a count"}}
    properties = normalise_parameters(raw)["properties"]
    assert properties["type"] == {"type": "string"}
    assert properties["properties"] == {"type": "integer", "description": "a count"}
    assert normalise_parameters({"properties": {"type": "int", "description": "d"}})["properties"] == {
        "properties": {"type": "integer", "description": "d"}
    }


@pytest.mark.parametrize(("derive", "required"), [("always", ["a"]), ("marked", ["a"]), ("never", None)])
def test_required_is_derived_where_marked(derive: Any, required: Any) -> None:
    raw = {"a": {"type": "str"}, "b": {"type": "str, optional"}, "c": {"type": "int", "default": 3}}
    assert normalise_parameters(raw, derive=derive).get("required") == required


def test_required_is_not_guessed_without_any_mark() -> None:
    assert "required" not in normalise_parameters({"a": {"type": "str"}}, derive="marked")
    assert normalise_parameters({"a": {"type": "str"}}, derive="always")["required"] == ["a"]


def test_required_lists_beside_and_inside() -> None:
    assert normalise_parameters({"a": {"type": "str"}}, required=["a"])["required"] == ["a"]
    inside = {"type": "dict", "properties": {"a": {}, "b": {}}, "required": ["b"]}
    assert normalise_parameters(inside, required=["a"])["required"] == ["b"]
    assert normalise_parameters({**inside, "required": ["b", "gone"]})["required"] == ["b"]


def test_required_flag_of_a_parameter() -> None:
    raw = {"a": {"type": "str", "required": True}, "b": {"type": "str", "required": False}}
    schema = normalise_parameters(raw, derive="always")
    assert schema["required"] == ["a"]
    assert "required" not in schema["properties"]["a"]


@pytest.mark.parametrize(
    "parameters", [None, {}, [], "", "{}", {"type": "object"}, {"type": "object", "properties": {}}]
)
def test_no_parameters(parameters: Any) -> None:
    assert make_tool("f", None, parameters).parameters == {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("name", "parameters"), [("", {}), (None, {}), ("f", "{"), ("f", 3), ("f", {"a": 3}), ("f", '["a"]')]
)
def test_unreadable_definitions(name: Any, parameters: Any) -> None:
    with pytest.raises(RowError) as caught:
        make_tool(name, "", parameters)
    assert caught.value.reason == "bad_tools"


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ({"enum": 5}, "a.enum is 5, not a list"),
        ({"enum": True}, "a.enum is True, not a list"),
        ({"enum": "x|y"}, "a.enum is 'x|y', not a list"),
        ({"description": ["x"]}, "a.description is ['x'], not text"),
        ({"type": "object", "properties": [{"x": 1}]}, "a.properties is [{'x': 1}], not an object"),
        ({"type": "object", "properties": {"b": {"enum": 7}}}, "a.b.enum is 7, not a list"),
        ({"type": "array", "items": 5}, "a.items is 5, not a schema"),
        ({"type": "array", "items": {"enum": 5}}, "a.items.enum is 5, not a list"),
        ({"anyOf": [{"type": "string", "enum": 5}]}, "a.anyOf.enum is 5, not a list"),
    ],
)
def test_a_schema_that_is_none_sends_its_row_to_quarantine(field: Any, wrong: str, tmp_path: Path) -> None:
    def row(parameter: Any) -> str:
        schema = {"type": "object", "properties": {"a": parameter}}
        answer = {"role": "assistant", "tool_calls": [{"name": "f", "arguments": {"a": 1}}]}
        tool = {"name": "f", "parameters": schema}
        return json.dumps({"messages": [{"role": "user", "content": "go"}, answer], "tools": [tool]})

    (tmp_path / "a.jsonl").write_text(f"{row({'type': 'integer'})}\n{row(field)}\n")
    loaded = load_samples(tmp_path / "a.jsonl")
    (bad,) = loaded.quarantined
    assert (len(loaded.samples), bad.row, bad.reason) == (1, 2, "bad_tools")
    assert bad.detail == f"in the parameters of 'f', {wrong}"


def test_parameters_may_be_called_like_keywords_and_null_is_not_given() -> None:
    names = {"enum": {"type": "string"}, "items": {"type": "integer"}, "required": {"enum": ["x", None]}}
    schema = {"type": "object", "properties": {**names, "b": {"enum": None, "description": None}}, "required": ["enum"]}
    assert wrong_part(schema) is None
    assert wrong_part({"type": "array", "items": [{"type": "string"}, True]}) is None
