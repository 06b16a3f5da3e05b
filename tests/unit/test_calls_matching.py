"""Matching: the leaderboard's rules one by one, pairing of parallel calls, strict equality, verdicts."""

from __future__ import annotations

import itertools
import random
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolace.calls import (
    Call,
    Chat,
    Message,
    Sample,
    Tool,
    judge,
    match_calls,
    match_gold,
    parse_answer,
    render_calls,
    same_calls,
)
from toolace.errors import DataError

PROPERTIES: dict[str, Any] = {
    "text": {"type": "string"},
    "whole": {"type": "integer"},
    "real": {"type": "float"},
    "flag": {"type": "boolean"},
    "words": {"type": "array", "items": {"type": "string"}},
    "reals": {"type": "array", "items": {"type": "float"}},
    "pair": {"type": "tuple", "items": {"type": "integer"}},
    "object": {"type": "dict"},
    "objects": {"type": "array", "items": {"type": "dict"}},
    "any": {"type": "any"},
}


def tool(name: str = "f", required: tuple[str, ...] = (), **properties: Any) -> Tool:
    schema = {"type": "dict", "properties": PROPERTIES | properties, "required": list(required)}
    return Tool(name=name, parameters=schema)


def call(name: str = "f", /, **arguments: Any) -> Call:
    return Call(name=name, arguments=arguments)


def error(arguments: dict[str, Any], gold: dict[str, list[Any]], required: tuple[str, ...] = ()) -> str | None:
    match = match_gold([Call(name="f", arguments=arguments)], [{"f": gold}], [tool(required=required)], "simple_python")
    assert match.correct == (match.error is None)
    assert match.correct or match.detail
    return match.error


@pytest.mark.parametrize(
    ("parameter", "value", "accepted", "expected"),
    [
        # Types: int passes for float and nothing else passes for anything.
        ("whole", 3, [3], None),
        ("whole", 3.0, [3], "type_error:simple"),
        ("whole", "3", [3], "type_error:simple"),
        ("whole", True, [1], "type_error:simple"),
        ("whole", 4, [3, 5], "value_error:others"),
        ("real", 3, [3.0], None),
        ("real", 3.5, [3.0], "value_error:others"),
        ("real", True, [1.0], "type_error:simple"),
        ("real", 10**400, [1.0], "type_error:simple"),
        ("flag", True, [True], None),
        ("flag", 1, [True], "type_error:simple"),
        ("flag", False, [True], "value_error:others"),
        ("text", 3, ["3"], "type_error:simple"),
        ("any", "x", ["X"], None),
        ("any", 5, [5], None),
        ("text", None, ["x"], "type_error:simple"),
        # Strings: without ` ,./-_*^`, in lower case, with ' as ".
        ("text", "April 1, 2024", ["april-1 2024"], None),
        ("text", "a_b*c^d/e.f", ["ABCDEF"], None),
        ("text", "it's", ['it"s'], None),
        ("text", "it;s", ["its"], "value_error:string"),
        ("text", "Rome", ["Paris", "Oslo"], "value_error:string"),
        ("text", "", ["Paris", ""], None),
        # Lists: order matters, one level of types, strings as above.
        ("words", ["New York", "LA"], [["newyork", "la"]], None),
        ("words", ["la", "New York"], [["newyork", "la"]], "value_error:list/tuple"),
        ("words", ["la"], [["newyork", "la"]], "value_error:list/tuple"),
        ("words", [1], [["a"]], "type_error:nested"),
        ("words", [], [["a"], ""], None),
        ("words", ["a"], [["b"], ["a"]], None),
        ("words", ("a",), [["a"]], "type_error:simple"),
        ("reals", [1, 2], [[1.0, 2.0]], "type_error:nested"),
        ("reals", [1, 2], [[1, 2]], None),
        ("pair", (1, 2), [[1, 2]], None),
        ("pair", [1, 2], [[1, 2]], None),
        # Objects: keys in the gold, each value among its own, absent only with "".
        ("object", {"a": "New York", "b": 1}, [{"a": ["newyork"], "b": [1, 2]}], None),
        ("object", {"a": "x", "c": 1}, [{"a": ["x"]}], "value_error:dict_key"),
        ("object", {"a": "y"}, [{"a": ["x"]}], "value_error:dict_value"),
        ("object", {}, [{"a": ["x"]}], "value_error:dict_key"),
        ("object", {}, [{"a": ["x", ""]}], None),
        ("object", {"a": "y"}, [{"a": ["x"]}, "", {"a": ["y"]}], None),
        ("objects", [{"a": "X"}, {"b": 1}], [[{"a": ["x"]}, {"b": [1]}]], None),
        ("objects", [{"b": 1}, {"a": "X"}], [[{"a": ["x"]}, {"b": [1]}]], "value_error:dict_key"),
        ("objects", [{"a": "x"}], [[{"a": ["x"]}, {"b": [1]}]], "value_error:list_dict_count"),
        ("objects", [{"a": "x"}, {"a": "x"}], [[{"a": ["x"]}]], "value_error:list_dict_count"),
        ("objects", ["a"], [[{"a": ["x"]}]], "type_error:nested"),
        # A variable's name in the gold is compared as it is.
        ("whole", "size", ["size"], None),
        ("whole", "Size", ["size"], "value_error:others"),
        ("words", "names", ["names"], None),
        ("whole", 3, ["size"], "value_error:others"),
    ],
)
def test_one_argument(parameter: str, value: Any, accepted: list[Any], expected: str | None) -> None:
    assert error({parameter: value}, {parameter: accepted}) == expected


