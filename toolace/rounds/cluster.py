"""Joining or starting the Ray cluster that a run works on."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolace.config import ClusterConfig
from toolace.errors import ClusterError, ConfigError
from toolace.ray_start import first_line, start_ray

MIN_LOGICAL_CPUS = 4
"""A local cluster declares at least this many CPUs: stages that wait for each other must never block each other."""
_JOB_COPY = "/runtime_resources/working_dir_files/"
KNOCK_S = 20.0
"""Seconds in which a cluster must answer that is to be joined."""


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
        start_ray(
            otherwise="join a running cluster by cluster.address",
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


def _join(address: str, **options: Any) -> None:
    import ray

    where = address if address != "auto" else os.environ.get("RAY_ADDRESS", "auto")
    try:
        knock(where, KNOCK_S)
        ray.init(address=address, **options)
    except Exception as error:  # Ray raises several unrelated types here
        ray.shutdown()
        raise ClusterError(
            f"cannot join the Ray cluster at {where}: {type(error).__name__}: {first_line(error)}\n"
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
