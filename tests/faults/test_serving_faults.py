"""The endpoint while things go wrong or change under load: a killed replica, a promotion, scaling, keys."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from serving_endpoint import (
    TOOLACE,
    Endpoint,
    body_of,
    demo_samples,
    environment,
    eventually,
    free_port,
    running_endpoint,
)

from toolace.serving.keyfile import add_key, revoke_key

# Several engines start; a busy machine takes minutes.
pytestmark = [pytest.mark.late(1), pytest.mark.engine, pytest.mark.timeout(1800)]
pytest.importorskip("vllm", reason="needs an engine: make install")
LONG = pytest.mark.skipif(
    os.environ.get("TOOLACE_LONG_TESTS") != "1", reason="engines under load for minutes: TOOLACE_LONG_TESTS=1"
)


class Load:
    """Clients that ask refined requests one after another until told to stop; all answers and failures are kept."""

    def __init__(self, endpoint: Endpoint, clients: int, key: str = "none", **body: Any) -> None:
        self.answers: list[dict[str, Any]] = []
        self.failures: list[str] = []
        self._stop, self._pause_s = threading.Event(), 0.0
        self._url, self._key = f"{endpoint.url}/v1/chat/completions", key
        bodies = [{**body_of(sample), **body} for sample in demo_samples(24)]
        shares = [bodies[number::clients] for number in range(clients)]
        self._threads = [threading.Thread(target=self._ask, args=(share,), daemon=True) for share in shares]

    def _ask(self, bodies: list[dict[str, Any]]) -> None:
        with httpx.Client(timeout=120, headers={"authorization": f"Bearer {self._key}"}) as client:
            number = 0
            while not self._stop.is_set():
                # Plain, streamed and unrefined requests by turns.
                body = {
                    **bodies[number % len(bodies)],
                    **({}, {"stream": True}, {"refinement": {"mode": "off"}})[number % 3],
                }
                number += 1
                try:
                    self._keep(client.post(self._url, json=body))
                except (httpx.HTTPError, ValueError, LookupError) as error:
                    self.failures.append(f"{type(error).__name__}: {error}")
                self._stop.wait(self._pause_s)

    def _keep(self, response: httpx.Response) -> None:
        if response.status_code != 200:
            self.failures.append(f"{response.status_code} {response.text}")
        elif "event-stream" not in response.headers["content-type"]:
            self.answers.append(response.json())
        else:
            events = [line[6:] for line in response.text.splitlines() if line.startswith("data: ")]
            assert events[-1] == "[DONE]"
            chunks = [json.loads(event) for event in events[:-1]]
            if any("error" in chunk for chunk in chunks):
                self.failures.append(response.text)
            else:
                self.answers.append({**chunks[-1], "chunks": chunks})

    @property
    def models(self) -> Counter[str]:
        """Answers by the version of the model that gave them."""
        return Counter(answer["system_fingerprint"] for answer in self.answers)

    def more(self, n: int) -> None:
        """Wait for `n` more answers."""
        wanted = len(self.answers) + n
        eventually(lambda: len(self.answers) >= wanted or bool(self.failures), 400, f"{n} more answers")

    @contextmanager
    def eased(self) -> Iterator[None]:
        """Each client rests a second between its requests: a model that starts meanwhile needs the processor too."""
        self._pause_s = 1.0
        try:
            yield
        finally:
            self._pause_s = 0.0

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=120)


def test_killed_replicas_and_engines_cost_no_client_an_error() -> None:
    two = ("--set", "replicas.min_replicas=2", "--set", "replicas.max_replicas=2")
    with running_endpoint("--model", "builtin:tiny_base", *two) as endpoint:
        assert len(endpoint.replicas()) == 2
        # Each answer is written to its limit, so that whenever the signal comes there are answers in the making.
        with Load(endpoint, 6, ignore_eos=True, max_tokens=100) as load:
            load.more(12)
            kill(endpoint, load, lambda replica: replica)
            kill(endpoint, load, engine_of)
        assert load.failures == []
        assert len(load.models) == 1
        stopped = Counter((answer.get("refinement") or {}).get("stopped") for answer in load.answers)
        assert "error" not in stopped, stopped


def kill(endpoint: Endpoint, load: Load, process_of: Callable[[int], int]) -> None:
    """Kill a process of a replica, which is replaced. If it had nothing to do in that moment (the other one had it
    all), the other one's too."""
    retries = endpoint.metric("toolace_replica_retries_total")
    for victim, pid in endpoint.replicas().items():
        started = processes_under(pid)
        os.kill(process_of(pid), signal.SIGKILL)
        load.more(12)
        with load.eased():
            eventually(lambda gone=victim: len(endpoint.replicas().keys() - {gone}) == 2, 600, "a new replica")
            eventually(lambda ones=started: not ones & set(parents()), 240, "the end of what it had started")
        load.more(12)
        if endpoint.metric("toolace_replica_retries_total") > retries:
            return
    pytest.fail(f"no pass was sent again: {load.failures}")


