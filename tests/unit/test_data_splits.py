"""The split by tool: nothing that is tested was trained on."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolace.calls.schema import Call, Chat, Message, Sample, Tool
from toolace.data import assign_groups, split_by_tools
from toolace.data.splits import SplitBy
from toolace.errors import DataError


def sample(number: int, tools: tuple[str, ...], called: tuple[str, ...] = (), query: str = "", row: str = "") -> Sample:
    turns = (Message(role="user", content=query or f"query {number}"),)
    reference = Message(role="assistant", content="x", calls=tuple(Call(name=name) for name in called))
    chat = Chat(tools=tuple(Tool(name=name) for name in tools), messages=turns)
    return Sample(id=f"s{number}", chat=chat, reference=reference, source=f"{row}:1" if row else "")


@st.composite
def pools(draw: st.DrawFn) -> list[Sample]:
    """Pools with tools shared at random, some samples without tools, some rows of several turns."""
    count = draw(st.integers(20, 50))
    names = [f"t{n}" for n in range(draw(st.integers(20, 120)))]
    out = []
    for number in range(count):
        tools = tuple(draw(st.lists(st.sampled_from(names), max_size=2, unique=True)))
        called = tuple(draw(st.lists(st.sampled_from(tools), max_size=2, unique=True))) if tools else ()
        query = draw(st.sampled_from(["", "", "", "hello"])) if not tools else ""
        row = f"f:{draw(st.integers(0, count))}" if draw(st.integers(0, 3)) == 0 else ""
        out.append(sample(number, tools, called, query, row))
    return out


def names_of(samples: list[Sample], by: SplitBy) -> set[str]:
    if by == "tools":
        return {tool.name for s in samples for tool in s.chat.tools}
    return {call.name for s in samples for call in s.reference.calls}


@given(pool=pools(), seed=st.integers(0, 3), by=st.sampled_from(["tools", "reference"]), shuffle=st.randoms())
@settings(max_examples=40, deadline=None)
def test_split_properties(pool: list[Sample], seed: int, by: SplitBy, shuffle: random.Random) -> None:
    try:
        splits = split_by_tools(pool, 0.2, 0.2, seed, by=by)
    except DataError as error:
        assert "the largest hold" in str(error)
        return
    assert sorted(s.id for part in splits.values() for s in part) == sorted(s.id for s in pool), "a partition"
    for one, other in itertools.combinations(splits.values(), 2):
        assert not names_of(one, by) & names_of(other, by), "no tool in two splits"
        assert not {s.source[:-2] for s in one if s.source} & {s.source[:-2] for s in other if s.source}
        bare = [{s.chat.messages[0].content for s in part if not s.chat.tools} for part in (one, other)]
        assert not bare[0] & bare[1], "no query in two splits where there is no tool"
    for split in ("dev", "test"):
        assert 0.1 * len(pool) <= len(splits[split]) <= 0.3 * len(pool)
    mixed = list(pool)
    shuffle.shuffle(mixed)
    again = split_by_tools(mixed, 0.2, 0.2, seed, by=by)
    assert {k: {s.id for s in v} for k, v in again.items()} == {k: {s.id for s in v} for k, v in splits.items()}
    groups = {s.id: s.group for s in assign_groups(pool, by)}
    assert groups == {s.id: s.group for s in assign_groups(mixed, by)}, "group names do not depend on order"


def test_chains_of_shared_tools_are_one_group() -> None:
    pool = [sample(0, ("a", "b")), sample(1, ("c", "d")), sample(2, ("x",)), sample(3, ("b", "c"))]
    groups = [s.group for s in assign_groups(pool)]
    assert groups[0] == groups[1] == groups[3] != groups[2]
    assert len({s.group for s in assign_groups([s for s in pool if s.id != "s3"])}) == 3


def test_seed_changes_the_split_and_order_is_kept() -> None:
    pool = [sample(n, (f"t{n}",)) for n in range(100)]
    tests = [[s.id for s in split_by_tools(pool, 0.1, 0.1, seed)["test"]] for seed in (0, 0, 1)]
    assert tests[0] == tests[1] != tests[2]
    assert tests[0] == sorted(tests[0], key=lambda name: int(name[1:]))
    assert [len(part) for part in split_by_tools(pool, 0.1, 0.2, 0).values()] == [70, 10, 20]


def test_zero_shares_leave_all_in_train() -> None:
    pool = [sample(n, ("same",)) for n in range(5)]
    assert [len(part) for part in split_by_tools(pool, 0, 0, 0).values()] == [5, 0, 0]


def test_one_giant_group_is_an_error_with_sizes_and_a_way_out() -> None:
    pool = [sample(n, ("search", f"t{n}"), (f"t{n}",)) for n in range(96)]
    pool += [sample(100 + n, (f"other{n}",)) for n in range(4)]
    with pytest.raises(DataError) as caught:
        split_by_tools(pool, 0.1, 0.1, 0)
    for word in ("test", "about 10 of 100", "5 groups", "96, 1, 1, 1, 1", "data.split_by=reference"):
        assert word in str(caught.value)
    splits = split_by_tools(pool, 0.1, 0.1, 0, by="reference")
    assert [len(part) for part in splits.values()] == [80, 10, 10]


def test_nothing_left_to_train_on_is_an_error() -> None:
    with pytest.raises(DataError):
        split_by_tools([], 0.1, 0.1, 0)
    with pytest.raises(DataError, match="together below 1"):
        split_by_tools([sample(0, ("a",))], 0.5, 0.5, 0)
