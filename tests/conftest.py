"""Shared fixtures. The environment is set before anything imports ray."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.update(
    RAY_AUTH_MODE="disabled",
    RAY_DATA_DISABLE_PROGRESS_BARS="1",
    RAY_TRAIN_HEALTH_CHECK_INTERVAL_S="0.2",
    RAY_USAGE_STATS_ENABLED="0",
    TOKENIZERS_PARALLELISM="false",
    DS_ACCELERATOR="cpu",
)

import pytest

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Unit tests first: they tell in seconds, and some want a process in which no Ray runs yet."""
    items.sort(key=lambda item: not item.path.is_relative_to(ROOT / "tests" / "unit"))


@pytest.fixture(scope="session")
def ray_local() -> Iterator[None]:
    """One Ray for the whole test session: four logical CPUs, whatever the machine has, so that nothing deadlocks."""
    import ray

    ray.init(
        address="local",
        num_cpus=4,
        include_dashboard=False,
        object_store_memory=120 * 2**20,
        log_to_driver=False,
        # Workers import the package and the helper modules of the tests, as this process does.
        runtime_env={"env_vars": {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}},
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real rows from other projects, beside this one; not part of it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no ../shared/data beside the project: real rows from other projects are not shipped")
    return folder


@pytest.fixture(scope="session")
def tiny_base() -> Path:
    """The shipped tiny base model."""
    return ROOT / "toolace" / "assets" / "tiny_base"


@pytest.fixture(scope="session")
def object_server() -> Iterator[Any]:
    """An S3 server, for the whole test session."""
    pytest.importorskip("moto", reason="the S3 server of the tests: pip install 'toolace[dev]'")
    from object_server import ObjectServer

    server = ObjectServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def local_cluster(object_server: Any) -> Iterator[Any]:
    """One Ray cluster of several nodes for the whole test session, as `cluster/local.sh up` makes it."""
    sys.path.insert(0, str(ROOT / "cluster"))
    from local_cluster import LocalCluster

    place = Path(tempfile.mkdtemp(prefix="tc-", dir="/tmp"))  # short, for the sockets below it
    cluster = LocalCluster(place / "c")
    cluster.up(2, 2, {**object_server.environment, "TOOLACE_CACHE": str(place / "cache"), "RAY_worker_niceness": "0"})
    yield cluster
    nodes = list(cluster.nodes)
    cluster.down()
    assert not [process for node in nodes for process in node.processes()], "down ends all that up started"
    shutil.rmtree(place, ignore_errors=True)
