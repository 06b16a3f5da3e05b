"""The ingress over handles that answer by a script: no Ray and no engine, and all that stands before them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

pytest.importorskip("vllm", reason="the ingress is ray.serve.llm's: make install")

from ray.exceptions import ActorDiedError
from ray.serve.exceptions import BackPressureError
from ray.serve.llm.openai_api_models import ChatCompletionResponse, CompletionResponse, ErrorResponse
from serving_fakes import BODY, A, completion

from toolace.serving import ingress
from toolace.serving.config import ServeConfig
from toolace.serving.draining import Drain
from toolace.serving.metrics import Metrics

PLAIN = {"model": "m", "messages": BODY["messages"]}
FOREVER = object()


def answer(text: str = A) -> ChatCompletionResponse:
    return ChatCompletionResponse.model_validate(completion(0, text))


def refusal(message: str, code: int = 400) -> ErrorResponse:
    return ErrorResponse.model_validate({"error": {"message": message, "type": "BadRequestError", "code": code}})


class Stream:
    """What a call of Serve's handle gives: items in order, one that is an exception raised, `FOREVER` waited for."""

    def __init__(self, *items: Any) -> None:
        self.items, self.cancelled = list(items), False

    def cancel(self) -> None:
        self.cancelled = True

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Any:
        for _ in range(20):
            await asyncio.sleep(0)  # an engine takes its time
        if not self.items:
            raise StopAsyncIteration
        item = self.items.pop(0)
        if item is FOREVER:
            await asyncio.Event().wait()
        if isinstance(item, Exception):
            raise item
        return item


class Handle:
    """A deployment's handle with a stream for each call; `asked` are the methods and request bodies."""

    def __init__(self, *streams: Stream) -> None:
        self.streams, self.asked = list(streams), list[tuple[str, Any]]()

    def options(self, **_: Any) -> Handle:
        return self

    def __getattr__(self, method: str) -> Any:
        def remote(body: Any, told: Any) -> Stream:
            self.asked.append((method, body))
            return self.streams[len(self.asked) - 1]

        return SimpleNamespace(remote=remote)


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> Metrics:
    metrics, drain = Metrics(), Drain()
    monkeypatch.setattr(ingress, "shared_metrics", lambda: metrics)
    monkeypatch.setattr(ingress, "shared_drain", lambda: drain)
    return metrics


Asking = Callable[[httpx.AsyncClient], Coroutine[Any, Any, Any]]


def with_client(handle: Handle, ask: Asking, **settings: Any) -> Any:
    """What `ask` returns, with a client of an app whose engine is `handle`."""
    config = ServeConfig.model_validate({"playground": False, **settings})
    app = ingress.make_app(config)
    serving = ingress.RefiningIngress({"m": handle}, {"m": None}, config=config.model_dump(mode="json"), version="m@1")
    app.post("/v1/chat/completions")(serving.chat)
    app.post("/v1/completions")(serving.completions)
    app.get("/health")(serving.health)
    for name in ("tokenize", "detokenize"):
        ingress._checked(ingress.OTHER_PATHS[name])(app)(getattr(serving, name))

    async def work() -> Any:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await ask(client)

    return asyncio.run(work())


def post(handle: Handle, body: Any, path: str = "/v1/chat/completions", **settings: Any) -> httpx.Response:
    found: httpx.Response = with_client(handle, lambda client: client.post(path, json=body), **settings)
    return found


# A replica that dies


@pytest.mark.parametrize("body", [PLAIN, BODY], ids=["passed through", "refined"])
def test_a_request_is_asked_once_more_where_a_replica_died(metrics: Metrics, body: dict[str, Any]) -> None:
    handle = Handle(Stream(ActorDiedError()), Stream(answer()), Stream(answer()))
    response = post(handle, body)
    assert response.status_code == 200, response.text
    assert len(handle.asked) == (3 if body is BODY else 2)
    assert "toolace_replica_retries_total 1.0" in metrics.render().decode()


def test_it_is_asked_no_third_time(metrics: Metrics) -> None:
    handle = Handle(Stream(ActorDiedError()), Stream(ActorDiedError()))
    response = post(handle, PLAIN)
    assert (response.status_code, response.headers["retry-after"], len(handle.asked)) == (503, "1", 2)


@pytest.mark.parametrize("failure", [BackPressureError(4, 4), ValueError("no")], ids=["full", "broken"])
def test_nor_where_the_replica_lives(metrics: Metrics, failure: Exception) -> None:
    handle = Handle(Stream(failure), Stream(answer()))
    assert post(handle, BODY).status_code in (429, 500) and len(handle.asked) == 1


def test_a_stream_that_has_begun_is_not_begun_again(metrics: Metrics) -> None:
    handle = Handle(Stream("data: {}\n\n", ActorDiedError()), Stream("data: {}\n\n"))
    assert "data: {}" in post(handle, {**PLAIN, "stream": True}).text
    assert len(handle.asked) == 1


# Deadlines


