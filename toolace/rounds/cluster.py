"""Joining or starting the Ray cluster that a run works on."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolace.config import ClusterConfig
from toolace.errors import ClusterError, ConfigError

MIN_LOGICAL_CPUS = 4
"""A local cluster declares at least this many CPUs: stages that wait for each other must never block each other."""
_JOB_COPY = "/runtime_resources/working_dir_files/"
KNOCK_S = 20.0
"""Seconds in which a cluster must answer that is to be joined."""
START_TRIES = 3
TOO_SLOW = ("timed out during startup", "Failed to connect to GCS")
"""Parts of Ray's errors where its processes were not up in time, as on a machine with much other work."""
END_S = 5.0
"""Seconds that processes of a failed start have to end by themselves."""


@contextmanager
def cluster(config: ClusterConfig) -> Iterator[None]:
    """Be connected to Ray inside the block; leave a cluster that was there before as it was.

    Inside a submitted job (`RAY_ADDRESS` or a job's own environment) the job's cluster is joined. Otherwise, without
    `address`, a local cluster is started and ended here. Raises `ClusterError` when that fails.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    local = config.address is None and "RAY_ADDRESS" not in os.environ
    if local:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # loopback only, no dashboard: nothing to authenticate
    os.environ.setdefault("RAY_DEDUP_LOGS", "1")
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    if local:
        # Ray logs a harmless error line at every start of an actor pool; its files would have the same.
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import logging

    import ray

    if ray.is_initialized():
        yield
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
    if local:
        _start(
            address="local",
            num_cpus=config.num_cpus or max(MIN_LOGICAL_CPUS, os.cpu_count() or 1),
            include_dashboard=False,
            object_store_memory=config.object_store_mb * 2**20,
            **options,
        )
    else:
        _join(config.address or "auto", **options)
    try:
        yield
    finally:
        ray.shutdown()


def check_lasting(place: str, folder: Path, option: str = "--set root=") -> None:
    """Refuse results below `folder`, the working directory, where that is Ray's copy for a submitted job.

    Ray deletes the copy some time after the job, and the results with it. `option` is what names another place.
    Raises `ConfigError`.
    """
    if _JOB_COPY in folder.as_posix() and is_relative(place):
        raise ConfigError(
            f"{place!r} is relative, and this job runs in Ray's temporary copy of the working directory, which goes "
            f"when the cluster does. Name a place that stays and that every node reaches: {option}/mnt/runs, "
            f'{option}"$PWD/runs" on one machine, or s3://'
        )


def is_relative(place: str) -> bool:
    """Whether a place depends on the working directory."""
    return "://" not in place and not Path(place).is_absolute()


def _start(**options: Any) -> None:
    """Start Ray here. What a start that failed has left running is ended, and one that was too slow is tried again."""
    import ray

    for tries_left in reversed(range(START_TRIES)):
        before = {process.pid for process in _ray_children()}
        on_term = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(**options)
            if threading.current_thread() is threading.main_thread():
                # Ray puts its own in place, which ends its processes first and then the driver with code 1.
                signal.signal(signal.SIGTERM, on_term)
            return
        except BaseException as error:
            ray.shutdown()  # does nothing for processes of a start that did not come to its end
            _end([process for process in _ray_children() if process.pid not in before])
            if not isinstance(error, Exception):
                raise
            if tries_left and any(part in str(error) for part in TOO_SLOW):
                continue
            store = options["object_store_memory"] // 2**20
            raise ClusterError(
                f"Ray cannot start on this machine: {type(error).__name__}: {_first_line(error)}\n"
                "Look at the free memory (`toolace doctor`; Ray and its workers take about 1 GiB before any model), at "
                f"the room in /dev/shm and in /tmp (the object store takes cluster.object_store_mb, {store} MiB), at "
                "firewalls between ports of 127.0.0.1, and at other load: a busy machine starts Ray too slowly. "
                "Then run the same command again, or join a running cluster by cluster.address. Ray's own logs are in "
                "/tmp/ray/session_latest/logs"
            ) from error


def _join(address: str, **options: Any) -> None:
    import ray

    where = address if address != "auto" else os.environ.get("RAY_ADDRESS", "auto")
    try:
        knock(where, KNOCK_S)
        ray.init(address=address, **options)
    except Exception as error:  # Ray raises several unrelated types here
        ray.shutdown()
        raise ClusterError(
            f"cannot join the Ray cluster at {where}: {type(error).__name__}: {_first_line(error)}\n"
            "Check that it runs (`ray status`), that this machine reaches it and has the same versions of Ray and "
            "Python, and its token (RAY_AUTH_TOKEN); leave cluster.address and RAY_ADDRESS unset to start Ray here"
        ) from error


def knock(where: str, seconds: float) -> None:
    """Open and close a connection to a `HOST:PORT`: where nothing listens Ray itself tries for minutes, in silence.

    A head that starts again is given so many seconds. Raises `OSError`.
    """
    host, separator, port = where.removeprefix("ray://").rpartition(":")
    if not separator or not port.isdigit():
        return
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=seconds).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(1)


def _ray_children() -> list[Any]:
    """Processes below this one that belong to Ray."""
    import psutil

    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any("/ray/" in part or part.startswith("ray::") for part in process.cmdline()):
                found.append(process)
    return found


def _end(processes: list[Any]) -> None:
    import psutil

    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    for process in psutil.wait_procs(processes, timeout=END_S)[1]:
        with contextlib.suppress(psutil.Error):
            process.kill()


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or "no reason given").splitlines()[0]
