"""Ray that cannot start or be joined: one error with the way out, and nothing left running."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from toolace.config import ClusterConfig
from toolace.errors import ClusterError, ConfigError
from toolace.ray_start import end, ray_children, start_ray
from toolace.rounds.cluster import check_lasting, cluster


def test_ray_that_cannot_start_is_one_error_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "file" / "below"))  # no directory can be made there
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    advice = r"(?s)cannot start.*memory.*/dev/shm.*200 MiB.*other load"
    with pytest.raises(ClusterError, match=advice), cluster(ClusterConfig()):
        raise AssertionError("there is no cluster")
    import ray

    assert not ray.is_initialized() and not ray_children()


@pytest.mark.parametrize(
    ("slow", "load", "starts"), [(0, 0.1, 1), (1, 0.1, 2), (2, 0.1, 3), (9, 0.1, 3), (7, 1e6, 8), (9, 1e6, 8)]
)
def test_a_start_that_is_too_slow_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, slow: int, load: float, starts: int
) -> None:
    """A busy machine is given more tries than an idle one, where something else must be wrong."""
    calls: list[str] = []

    def init(**options: object) -> None:
        calls.append(str(options["address"]))
        if len(calls) <= slow:
            raise Exception("The current node timed out during startup. This could happen because ...")

    monkeypatch.setattr("ray.init", init)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    monkeypatch.setattr("os.getloadavg", lambda: (load, 0.0, 0.0))
    if slow < starts:
        start_ray(otherwise="wait", object_store_memory=2**20)
    else:
        with pytest.raises(ClusterError, match="other load"):
            start_ray(otherwise="wait", object_store_memory=2**20)
    assert calls == ["local"] * starts


def test_a_start_that_nobody_waits_for_any_more_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """And whatever came of it, the handler of SIGTERM is the one that was there."""
    calls: list[object] = []

    def init(**options: object) -> None:
        calls.append(signal.signal(signal.SIGTERM, lambda *_: None))
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr("ray.init", init)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ClusterError):
        start_ray(otherwise="wait", ended=lambda: len(calls) == 2, object_store_memory=2**20)
    assert calls == [before] * 2 and signal.getsignal(signal.SIGTERM) == before


def test_an_endpoint_starts_ray_again_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from toolace.serving.config import load_serve_config
    from toolace.serving.local import _start_ray

    calls: list[dict[str, object]] = []

    def init(**options: object) -> SimpleNamespace:
        calls.append(options)
        if len(calls) == 1:
            raise Exception("The current node timed out during startup. This could happen because ...")
        return SimpleNamespace(dashboard_url="127.0.0.1:1")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for name in ("RAY_BACKEND_LOG_LEVEL", "RAY_SERVE_LOG_TO_STDERR"):
        monkeypatch.setenv(name, "0")  # which it would set, and which ends with the test
    monkeypatch.setattr("ray.init", init)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    assert _start_ray(load_serve_config(None, [])) == ("http://127.0.0.1:1", False)
    assert len(calls) == 2 and calls[0] == {**calls[1], "dashboard_port": calls[0]["dashboard_port"]}
    calls.clear()
    with pytest.raises(ClusterError):  # Ctrl-C has come while it started
        _start_ray(load_serve_config(None, []), lambda: True)
    assert len(calls) == 1


def test_rays_own_handler_of_sigterm_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("ray.init", lambda **options: signal.signal(signal.SIGTERM, lambda *_: sys.exit(1)))
    try:
        start_ray(otherwise="wait", object_store_memory=2**20)
        assert signal.getsignal(signal.SIGTERM) is before
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_cluster_that_is_not_there_is_named() -> None:
    advice = r"(?s)join the Ray cluster at nonsense.*ray status"
    with pytest.raises(ClusterError, match=advice), cluster(ClusterConfig(address="nonsense")):
        raise AssertionError("there is no cluster")


def test_an_address_where_nothing_listens_is_told_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolace.rounds.cluster.KNOCK_S", 0.1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for where in (address, f"ray://{address}"):
            match = rf"(?s)join the Ray cluster at {where}: .*refused.*cluster\.address"
            with pytest.raises(ClusterError, match=match), cluster(ClusterConfig(address=where)):
                raise AssertionError("there is no cluster")


def test_only_processes_of_ray_are_ended() -> None:
    sleep = "import time; time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", sleep])
    ours = subprocess.Popen([sys.executable, "-c", sleep, "/lib/ray/raylet"])
    try:
        found = ray_children()
        assert [process.pid for process in found] == [ours.pid]
        end(found)
        assert ours.poll() is not None and other.poll() is None
    finally:
        for process in (other, ours):
            process.kill()
            process.wait()


def test_a_run_is_not_written_into_the_copy_that_ray_makes_for_a_job() -> None:
    copy = Path("/tmp/ray/session_1/runtime_resources/working_dir_files/_ray_pkg_0123")
    with pytest.raises(ConfigError, match=r"'runs' is relative.*--set root=/mnt/runs"):
        check_lasting("runs", copy)
    with pytest.raises(ConfigError, match=r"'scores' is relative.*--out /mnt/runs"):
        check_lasting("scores", copy, "--out ")
    for root in ("/mnt/runs", "s3://bucket/runs"):
        check_lasting(root, copy)
    check_lasting("runs", Path("/srv/project"))
