"""Joining or starting the Ray cluster that a run works on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from toolace.config import ClusterConfig

MIN_LOGICAL_CPUS = 4
"""A local cluster declares at least this many CPUs: stages that wait for each other must never block each other."""


@contextmanager
def cluster(config: ClusterConfig) -> Iterator[None]:
    """Be connected to Ray inside the block; leave a cluster that was there before as it was.

    Inside a submitted job (`RAY_ADDRESS` or a job's own environment) the job's cluster is joined. Otherwise, without
    `address`, a local cluster is started and ended here.
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
    if local:
        cpus = config.num_cpus or max(MIN_LOGICAL_CPUS, os.cpu_count() or 1)
        ray.init(
            address="local",
            num_cpus=cpus,
            include_dashboard=False,
            object_store_memory=config.object_store_mb * 2**20,
            log_to_driver=False,
            logging_level=logging.WARNING,
        )
    else:
        ray.init(address=config.address or "auto", log_to_driver=False, logging_level=logging.WARNING)
    try:
        yield
    finally:
        ray.shutdown()