@pytest.mark.parametrize(
    ("arguments", "gold", "required", "expected"),
    [
        ({"whole": 1}, {"whole": [1], "text": ["x", ""]}, (), None),
        ({"whole": 1}, {"whole": [1], "text": ["x"]}, (), "missing_optional"),
        ({"whole": 1}, {"whole": [1], "text": ["x", ""]}, ("text",), "missing_required"),
        ({"whole": 1, "flag": True}, {"whole": [1]}, (), "unexpected_param"),
        ({"whole": 1, "new": 1}, {"whole": [1], "new": [1]}, (), "unexpected_param"),
    ],
)
def test_which_arguments(
    arguments: dict[str, Any], gold: dict[str, list[Any]], required: tuple[str, ...], expected: str | None
) -> None:
    assert error(arguments, gold, required) == expected


def test_the_category_decides_how_many_calls_and_against_which_tool() -> None:
    tools = [tool("f", required=("text",)), tool("g")]
    gold = [{"g": {"whole": [1]}}]
    one = [call("g", whole=1)]
    assert match_gold(one, gold, tools, "multiple").correct
    assert match_gold(one, gold, tools, "live_parallel_multiple").correct
    assert match_gold(one, gold, tools, "simple_python").error == "wrong_func_name"  # checked against the first tool
    assert match_gold(one * 2, gold, tools, "multiple").error == "wrong_count"
    assert match_gold(one * 2, gold, tools, "parallel").error == "wrong_count"
    assert match_gold([], gold, tools, "simple_python").error == "wrong_count"
    assert match_gold([call("h", whole=1)], gold, tools, "parallel").error == "cannot_find_match"
    with pytest.raises(DataError, match="'h' is not among the tools"):
        match_gold(one, [{"h": {}}], tools, "multiple")
    with pytest.raises(DataError, match="no call"):
        match_gold(one, [], tools, "irrelevance")


def test_the_greedy_pairing_can_miss_what_the_bipartite_one_finds() -> None:
    gold = [{"f": {"whole": [1, 2]}}, {"f": {"whole": [1]}}]
    outputs = [call(whole=1), call(whole=2)]
    assert match_gold(outputs, gold, [tool()], "parallel").correct
    assert match_gold(outputs[::-1], gold, [tool()], "parallel", assignment="greedy").correct
    assert match_gold(outputs, gold, [tool()], "parallel", assignment="greedy").error == "cannot_find_match"
    wrong = [call(whole=1), call(whole=3)]
    match = match_gold(wrong, gold, [tool()], "parallel")
    assert match.error == "cannot_find_match" and "number 2" in match.detail


