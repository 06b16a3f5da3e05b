"""A real endpoint for tests: `toolace serve` as a process of its own, on ports that are free."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
from openai import AsyncOpenAI, OpenAI
from prometheus_client.parser import text_string_to_metric_families

T = TypeVar("T")

TOOLACE = Path(sys.executable).with_name("toolace")
START_S = 300.0
"""An engine is ready in half a minute; a busy machine may take several times that."""
APP = "toolace"


@dataclass(frozen=True)
class Endpoint:
    """A running endpoint: where it listens, where its cluster's dashboard is, and its process."""

    url: str
    dashboard: str
    process: subprocess.Popen[bytes]
    log: Path

    def client(self, key: str = "none", **options: Any) -> OpenAI:
        """The stock client; it does not retry, so that a test sees each failure."""
        return OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=120, **options)

    def async_client(self, key: str = "none", **options: Any) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=120, **options)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels, from `/metrics`; 0 where there is none yet."""
        text = httpx.get(f"{self.url}/metrics", timeout=30).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def application(self) -> dict[str, Any]:
        """The application as Serve's own API tells of it."""
        details = httpx.get(f"{self.dashboard}/api/serve/applications/", timeout=30).json()
        found: dict[str, Any] = details["applications"][APP]
        return found

    def replicas(self) -> dict[str, int]:
        """Engine replicas that run now: their ids and the ids of their processes."""
        (engine,) = (one for name, one in self.application()["deployments"].items() if name != "ingress")
        return {one["replica_id"]: one["pid"] for one in engine["replicas"] if one["state"] == "RUNNING"}

    def cli(self, *arguments: str, timeout: float = START_S) -> subprocess.CompletedProcess[str]:
        """`toolace promote` and `rollback` against this endpoint."""
        command = [str(TOOLACE), *arguments, "--address", self.dashboard]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment())


def environment(**more: str) -> dict[str, str]:
    """This process's environment, without a cluster of its own; engines must not wait for other jobs' processes."""
    kept = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "TOOLACE_API_KEYS")}
    return {**kept, "RAY_worker_niceness": "0", "OMP_NUM_THREADS": "1", **more}


@contextmanager
def running_endpoint(*arguments: str, env: dict[str, str] | None = None) -> Iterator[Endpoint]:
    """`toolace serve ARGUMENTS` until the block ends. Fails with what it said when it does not become ready."""
    port = free_port()
    command = [str(TOOLACE), "serve", "--port", str(port), "--set", "model.max_model_len=1024"]
    with tempfile.TemporaryDirectory(prefix="toolace-serving-") as folder:
        log = Path(folder) / "serve.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*command, "--set", "replicas.drain_s=20", *arguments],
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment(**(env or {})),
                start_new_session=True,  # Ctrl-C of the tests is not its own: it is told to end below
            )
        try:
            said = eventually(lambda: _ready(process, log), START_S, f"toolace serve ({log.read_text()})")
            dashboard = re.search(r"--address (http://\S+)", said)
            assert dashboard is not None, said
            yield Endpoint(f"http://127.0.0.1:{port}", dashboard.group(1), process, log)
        finally:
            process.terminate()
            try:
                process.wait(timeout=90)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _ready(process: subprocess.Popen[bytes], log: Path) -> str | None:
    said = log.read_text()
    if "Ctrl-C ends it" in said:
        return said
    assert process.poll() is None, f"toolace serve ended with {process.returncode}:\n{said}"
    return None


def eventually(find: Callable[[], T | None], limit_s: float, what: str, every_s: float = 0.25) -> T:
    """The first truthy value that `find` gives. Not a measure of speed: the limit only ends a test that hangs."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        found = find()
        if found:
            return found
        time.sleep(every_s)
    raise AssertionError(f"not within {limit_s:g} s: {what}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
