"""The guard before every route: ids, keys, sizes, limits, errors and logs, over a tiny ASGI app."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from toolace.serving.auth import Keys
from toolace.serving.config import ServeConfig, validate_serve_config
from toolace.serving.errors import ApiError
from toolace.serving.guard import Guard
from toolace.serving.keyfile import add_key, hash_key, revoke_key
from toolace.serving.metrics import Metrics

SECRET = "the user's own words"


class Clock:
    """Time that moves when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Reads the whole body and answers with its size."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    scope["state"]["toolace"].update(rounds=2, stopped="unchanged", content=SECRET)
    headers = [(b"content-type", b"application/json"), (b"x-request-id", b"of-the-app")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"size": size, "answer": SECRET}).encode()})


class Endpoint:
    """A guard over an app, and how to ask it."""

    def __init__(
        self,
        app: Any = echo,
        keys: Keys | None = None,
        client: tuple[str, int] | None = ("127.0.0.1", 5),
        clock: Clock | None = None,
        echo_id: bool = True,
        **settings: Any,
    ) -> None:
        self.metrics, self.clock = Metrics(), clock or Clock()
        config: ServeConfig = validate_serve_config(settings, "the test")
        self.guard = Guard(app, config, keys or Keys(), self.metrics, self.clock, echo_id=echo_id)
        self._client = client

    async def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.guard, client=self._client)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **arguments)

    def ask(self, method: str = "POST", path: str = "/v1/chat/completions", **arguments: Any) -> httpx.Response:
        return asyncio.run(self.request(method, path, **arguments))

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def access_log(caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict[str, Any]]]:
    caplog.set_level(logging.INFO, logger="toolace.serving.access")
    return lambda: [json.loads(r.getMessage()) for r in caplog.records if r.name == "toolace.serving.access"]


@pytest.fixture
def keyed(tmp_path: Path) -> tuple[Endpoint, str, Path]:
    """An endpoint with a key in a file and one in the environment; the file's key; the file."""
    file = tmp_path / "keys"
    key, clock = add_key(file, "file-user"), Clock()
    keys = Keys(file, {"env-user": "from-the-environment"}, clock)
    return Endpoint(keys=keys, clock=clock), key, file


# --- keys


@pytest.mark.parametrize(
    ("method", "path", "header", "status"),
    [
        ("POST", "/v1/chat/completions", None, 401),
        ("POST", "/v1/chat/completions", "Basic {key}", 401),
        ("POST", "/v1/chat/completions", "{key}", 401),
        ("POST", "/v1/chat/completions", "Bearer", 401),
        ("POST", "/v1/chat/completions", "Bearer {key}x", 401),
        ("POST", "/v1/chat/completions", "Bearer tk-wrong", 401),
        ("POST", "/v1/chat/completions", "Bearer ключ", 401),
        ("POST", "/v1/chat/completions", "Bearer {key}", 200),
        ("POST", "/v1/chat/completions", "bearer  {key}", 200),
        ("POST", "/v1/chat/completions", "Bearer from-the-environment", 200),
        ("GET", "/v1/models", None, 401),
        ("GET", "/v1/models", "Bearer {key}", 200),
        ("GET", "/health", None, 200),
        ("GET", "/metrics", None, 200),
        ("GET", "/", None, 200),
        ("GET", "/playground/app.js", None, 200),
        ("GET", "/healthy", None, 401),
        ("GET", "/metrics/", None, 401),
        ("OPTIONS", "/v1/chat/completions", None, 200),
        ("HEAD", "/v1/models", None, 200),
    ],
)
def test_auth_table(keyed: Any, method: str, path: str, header: str | None, status: int) -> None:
    endpoint, key, _ = keyed
    headers = {} if header is None else {b"authorization": header.format(key=key).encode()}
    response = endpoint.ask(method, path, headers=headers)
    assert response.status_code == status
    if status == 401:
        assert response.headers["www-authenticate"] == "Bearer"
        error = response.json()["error"]
        assert set(error) == {"message", "type", "param", "code"} and error["code"] == "invalid_api_key"
        assert key not in response.text