def test_the_bipartite_pairing_is_right_wherever_a_pairing_exists() -> None:
    """Against trying all permutations, on random choices; greedy is right only where bipartite is."""
    rng = random.Random(0)
    outcomes = set()
    for _ in range(400):
        size = rng.randint(2, 5)
        choices = [rng.sample(range(size), rng.randint(1, size)) for _ in range(size)]
        values = [rng.randrange(size) for _ in range(size)]
        gold = [{"f": {"whole": choice}} for choice in choices]
        calls = [call(whole=value) for value in values]
        exists = any(
            all(value in choice for value, choice in zip(order, choices, strict=True))
            for order in itertools.permutations(values)
        )
        greedy = match_gold(calls, gold, [tool()], "parallel", assignment="greedy").correct
        assert match_gold(calls, gold, [tool()], "parallel").correct == exists
        assert exists or not greedy
        outcomes.add((exists, greedy))
    assert outcomes == {(True, True), (True, False), (False, False)}


def test_a_reference_has_one_value_for_each_parameter() -> None:
    reference = [call(text="New York", real=1.0, objects=[{"a": "X", "n": [1]}], object={"k": ""})]

    def found(**changes: Any) -> str | None:
        arguments = {k: v for k, v in (reference[0].arguments | changes).items() if v is not ...}
        return match_calls([call(**arguments)], reference, [tool()]).error

    assert found(text="new-york", real=1, objects=[{"a": "x", "n": [1]}]) is None
    assert found(text="Rome") == "value_error:string"
    assert found(real="1") == "type_error:simple"
    assert found(objects=[{"a": "y", "n": [1]}]) == "value_error:dict_value"
    assert found(objects=[{"a": "x"}]) == "value_error:dict_key"
    assert found(object={}) == "value_error:dict_key"  # "" is a value here, not a mark for an option
    assert found(text=...) == "missing_optional"
    assert found(flag=True) == "unexpected_param"
    assert match_calls([call(text="")], [call(text="")], [tool()]).correct
    assert match_calls([call()], [call(text="")], [tool()]).error == "missing_optional"
    assert match_calls([call()], [call(text="x")], [tool(required=("text",))]).error == "missing_required"
    assert match_calls([call("g")], [call()], [tool()]).error == "wrong_func_name"
    assert match_calls([call(words=["A"])], [call(words=["a"])], [tool(required=("text",))]).correct
    assert match_calls([call(words=["A"], whole="")], [call(words=["a"], whole="")], [tool()]).correct


def test_the_schemas_default_may_be_said_or_left_out() -> None:
    tools = [
        tool(required=("text",), unit={"type": "string", "default": "Celsius"}, text={"type": "string", "default": "x"})
    ]
    bare, said, other = call(text="x"), call(text="x", unit="celsius"), call(text="x", unit="Kelvin")
    assert match_calls([said], [bare], tools).correct
    assert match_calls([bare], [said], tools).correct
    assert match_calls([other], [bare], tools).error == "unexpected_param"
    assert match_calls([bare], [other], tools).error == "missing_optional"
    assert match_calls([call()], [bare], tools).error == "missing_required"
    assert match_calls([bare], [call()], tools).error == "unexpected_param"


