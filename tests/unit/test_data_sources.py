"""Each source format with rows written here by hand."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from data_rows import (
    CALL,
    DEEP,
    FOUND,
    HUGE,
    LIMIT,
    TIME,
    TOOLRL_INPUT,
    TOOLRL_INSTRUCTION,
    TOOLRL_OUTPUT,
    F,
    bank_row,
    message_row,
    rows_of_all_sources,
    said,
    seal_row,
    toolace_row,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from toolace.calls import Call
from toolace.calls.schema import Message, Sample
from toolace.data import GoodRow, SkippedRow, iter_samples, load_samples
from toolace.data.files import DataFile
from toolace.data.loading import convert_row, detect_row
from toolace.data.records import REASONS
from toolace.data.sources import SOURCES, detect
from toolace.data.sources.toolace import PREFIX, SUFFIX
from toolace.data.storing import from_row, to_row


def load(tmp_path: Path, *rows: Any, **options: Any) -> list[Sample]:
    """The samples of rows, all of which must be good."""
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    loaded = load_samples(path, **options)
    assert not loaded.quarantined, loaded.quarantined
    return loaded.samples


def reason(tmp_path: Path, row: Any, **options: Any) -> tuple[str, str]:
    """Why a row is quarantined, next to a good one."""
    path = tmp_path / "rows.jsonl"
    good = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}
    format = options.pop("format", "openai")
    if format != "openai":
        path.write_text(json.dumps(row), encoding="utf-8")
        (result,) = iter_samples(path, format=format, **options)
        return result.reason, result.detail
    path.write_text("\n".join(json.dumps(r) for r in (good, row)), encoding="utf-8")
    loaded = load_samples(path, format=format, **options)
    (bad,) = loaded.quarantined
    assert bad.row == 2
    return bad.reason, bad.detail


def test_toolace_dialogue_gives_a_sample_for_each_assistant_turn(tmp_path: Path) -> None:
    results = [{"name": "City Weather/Now", "results": {"c": 21}}, {"name": "clock", "results": "noon"}]
    row = toolace_row(
        ("user", "巴黎天气怎么样?"),
        ("assistant", '[City Weather/Now(city="Paris", days=2), clock()]'),
        ("tool", json.dumps(results)),
        ("assistant", "21 degrees at noon."),
    )
    first, second = load(tmp_path, row)
    assert [tool.name for tool in first.chat.tools] == ["City_Weather_Now", "clock"]
    assert first.chat.tools[0].original_name == "City Weather/Now"
    assert first.chat.messages == (Message(role="user", content="巴黎天气怎么样?"),)
    assert first.reference.calls == (
        Call(name="City_Weather_Now", arguments={"city": "Paris", "days": 2}),
        Call(name="clock"),
    )
    assert [(turn.role, turn.name, turn.content) for turn in second.chat.messages[2:]] == [
        ("tool", "City_Weather_Now", '{"c": 21}'),
        ("tool", "clock", "noon"),
    ]
    assert second.reference == Message(role="assistant", content="21 degrees at noon.")
    assert (first.kind, second.kind) == ("parallel", "answer")
    assert (first.source, second.source) == ("rows.jsonl:1:1", "rows.jsonl:1:4")


def test_toolace_other_system_text_stays(tmp_path: Path) -> None:
    system = PREFIX + json.dumps([TIME]) + SUFFIX + "\nToday is Monday."
    (sample,) = load(tmp_path, toolace_row(("user", "time?"), ("assistant", "[clock()]"), system=system))
    assert sample.chat.messages[0].role == "system"
    assert "Today is Monday." in sample.chat.messages[0].content
    assert "clock" not in sample.chat.messages[0].content


def test_toolace_text_in_brackets_is_text(tmp_path: Path) -> None:
    (sample,) = load(tmp_path, toolace_row(("user", "?"), ("assistant", "[see below] No function can be used.")))
    assert sample.reference.calls == ()


def test_toolace_broken_call_is_quarantined(tmp_path: Path) -> None:
    row = toolace_row(("user", "?"), ("assistant", '[City Weather/Now(city="Paris"'))
    assert reason(tmp_path, row, format="toolace")[0] == "bad_call_text"
    row = toolace_row(("user", "?"), ("assistant", "let me look"), ("tool", "[]"), ("assistant", "done"))
    assert reason(tmp_path, row, format="toolace")[0] == "bad_call_text"


def test_toolace_cut_name_is_named(tmp_path: Path) -> None:
    call = json.dumps({"name": "Weather/Now", "arguments": {"city": "Paris"}})
    row = toolace_row(("human", "?"), ("function_call", call), ("observation", "{}"), ("gpt", "ok"))
    why, detail = reason(tmp_path, row, format="toolace")
    assert why == "unknown_tool"
    assert "'Weather/Now'" in detail and "cut from 'City Weather/Now'" in detail


def test_openai_wrapped_calls_and_json_text_arguments(tmp_path: Path) -> None:
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {"a": {}}}}}
    called = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": [1, null]}'}}
    row = {
        "tools": json.dumps([tool]),
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "add "}, {"type": "text", "text": "it"}]},
            {"role": "assistant", "content": None, "tool_calls": [called]},
            {"role": "tool", "tool_call_id": "c1", "content": "2"},
            {"role": "assistant", "content": "2", "reasoning_content": "hm"},
        ],
    }
    first, second = load(tmp_path, row)
    assert [turn.role for turn in first.chat.messages] == ["system", "user"]
    assert first.chat.messages[1].content == "add it"
    assert first.reference.calls == (Call(name="add", arguments={"a": [1, None]}),)
    assert second.chat.messages[-1] == Message(role="tool", content="2", name="add")
    assert load(tmp_path, row, targets="calls") == [first]


def test_openai_parquet_drops_keys_that_the_row_did_not_have(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    def row(arguments: dict[str, Any]) -> dict[str, Any]:
        call = {"function": {"name": "f", "arguments": arguments}}
        return {
            "messages": [
                {"role": "user", "content": "go", "tool_calls": None},
                {"role": "assistant", "content": None, "tool_calls": [call]},
            ],
            "tools": [{"name": "f", "parameters": '{"a": {"type": "int"}, "b": {"type": "int"}}'}],
        }

    parquet.write_table(pyarrow.Table.from_pylist([row({"a": 1, "b": None}), row({"b": 2})]), tmp_path / "x.parquet")
    samples = load_samples(tmp_path / "x.parquet", format="openai").samples
    assert [sample.reference.calls[0].arguments for sample in samples] == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize("shape", ["dict", "flat"])
@pytest.mark.parametrize("release", ["messages", "60k"])
def test_xlam_both_releases_and_schema_shapes(tmp_path: Path, shape: str, release: str) -> None:
    properties = {
        "n": {"type": "int", "description": "how many"},
        "unit": {"type": "str, optional", "description": ""},
        "key": {"type": "List[str]", "description": "", "default": "[]"},
    }
    parameters = {"type": "dict", "properties": properties} if shape == "dict" else properties
    tools = [{"name": "count.up", "description": "d", "parameters": parameters}]
    calls = [{"name": "count.up", "arguments": {"n": 3}}]
    if release == "60k":
        row = {"id": 1, "query": "count", "tools": json.dumps(tools), "answers": json.dumps(calls)}
    else:
        answer = {"role": "assistant", "content": None, "tool_calls": calls}
        row = {"messages": [{"role": "user", "content": "count"}, answer], "tools": tools}
    assert detect(row) == "xlam"
    (sample,) = load(tmp_path, row)
    assert sample.chat.tools[0].parameters == {
        "type": "object",
        "properties": {
            "n": {"type": "integer", "description": "how many"},
            "unit": {"type": "string", "description": ""},
            "key": {"type": "array", "items": {"type": "string"}, "description": "", "default": "[]"},
        },
        "required": ["n"],
    }
    assert sample.reference.calls == (Call(name="count_up", arguments={"n": 3}),)
    assert sample.chat.messages == (Message(role="user", content="count"),)


def test_xlam_without_answers_is_quarantined(tmp_path: Path) -> None:
    row = {"query": "q", "tools": "[]", "answers": "[]"}
    assert reason(tmp_path, row, format="xlam")[0] == "empty_answer"
    row = {"query": "q", "tools": "[]", "answers": "[{"}
    assert reason(tmp_path, row, format="xlam")[0] == "bad_call_text"


def test_glaive_turns(tmp_path: Path) -> None:
    tools = [{"name": "area", "description": "", "parameters": {"type": "object", "properties": {"r": {}}}}]
    row = {
        "conversations": [
            {"from": "human", "value": "area?"},
            {"from": "gpt", "value": "Let me see."},
            {"from": "function_call", "value": '{"name": "area", "arguments": {"r": 2}}'},
            {"from": "observation", "value": '{"area": 12.6}'},
            {"from": "gpt", "value": "12.6"},
        ],
        "tools": json.dumps(tools),
    }
    first, second = load(tmp_path, row)
    assert first.reference == Message(
        role="assistant", content="Let me see.", calls=(Call(name="area", arguments={"r": 2}),)
    )
    assert second.chat.messages[-1] == Message(role="tool", content='{"area": 12.6}', name="area")


@pytest.mark.parametrize("layout", ["sft", "rl"])
def test_toolrl_row_is_one_target(tmp_path: Path, layout: str) -> None:
    if layout == "sft":
        row: dict[str, Any] = {"instruction": TOOLRL_INSTRUCTION, "input": TOOLRL_INPUT, "output": TOOLRL_OUTPUT}
    else:
        prompt = [{"role": "system", "content": TOOLRL_INSTRUCTION}, {"role": "user", "content": TOOLRL_INPUT}]
        row = {"prompt": prompt, "reward_model": {"ground_truth": TOOLRL_OUTPUT}, "ability": "math"}
    assert detect(row) == "toolrl"
    (sample,) = load(tmp_path, row)
    assert [turn.role for turn in sample.chat.messages] == ["user", "assistant", "tool", "assistant", "user"]
    assert sample.chat.messages[0].content == "codes? <b>all</b>"
    assert sample.chat.messages[2] == Message(role="tool", content='["EUR"]', name="list_codes")
    assert sample.reference.calls == (Call(name="Get_Rate", arguments={"code": "EUR"}), Call(name="list_codes"))
    rate = sample.chat.tools[0]
    assert rate.description == "Rate of a currency.\nTwo lines."
    assert rate.parameters["required"] == ["code"], "an empty default is this source's way to say none"


def test_toolrl_text_answer_and_bad_rows(tmp_path: Path) -> None:
    row = {"instruction": TOOLRL_INSTRUCTION, "input": "<user> hi </user>", "output": "<response> hello </response>"}
    (sample,) = load(tmp_path, row)
    assert sample.reference == Message(role="assistant", content="hello")
    assert reason(tmp_path, {**row, "output": "<think> x </think>"}, format="toolrl")[0] == "empty_answer"
    assert (
        reason(tmp_path, {**row, "output": "<tool_call>\n{oops\n</tool_call>"}, format="toolrl")[0] == "bad_call_text"
    )
    assert reason(tmp_path, {**row, "input": "hi"}, format="toolrl")[0] == "bad_row"
    assert reason(tmp_path, {**row, "instruction": "none"}, format="toolrl")[0] == "bad_tools"


def test_seal_tools_nested_calls_keep_the_literal(tmp_path: Path) -> None:
    first = {"api": "findHerd", "parameters": {"kind": "cow"}, "responses": ["API_call_0", "API_call_1"]}
    second = {"api": "findHerd", "parameters": {"kind": "API_call_0", "size": 2}, "responses": ["API_call_2"]}
    (sample,) = load(tmp_path, seal_row(repr([first, second])))
    assert sample.kind == "nested"
    assert sample.reference.calls[1] == Call(name="findHerd", arguments={"kind": "API_call_0", "size": 2})
    assert "API_call_0" in sample.chat.messages[0].content
    assert sample.chat.messages[1].content == 'Find "all" cows.'
    (tool,) = sample.chat.tools
    assert tool.description == "Find a herd. Returns herd, count."
    assert tool.parameters["required"] == ["kind"]
    assert tool.parameters["properties"]["size"]["type"] == "integer"


def test_seal_tools_answer_is_never_evaluated(tmp_path: Path) -> None:
    assert reason(tmp_path, seal_row("[__import__('os').getcwd()]"), format="seal_tools")[0] == "bad_call_text"
    missing = repr([{"api": "findHerd", "parameters": {"size": 1}}])
    assert reason(tmp_path, seal_row(missing), format="seal_tools")[0] == "missing_required"


def test_api_bank_found_tools_become_tools(tmp_path: Path) -> None:
    row = bank_row(
        "API-Request: [GetCost(city='Rome')]",
        f"API-Request: [ToolSearcher(keywords='cost')]->{FOUND}",
        "AI: One moment.",
    )
    (sample,) = load(tmp_path, row)
    assert [tool.name for tool in sample.chat.tools] == ["ToolSearcher", "GetCost"]
    assert sample.chat.tools[1].parameters["properties"]["city"]["type"] == "string"
    assert sample.chat.messages[0] == Message(role="system", content="The current time is 2034-04-15 10:00:00.")
    assert sample.chat.messages[1] == Message(role="user", content="What does it cost in Rome?")
    assert sample.chat.messages[2].calls == (Call(name="ToolSearcher", arguments={"keywords": "cost"}),)
    assert sample.chat.messages[-1].role == "tool"
    called = Call(name="GetCost", arguments={"city": "Rome"})
    assert sample.reference == Message(role="assistant", calls=(called,)), "the request alone"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[ToolSearcher(keywords=New York, cheap)]", "New York, cheap"),
        ("[ToolSearcher(keywords='['a', 'b']')]", "['a', 'b']"),
        ("ToolSearcher(keywords='bare')", "bare"),
        ("[ToolSearcher(keywords='user's cost')]", "user's cost"),
        ("[ToolSearcher(keywords=2000.0)]", 2000.0),
    ],
)
def test_api_bank_loose_values(tmp_path: Path, text: str, value: Any) -> None:
    (sample,) = load(tmp_path, bank_row(f"API-Request: {text}"))
    assert sample.reference.calls == (Call(name="ToolSearcher", arguments={"keywords": value}),)


def test_api_bank_response_row_and_test_layout(tmp_path: Path) -> None:
    row = bank_row("AI: It is 3.", "API-Request: [ToolSearcher(keywords='cost')]->{'cost': 3}")
    row["input"] = row["input"].replace("API Request: ", "AI Response: ")
    (sample,) = load(tmp_path, row)
    assert sample.reference == Message(role="assistant", content="It is 3.")
    assert sample.chat.messages[-1] == Message(role="tool", content='{"cost": 3}', name="ToolSearcher")
    tool = {"name": "Add", "description": "d", "input_parameters": {"x": {"type": "int", "description": ""}}}
    row = {
        "file": "f",
        "instruction": f"Generate.\nThe current year is 2023.\nAPI descriptions:\n{json.dumps(tool)}",
        "input": "User: add\nplease\nAI: What?\nUser: 1\nGenerate API Request:\n",
        "expected_output": "API-Request: [Add(x='1')]",
    }
    (sample,) = load(tmp_path, row)
    assert [turn.content for turn in sample.chat.messages] == ["The current year is 2023.", "add\nplease", "What?", "1"]


def test_api_bank_call_without_definition_is_quarantined(tmp_path: Path) -> None:
    assert reason(tmp_path, bank_row("API-Request: [GetCost(city='Rome')]"), format="api_bank")[0] == "unknown_tool"
    assert reason(tmp_path, bank_row("API-Request: ?"), format="api_bank")[0] == "bad_call_text"


@pytest.mark.parametrize(
    ("expected", "row"),
    [
        ("no_messages", message_row()),
        ("bad_role", message_row(said("user"), said("robot"))),
        ("bad_role_order", message_row(said("assistant"), said("user"))),
        ("bad_role_order", message_row(said("user"), said("user"), said("assistant"))),
        ("bad_role_order", message_row(said("user"), said("tool"), said("assistant"))),
        ("bad_role_order", message_row(said("user"), said("assistant", tool_calls=[CALL]), said("user"), tools=[F])),
        ("bad_role_order", message_row(said("user"), said("assistant"), said("system"))),
        ("empty_answer", message_row(said("user"), said("assistant", "  "))),
        ("bad_content", message_row(said("user", [{"type": "image_url"}]), said("assistant"))),
        ("unknown_tool", message_row(said("user"), said("assistant", tool_calls=[CALL]))),
        ("missing_required", message_row(said("user"), said("assistant", tool_calls=[{"name": "f"}]), tools=[F])),
        ("ambiguous_tool", message_row(said("user"), said("assistant"), tools=[F, {**F, "description": "other"}])),
        ("bad_tools", message_row(said("user"), said("assistant"), tools=[{"description": "no name"}])),
        ("bad_tools", message_row(said("user"), said("assistant"), tools=[{"name": "f", "parameters": "{"}])),
        ("bad_call_text", message_row(said("user"), said("assistant", tool_calls=[{"name": "f", "arguments": "{"}]))),
        ("bad_text", message_row(said("user", "half \ud83d"), said("assistant"))),
        ("bad_value", message_row(said("user"), said("assistant", tool_calls=[DEEP]), tools=[F])),
        ("bad_value", message_row(said("user"), said("assistant", tool_calls=[HUGE]), tools=[F])),
        ("bad_value", message_row(said("user"), said("assistant"), tools=[{"name": "f", "parameters": LIMIT}])),
        ("bad_row", {"messages": {"role": "user"}}),
        ("bad_row", ["not", "an", "object"]),
    ],
)
def test_each_reason(tmp_path: Path, expected: str, row: Any) -> None:
    why, detail = reason(tmp_path, row)
    assert why == expected
    assert detail


HALF = "f\ud800"
SHAREGPT_CALL = {"from": "function_call", "value": json.dumps({"name": HALF, "arguments": {}})}


@pytest.mark.parametrize(
    ("format", "row"),
    [
        ("openai", message_row(said("user"), said("assistant"), tools=[{**F, "name": HALF}])),
        ("openai", message_row(said("user"), said("assistant", tool_calls=[{"name": HALF}]), tools=[F])),
        ("xlam", {"query": "q", "tools": "[]", "answers": json.dumps([{"name": HALF, "arguments": {}}])}),
        ("toolrl", {"instruction": TOOLRL_INSTRUCTION.replace("Get Rate", HALF), "input": TOOLRL_INPUT,
                    "output": TOOLRL_OUTPUT}),
        ("toolace", toolace_row(("user", "?"), ("assistant", "x"), tools=[{**TIME, "name": HALF}])),
        ("glaive", {"conversations": [{"from": "human", "value": "x"}, SHAREGPT_CALL], "tools": "[]"}),
        ("samples", {"id": HALF, "chat": '{"messages": []}', "reference": '{"role": "assistant", "content": "x"}'}),
    ],
)  # fmt: skip
def test_half_a_surrogate_pair_in_a_name_costs_its_row_alone(tmp_path: Path, format: str, row: Any) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row), encoding="utf-8")
    (result,) = iter_samples(path, format=format)
    assert result.reason == "bad_text"
    result.detail.encode()


def test_a_schema_too_deep_to_be_read_again_is_not_taken(tmp_path: Path) -> None:
    deep: Any = {}
    for _ in range(300):
        deep = {"a": deep}
    tool = {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "object", "x": deep}}}}
    assert reason(tmp_path, message_row(said("user"), said("assistant"), tools=[tool]))[0] == "bad_value"


def test_repeated_definition_is_one_tool(tmp_path: Path) -> None:
    (sample,) = load(tmp_path, message_row(said("user"), said("assistant"), tools=[F, F]))
    assert len(sample.chat.tools) == 1


def test_every_source_is_detected_by_its_own_row_only() -> None:
    rows = rows_of_all_sources()
    assert {name: detect(row) for name, row in rows.items()} == {name: name for name in SOURCES}
    assert detect({"text": "x"}) is None
    assert detect([1]) is None


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to every node of a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in items for place in places(item, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy


def cut(data: st.DataObject, row: Any, path: tuple[Any, ...]) -> Any:
    """What to put in a place: any JSON, or its text with a piece missing."""
    for key in path:
        row = row[key]
    if isinstance(row, str) and data.draw(st.booleans()):
        start, stop = sorted((data.draw(st.integers(0, len(row))), data.draw(st.integers(0, len(row)))))
        return row[:start] + data.draw(st.sampled_from(["", "\ud800", "\\ud800", "NaN", "[" * 500])) + row[stop:]
    return data.draw(ANY_JSON)


def nested(depth: int, key: str | None) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value] if key is None else {key: value}
    return value


NASTY = st.sampled_from(
    ["a\ud800", "\udc00", {"a\ud800": 1}, {"name": HALF}, {"required": [HALF, 1]}, '{"name": "\\ud800"}', "[\ud800()]",
     10**30, 10**5000, "9" * 5000, "0x" + "f" * 5000, float("nan"), "NaN", "\x00", b"bytes", Decimal("1.5"), date.min,
     nested(70, None), nested(300, "a"), nested(3000, None), "[" * 3000, "-" * 3000, "List[" * 2000]
)  # fmt: skip
"""What JSON escapes, parquet columns and Python literals can hold, and no sample may."""

ANY_JSON = NASTY | st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["user", "[", "{}"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "type", "x"]), inner),
    max_leaves=4,
)


@given(format=st.sampled_from(sorted(SOURCES)), data=st.data())
@settings(max_examples=400, deadline=None)
def test_damage_of_any_kind_never_raises(format: str, data: st.DataObject) -> None:
    row = rows_of_all_sources()[format]
    place = data.draw(st.sampled_from(places(row)))
    damaged = replaced(row, place, cut(data, row, place))
    detect_row(damaged)
    result = convert_row(DataFile("x", "x", 1), format, 1, damaged, "all")
    if isinstance(result, GoodRow):
        assert [from_row(to_row(sample)) for sample in result.samples] == list(result.samples)
    elif not isinstance(result, SkippedRow):
        assert result.reason in REASONS and result.detail.encode()


def test_openai_rows_as_json_text_are_found_without_naming_the_format(tmp_path: Path) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [{"role": "user", "content": "go"}, {"role": "assistant", "content": None, "tool_calls": [call]}]
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"messages": json.dumps(messages), "tools": json.dumps([tool])}) + "\n")
    loaded = load_samples(str(file))
    assert len(loaded.samples) == 1 and loaded.samples[0].reference.calls[0].name == "f"


@pytest.mark.parametrize("arguments", ['{"a": "1", "a": "2"}', '{"a": {"b": 1, "b": 1}}'])
def test_a_call_whose_text_has_a_key_twice_goes_to_quarantine(arguments: str, tmp_path: Path) -> None:
    def row(text: str) -> dict[str, Any]:
        answer = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": text}}]}
        return {"messages": [{"role": "user", "content": "go"}, answer], "tools": [{"name": "f"}]}

    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row(text)) for text in ('{"a": 1}', arguments)))
    (bad,) = load_samples(tmp_path / "a.jsonl").quarantined
    assert (bad.row, bad.reason) == (2, "bad_call_text") and "a key twice" in bad.detail
