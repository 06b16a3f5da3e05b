"""Samples on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolace.calls.schema import Call, Chat, Message, Sample, Tool
from toolace.data import count_samples, load_samples, read_samples, storing, write_samples
from toolace.errors import DataError

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
calls = st.builds(
    Call, name=st.text("abc_ /", min_size=1, max_size=5), arguments=st.dictionaries(texts, json_values, max_size=3)
)
messages = st.builds(
    Message,
    role=st.sampled_from(["user", "assistant", "tool"]),
    content=texts,
    calls=st.lists(calls, max_size=2).map(tuple),
    name=st.none() | texts,
)
tools = st.builds(
    Tool, name=st.text("abc", min_size=1), description=texts, parameters=st.dictionaries(texts, json_values, max_size=2)
)
chats = st.builds(
    Chat, tools=st.lists(tools, max_size=2).map(tuple), messages=st.lists(messages, min_size=1, max_size=3).map(tuple)
)
samples = st.builds(
    Sample, id=st.text("ab1", min_size=1), chat=chats, reference=messages, kind=texts, group=texts, source=texts
)


@given(pool=st.lists(samples, min_size=1, max_size=5))
@settings(max_examples=25, deadline=None)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, pool: list[Sample]) -> None:
    path = tmp_path_factory.mktemp("s") / "x.parquet"
    assert write_samples(pool, path) == len(pool)
    found = list(read_samples(path))
    assert found == pool
    # A model is shown parameters and arguments in the order in which they were given, stored or not.
    assert [json.dumps(s.model_dump()) for s in found] == [json.dumps(s.model_dump()) for s in pool]


def numbered(count: int) -> list[Sample]:
    chat = Chat(messages=(Message(role="user", content="q"),))
    return [Sample(id=f"s{n}", chat=chat, reference=Message(role="assistant", content="a")) for n in range(count)]


def test_ranges_over_row_groups_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing, "ROWS_PER_GROUP", 3)
    monkeypatch.setattr(storing, "ROWS_PER_FILE", 7)
    pool = numbered(20)
    assert write_samples(iter(pool), tmp_path / "set") == 20
    assert [file.name for file in sorted((tmp_path / "set").iterdir())] == [f"part-0000{n}.parquet" for n in range(3)]
    assert count_samples(tmp_path / "set") == 20
    for start in range(0, 22, 3):
        for stop in (None, 0, 1, 5, 7, 8, 14, 20, 30):
            assert list(read_samples(tmp_path / "set", start, stop)) == pool[start:stop], (start, stop)


def test_columns_are_plain_strings(tmp_path: Path) -> None:
    from pyarrow import parquet

    write_samples(numbered(2), tmp_path / "x.parquet")
    schema = parquet.read_schema(tmp_path / "x.parquet")
    assert schema.names == ["id", "kind", "group", "source", "chat", "reference"]
    assert {str(kind) for kind in schema.types} == {"string"}


def test_own_files_load_like_any_other_and_keep_ids(tmp_path: Path) -> None:
    pool = numbered(3)
    write_samples(pool, tmp_path / "x.parquet")
    loaded = load_samples(tmp_path / "x.parquet")
    assert [s.id for s in loaded.samples] == [s.id for s in pool]
    assert loaded.formats == {"samples": 3}


def test_a_sample_that_comes_twice_is_used_once(tmp_path: Path) -> None:
    write_samples(numbered(3), tmp_path / "a.parquet")
    write_samples(numbered(4), tmp_path / "b.parquet")
    loaded = load_samples(tmp_path)
    assert [s.id for s in loaded.samples] == ["s0", "s1", "s2", "s3"]
    assert loaded.reasons() == {"duplicate_id": 3}
    assert loaded.rows == 7


def test_damage_is_named(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    path = tmp_path / "x.parquet"
    write_samples(numbered(50), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    for reader in (lambda: list(read_samples(path)), lambda: count_samples(path)):
        with pytest.raises(DataError, match=r"x\.parquet is damaged: .*make it again"):
            reader()
    path.write_bytes(b"PAR1" + bytes(100) + whole[104:])
    with pytest.raises(DataError, match="is damaged"):
        list(read_samples(path))
    with pytest.raises(DataError, match=r"damaged parquet \(after row 0\)"):
        load_samples(path, format="samples")
    parquet.write_table(pyarrow.table({name: ["{"] for name in storing.COLUMNS}), path)
    with pytest.raises(DataError, match="is damaged"):
        list(read_samples(path))
    parquet.write_table(pyarrow.table({"id": ["1"], "text": ["x"]}), path)
    with pytest.raises(DataError, match="holds no samples: the columns chat, group"):
        list(read_samples(path))
    with pytest.raises(DataError, match="no samples at"):
        list(read_samples(tmp_path / "gone"))


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> object:
        yield from numbered(3)
        raise RuntimeError("source died")

    with pytest.raises(RuntimeError):
        write_samples(broken(), tmp_path / "x.parquet")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DataError, match="no samples to write"):
        write_samples([], tmp_path / "x.parquet")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_samples(numbered(1), tmp_path / "file" / "x.parquet")