@pytest.mark.parametrize(
    ("details", "value", "reference", "expected"),
    [
        ({"type": "number"}, 3, 3.0, None),
        ({"type": "number"}, 3.5, 3.0, "value_error:others"),
        ({"type": "object"}, {"a": "X"}, {"a": "x"}, None),
        ({"type": ["string", "null"]}, "X", "x", None),
        ({"type": ["string", "null"]}, None, "x", "type_error:simple"),
        ({"type": "string"}, None, None, None),
        ({"anyOf": [{"type": "integer"}]}, 2, 1, "value_error:others"),
        ({}, "New York", "new york", None),
        ({"type": "array"}, ["A"], ["a"], None),
        ({"type": "integer"}, "a b", "A B", "value_error:others"),
    ],
)
def test_json_schema_and_unknown_types(details: Any, value: Any, reference: Any, expected: str | None) -> None:
    tools = [Tool(name="f", parameters={"type": "object", "properties": {"x": details}})]
    assert match_calls([call(x=value)], [call(x=reference)], tools).error == expected


def test_without_a_schema_the_references_types_hold() -> None:
    assert match_calls([call(a="X", b=[1])], [call(a="x", b=[1])]).correct
    assert match_calls([call(a="1", b=[1])], [call(a=1, b=[1])]).error == "type_error:simple"


def test_parallel_calls_match_in_any_order_unless_order_is_asked_for() -> None:
    reference = [call(text="a"), call("g", whole=1), call(text="b")]
    shuffled = [call(text="B"), call(text="A"), call("g", whole=1)]
    tools = [tool(), tool("g")]
    assert match_calls(shuffled, reference, tools).correct
    assert match_calls(shuffled, reference, tools, ordered=True).error == "value_error:string"
    assert match_calls(shuffled[:2], reference, tools).error == "wrong_count"
    assert match_calls([*shuffled[:2], call("g", whole=2)], reference, tools).error == "cannot_find_match"
    assert match_calls(reference[::-1], reference, tools, rules="strict").correct
    assert not match_calls(reference[::-1], reference, tools, rules="strict", ordered=True).correct
    assert match_calls([], []).correct


def test_the_benchmarks_rules_take_no_float_for_an_integer() -> None:
    tools = [Tool(name="f", parameters={"type": "object", "properties": {"a": {"type": "integer"}}})]
    made = [Call(name="f", arguments={"a": value}) for value in (3, 3.0)]
    assert match_calls(made[:1], made[:1], tools).correct and not match_calls(made[1:], made[:1], tools).correct
    assert match_calls(made[1:], made[:1], tools, rules="strict").correct
    real = [tools[0].model_copy(update={"parameters": {"properties": {"a": {"type": "number"}}}})]
    assert match_calls(made[:1], made[1:], real).correct


@pytest.mark.parametrize(
    ("value", "reference", "expected"),
    [
        (1, 1.0, None),
        (2**60, float(2**60), "value_error:others"),
        ({"a": 1, "b": [2.0]}, {"b": [2], "a": 1.0}, None),
        (True, 1, "value_error:others"),
        (0, False, "value_error:others"),
        ("Paris", "paris", "value_error:others"),
        ([1, 2], [2, 1], "value_error:others"),
        (None, "None", "value_error:others"),
    ],
)
def test_strict_compares_json_values(value: Any, reference: Any, expected: str | None) -> None:
    assert match_calls([call(a=value)], [call(a=reference)], rules="strict").error == expected


def test_strict_error_kinds() -> None:
    reference = [call(a=1, b=2)]
    for calls, expected in [
        ([call(b=2, a=1)], None),
        ([call("g", a=1, b=2)], "wrong_func_name"),
        ([call(a=1, b=2, c=3)], "unexpected_param"),
        ([call(a=1)], "missing_optional"),
        ([], "wrong_count"),
        (reference * 2, "wrong_count"),
    ]:
        assert match_calls(calls, reference, rules="strict").error == expected
    assert match_calls([call(a=1), call(a=1)], [call(a=1), call(a=2)], rules="strict").error == "cannot_find_match"


SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.0, 0.5, "", "a", "A b", "é"])
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=2) | st.dictionaries(st.sampled_from("ab"), v), max_leaves=4
)
CALLS = st.lists(
    st.builds(Call, name=st.sampled_from("fg"), arguments=st.dictionaries(st.sampled_from([*PROPERTIES, "x"]), VALUES)),
    max_size=3,
)
TOOLS = [tool("f", required=("text",)), tool("g")]


@given(a=CALLS, b=CALLS, data=st.data())
@settings(max_examples=300, deadline=None)
def test_properties_of_matching(a: list[Call], b: list[Call], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(a))
    for rules in ("bfcl", "strict"):
        assert match_calls(shuffled, a, TOOLS, rules=rules).correct  # whatever the schema says of the reference
    strict = match_calls(a, b, rules="strict").correct
    assert strict == match_calls(b, a, rules="strict").correct
    assert strict == same_calls(parse_answer(render_calls(a)), parse_answer(render_calls(b)))
    loose = match_calls(a, b, TOOLS)
    # The benchmark's rules tell 1.0 from 1, which strict ones do not: an argument's own error there.
    whole_floats = re.search(r"\d\.0\b", render_calls([*a, *b]))
    assert loose.correct or not strict or whole_floats
    assert loose.correct == match_calls(shuffled, b, TOOLS).correct
    assert loose.correct or not match_calls(a, b, TOOLS, assignment="greedy").correct
    assert loose.correct == (loose.error is None)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("[f(a=1), g()]", "[g(),f(a = 1.0)]", True),
        ("[f(a=1)]", "Sure: [f(a=1)]", True),
        ("[f(a=1), f(a=1)]", "[f(a=1)]", False),
        ("[f(a=1)]", "[f(a=True)]", False),
        ("[f(a='x')]", "[f(a='X')]", False),
        ("No tool fits.", " No tool fits.\n", True),
        ("No tool fits.", "No tool.", False),
        ("[f(a=1)]", "No tool fits.", False),
        ("[f(a=]", "[f(a=]", True),
        ("[f(a=]", "[f(a=1)]", False),
        ("[]", "", True),
    ],
)
def test_same_calls(a: str, b: str, same: bool) -> None:
    assert same_calls(parse_answer(a), parse_answer(b)) is same
    assert same_calls(parse_answer(b), parse_answer(a)) is same


def sample(*reference: Call, text: str = "") -> Sample:
    chat = Chat(tools=(tool(),), messages=(Message(role="user", content="?"),))
    return Sample(id="s", chat=chat, reference=Message(role="assistant", content=text, calls=reference))


@pytest.mark.parametrize(
    ("text", "with_calls", "with_text"),
    [
        ('[f(text="Rome")]', None, "unexpected_call"),
        ("Sure. [f(text='rome')]", None, "unexpected_call"),
        ("[f(text='Oslo')]", "value_error:string", "unexpected_call"),
        ("[f(text='Rome'), f(text='Rome')]", "wrong_count", "unexpected_call"),
        ("[f(text='Rome'", "decoder_failed", "broken_call"),
        ('<tool_call>{"name": "f", "arguments": {"text": "Rome"}}</tool_call>', "decoder_failed", "broken_call"),
        ("Which city do you mean?", "no_call", None),
        ("[]", "no_call", "empty"),
        (" \n", "no_call", "empty"),
    ],
)
def test_verdicts(text: str, with_calls: str | None, with_text: str | None) -> None:
    for row, expected in [(sample(call(text="Rome")), with_calls), (sample(text="Which city?"), with_text)]:
        verdict = judge(row, text)
        assert (verdict.error, verdict.correct) == (expected, expected is None)
        assert verdict.answer == parse_answer(text)
        assert verdict.correct or verdict.detail


def test_judge_takes_the_rules_and_the_format() -> None:
    row = sample(call(text="Rome"))
    assert judge(row, "[f(text='rome')]", rules="strict").error == "value_error:others"
    hermes = '<tool_call>{"name": "f", "arguments": {"text": "Rome"}}</tool_call>'
    assert judge(row, hermes, "hermes", rules="strict").correct
