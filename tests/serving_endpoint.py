"""A real endpoint for tests: `toolace serve` as a process of its own, on ports that are free."""

from __future__ import annotations

import json
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
from openai.types.chat import ChatCompletion
from prometheus_client.parser import text_string_to_metric_families

from toolace.calls.schema import Sample
from toolace.data.synthetic import generate
from toolace.rendering.turns import openai_messages

T = TypeVar("T")

TOOLACE = Path(sys.executable).with_name("toolace")
START_S = 900.0
"""An endpoint is ready in half a minute; a busy machine may take many times that."""
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
        text = httpx.get(f"{self.url}/metrics", timeout=120).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def application(self) -> dict[str, Any]:
        """The application as Serve's own API tells of it."""
        details = httpx.get(f"{self.dashboard}/api/serve/applications/", timeout=120).json()
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
    small = ("model.max_model_len=1024", "engine.kv_cache_gib=0.2", "replicas.drain_s=20")
    command = [str(TOOLACE), "serve", "--port", str(port), *(part for one in small for part in ("--set", one))]
    with tempfile.TemporaryDirectory(prefix="toolace-serving-") as folder:
        log = Path(folder) / "serve.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*command, *arguments],
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


def demo_samples(n: int, split: Any = "test") -> list[Sample]:
    """Synthetic requests of all kinds for tools that the shipped model was not trained on."""
    return list(generate(n, 7, profile="demo", split=split))


def body_of(sample: Sample, model: str = "tiny_base") -> dict[str, Any]:
    """The chat request that an OpenAI client sends for a sample."""
    messages = openai_messages(sample.chat, "pythonic")
    for message in messages:
        for call in message.get("tool_calls", ()):
            call["function"]["arguments"] = json.dumps(call["function"]["arguments"])
    return {"model": model, "messages": messages, "tools": [tool.openai() for tool in sample.chat.tools]}


def calls_of(message: Any) -> list[tuple[str, Any]]:
    """Names and arguments of the calls of a message, or of a step of `refinement`."""
    data = message if isinstance(message, dict) else message.model_dump()
    functions = [call["function"] for call in data.get("tool_calls") or ()]
    return [(function["name"], json.loads(function["arguments"])) for function in functions]


def ask(client: OpenAI, body: dict[str, Any], **refinement: Any) -> ChatCompletion:
    """The answer to a chat request with these `refinement` options."""
    answer = client.chat.completions.create(**body, extra_body={"refinement": refinement} if refinement else None)
    assert isinstance(answer, ChatCompletion)
    return answer


def told(answer: ChatCompletion) -> dict[str, Any]:
    """The field `refinement` of an answer."""
    found: dict[str, Any] = (answer.model_extra or {})["refinement"]
    return found


def post(endpoint: Endpoint, body: Any, **options: Any) -> httpx.Response:
    return httpx.post(f"{endpoint.url}/v1/chat/completions", json=body, timeout=120, **options)


INSIDE = re.compile(r"Traceback|File \"|\.py\b|ray::|Ray\w*Error|Replica\(|(?<![\w:/.])/(?!v1/)\w+/\w")
"""What a client must not see: traces, Ray's own words, paths."""


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The error of an answer, after a look at its shape and at what must not leave the server."""
    found = response.json()
    assert found.keys() == {"error"} and found["error"].keys() == {"message", "type", "param", "code"}
    error: dict[str, Any] = found["error"]
    assert isinstance(error["message"], str) and error["message"] and isinstance(error["type"], str)
    assert error["param"] is None or isinstance(error["param"], str)
    assert error["code"] is None or isinstance(error["code"], str)
    assert not INSIDE.search(response.text), response.text
    return error


def check_answered(endpoint: Endpoint, path: str, body: Any) -> None:
    """An answer, or a 4xx in OpenAI's shape."""
    headers = {"content-type": "application/json"}
    response = httpx.post(endpoint.url + path, content=json.dumps(body), headers=headers, timeout=120)
    if response.status_code != 200:
        assert 400 <= response.status_code < 500, response.text
        error_of(response)
    elif response.headers["content-type"].startswith("text/event-stream"):
        events = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: ")]
        assert events[-1] == "[DONE]"
        for event in events[:-1]:
            assert "error" not in json.loads(event), event
    else:
        assert "error" not in response.json()