def test_a_revoked_key_is_refused_without_a_restart(keyed: Any) -> None:
    endpoint, key, file = keyed
    second = add_key(file, "second")
    assert endpoint.ask(headers=bearer(second)).status_code == 401  # looked at less than a second ago
    endpoint.clock.now += 1
    assert endpoint.ask(headers=bearer(second)).status_code == 200
    revoke_key(file, "file-user")
    endpoint.clock.now += 1
    assert endpoint.ask(headers=bearer(key)).status_code == 401
    assert endpoint.ask(headers=bearer(second)).status_code == 200


def test_an_endpoint_does_not_open_because_its_keys_vanished(tmp_path: Path) -> None:
    file, clock = tmp_path / "keys", Clock()
    add_key(file, "only")
    endpoint = Endpoint(keys=Keys(file, clock=clock), clock=clock)
    file.unlink()
    clock.now += 1
    assert [endpoint.ask().status_code, endpoint.ask(headers=bearer("x")).status_code] == [401, 401]


def test_the_route_prefix_is_no_part_of_open_paths(keyed: Any) -> None:
    endpoint, _, _ = keyed

    async def ask(path: str) -> int:
        transport = httpx.ASGITransport(app=endpoint.guard, root_path="/tool")
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return (await client.get(path)).status_code

    assert asyncio.run(ask("/tool/health")) == 200
    assert asyncio.run(ask("/tool/v1/models")) == 401


def test_only_the_playgrounds_own_paths_are_open(keyed: Any) -> None:
    endpoint, _, _ = keyed
    for path, status in (("/playground", 200), ("/playground/playground.js", 200), ("/playgrounds", 401)):
        assert endpoint.ask("GET", path).status_code == status, path


def test_without_keys_only_this_machine_is_served() -> None:
    assert Endpoint().ask().status_code == 200
    assert Endpoint(client=("::1", 5)).ask().status_code == 200
    refused = Endpoint(client=("192.0.2.7", 5)).ask()
    assert refused.status_code == 403 and refused.json()["error"]["code"] == "no_api_keys"
    assert Endpoint(client=("192.0.2.7", 5)).ask("GET", "/health").status_code == 200
    assert Endpoint(client=("192.0.2.7", 5), auth={"open": True}).ask().status_code == 200


# --- request ids


@pytest.mark.parametrize("sent", ["abc-1.2_3", "x" * 128])
def test_a_harmless_request_id_is_taken_over(sent: str) -> None:
    response = Endpoint().ask(headers={"x-request-id": sent})
    assert response.headers.get_list("x-request-id") == [sent]


@pytest.mark.parametrize("sent", [None, "", "a b", "x" * 129, 'a"b', "a/b"])
def test_another_request_id_is_replaced(sent: str | None) -> None:
    response = Endpoint().ask(headers={} if sent is None else {"x-request-id": sent})
    [found] = response.headers.get_list("x-request-id")
    assert len(found) == 32 and found != sent


def test_the_app_and_errors_have_the_request_id() -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append([value for name, value in scope["headers"] if name == b"x-request-id"])
        seen.append(scope["state"]["toolace"]["request_id"])
        raise ApiError(400, "bad", param="tools")

    response = Endpoint(app).ask(headers={"x-request-id": "a b"})
    given = response.headers["x-request-id"]
    assert seen == [[given.encode()], given]


@pytest.mark.parametrize("sent", ["abc", "a b", "x" * 129])
def test_a_proxy_that_echoes_ids_is_not_repeated(sent: str) -> None:
    assert "x-request-id" not in Endpoint(echo_id=False).ask(headers={"x-request-id": sent}).headers


def test_an_id_that_was_replaced_is_found_in_the_log(access_log: Callable[[], list[dict[str, Any]]]) -> None:
    for sent in ("../a b", "fine-1"):
        Endpoint(echo_id=False).ask(headers={"x-request-id": sent})
    replaced, kept = access_log()
    assert replaced["sent_request_id"] == ".._a_b" and len(replaced["request_id"]) == 32
    assert kept["request_id"] == "fine-1" and "sent_request_id" not in kept


# --- sizes


async def chunks(size: int, of: int = 10) -> AsyncIterator[bytes]:
    for start in range(0, size, of):
        yield b"x" * min(of, size - start)


async def forgiving(scope: Any, receive: Any, send: Any) -> None:
    """Turns every error of reading into an answer of its own, as web frameworks do."""
    try:
        await echo(scope, receive, send)
    except Exception:
        await send({"type": "http.response.start", "status": 400, "headers": []})
        await send({"type": "http.response.body", "body": b"could not read"})


