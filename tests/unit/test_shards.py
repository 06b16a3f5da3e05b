"""Sample shards and their records on disk: streams, digests, damage."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from rollout_fakes import make_samples, put_samples

from toolace.calls.schema import Call, Chat, Message, Sample, Tool
from toolace.data.shards import read_index, read_samples, read_shard, write_shards
from toolace.errors import DataError, StorageError, ToolaceError
from toolace.rollouts.actor import by_tools
from toolace.rollouts.outputs import Counts, load, make_table, publish, read_records, reason_of
from toolace.storage import Store


def test_samples_come_back_as_they_were(tmp_path: Path):
    tool = Tool(name="find", description="Ünïcode", parameters={"type": "object", "properties": {"a": {"enum": [1]}}})
    chat = Chat(tools=(tool,), messages=(Message(role="user", content="where?\n"),))
    samples = [
        Sample(
            id="a", chat=chat, reference=Message(role="assistant", calls=(Call(name="find", arguments={"a": 1.5}),))
        ),
        Sample(id="b", chat=chat, reference=Message(role="assistant", content="no"), kind="k", group="g", source="f:3"),
    ]
    index = write_shards(samples, Store(str(tmp_path)), 1)
    assert (index.rows, [s.rows for s in index.shards]) == (2, [1, 1])
    assert list(read_samples(Store(str(tmp_path)))) == samples
    assert read_index(Store(str(tmp_path))) == index


def test_shards_are_written_as_a_stream(tmp_path: Path):
    store = Store(str(tmp_path))
    read = 0

    def samples():
        nonlocal read
        for sample in make_samples(25):
            assert len(store.list()) >= (read - 1) // 10  # earlier shards are on disk before later rows are read
            read += 1
            yield sample

    index = write_shards(samples(), store, 10)
    assert [s.rows for s in index.shards] == [10, 10, 5]


def test_no_samples_is_an_empty_index(tmp_path: Path):
    assert write_shards([], Store(str(tmp_path)), 10).shards == ()
    assert list(read_samples(Store(str(tmp_path)))) == []


def test_the_same_id_twice_is_refused(tmp_path: Path):
    twice = [*make_samples(7), *make_samples(3)]
    with pytest.raises(DataError, match="the id 'r0'"):
        write_shards(twice, Store(str(tmp_path)), 4)
    assert not (tmp_path / "index.json").exists()


def test_missing_and_exchanged_shards_are_noticed(tmp_path: Path):
    with pytest.raises(DataError, match=r"no index\.json"):
        read_index(Store(str(tmp_path)))
    store = Store(put_samples(tmp_path, 8, shard_rows=4))
    first, second = read_index(store).shards
    (tmp_path / first.file).write_bytes((tmp_path / second.file).read_bytes())
    with pytest.raises(DataError, match="does not hold the 4 rows"):
        read_shard(store, first)


@pytest.mark.parametrize("file", ["part-00000.parquet", "index.json"])
def test_a_changed_byte_anywhere_gives_the_same_samples_or_an_error(tmp_path: Path, file: str):
    store = Store(put_samples(tmp_path, 20, shard_rows=20))
    before = list(read_samples(store))
    whole = (tmp_path / file).read_bytes()
    draw = random.Random(0)
    noticed = 0
    for _ in range(600):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= draw.randrange(1, 256)
        (tmp_path / file).write_bytes(damaged)
        try:
            assert list(read_samples(store)) == before
        except ToolaceError as error:
            assert file in str(error)
            noticed += 1
    assert noticed > 300


def test_damage_in_a_finished_rollout_names_the_marker_to_delete(tmp_path: Path):
    out = records(tmp_path)
    (out / "done.json").write_text("{}")
    (out / "part-00000.parquet").write_bytes(b"PAR1")
    with pytest.raises(StorageError, match=rf"part-00000\.parquet is damaged.*Delete {out}/done\.json"):
        list(read_records(str(out)))


def records(tmp_path: Path) -> Path:
    """One finished shard of three rows, one of them failed."""
    samples, out = Store(str(tmp_path / "s")), Store(str(tmp_path / "o"))
    index = write_shards(make_samples(3), samples, 3)
    texts = {"r0": json.dumps({"x": 1}), "r1": None, "r2": json.dumps({"x": "ü" * 2000})}
    counts = Counts(rows=3, errors={"Boom": 1}, examples=["r1: Boom"], shards=1)
    publish(out, index.shards[0], make_table(texts, {"r1": "Boom"}, counts))
    out.write("index.json", samples.read("index.json"))
    return tmp_path / "o"


def test_records_come_back_in_order_with_their_counts(tmp_path: Path):
    out = records(tmp_path)
    assert list(read_records(str(out))) == [
        {"id": "r0", "x": 1},
        {"id": "r1", "error": "Boom"},
        {"id": "r2", "x": "ü" * 2000},
    ]
    store = Store(str(out))
    assert load(store, read_index(store).shards[0])[1].errors == {"Boom": 1}


def test_a_changed_byte_anywhere_never_gives_other_records(tmp_path: Path):
    out = records(tmp_path)
    store = Store(str(out))
    (shard,) = read_index(store).shards
    whole = (out / shard.file).read_bytes()
    before = list(read_records(str(out)))
    found = 0
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        (out / shard.file).write_bytes(bytes(damaged))
        try:
            assert list(read_records(str(out))) == before  # the name of the checksum carries nothing
        except StorageError:
            found += 1
    assert found > 20
    (out / shard.file).write_bytes(whole[:-100])
    with pytest.raises(StorageError, match="damaged"):
        load(store, shard)


def test_records_of_other_samples_are_not_taken(tmp_path: Path):
    out = Store(str(records(tmp_path)))
    index = write_shards(make_samples(3, prefix="other"), Store(str(tmp_path / "other")), 3)
    with pytest.raises(StorageError, match="does not hold"):
        load(out, index.shards[0])


def test_counts_add_up():
    total = Counts()
    for errors in ({"a": 1}, {"a": 2, "b": 1}):
        total.add(Counts(rows=5, errors=errors, requests=7, counted={"n": 2}, models=["m"], shards=1))
    assert (total.rows, total.errors, total.failed) == (10, {"a": 3, "b": 1}, 4)
    assert (total.requests, total.counted, total.models, total.shards) == (14, {"n": 4}, ["m"], 2)


def test_rows_with_the_same_tools_are_neighbours():
    assert [row.id for row in by_tools(list(make_samples(7)))] == ["r0", "r3", "r6", "r1", "r4", "r2", "r5"]


def test_errors_of_a_kind_count_together():
    assert reason_of("EngineError: a prompt of 812 tokens") == reason_of("EngineError: a prompt of 9 tokens")
