"""The evolve program, its rules, and the sub-tasks' rows: fed with answers, no engine."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolace.calls.definitions import parse_definition, parse_definitions, render_definition, render_definitions
from toolace.calls.schema import Call, Chat, Message, Sample, Tool
from toolace.config import EvolveConfig
from toolace.data.synthetic import generate
from toolace.errors import ParseError
from toolace.evolution.program import EvolveRecord, calls_of, evolve
from toolace.evolution.rules import call_fault, tool_fault
from toolace.evolution.subtasks import (
    adaption_rows,
    generated_row,
    generation_row,
    invocation_row,
    tool_key,
)
from toolace.rollouts.program import Completion, Request, drive

KEYWORDS = (
    "type",
    "enum",
    "items",
    "properties",
    "required",
    "additionalProperties",
    "anyOf",
    "oneOf",
    "allOf",
    "nullable",
)
TYPES = ("object", "string", "integer", "array")
WORDS = st.sampled_from((*KEYWORDS, *TYPES, "x", "y"))
CITY = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]}
WEATHER = Tool(name="weather", description="The weather of a city", parameters=CITY)
CLOCK = Tool(name="clock", description="The time of a zone")
ASK = Message(role="user", content="Weather in Oslo?")
SAMPLE = Sample(
    id="s1",
    kind="single",
    chat=Chat(tools=(Tool(name="hidden", description="not to be seen"),), messages=(ASK,)),
    reference=Message(role="assistant", calls=(Call(name="hidden"),)),
)
TOOLS = render_definitions((WEATHER, CLOCK))
OSLO, BERGEN, SAME = '[weather(city="Oslo")]', '[weather(city="Bergen")]', 'Sure: [weather(city = "Oslo")]'


def run(tools: str, votes: list[str], *, finish: Any = "stop", sample: Sample = SAMPLE, **config: Any) -> EvolveRecord:
    """The record of a query whose candidate tools and votes are given, in the order of their draws."""
    asked: list[Request] = []

    def answer(request: Request) -> Completion:
        asked.append(request)
        if len(asked) == 1:
            assert request.chat.tools == () and "Weather in Oslo?" in request.chat.messages[0].content
            return Completion(tools, finish=finish, tokens=10, prompt_tokens=5)
        assert request.chat.messages == sample.chat.messages and request.sampling.top_k == 50
        return Completion(votes[len(asked) - 2], tokens=3, prompt_tokens=7)

    record = EvolveRecord.model_validate(
        drive(evolve(sample, config=EvolveConfig(**config), format="pythonic", run_seed=1), answer)
    )
    assert "hidden" not in str([request.chat for request in asked])
    assert len({request.seed for request in asked}) == len(asked)
    assert record.tokens == 10 + 3 * record.n and record.n == len(asked) - 1
    return record


def test_a_majority_over_the_models_own_tools_is_accepted() -> None:
    record = run(TOOLS, [OSLO, BERGEN, SAME, OSLO, OSLO, BERGEN, BERGEN, BERGEN])
    assert (record.reason, record.answer, record.votes) == ("tie", None, 0)
    record = run(TOOLS, [OSLO, SAME, SAME, OSLO, OSLO])
    assert (record.reason, record.answer, record.votes, record.n) == (None, OSLO, 5, 5)
    assert record.tools == (WEATHER, CLOCK) and calls_of(record, "pythonic") == (
        Call(name="weather", arguments={"city": "Oslo"}),
    )


@pytest.mark.parametrize("mode", ["exact", "full"])
def test_modes_give_the_same_and_exact_is_cheaper(mode: Any) -> None:
    record = run(TOOLS, [OSLO, OSLO, BERGEN, OSLO, OSLO, OSLO, BERGEN, BERGEN], mode=mode)
    assert (record.reason, record.answer) == (None, OSLO)
    assert record.n == (6 if mode == "exact" else 8)


@pytest.mark.parametrize(
    ("tools", "votes", "reason"),
    [
        ("[weather", [], "tools_unparseable"),
        ("[]", [], "no_tools"),
        (render_definitions((WEATHER, WEATHER)), [], "duplicate_name"),
        (render_definitions([Tool(name=f"t{n}", description="d") for n in range(9)]), [], "too_many_tools"),
        (render_definition(WEATHER.model_copy(update={"name": " weather"})), [], "bad_name"),
        (render_definition(WEATHER.model_copy(update={"description": " "})), [], "no_description"),
        ('{"name": "w", "description": "d", "parameters": {"type": "object", "properties": []}}', [], "bad_schema"),
        (TOOLS, [f"[weather(city=\"{n}\")]" for n in range(8)], "no_majority"),
        (TOOLS, ['[weather(city="Oslo"'] * 5, "bad_format"),
        (TOOLS, ["It rains."] * 5, "no_call"),
        (TOOLS, ['[wether(city="Oslo")]'] * 5, "unknown_tool"),
        (TOOLS, ["[weather(days=2)]"] * 5, "missing_required"),
        (TOOLS, ['[weather(city="Oslo", unit="C")]'] * 5, "unknown_param"),
        (TOOLS, ['[weather(city="Oslo", days="two")]'] * 5, "wrong_type"),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_dropped_with_the_reason(tools: str, votes: list[str], reason: str) -> None:
    assert run(tools, votes).reason == reason


def test_an_answer_that_was_cut_off_is_no_answer() -> None:
    def answer(request: Request) -> Completion:
        return Completion(OSLO if request.chat.tools else TOOLS, finish="length" if request.chat.tools else "stop")

    record = drive(evolve(SAMPLE, config=EvolveConfig(), format="pythonic", run_seed=1), answer)
    assert record["reason"] == "bad_format" and "cut off" in str(record["detail"])


def test_tools_that_are_cut_off_and_queries_without_a_user_turn() -> None:
    assert run(TOOLS, [], finish="length").reason == "tools_truncated"
    silent = SAMPLE.model_copy(update={"chat": Chat(messages=(Message(role="system", content="hello"),))})
    program = evolve(silent, config=EvolveConfig(), format="pythonic", run_seed=1)
    with pytest.raises(StopIteration) as ended:
        next(program)
    assert ended.value.value["reason"] == "no_query"


def test_without_rules_only_what_cannot_be_read_is_dropped() -> None:
    assert run(TOOLS, ["[weather(days=2)]"] * 5, rules=False).reason is None
    assert run(TOOLS, ["It rains."] * 5, rules=False).reason == "no_call"
    assert run(TOOLS, ['[weather(city="Oslo"'] * 5, rules=False).reason == "bad_format"


@pytest.mark.parametrize(
    ("value", "schema", "fits"),
    [
        (1, {"type": "number"}, True),
        (1.5, {"type": "integer"}, False),
        (True, {"type": "integer"}, False),
        (True, {"type": "boolean"}, True),
        (None, {"type": "null"}, True),
        ("c", {"type": "string", "enum": ["a", "b"]}, False),
        ([1, "2"], {"type": "array", "items": {"type": "integer"}}, False),
        ({"a": 1}, {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}, True),
        ({}, {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}, False),
        ({"b": 1}, {"type": "object", "properties": {"a": {"type": "integer"}}}, False),
        ({"b": 1}, {"type": "object"}, True),
        ({"b": 1}, {"type": "object", "properties": {"a": {}}, "additionalProperties": True}, True),
        ({"b": "c"}, {"type": "object", "additionalProperties": {"type": "integer"}}, False),
        ({"b": 2}, {"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "integer"}}, True),
        ({"b": 1}, {"type": "object", "additionalProperties": False}, False),
        (None, {"type": ["string", "null"]}, True),
        (3, {"type": ["string", "null"]}, False),
        (None, {"type": "string", "nullable": True}, True),
        (None, {"type": "string"}, False),
        (3.0, {"type": "integer"}, True),
        (3.5, {"type": ["integer", "string"]}, False),
        (True, {"enum": [1]}, False),
        (1.0, {"enum": [1]}, True),
        ("x", {"anyOf": [{"type": "integer"}, {"type": "string"}]}, True),
        ([], {"anyOf": [{"type": "integer"}, {"type": "string"}]}, False),
        (1, {"oneOf": [{"type": "integer"}, {"type": "number"}]}, False),
        (1.5, {"oneOf": [{"type": "integer"}, {"type": "number"}]}, True),
        (1, {"allOf": [{"type": "integer"}, {"enum": [2]}]}, False),
        ({"any": [1, "x"]}, {}, True),
    ],
)
def test_types(value: Any, schema: dict[str, Any], fits: bool) -> None:
    tool = Tool(name="f", description="d", parameters={"type": "object", "properties": {"x": schema}})
    fault = call_fault([Call(name="f", arguments={"x": value})], [tool])
    assert (fault is None) == fits and (fault is None or fault[0] == "wrong_type")


@pytest.mark.parametrize(
    "parameters",
    [
        {"type": "string"},
        {"type": "null"},
        {"type": ["object", "null"]},
        {"type": {}},
        {"type": "array", "items": {"type": "object"}},
        {"properties": {"x": {"type": "text"}}},
        {"properties": {"x": {"type": ["string", "text"]}}},
        {"properties": {"x": {"type": []}}},
        {"properties": {"x": {"type": [{}]}}},
        {"properties": {"x": {"type": "array", "items": {"type": "string"}, "required": 3}}},
        {"properties": {"x": {"enum": []}}},
        {"properties": {"x": {"anyOf": []}}},
        {"properties": {"x": {"anyOf": [{"type": "text"}]}}},
        {"properties": {"x": {"additionalProperties": {"type": "text"}}}},
        {"properties": {"x": {"$ref": "#/$defs/x"}}},
        {"required": ["x"]},
        {"required": [{}]},
        {"properties": {"x": "string"}},
    ],
)
def test_schemas_that_no_call_can_be_held_against(parameters: dict[str, Any]) -> None:
    fault = tool_fault([Tool(name="f", description="d", parameters=parameters)], 1)
    assert fault is not None and fault[0] == "bad_schema"


@pytest.mark.parametrize("schema", [{}, {"type": ["string", "null"]}, {"anyOf": [{"type": "string"}, {}]}])
def test_schemas_of_several_types_or_none_are_fine(schema: dict[str, Any]) -> None:
    assert tool_fault([Tool(name="f", description="d", parameters={"properties": {"x": schema}})], 1) is None


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(WORDS, children, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(WORDS, JSON, max_size=5), st.dictionaries(WORDS, JSON, max_size=3))
def test_whatever_a_model_writes_the_rules_have_an_answer(
    parameters: dict[str, Any], arguments: dict[str, Any]
) -> None:
    tools = parse_definitions(json.dumps({"name": "f", "description": "d", "parameters": parameters}))
    if tool_fault(tools, 1) is None:
        call_fault([Call(name="f", arguments=arguments)], tools)


def test_every_synthetic_tool_and_right_call_keeps_the_rules() -> None:
    for sample in generate(300, 5, profile="house"):
        described = [tool for tool in sample.chat.tools if tool.description]
        assert tool_fault(described, 16) == (None if described else ("no_tools", "an empty list"))
        if sample.reference.calls:
            assert call_fault(sample.reference.calls, sample.chat.tools) is None


def test_rows_of_the_sub_tasks() -> None:
    samples = list(generate(200, 6, profile="house"))
    left_out: Counter[str] = Counter()
    adaption = list(adaption_rows(samples, left_out))
    tools = {tool_key(tool) for sample in samples for tool in sample.chat.tools}
    assert len(adaption) + sum(left_out.values()) == len(tools)
    for row in adaption:
        tool = parse_definition(row.target.content)
        assert tool.description in row.chat.messages[0].content and row.chat.tools == ()
    left_out = Counter()
    for sample in samples:
        row = generation_row(sample, left_out)
        assert (row is None) == (not sample.reference.calls)
        if row is not None:
            assert tuple(parse_definitions(row.target.content)) == sample.chat.tools
        assert invocation_row(sample).target == sample.reference
    assert left_out == Counter(no_call=sum(not sample.reference.calls for sample in samples))
    twin = SAMPLE.model_copy(update={"chat": Chat(tools=(WEATHER, CLOCK, WEATHER.model_copy(update={"name": "w2"})))})
    left_out = Counter()
    assert (
        len(list(adaption_rows([twin, SAMPLE.model_copy(update={"chat": Chat(tools=(Tool(name="n"),))})], left_out)))
        == 2
    )
    assert left_out == Counter(same_description=1, no_description=1)
    assert generated_row("s", "q", (WEATHER,)).kind == "generation"


def test_a_tool_that_is_described_later_is_learnt() -> None:
    bare = WEATHER.model_copy(update={"description": ""})
    left_out: Counter[str] = Counter()
    samples = [SAMPLE.model_copy(update={"chat": Chat(tools=tools)}) for tools in ((bare, CLOCK), (WEATHER,), (bare,))]
    rows = list(adaption_rows(samples, left_out))
    assert [parse_definition(row.target.content) for row in rows] == [CLOCK, WEATHER] and not left_out


@pytest.mark.parametrize(
    "text",
    [
        "", "weather", "[1]", '{"name": ""}', '{"name": "a", "parameters": []}', '{"name": "a", "description": 3}',
        '{"name": "a", "name": "b"}', '{"name": "a", "extra": 1}', '{"name": "a", "parameters": {"x": NaN}}',
        "[" * 5000, '{"name": "a", "parameters": ' + '{"x": ' * 70 + "{}" + "}" * 70 + "}",
    ],
)  # fmt: skip
def test_what_is_no_definition_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        parse_definitions(text)


def test_definitions_are_read_in_the_ways_models_write_them() -> None:
    assert parse_definition(f"```json\n{render_definition(WEATHER)}\n```") == WEATHER
    assert parse_definition(json.dumps(WEATHER.openai())) == WEATHER
    assert parse_definitions(render_definitions((WEATHER, CLOCK))) == [WEATHER, CLOCK]
