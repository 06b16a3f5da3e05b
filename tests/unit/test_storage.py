"""Storage: whole files or none, stages that refuse other inputs, locks."""

from __future__ import annotations

import itertools
import json
import os
import pickle
import resource
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from toolace.errors import StorageError
from toolace.rounds import lock as lock_module
from toolace.rounds.events import EventLog
from toolace.rounds.lock import RunLock
from toolace.storage import DONE, Stage, StageMismatch, Store, difference


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


def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.write("usual", b"1")
    (tmp_path / "private").touch(mode=0o600)
    for _ in range(2):
        store.write("private", b"2")
        store.write("usual", b"2")
    (tmp_path / "plain").touch()
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"private": 0o600, "usual": modes["plain"], "plain": modes["plain"]}


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
    with pytest.raises(
        StorageError, match=r"t\.parquet is damaged.*Delete .*t\.parquet and run the command that made it again"
    ):
        store.read_table("t.parquet")


def test_every_changed_byte_of_a_table_is_noticed(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    table = pa.table({"id": ["a", "b"], "n": [1, None]}).replace_schema_metadata({b"k": b"v"})
    store.write_table("t.parquet", table)
    whole = store.read("t.parquet")
    seen = 0
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        (tmp_path / "t.parquet").write_bytes(damaged)
        try:
            assert store.read_table("t.parquet").equals(table, check_metadata=True)
        except StorageError:
            seen += 1
    assert seen >= len(whole) - len("toolace.seal")  # without that name the file counts as one of another writer


def test_tables_of_other_writers_are_read(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "t.parquet")
    assert Store(str(tmp_path)).read_table("t.parquet").to_pylist() == [{"id": "a"}]


def test_the_way_out_of_damage_in_a_finished_stage_names_what_keeps_it_from_running_again(tmp_path: Path) -> None:
    run = Store(str(tmp_path))
    stage = Stage(run, "data", {"seed": 0})
    stage.done()
    stage.store.write("train/index.json", b"{")
    stage.publish({})
    with pytest.raises(StorageError, match=rf"train/index\.json is damaged .* Delete {tmp_path}/data/done\.json"):
        stage.store.read_json("train/index.json")
    run.delete("data/done.json")
    assert stage.done() is None


@pytest.mark.parametrize("text", ["[]", "{}", "7", "{", '{"key": "x"}'])
def test_a_damaged_marker_of_a_stage_is_named(tmp_path: Path, text: str) -> None:
    run = Store(str(tmp_path))
    run.write("data/done.json", text.encode())
    with pytest.raises(StorageError, match=r"data/done\.json is damaged .*Delete "):
        Stage(run, "data", {}).done()


def test_an_exclusive_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(StorageError, match=r"cannot create .*lock\.json"):
            store.create_new("lock.json", bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == []
    assert store.create_new("lock.json", b"one") and not store.create_new("lock.json", b"two")
    assert store.read("lock.json") == b"one" and os.listdir(tmp_path) == ["lock.json"]


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


def test_a_begun_stage_that_made_something_refuses_other_inputs_too(tmp_path: Path) -> None:
    run = Store(str(tmp_path))
    assert Stage(run, "probe", {"k": 8}).done() is None
    assert Stage(run, "probe", {"k": 8}).done() is None
    run.write("probe/below/part.parquet", b"")
    with pytest.raises(StorageError, match="k: 8 -> 9"):
        Stage(run, "probe", {"k": 9}).done()
    assert not run.exists(f"probe/{DONE}")


def test_a_stage_that_made_nothing_is_begun_anew_from_other_inputs(tmp_path: Path) -> None:
    run = Store(str(tmp_path))
    assert Stage(run, "probe", {"k": 8}).done() is None
    (tmp_path / "probe" / ".part.parquet.1.tmp").write_bytes(b"of a writer that was killed")
    assert Stage(run, "probe", {"k": 9}).done() is None
    run.write("probe/part.parquet", b"")
    assert Stage(run, "probe", {"k": 9}).done() is None
    with pytest.raises(StorageError, match="k: 9 -> 8"):
        Stage(run, "probe", {"k": 8}).done()


def test_a_stage_that_is_only_looked_at_is_not_begun(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    assert Stage(store, "s", {"a": 1}).look() is None and not store.exists("s")
    Stage(store, "s", {"a": 1}).publish({"rows": 3})
    assert Stage(store, "s", {"a": 1}).look() == {"rows": 3}
    with pytest.raises(StageMismatch, match="a: 1 -> 2"):
        Stage(store, "s", {"a": 2}).look()


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


def lock_of(pid: int, silent: float, **more: str) -> bytes:
    beat = time.time() - silent
    owner = {"host": socket.gethostname(), "pid": pid, "token": "t", "started": beat - 100, "heartbeat": beat}
    return json.dumps({**owner, **more}).encode()


@pytest.mark.parametrize("pid", [1, os.getpid(), os.getppid()], ids=["the first", "this one", "its parent"])
def test_a_process_that_has_the_number_of_a_dead_owner_does_not_hold_its_lock(tmp_path: Path, pid: int) -> None:
    run = Store(str(tmp_path))
    run.write("lock.json", lock_of(pid, 0.0, space=lock_module._space(), born="1"))
    with RunLock(run):  # this boot, this pid namespace, but another process: nothing to wait for
        assert run.read_json("lock.json")["pid"] == os.getpid()


@pytest.mark.parametrize(("silent", "refused"), [(5.0, True), (lock_module.STALE_S + 5, False)])
@pytest.mark.parametrize("space", ["", "another boot pid:[1]"])
def test_an_owner_that_cannot_be_seen_lives_by_its_heartbeat(
    tmp_path: Path, space: str, silent: float, refused: bool
) -> None:
    run = Store(str(tmp_path))
    run.write("lock.json", lock_of(os.getppid(), silent, space=space, born="1"))
    if refused:
        with pytest.raises(StorageError, match="60 s without a sign of life") as told:
            RunLock(run).__enter__()
        assert "stop it" not in str(told.value)
    else:
        with RunLock(run):
            pass


def test_a_living_owner_keeps_its_lock_however_long_it_is_silent(tmp_path: Path) -> None:
    run = Store(str(tmp_path))
    born = lock_module._born(os.getppid())
    run.write("lock.json", lock_of(os.getppid(), 1e6, space=lock_module._space(), born=str(born)))
    with pytest.raises(StorageError, match="stop it"):
        RunLock(run).__enter__()


DAMAGED = [
    pytest.param(lock_of(1, 0, heartbeat=beat).decode(), id=f"heartbeat {beat}")
    for beat in ("soon", float("nan"), float("inf"))
]


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "{}", '{"pid": []}', *DAMAGED])
def test_a_damaged_lock_is_named_and_taken_over_when_it_is_old(tmp_path: Path, text: str) -> None:
    run = Store(str(tmp_path))
    run.write("lock.json", text.encode())
    with pytest.raises(StorageError, match=r"lock\.json is damaged.*no driver works on the run it is safe to delete"):
        RunLock(run).__enter__()
    old = time.time() - lock_module.STALE_S - 5
    os.utime(tmp_path / "lock.json", (old, old))
    with RunLock(run):
        assert run.read_json("lock.json")["pid"] == os.getpid()


def test_events_are_lines_that_add_up_over_restarts(tmp_path: Path) -> None:
    for number in range(2):
        EventLog(Store(str(tmp_path / "run"))).write("stage", number=number)
    lines = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    assert [line["number"] for line in lines] == [0, 1] and all(line["event"] == "stage" for line in lines)


def foreign_lock() -> bytes:
    owner = {"host": "elsewhere", "pid": 7, "token": "theirs", "started": time.time(), "heartbeat": time.time()}
    return json.dumps(owner).encode()


def test_a_driver_whose_lock_was_taken_over_is_ended_and_leaves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_module, "HEARTBEAT_S", 0.02)
    run = Store(str(tmp_path))
    with pytest.raises(StorageError, match="was taken over by process 7 on elsewhere"), RunLock(run):
        for _ in range(600):  # this driver was silent for so long that another one took the run
            run.write("lock.json", foreign_lock())  # again, as a heartbeat at work may still write over it
            time.sleep(0.1)  # interrupted by the next heartbeat
    assert run.read("lock.json") and run.read_json("lock.json")["token"] == "theirs"