async def failing(scope: Any, receive: Any, send: Any) -> None:
    """Wraps errors of reading in its own."""
    try:
        await echo(scope, receive, send)
    except Exception as error:
        raise ValueError("could not read") from error


@pytest.mark.parametrize("app", [echo, forgiving, failing])
@pytest.mark.parametrize(("size", "status"), [(100, 200), (101, 413), (5000, 413)])
@pytest.mark.parametrize("streamed", [False, True])
def test_bodies_over_the_limit_are_refused(app: Any, size: int, status: int, streamed: bool) -> None:
    endpoint = Endpoint(app, limits={"max_body_bytes": 100})
    response = endpoint.ask(content=chunks(size) if streamed else b"x" * size)
    assert response.status_code == status
    if status == 200:
        assert response.json()["size"] == size
    else:
        assert response.json()["error"]["code"] == "request_too_large" and "100" in response.json()["error"]["message"]
        assert response.headers["x-request-id"]
    assert endpoint.count("toolace_requests_total", status=str(status)) == 1


def test_a_large_body_is_not_read_to_its_end() -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while read < 1000:
            read += 1
            yield b"x" * 10

    assert Endpoint(limits={"max_body_bytes": 100}).ask(content=endless()).status_code == 413
    assert read == 11


@pytest.mark.parametrize(("told", "status"), [("-1", 400), ("ten", 400), ("٣", 400), ("9" * 5000, 413)])
def test_an_odd_content_length_is_refused(told: str, status: int) -> None:
    assert Endpoint().ask(headers={b"content-length": told.encode()}).status_code == status


# --- limits


def test_rate_limit_says_when_to_come_back(keyed: Any) -> None:
    _, key, file = keyed
    clock = Clock()
    limits = {"requests_per_minute": 6, "burst": 2}
    endpoint = Endpoint(keys=Keys(file, {"env": "other"}, clock), clock=clock, limits=limits)
    assert [endpoint.ask(headers=bearer(key)).status_code for _ in range(3)] == [200, 200, 429]
    refused = endpoint.ask(headers=bearer(key))
    assert refused.headers["retry-after"] == "10" and refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert endpoint.ask(headers=bearer("other")).status_code == 200  # each key has its own bucket
    assert endpoint.ask("GET", "/health").status_code == 200
    assert endpoint.ask("OPTIONS").status_code == 200
    clock.now += 10
    assert [endpoint.ask(headers=bearer(key)).status_code for _ in range(2)] == [200, 429]


def test_a_wrong_key_costs_nobody_a_token(keyed: Any) -> None:
    _, key, file = keyed
    endpoint = Endpoint(keys=Keys(file), limits={"requests_per_minute": 6, "burst": 1})
    assert [endpoint.ask(headers=bearer("wrong")).status_code for _ in range(3)] == [401] * 3
    assert endpoint.ask(headers=bearer(key)).status_code == 200


class Held:
    """An app whose answers wait for `gate`."""

    def __init__(self) -> None:
        self.entered, self.gate = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.entered.set()
        await self.gate.wait()
        await echo(scope, receive, send)


def test_requests_in_flight_are_limited_and_cancelling_releases() -> None:
    async def scenario() -> None:
        app = Held()
        endpoint = Endpoint(app, limits={"concurrent_requests": 1})
        first = asyncio.create_task(endpoint.request("POST", "/v1/chat/completions"))
        await app.entered.wait()
        assert endpoint.count("toolace_requests_in_flight") == 1
        refused = await endpoint.request("POST", "/v1/chat/completions")
        assert refused.status_code == 429 and refused.headers["retry-after"] == "1"
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert len(endpoint.guard.limits) == 0 and endpoint.count("toolace_requests_in_flight") == 0
        assert endpoint.count("toolace_requests_total", status="499") == 1
        app.gate.set()
        assert (await endpoint.request("POST", "/v1/chat/completions")).status_code == 200

    asyncio.run(scenario())


def test_a_failing_app_releases_its_slot() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError(SECRET)

    endpoint = Endpoint(app, limits={"concurrent_requests": 1})
    assert [endpoint.ask().status_code for _ in range(3)] == [500, 500, 500]


