"""Storage: whole files or none, stages that refuse other inputs, locks."""

from __future__ import annotations

import json
import os
import pickle
import resource
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest

from toolace.errors import StorageError
from toolace.rounds import lock as lock_module
from toolace.rounds.events import EventLog
from toolace.rounds.lock import RunLock
from toolace.storage import DONE, Stage, Store, difference


def test_files_round_trip_and_leave_no_temporary_files(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.write("a/b.bin", b"one")
    store.write("a/b.bin", b"two")
    assert store.read("a/b.bin") == b"two"
    assert store.list("a") == ["b.bin"]
    assert os.listdir(tmp_path / "a") == ["b.bin"]
    store.delete("a")
    assert not store.exists("a") and store.list("a") == []
    store.delete("a")


def test_a_uri_and_a_path_are_the_same_place(tmp_path: Path) -> None:
    Store(f"file://{tmp_path}").write_json("x.json", {"a": 1})
    assert Store(str(tmp_path)).read_json("x.json") == {"a": 1}
    assert pickle.loads(pickle.dumps(Store(f"file://{tmp_path}"))).read_json("x.json") == {"a": 1}


def test_tables_round_trip_and_damage_is_named(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    table = pa.table({"id": ["a", "b"], "n": [1, 2]})
    store.write_table("t.parquet", table)
    assert store.read_table("t.parquet").equals(table)
    store.write("t.parquet", store.read("t.parquet")[:-10])
    with pytest.raises(StorageError, match=r"t\.parquet is not a readable parquet"):
        store.read_table("t.parquet")


@pytest.mark.parametrize("uri", ["nosuch://bucket/x", "s3://"])
def test_storage_that_cannot_be_opened_is_named(uri: str) -> None:
    with pytest.raises(StorageError, match=uri.split(":")[0]):
        Store(uri).read("x")


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with pytest.raises(StorageError, match=r"no such file: .*nothing\.json"):
        store.read("nothing.json")
    store.write("bad.json", b"{")
    with pytest.raises(StorageError, match=r"bad\.json is damaged"):
        store.read_json("bad.json")


def test_a_write_that_fails_half_way_publishes_nothing(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.write("shard.parquet", b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # like a full disk: the write stops in the middle
    try:
        with pytest.raises(StorageError, match=r"cannot write .*shard\.parquet"):
            store.write("shard.parquet", bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert store.read("shard.parquet") == b"old"
    assert os.listdir(tmp_path) == ["shard.parquet"]


def test_a_stage_is_done_once_and_refuses_other_inputs(tmp_path: Path) -> None:
    run = Store(str(tmp_path))
    stage = Stage(run, "round-1/probe", {"k": 8, "model": "m0"})
    assert stage.done() is None
    stage.publish({"rows": 3})
    assert Stage(run, "round-1/probe", {"model": "m0", "k": 8}).done() == {"rows": 3}
    with pytest.raises(StorageError, match="k: 8 -> 4"):
        Stage(run, "round-1/probe", {"k": 4, "model": "m0"}).done()


def test_a_begun_stage_refuses_other_inputs_too(tmp_path: Path) -> None:
    run = Store(str(tmp_path))
    assert Stage(run, "probe", {"k": 8}).done() is None
    assert Stage(run, "probe", {"k": 8}).done() is None
    with pytest.raises(StorageError, match="k: 8 -> 9"):
        Stage(run, "probe", {"k": 9}).done()
    assert not run.exists(f"probe/{DONE}")


def test_difference_names_nested_keys() -> None:
    assert difference({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3, "d": 4}}) == ["a.c: 2 -> 3", "a.d: None -> 4"]


def test_a_second_driver_is_refused_with_owner_and_age(tmp_path: Path) -> None:
    run = Store(str(tmp_path))
    with RunLock(run), pytest.raises(StorageError, match=rf"in use by process {os.getpid()} .* s ago"):
        RunLock(run).__enter__()
    assert not run.exists("lock.json")
    with RunLock(run):
        assert run.exists("lock.json")


def test_the_lock_of_a_dead_driver_is_taken_over(tmp_path: Path) -> None:
    run = Store(str(tmp_path))
    code = (
        "import os, sys; from toolace.storage import Store; from toolace.rounds.lock import RunLock;"
        "RunLock(Store(sys.argv[1])).__enter__(); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert run.exists("lock.json")
    with RunLock(run):
        assert run.read_json("lock.json")["pid"] == os.getpid()


@pytest.mark.parametrize(("silent", "refused"), [(5.0, True), (lock_module.STALE_S + 5, False)])
def test_a_lock_from_another_machine_lives_by_its_heartbeat(tmp_path: Path, silent: float, refused: bool) -> None:
    run = Store(str(tmp_path))
    beat = time.time() - silent
    owner = {"host": "elsewhere", "pid": 1, "token": "t", "started": beat - 100, "heartbeat": beat}
    run.write("lock.json", json.dumps(owner).encode())
    if refused:
        with pytest.raises(StorageError, match="elsewhere"):
            RunLock(run).__enter__()
    else:
        with RunLock(run):
            pass


def test_events_are_lines_that_add_up_over_restarts(tmp_path: Path) -> None:
    for number in range(2):
        EventLog(Store(str(tmp_path / "run"))).write("stage", number=number)
    lines = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    assert [line["number"] for line in lines] == [0, 1] and all(line["event"] == "stage" for line in lines)