def test_a_lock_that_cannot_be_given_back_does_not_hide_what_stopped_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Store(str(tmp_path))

    def broken(*_: object) -> bool:
        raise StorageError("the storage is away")

    with pytest.raises(ValueError, match="the reason"), RunLock(run):
        monkeypatch.setattr(run, "delete_if", broken)
        raise ValueError("the reason")
    monkeypatch.undo()
    run.delete("lock.json")
    with pytest.raises(StorageError, match="away"), RunLock(run):
        monkeypatch.setattr(run, "delete_if", broken)


def test_a_lock_that_was_taken_over_since_it_was_judged_dead_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Store(str(tmp_path))
    run.write("lock.json", lock_of(1, lock_module.STALE_S + 5, space="another boot pid:[1]"))
    judge = RunLock._refuse_living

    def slow(lock: RunLock, seen: bytes) -> None:
        judge(lock, seen)
        run.write("lock.json", foreign_lock())  # a driver of another machine was faster

    monkeypatch.setattr(RunLock, "_refuse_living", slow)
    with pytest.raises(StorageError, match="locked by another driver at the same moment"):
        RunLock(run).__enter__()
    assert [file.name for file in tmp_path.iterdir()] == ["lock.json"] and run.read("lock.json")
    assert run.read_json("lock.json")["token"] == "theirs"


def test_of_several_that_take_over_at_once_one_gets_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, judge = Store(str(tmp_path)), RunLock._refuse_living
    pauses = itertools.count()

    def slow(lock: RunLock, seen: bytes) -> None:
        judge(lock, seen)
        time.sleep(next(pauses) % 8 * 0.005)  # others take over between the look and the deed

    monkeypatch.setattr(RunLock, "_refuse_living", slow)
    for _ in range(3):
        run.write("lock.json", lock_of(1, lock_module.STALE_S + 5, space="another boot pid:[1]"))
        start, tried = threading.Barrier(8), threading.Barrier(8)
        held: list[str] = []

        def take(start: threading.Barrier, tried: threading.Barrier, held: list[str]) -> None:
            lock = RunLock(Store(str(tmp_path)))
            start.wait()
            try:
                lock.__enter__()
            except StorageError:
                tried.wait()
                return
            held.append(lock._token)
            tried.wait()
            lock.__exit__(None, None, None)

        threads = [threading.Thread(target=take, args=(start, tried, held)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(held) == 1 and not list(tmp_path.iterdir())


def test_only_the_file_that_was_seen_is_deleted(tmp_path: Path) -> None:
    place = Store(str(tmp_path))

    def look(data: bytes) -> bool:
        place.write("a", b"newer")
        return data == b"mine"

    for content, found in ((b"mine", True), (b"theirs", False)):
        place.write("a", content)
        assert place.delete_if("a", look) is found
        assert place.read("a") == b"newer"
    assert not place.delete_if("a", lambda data: data == b"mine") and place.read("a") == b"newer"
    assert place.delete_if("a", lambda data: True) and not place.delete_if("a", lambda data: True)
    assert not list(tmp_path.iterdir())
