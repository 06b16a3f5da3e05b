"""Run directories on S3, by the real client against a server of this machine."""

from __future__ import annotations

import multiprocessing
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from toolace import filesystems
from toolace.engines.models import resolve_model
from toolace.errors import EngineError, StorageError
from toolace.rounds import lock as lock_module
from toolace.rounds.events import EventLog
from toolace.rounds.lock import RunLock
from toolace.storage import Stage, Store
from toolace.training.files import published, readable, writable

if TYPE_CHECKING:
    from object_server import ObjectServer

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(object_server: ObjectServer, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Store:
    """An empty run directory in a bucket of its own."""
    for name, value in object_server.environment.items():
        monkeypatch.setenv(name, value)
    bucket = object_server.bucket("".join(letter if letter.isalnum() else "-" for letter in request.node.name)[:60])
    return Store(f"{bucket}/runs/demo")


def test_files_and_stages(run: Store) -> None:
    run.write("a/b.bin", b"one")
    run.write("a/b.bin", b"two")
    assert run.read("a/b.bin") == b"two" and run.list("a") == ["b.bin"] and run.age("a/b.bin") < 3600
    assert run.create_new("a/new", b"1") and not run.create_new("a/new", b"2") and run.read("a/new") == b"1"
    stage = Stage(run, "probe", {"k": 8})
    assert stage.done() is None
    stage.publish({"rows": 3})
    assert Stage(run, "probe", {"k": 8}).done() == {"rows": 3}
    run.delete("a")
    assert not run.exists("a") and run.list("a") == [] and run.exists("probe/done.json")
    for number in range(2):
        EventLog(run).write("stage", number=number)
    assert run.read("events.jsonl").count(b"\n") == 2
    with pytest.raises(StorageError, match=r"no such file: s3://.*/nothing"):
        run.read("nothing")


def test_directories_come_and_go_whole(run: Store) -> None:
    with published(run, "model") as folder:
        (folder / "adapter").mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "adapter" / "weights").write_bytes(b"w" * 100)
    with writable(run, "checkpoints/step-1") as folder:
        (folder / "rank-0").write_text("state")
    with readable(run, "model") as folder:
        assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == [
            "adapter/weights", "config.json",
        ]  # fmt: skip
    assert run.list("checkpoints/step-1") == ["rank-0"]