# --- errors


def test_a_failing_app_is_a_500_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError(SECRET)

    response = Endpoint(app).ask()
    assert response.status_code == 500 and response.json()["error"]["type"] == "server_error"
    assert SECRET not in response.text and "ValueError" not in response.text and ".py" not in response.text
    assert "ValueError" in caplog.text and response.headers["x-request-id"] in caplog.text
    assert SECRET not in caplog.text


def test_an_app_without_an_answer_is_a_500() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        return

    assert Endpoint(app).ask().status_code == 500


def test_an_error_after_the_start_breaks_the_answer_off(access_log: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ValueError("late")

    with pytest.raises(ValueError, match="late"):
        Endpoint(app).ask()
    [line] = access_log()
    assert line["status"] == 200 and line["complete"] is False


def test_api_errors_keep_their_shape_and_retry_after() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ApiError(503, "busy", retry_after=2.5)

    response = Endpoint(app).ask()
    assert response.status_code == 503 and response.headers["retry-after"] == "3"
    assert response.json()["error"]["message"] == "busy"


# --- streams, disconnects, other protocols


def run_asgi(
    guard: Guard, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]], **scope: Any
) -> None:
    whole = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": [], **scope}
    asyncio.run(guard(whole, receive, send))  # type: ignore[arg-type]


def test_streams_leave_piece_by_piece() -> None:
    order: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for n in range(3):
            order.append(f"app {n}")
            await send({"type": "http.response.body", "body": b"data", "more_body": n < 2})

    async def send(message: Any) -> None:
        order.append("client" if message["type"] == "http.response.body" else "start")

    async def receive() -> Any:
        return {"type": "http.request"}

    run_asgi(Endpoint(app).guard, receive, send)
    assert order == ["start", "app 0", "client", "app 1", "client", "app 2", "client"]


@pytest.mark.parametrize("notices", ["raises", "returns"])
def test_a_disconnect_reaches_the_app_and_is_no_error(
    notices: str, access_log: Any, caplog: pytest.LogCaptureFixture
) -> None:
    seen, sent = [], []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((await receive())["type"])
        if notices == "raises":
            raise RuntimeError("client went away")

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    endpoint = Endpoint(app)
    run_asgi(endpoint.guard, receive, send)
    assert seen == ["http.disconnect"] and not sent
    [line] = access_log()
    assert line["status"] == 499 and not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_websockets_are_refused_and_lifespan_passes() -> None:
    reached, sent = [], []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["type"])

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    guard = Endpoint(app).guard
    run_asgi(guard, receive, send, type="websocket")
    run_asgi(guard, receive, send, type="lifespan")
    assert sent == ["websocket.close"] and reached == ["lifespan"]


# --- the log


def test_one_line_a_request_without_content(keyed: Any, access_log: Any, caplog: pytest.LogCaptureFixture) -> None:
    endpoint, key, _ = keyed
    body = json.dumps({"messages": SECRET})
    response = endpoint.ask(path=f"/v1/chat/completions?q={key}", content=body, headers=bearer(key))
    endpoint.ask(headers=bearer("wrong-one"))
    good, bad = access_log()
    assert good.pop("ms") == 0.0
    assert good == {
        "request_id": response.headers["x-request-id"],
        "key": "file-user",
        "method": "POST",
        "path": "/v1/chat/completions",
        "status": 200,
        "bytes_in": len(body),
        "bytes_out": len(response.content),
        "rounds": 2,
        "stopped": "unchanged",
    }
    assert bad["status"] == 401 and bad["key"] is None and "rounds" not in bad
    assert SECRET not in caplog.text and key not in caplog.text and "wrong-one" not in caplog.text
    assert hash_key(key) not in caplog.text


def test_content_is_logged_only_when_asked_for(access_log: Any) -> None:
    Endpoint(log_content=True).ask()
    assert access_log()[0]["content"] == SECRET


def test_open_paths_are_logged_but_not_counted(access_log: Any) -> None:
    endpoint = Endpoint()
    endpoint.ask("GET", "/health")
    endpoint.ask()
    assert [line["path"] for line in access_log()] == ["/health", "/v1/chat/completions"]
    assert endpoint.count("toolace_requests_total", status="200") == 1