@pytest.mark.parametrize("body", [PLAIN, {**PLAIN, "n": 3}, {**PLAIN, "stream": True}, BODY, {**BODY, "stream": True}])
def test_a_deadline_ends_the_engines_work(metrics: Metrics, body: dict[str, Any]) -> None:
    stream = Stream(FOREVER)
    response = post(Handle(stream), {**body, "refinement": {"deadline_ms": 20}})
    assert (response.status_code, response.json()["error"]["code"]) == (504, "deadline_exceeded")
    assert stream.cancelled


def test_text_completions_have_the_servers_deadline(metrics: Metrics) -> None:
    stream, handle = Stream(FOREVER), Handle(Stream(FOREVER))
    handle.streams = [stream]
    response = post(handle, {"prompt": "a"}, "/v1/completions", refinement={"deadline_ms": 20})
    assert response.status_code == 504 and stream.cancelled


def test_an_answer_that_came_is_not_cancelled(metrics: Metrics) -> None:
    streams = Stream(answer()), Stream(answer())
    assert post(Handle(*streams), BODY).status_code == 200
    assert not any(stream.cancelled for stream in streams)


def test_a_streamed_answer_begins_while_it_is_refined(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before `EARLY_S` an error has its status; who leaves before it leaves nothing running."""
    early = post(Handle(Stream(refusal("top_k must be at least 1"))), {**BODY, "stream": True})
    assert early.status_code == 400
    monkeypatch.setattr(ingress, "EARLY_S", 0.0)
    late = post(Handle(Stream(FOREVER)), {**BODY, "stream": True, "refinement": {"deadline_ms": 50}})
    assert late.status_code == 200 and "deadline_exceeded" in late.text


def test_a_client_that_leaves_before_the_stream_begins_ends_the_engines_work(metrics: Metrics) -> None:
    stream = Stream(FOREVER)
    handle = Handle(stream)

    async def leave(client: httpx.AsyncClient) -> None:
        asking = asyncio.ensure_future(client.post("/v1/chat/completions", json={**BODY, "stream": True}))
        while not handle.asked:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait({asking})
        for _ in range(20):
            await asyncio.sleep(0)
        assert stream.cancelled  # here: when the loop ends, everything is cancelled

    with_client(handle, leave)


# Answers and errors


def refused_event(message: str, code: int) -> str:
    error = {"message": message, "type": "BadRequestError", "param": None, "code": code}
    return f"data: {json.dumps({'error': error})}\n\n"


@pytest.mark.parametrize(("said", "code"), [("Grammar error: unclosed group", 400), ("Internal server error", 500)])
@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({**PLAIN, "response_format": {"type": "json_object"}}, "/v1/chat/completions"),
        ({"model": "m", "prompt": "a", "response_format": {"type": "json_object"}}, "/v1/completions"),
    ],
)
def test_a_stream_that_is_refused_keeps_its_status(
    metrics: Metrics, body: dict[str, Any], path: str, said: str, code: int
) -> None:
    handle = Handle(Stream(refused_event(said, code), "data: [DONE]\n\n"))
    response = post(handle, {**body, "stream": True}, path)
    error = response.json()["error"]
    assert (response.status_code, error["param"], error["type"]) == (400, "response_format", "invalid_request_error")


@pytest.mark.parametrize("end", [ActorDiedError(), refused_event("Internal server error", 500)])
def test_a_stream_that_breaks_off_says_so(metrics: Metrics, end: Any) -> None:
    begun = 'data: {"choices": []}\n\n'
    response = post(Handle(Stream(begun, end)), {**PLAIN, "stream": True})
    first, error, done, rest = response.text.split("\n\n")
    assert (response.status_code, f"{first}\n\n", done, rest) == (200, begun, "data: [DONE]", "")
    said = json.loads(error.removeprefix("data: "))["error"]
    assert said["type"] == "server_error" and set(said) == {"message", "type", "param", "code"}


def test_several_answers_are_drawn_where_the_request_does_not_say_how(metrics: Metrics) -> None:
    texts = CompletionResponse(id="c", created=1, model="m", choices=[], usage={})
    for path, body, answers in (
        ("/v1/chat/completions", PLAIN, answer()),
        ("/v1/completions", {"prompt": "a"}, texts),
    ):
        for more, temperature in (({"n": 2}, 1.0), ({"n": 2, "temperature": 0.5}, 0.5), ({}, None)):
            handle = Handle(Stream(answers))
            assert post(handle, {**body, **more}, path).status_code == 200
            assert handle.asked[0][1].temperature == temperature
        handle = Handle(Stream(answers))
        post(handle, {**body, "n": 2, "use_beam_search": True}, path)
        assert handle.asked[0][1].temperature is None


NAMED = {"type": "function", "function": {"name": "g"}}


@pytest.mark.parametrize(
    ("body", "said", "param"),
    [
        (PLAIN, "n must be at least 1, got 0.", "n"),
        (PLAIN, "stop cannot contain an empty string.", "stop"),
        (PLAIN, "min_tokens must be less than or equal to max_tokens=2, got 5.", "min_tokens"),
        (PLAIN, "max_tokens=5 cannot be greater than 4.", "max_tokens"),
        (PLAIN, "it must be so.", None),
        (PLAIN, "chat_template is passed with request, but that is not allowed", "chat_template"),
        ({**PLAIN, "structured_outputs": {"choice": []}}, "structured_outputs.choice is empty", "structured_outputs"),
        ({**BODY, "tool_choice": "required"}, "Grammar error: Pointer '/x' does not exist", "tools"),
        ({**BODY, "tool_choice": NAMED}, "Grammar error: Unknown format: z", "tools[1]"),
        ({**PLAIN, "structured_outputs": {"regex": "("}}, "Grammar error: unclosed group", "structured_outputs"),
    ],
)
def test_what_the_engine_refuses_names_its_field(
    metrics: Metrics, body: dict[str, Any], said: str, param: str | None
) -> None:
    response = post(Handle(Stream(refusal(said))), body)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, param)
    assert "Grammar" not in error["message"] and error["message"].startswith(param or "it")


def earlier(call: dict[str, Any]) -> dict[str, Any]:
    """A history with a call of an earlier turn."""
    return {"messages": [*BODY["messages"], {"role": "assistant", "tool_calls": [{"id": "c", **call}]}]}


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"messages": [{"role": "user", "content": "a", "name": 3}]}, "messages[0].name"),
        ({"messages": [*BODY["messages"], {"role": "assistant", "name": 3}]}, "messages[1].name"),
        (
            {"messages": [*BODY["messages"], {"role": "tool", "content": "a", "tool_call_id": 3}]},
            "messages[1].tool_call_id",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}, "messages"),
        ({"stop": [1]}, "stop"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": 3}]}]}, "messages[0].content[0].type"),
        (earlier({}), "messages[1].tool_calls[0].function"),
        (earlier({"function": {"name": 3, "arguments": "{}"}}), "messages[1].tool_calls[0].function.name"),
        (earlier({"function": {"arguments": "{}"}}), "messages[1].tool_calls[0].function.name"),
        (earlier({"function": {"name": "f"}}), "messages[1].tool_calls[0].function.arguments"),
        (earlier({"function": {"name": "f", "arguments": {}}}), "messages[1].tool_calls[0].function.arguments"),
        ({"structured_outputs": {"choice": ["a"], "regex": "b"}}, "structured_outputs"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
    ],
)
def test_what_the_library_refuses_has_the_path_that_the_client_wrote(
    metrics: Metrics, more: dict[str, Any], param: str
) -> None:
    handle = Handle()
    response = post(handle, {**PLAIN, **more})
    assert response.status_code == 400 and response.json()["error"]["param"] == param, response.text
    assert not handle.asked


@pytest.mark.parametrize("path", ["/tokenize", "/detokenize"])
def test_the_librarys_routes_take_no_text_that_is_none(metrics: Metrics, path: str) -> None:
    async def ask(client: httpx.AsyncClient) -> list[httpx.Response]:
        headers = {"content-type": "application/json"}
        bodies = (
            b'{"prompt": "\\ud800", "tokens": []}',
            b'{"prompt": NaN}',
            b'{"prompt": ' + b"[" * 80 + b"]" * 80 + b"}",
        )
        return [await client.post(path, content=body, headers=headers) for body in bodies]

    handle = Handle()
    for response in with_client(handle, ask):
        assert response.status_code == 400 and response.json()["error"]["code"] == "invalid_value"
    assert not handle.asked


def test_errors_have_one_shape_and_pages_of_other_origins_read_them(metrics: Metrics) -> None:
    async def ask(client: httpx.AsyncClient) -> list[httpx.Response]:
        origin = {"origin": "https://elsewhere.example"}
        url = "/v1/chat/completions"
        return [
            await client.post(url, json={**PLAIN, "model": "x"}, headers=origin),
            await client.post(url, content=b"{", headers=origin),
            await client.get("/nothing", headers=origin),
            await client.delete(url, headers=origin),
            await client.post(url, json=PLAIN, headers=origin),
            await client.post(url, json=PLAIN, headers=origin),
            await client.get("/health", headers=origin),
        ]

    found = with_client(Handle(Stream(KeyError("secret")), Stream(BackPressureError(4, 4))), ask)
    assert [response.status_code for response in found] == [404, 400, 404, 405, 500, 429, 200]
    for response in found:
        assert response.headers["access-control-allow-origin"] == "*"
        assert {"x-request-id", "retry-after"} == set(
            response.headers["access-control-expose-headers"].lower().split(", ")
        )
        assert response.status_code == 200 or response.json()["error"].keys() == {"message", "type", "param", "code"}
        assert "secret" not in response.text
    only = with_client(
        Handle(),
        lambda client: client.get("/health", headers={"origin": "https://b.example"}),
        allowed_origins=["https://a.example"],
    )
    assert "access-control-allow-origin" not in only.headers
