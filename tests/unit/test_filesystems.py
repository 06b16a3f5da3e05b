"""Storage that fails for a moment is tried again, storage that stays broken ends with an error that names it."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import Any

import pytest
from faulty_storage import FORBIDDEN, THROTTLED, faulty_store

from toolace import filesystems
from toolace.errors import StorageError
from toolace.filesystems import CONNECT_S, GOOGLE_RETRY_S, SILENT_S, WAITS_S, open_filesystem, passing, patiently


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits that were made, none of them for real."""
    waits: list[float] = []
    monkeypatch.setattr(filesystems, "time", SimpleNamespace(sleep=waits.append, monotonic=lambda: sum(waits)))
    return waits


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (OSError(THROTTLED), True),
        (OSError("AWS Error NETWORK_CONNECTION during HeadObject operation: curlCode: 7"), True),
        (OSError("AWS Error UNKNOWN (HTTP status 503) during PutObject operation: Unable to parse"), True),
        (OSError("AWS Error UNKNOWN (HTTP status 429) during PutObject operation"), True),
        (OSError(errno.ESTALE, "Stale file handle"), True),
        (OSError(errno.EIO, "Input/output error"), True),
        (OSError(FORBIDDEN), False),
        (OSError("AWS Error UNKNOWN (HTTP status 400) during HeadObject operation: No response body."), False),
        (OSError("AWS Error NO_SUCH_BUCKET during ListObjectsV2 operation"), False),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (OSError(errno.EROFS, "Read-only file system"), False),
        (FileNotFoundError(errno.ENOENT, "gone"), False),
        (PermissionError(errno.EACCES, "denied"), False),
        (StorageError("tried already"), False),
    ],
)
def test_which_errors_may_pass(error: OSError, passes: bool) -> None:
    assert passing(error) is passes


@pytest.mark.parametrize("failures", [1, len(WAITS_S)])
def test_storage_that_fails_and_then_works_is_tried_again(waited: list[float], failures: int) -> None:
    store, files = faulty_store()
    for work in (
        lambda: store.write("a/b.json", b"{}"),
        lambda: store.read("a/b.json"),
        lambda: store.exists("a/b.json"),
        lambda: store.list("a"),
        lambda: store.delete("a/b.json"),
    ):
        waited.clear()
        files.left = failures
        work()
        assert waited == list(WAITS_S[:failures]) and files.left == 0
    assert not store.exists("a/b.json")


def test_storage_that_stays_broken_ends_with_its_name(waited: list[float]) -> None:
    store, files = faulty_store()
    files.left = 1000
    with pytest.raises(StorageError, match=r"cannot write s3://bucket/run/a\.json: .*SLOW_DOWN.*run the same command"):
        store.write("a.json", b"")
    assert waited == list(WAITS_S)


def test_what_is_forbidden_is_not_tried_again(waited: list[float]) -> None:
    store, files = faulty_store()
    files.left, files.error = 1000, OSError(FORBIDDEN)
    with pytest.raises(StorageError, match="ACCESS_DENIED"):
        store.read("a.json")
    assert waited == [] and files.asked == 1


def test_a_new_file_whose_answer_was_lost_is_known_as_ones_own(waited: list[float]) -> None:
    store, files = faulty_store()
    files.left, files.late = 1, True  # the bytes arrive, the answer does not
    assert store.create_new("lock.json", b"mine")
    files.left = 0
    assert not store.create_new("lock.json", b"other") and store.read("lock.json") == b"mine"


def test_patience_is_for_what_may_pass_only(waited: list[float]) -> None:
    tries = []

    def work() -> int:
        tries.append(1)
        if len(tries) < 3:
            raise OSError(errno.EIO, "Input/output error")
        return 7

    assert patiently(work) == 7 and waited == list(WAITS_S[:2])
    with pytest.raises(ValueError, match="no storage"):
        patiently(lambda: (_ for _ in ()).throw(ValueError("no storage")))


def test_no_further_try_begins_when_patience_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(
        filesystems, "time", SimpleNamespace(sleep=lambda seconds: None, monotonic=lambda: clock[0])
    )  # fmt: skip
    tries = []

    def work() -> None:
        tries.append(clock[0])
        clock[0] += 29.7
        raise OSError(errno.ETIMEDOUT, "timed out")

    with pytest.raises(OSError, match="timed out"):
        patiently(work)
    assert tries == [0.0, 29.7]  # another would begin 60.4 s after the first


def test_clients_of_object_stores_have_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """And keep what the address and the environment say."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    options = _options("s3://bucket/run")
    assert (options["connect_timeout"], options["request_timeout"]) == (CONNECT_S, SILENT_S)
    assert options["endpoint_override"] == "http://127.0.0.1:9"
    assert options["access_key"] is None, "found in the environment by each process"
    options = _options("s3://key:secret@bucket/run?endpoint_override=127.0.0.1:8&scheme=http&region=eu-west-1")
    assert (options["access_key"], options["secret_key"], options["region"]) == ("key", "secret", "eu-west-1")
    assert (options["endpoint_override"], options["scheme"]) == ("127.0.0.1:8", "http")
    assert _options("s3://bucket?region=eu-west-1&allow_bucket_creation=true")["allow_bucket_creation"] is True
    for uri, seconds in (("gs://anonymous@bucket/run", GOOGLE_RETRY_S), ("gs://b/r?retry_limit_seconds=7", 7)):
        assert _options(uri)["retry_time_limit"].total_seconds() == seconds


def _options(uri: str) -> dict[str, Any]:
    filesystem, path = open_filesystem(uri)
    assert path in ("bucket/run", "bucket", "b/r")
    options: dict[str, Any] = filesystem.__reduce__()[1][0]
    return options


def test_a_path_is_a_filesystem_of_this_machine(tmp_path: object) -> None:
    import pyarrow.fs as pafs

    filesystem, path = open_filesystem(str(tmp_path))
    assert isinstance(filesystem, pafs.LocalFileSystem) and path == str(tmp_path)