def engine_of(replica: int) -> int:
    """The engine's process: the only one of vLLM's below a replica on a CPU. The library's own has a worker's too."""
    titles = {pid: psutil.Process(pid).cmdline()[0] for pid in processes_under(replica)}
    (engine,) = (pid for pid, title in titles.items() if title.startswith("VLLM::"))
    assert titles[engine] == "VLLM::EngineCore"
    return engine


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys"


@pytest.fixture(scope="module")
def key(keys: Path) -> str:
    return add_key(keys, "load")


@pytest.fixture(scope="module")
def guarded(keys: Path, key: str) -> Iterator[Endpoint]:
    """An endpoint with keys that scales between one and two replicas, and looks often whether it should."""
    scaling = ("max_replicas=2", "target_ongoing_requests=4", "upscale_delay_s=1", "downscale_delay_s=2", "drain_s=300")
    arguments = [part for setting in scaling for part in ("--set", f"replicas.{setting}")]
    often = {f"RAY_SERVE_{who}_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "0.5" for who in ("REPLICA", "HANDLE")}
    with running_endpoint("--model", "builtin:tiny_base", "--keys", str(keys), *arguments, env=often) as endpoint:
        yield endpoint


def test_keys_are_needed_and_revoked_without_a_restart(guarded: Endpoint, keys: Path, key: str) -> None:
    other = add_key(keys, "other")
    chat, models = f"{guarded.url}/v1/chat/completions", f"{guarded.url}/v1/models"
    asking = httpx.Client(timeout=120)  # a busy machine takes its time
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {key}"}):
        for refused in (asking.get(models, headers=headers), asking.post(chat, headers=headers, json={})):
            assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
            assert refused.headers["www-authenticate"] == "Bearer"
    assert [asking.get(guarded.url + path).status_code for path in ("/", "/health", "/metrics")] == [200] * 3

    def status(of: str) -> int:
        return asking.get(models, headers={"authorization": f"Bearer {of}"}).status_code

    assert status(key) == 200
    eventually(lambda: status(other) == 200, 120, "a key that was added after the start")
    revoke_key(keys, "other")
    eventually(lambda: status(other) == 401, 120, "the end of a revoked key")
    assert status(key) == 200


def now(endpoint: Endpoint, key: str) -> str:
    """The version that answers a request that begins now."""
    headers = {"authorization": f"Bearer {key}"}
    answer = httpx.post(
        f"{endpoint.url}/v1/chat/completions", json=body_of(demo_samples(1)[0]), headers=headers, timeout=120
    ).json()
    assert answer["refinement"]["model"] == answer["system_fingerprint"]
    version: str = answer["refinement"]["model"]
    return version


def test_a_promotion_under_load_loses_and_mixes_nothing(
    guarded: Endpoint, key: str, tmp_path: Path, tiny_base: Path
) -> None:
    with Load(guarded, 3, key, max_tokens=60) as load:
        load.more(6)
        old = now(guarded, key)
        with load.eased():
            promoted = guarded.cli("promote", str(with_other_weights(tiny_base, tmp_path / "other")))
        assert promoted.returncode == 0, promoted.stderr
        new = promoted.stdout.split()[-1]
        assert new != old and new.startswith("tiny_base/other@") and {now(guarded, key) for _ in range(8)} == {new}
        load.more(6)
        again = guarded.cli("promote", str(tmp_path / "other"))
        assert again.returncode == 1 and f"serves {new} already" in again.stderr
        with load.eased():
            back = guarded.cli("rollback")
        assert back.returncode == 0 and back.stdout.split()[-1] == old, back.stderr
        assert {now(guarded, key) for _ in range(8)} == {old}
        load.more(6)
        failed = guarded.cli("promote", str(without_weights(tiny_base, tmp_path / "none")))
        assert failed.returncode == 1 and "weights" in failed.stderr and "Traceback" not in failed.stderr
        assert {now(guarded, key) for _ in range(8)} == {old}
        load.more(6)
    assert load.failures == []
    assert load.models.keys() == {old, new}
    for answer in load.answers:
        # A stream says it with each part, and no part of another model's answer is in it.
        assert {part.get("system_fingerprint") for part in answer.get("chunks", ())} <= {
            answer["system_fingerprint"],
            None,
        }
        assert answer.get("refinement", {}).get("model", answer["system_fingerprint"]) == answer["system_fingerprint"]


@LONG
def test_other_weights_in_the_same_place_are_another_model(
    guarded: Endpoint, key: str, tmp_path: Path, tiny_base: Path
) -> None:
    found = {now(guarded, key)}
    for factor in (1.01, 1.02):
        place = with_other_weights(tiny_base, tmp_path / "other", factor)
        promoted = guarded.cli("promote", str(place))
        assert promoted.returncode == 0, promoted.stderr
        newest = promoted.stdout.split()[-1]
        assert newest not in found and {now(guarded, key) for _ in range(8)} == {newest}
        found.add(newest)


@LONG
def test_a_model_that_cannot_start_leaves_the_old_one(
    guarded: Endpoint, key: str, tmp_path: Path, tiny_base: Path
) -> None:
    old = now(guarded, key)
    with Load(guarded, 3, key, max_tokens=60) as load:
        failed = guarded.cli("promote", str(with_broken_weights(tiny_base, tmp_path / "broken")))
        assert failed.returncode == 1 and "Traceback" not in failed.stderr
        assert "did not become healthy" in failed.stderr
        assert {now(guarded, key) for _ in range(8)} == {old}
        load.more(6)
    assert load.failures == [] and load.models.keys() == {old}


def test_replicas_come_and_go_with_the_load(guarded: Endpoint, key: str) -> None:
    eventually(lambda: len(guarded.replicas()) == 1, 400, "one replica without load")
    with Load(guarded, 12, key, ignore_eos=True, max_tokens=100) as load:
        eventually(lambda: len(guarded.replicas()) == 2 or load.failures, 600, "two replicas under load")
        load.more(24)
    assert load.failures == []
    eventually(lambda: len(guarded.replicas()) == 1, 400, "one replica again")


@LONG
def test_long_prompts_bring_a_replica_where_few_requests_would_not() -> None:
    scaling = ("max_replicas=2", "target_ongoing_requests=60", "upscale_delay_s=1", "downscale_delay_s=600")
    settings = [f"replicas.{one}" for one in (*scaling, "target_queued_prefill_tokens=200")] + ["engine.max_num_seqs=1"]
    arguments = [part for setting in settings for part in ("--set", setting)]
    often = {"RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "0.5"}
    with running_endpoint("--model", "builtin:tiny_base", *arguments, env=often) as endpoint:
        assert len(endpoint.replicas()) == 1
        # Eight of sixty requests, seven of which wait for the engine's one place with hundreds of prompt tokens each.
        with Load(endpoint, 8, ignore_eos=True, max_tokens=100) as load:
            eventually(lambda: len(endpoint.replicas()) == 2 or load.failures, 600, "two replicas for queued prompts")
        assert load.failures == []


def test_ending_lets_requests_in_flight_finish_and_takes_no_new_ones(guarded: Endpoint, key: str) -> None:
    """The last test of this endpoint, which it ends."""
    body = {**body_of(demo_samples(1)[0]), "ignore_eos": True, "max_tokens": 600}
    url, headers = f"{guarded.url}/v1/chat/completions", {"authorization": f"Bearer {key}"}

    def ask(**more: Any) -> httpx.Response:
        return httpx.post(url, json={**body, **more}, headers=headers, timeout=300)

    def refusal() -> httpx.Response | None:
        answer = ask(ignore_eos=False, max_tokens=5)
        return answer if answer.status_code == 503 else None

    with ThreadPoolExecutor(12) as pool:
        whole = [pool.submit(ask) for _ in range(6)]
        streams = [pool.submit(ask, stream=True) for _ in range(6)]

        def under_way() -> bool:
            """All have arrived, and some are not answered yet: a busy machine answers some before it tells."""
            now = guarded.metric("toolace_requests_in_flight")
            return now > 0 and now + sum(request.done() for request in (*whole, *streams)) >= 12

        eventually(under_way, 120, "12 requests that have arrived")
        guarded.process.terminate()
        refused = eventually(refusal, 200, "a refused request")
        assert refused.json()["error"]["code"] == "shutting_down" and refused.headers["retry-after"]
        answers = [request.result() for request in (*whole, *streams)]
    assert [answer.status_code for answer in answers] == [200] * 12
    assert all(answer.json()["choices"][0]["finish_reason"] for answer in answers[:6])
    assert all(answer.text.rstrip().endswith("data: [DONE]") for answer in answers[6:])
    assert guarded.process.wait(timeout=400) == 0
    assert "cut off" not in guarded.log.read_text()


def test_no_address_that_others_reach_without_keys() -> None:
    command = [str(TOOLACE), "serve", "--model", "builtin:tiny_base", "--host", "0.0.0.0", "--port", str(free_port())]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment())
    assert refused.returncode == 1
    assert "host 0.0.0.0 can be reached from other machines and no keys are configured" in refused.stderr
    assert "Traceback" not in refused.stderr


def with_other_weights(model: Path, folder: Path, scale: float = 1.01) -> Path:
    """A copy whose weights differ by a little, so that it is another model that answers much the same."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(model, folder, dirs_exist_ok=True)
    weights = load_file(folder / "model.safetensors")
    name = max(weights, key=lambda key: weights[key].numel())
    weights[name] = weights[name] * scale
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def without_weights(model: Path, folder: Path) -> Path:
    return Path(shutil.copytree(model, folder, ignore=shutil.ignore_patterns("*.safetensors")))


def with_broken_weights(model: Path, folder: Path) -> Path:
    """A copy whose weights are cut off, as an upload that was broken off leaves them."""
    shutil.copytree(model, folder)
    with (folder / "model.safetensors").open("r+b") as weights:
        weights.truncate(weights.seek(0, os.SEEK_END) // 2)
    return folder


def parents() -> dict[int, int]:
    """The parent of each process that lives."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue  # it ended meanwhile
            if state != "Z":
                found[int(entry.name)] = int(parent)
    return found


def processes_under(pid: int) -> set[int]:
    """The processes that a process started, and those that they started."""
    known, found = parents(), set()
    while more := {one for one, parent in known.items() if parent in {pid, *found}} - found:
        found |= more
    return found