def test_an_endpoint_for_s3_alone_goes_before_the_general_one(run: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", os.environ["AWS_ENDPOINT_URL"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    Store(run.uri).write("x", b"1")
    assert Store(run.uri).read("x") == b"1"


def test_a_server_that_fails_for_a_while(
    run: Store, object_server: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filesystems, "WAITS_S", (0.01, 0.01, 0.01))
    with object_server.failing(7):  # the client itself tries three times at a time
        run.write("a.json", b"{}")
        assert object_server.left == 0
    with object_server.failing(7):
        assert run.read("a.json") == b"{}" and object_server.left == 0
    with object_server.failing(10**9), pytest.raises(StorageError, match=r"cannot write s3://.*/b\.json.*same command"):
        run.write("b.json", b"{}")
    assert not run.exists("b.json")


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits in seconds, for the 30 of a request and the 60 of an operation."""
    monkeypatch.setattr(filesystems, "SILENT_S", 1.0)
    monkeypatch.setattr(filesystems, "PATIENCE_S", 2.0)


@pytest.mark.parametrize("doing", ["look at", "list", "read", "write", "delete", "create"])
def test_a_server_that_never_answers_ends_in_an_error(
    run: Store, object_server: ObjectServer, small_limits: None, doing: str
) -> None:
    works: dict[str, Callable[[], object]] = {
        "look at": lambda: run.exists("a.json"),
        "list": lambda: run.list("a"),
        "read": lambda: run.read("a.json"),
        "write": lambda: run.write("a.json", b"{}"),
        "delete": lambda: run.delete("a.json"),
        "create": lambda: run.create_new("a.json", b"{}"),
    }
    asked = len(object_server.seen)
    with object_server.silent(), pytest.raises(StorageError, match=rf"cannot {doing} s3://.*Timeout.*same command"):
        works[doing]()
    object_server.wait_for(asked + filesystems.ATTEMPTS)
    assert len(object_server.seen) - asked == filesystems.ATTEMPTS, "three requests, and no second try"


@pytest.mark.parametrize("silent", ["GET", "PUT"])
def test_a_server_that_falls_silent_in_the_middle_ends_in_an_error(
    run: Store, object_server: ObjectServer, small_limits: None, silent: str
) -> None:
    run.write("a.json", b"{}")
    with object_server.silent(lambda method, path: method == silent), pytest.raises(StorageError, match="cannot"):
        if silent == "GET":
            run.read("a.json")
        else:
            run.write("b.bin", b"x" * 2**20)
    assert Store(run.uri).read("a.json") == b"{}" and not run.exists("b.bin")


def test_an_answer_that_takes_its_time_is_waited_for(
    run: Store, object_server: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client's own limit is 3 s: half a gigabyte that is put together takes a server longer."""
    waiting = threading.Timer(5, lambda: object_server._speaks.set())
    with object_server.silent(lambda method, path: method == "POST" and "uploadId=" in path):
        waiting.start()
        run.write("a.bin", b"x" * 2**20)
    waiting.join()
    asked = [path for method, path in object_server.seen if method == "POST" and "a.bin?uploadId=" in path]
    assert run.read("a.bin") == b"x" * 2**20 and len(asked) == 1


def test_the_command_says_which_storage_does_not_answer(run: Store, object_server: ObjectServer) -> None:
    words = ["run", "--config", "configs/demo.yaml", "--set", f"root={run.uri}"]
    code = (
        "import sys; from toolace import filesystems; filesystems.SILENT_S, filesystems.PATIENCE_S = 1.0, 1.0; "
        f"sys.argv[1:] = {words!r}; from toolace.cli.main import main; main()"
    )
    with object_server.silent():
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
        )
    assert done.returncode == 1, done.stderr
    assert re.search(r"error: cannot look at s3://\S+: .*Timeout.*same command", done.stderr), done.stderr


def test_a_second_driver_is_refused_and_a_dead_one_followed(run: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module.time, "sleep", lambda seconds: None)
    with RunLock(run):
        with pytest.raises(StorageError, match="in use by process"):
            RunLock(run).__enter__()
        assert run.exists("lock.json")
    assert not run.exists("lock.json")
    process = multiprocessing.get_context("spawn").Process(target=hold, args=(run.uri,))
    process.start()
    process.join()
    dead = run.read_json("lock.json")["pid"]
    with RunLock(run):
        assert run.read_json("lock.json")["pid"] != dead == process.pid


def hold(uri: str) -> None:
    import os

    RunLock(Store(uri)).__enter__()
    os._exit(9)


def resolve(uri: str) -> str:
    return resolve_model(uri)


def test_a_model_is_copied_to_a_node_once(
    run: Store, object_server: ObjectServer, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLACE_CACHE", str(tmp_path / "cache"))
    with published(run, "model") as folder:
        shutil.copytree(tiny_base, folder, dirs_exist_ok=True)
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        places = set(pool.map(resolve, [run.at("model")] * 3, chunksize=1))
    (place,) = places
    assert Path(place, "model.safetensors").read_bytes() == (tiny_base / "model.safetensors").read_bytes()
    gets = [
        path
        for method, path in object_server.seen
        if method == "GET" and path == "/test-a-model-is-copied-to-a-node-once/runs/demo/model/config.json"
    ]
    assert len(gets) == 1
    run.write("model/config.json", run.read("model/config.json") + b"\n")
    assert resolve_model(run.at("model")) not in places, "another state of the files is another copy"
    with pytest.raises(EngineError, match=r"no model at s3://.*no config\.json"):
        resolve_model(run.at("checkpoints"))
