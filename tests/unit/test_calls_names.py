"""Names for the OpenAI API: accepted, the same every time, one to one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolace.calls import Call, Tool, name_map, normalise_name, normalise_tools, rename_calls
from toolace.calls.schema import OPENAI_NAME

ANY_NAME = st.text(alphabet=st.characters(exclude_categories=()), min_size=1) | st.text(
    "ab _-.", min_size=1, max_size=90
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("get_weather-2", "get_weather-2"),
        ("_private_", "_private_"),
        ("Market Trends API", "Market_Trends_API"),
        ("products/list", "products_list"),
        ("/v1/cocktail", "v1_cocktail"),
        ("User Feed (Video Posts) V2", "User_Feed_Video_Posts_V2"),
        ("Café & Bar", "Cafe_Bar"),
        ("math.sqrt", "math_sqrt"),
        ("查询天气", "tool_26b2a185"),
        ("?", "tool_83553d0d"),
    ],
)
def test_normalised_names(name: str, expected: str) -> None:
    assert normalise_name(name) == expected


@given(ANY_NAME)
def test_every_name_becomes_one_the_api_accepts(name: str) -> None:
    short = normalise_name(name)
    assert OPENAI_NAME.match(short)
    assert normalise_name(short) == short == normalise_name(name)


@given(st.lists(ANY_NAME | st.sampled_from(["a b", "a.b", "a/b", "a_b", "a_b_2", "a" * 64, "a" * 63 + ".", "é"])))
def test_a_set_of_names_stays_a_set(names: list[str]) -> None:
    mapping = name_map(names)
    assert set(mapping) == set(names)
    assert len(set(mapping.values())) == len(mapping)
    assert all(OPENAI_NAME.match(short) for short in mapping.values())
    assert all(mapping[name] == name for name in names if OPENAI_NAME.match(name))


def test_clashes_get_a_number_and_accepted_names_keep_theirs() -> None:
    assert name_map(["a b", "a.b", "a_b", "a/b", "a b"]) == {
        "a b": "a_b_2",
        "a.b": "a_b_3",
        "a_b": "a_b",
        "a/b": "a_b_4",
    }
    long = name_map(["x" * 64, "x" * 64 + "!"])
    assert sorted(map(len, long.values())) == [64, 64]


def test_tools_and_calls_are_renamed_together() -> None:
    tools = [Tool(name="a b", description="d"), Tool(name="a.b"), Tool(name="c", original_name="C!")]
    calls = [Call(name="a.b", arguments={"x y": 1}), Call(name="c"), Call(name="un known")]
    renamed, renamed_calls = normalise_tools(tools, calls)
    assert [(tool.name, tool.original_name) for tool in renamed] == [("a_b", "a b"), ("a_b_2", "a.b"), ("c", "C!")]
    assert renamed[0].description == "d"
    assert renamed_calls == (Call(name="a_b_2", arguments={"x y": 1}), Call(name="c"), Call(name="un_known"))
    assert normalise_tools(renamed, renamed_calls) == (renamed, renamed_calls)
    back = {tool.name: tool.original_name or tool.name for tool in renamed}
    assert rename_calls(renamed_calls[:1], back) == (calls[0],)
