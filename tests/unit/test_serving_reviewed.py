"""What a hostile or unlucky request, or a cluster with a life of its own, must not do to the endpoint."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from toolace.errors import ServingError
from toolace.serving.auth import Keys, with_environment
from toolace.serving.config import AuthSettings, RefinementSettings, ServeConfig
from toolace.serving.constraints import blamed
from toolace.serving.draining import Drain, drain
from toolace.serving.errors import ApiError
from toolace.serving.guard import Guard
from toolace.serving.keyfile import hash_key
from toolace.serving.local import _check_listening
from toolace.serving.metrics import Metrics
from toolace.serving.protocol import check_completion, is_refined, make_plan

SETTINGS = RefinementSettings()
MANY = {"type": "object", "properties": {"x": {"type": "array", "minItems": 10**9, "items": {"type": "string"}}}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": MANY}}
BODY: dict[str, Any] = {"messages": [{"role": "user", "content": "go"}], "tools": [TOOL]}


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tool_choice": "required"}, "tools[0].function.parameters.properties.x.minItems"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tools[0].function.parameters"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": MANY}}}, "response_format.json_schema"),
        ({"structured_outputs": {"json": {"anyOf": [{"maxLength": 1e12}]}}}, "structured_outputs.json.anyOf[0]"),
        ({"structured_outputs": {"json": json.dumps(MANY)}}, "structured_outputs.json.properties.x.minItems"),
        ({"structured_outputs": {"json": "{"}}, "structured_outputs.json"),
        ({"structured_outputs": {"regex": "(a{1000}){1001}"}}, "structured_outputs.regex"),
        ({"structured_outputs": {"json": {"pattern": "^a{2,999999999999}$"}}}, "structured_outputs.json.pattern"),
        ({"structured_outputs": {"json": {"minimum": 10**300}}}, "structured_outputs.json.minimum"),
        ({"structured_outputs": {"json": {"enum": [2**64]}}}, "structured_outputs.json.enum[0]"),
        ({"structured_outputs": {"json": {"maxLength": 10**400}}}, "structured_outputs.json.maxLength"),
        ({"structured_outputs": "x"}, "structured_outputs"),
    ],
)
def test_counts_that_would_hold_up_the_engine_are_refused(more: dict[str, Any], param: str) -> None:
    with pytest.raises(ApiError) as refused:
        make_plan({**BODY, **more}, SETTINGS)
    assert refused.value.status == 400 and (refused.value.param or "").startswith(param)
    if "structured_outputs" in more or "response_format" in more:
        with pytest.raises(ApiError):
            check_completion({"prompt": "go", **more})


NAMES = [f"c{i:04}" for i in range(1001)]
HALVES = {"a": {"enum": NAMES[:501]}, "b": {"enum": NAMES[:500]}}
CONSTS = [{"const": name} for name in NAMES]


def with_schema(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


def with_parameters(**properties: Any) -> list[dict[str, Any]]:
    parameters = {"type": "object", "properties": properties}
    return [{"type": "function", "function": {"name": "f", "parameters": parameters}}]


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"structured_outputs": {"choice": NAMES}}, "structured_outputs.choice"),
        ({"structured_outputs": {"choice": ["x" * 50_001, "y" * 50_001]}}, "structured_outputs.choice"),
        ({"structured_outputs": {"regex": "|".join(NAMES * 20)}}, "structured_outputs.regex"),
        ({"structured_outputs": {"grammar": "start: " + "|".join(NAMES * 20)}}, "structured_outputs.grammar"),
        ({"structured_outputs": {"json": {"anyOf": CONSTS}}}, "structured_outputs.json"),
        ({"structured_outputs": {"json": json.dumps({"enum": NAMES})}}, "structured_outputs.json"),
        ({"response_format": with_schema({"enum": NAMES})}, "response_format"),
        ({"tools": with_parameters(a={"enum": NAMES}), "tool_choice": "required"}, "tools"),
        # No one list is long, but all are.
        ({"tools": with_parameters(**HALVES), "tool_choice": "required"}, "tools"),
    ],
)
def test_more_choices_than_the_engine_can_compile_are_refused(more: dict[str, Any], param: str) -> None:
    for check in (lambda body: make_plan(body, SETTINGS), check_completion):
        if check is check_completion and "tools" in more:
            continue
        with pytest.raises(ApiError) as refused:
            check({**BODY, "prompt": "go", **more})
        assert (refused.value.status, refused.value.param) == (400, param)
        assert refused.value.message.startswith(param) and len(refused.value.message) < 200


def test_as_many_choices_as_openai_takes_pass() -> None:
    long = {"description": "x" * 200_000}
    for more in (
        {"structured_outputs": {"choice": NAMES[:1000]}},
        {"response_format": with_schema({"enum": NAMES[:1000], **long})},
        {"tools": with_parameters(a={"enum": NAMES[:1000], **long}), "tool_choice": "required"},
        {"tools": with_parameters(a={"enum": NAMES})},  # nothing is compiled
    ):
        make_plan({**BODY, "tools": None, **more}, SETTINGS)


@pytest.mark.parametrize(
    "schema",
    [{"maxItems": 1000, "pattern": "^a{3}{2,}$"}, {"const": {"maxItems": 9999}}, {"properties": {"maxItems": {}}}],
)
def test_what_is_small_or_no_keyword_passes(schema: dict[str, Any]) -> None:
    make_plan({**BODY, "structured_outputs": {"json": schema}}, SETTINGS)


class GenerationError(Exception):
    """vLLM's, by its name."""


def test_an_engine_that_cannot_follow_a_constraint_blames_it() -> None:
    told = {"error": {"message": "Internal server error", "type": "InternalServerError", "code": 500}}
    wrapped = RuntimeError("task failed")
    wrapped.__cause__ = GenerationError("Internal server error")
    for failure in (told, wrapped):
        found = blamed(failure, {"response_format": {"type": "json_object"}})
        assert (found.status, found.param) == (400, "response_format")
        assert blamed(failure, {"tools": [TOOL], "tool_choice": "required"}).param == "tools"
        for body in ({}, {"tools": [TOOL]}, {"tools": [TOOL], "tool_choice": "auto"}):
            assert blamed(failure, body).status == 500
        assert blamed(failure, {"response_format": {"type": "text"}}).status == 500
    assert (
        blamed({"error": {"message": "out of memory", "code": 500}}, {"structured_outputs": {"regex": "a"}}).status
        == 500
    )


def test_counts_are_no_matter_where_nothing_is_constrained_by_them() -> None:
    make_plan(BODY, SETTINGS)
    make_plan({**BODY, "tool_choice": "auto"}, SETTINGS)


@pytest.mark.parametrize(
    "given", [{"conversation": []}, {"tokenize": True}, {"self": 1}, {"return_assistant_tokens_mask": True}, "x"]
)
def test_what_the_renderer_passes_itself_is_refused(given: Any) -> None:
    with pytest.raises(ApiError) as refused:
        make_plan({**BODY, "chat_template_kwargs": given}, SETTINGS)
    assert refused.value.status == 400 and (refused.value.param or "").startswith("chat_template_kwargs")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"response_format": {"type": "json_object"}}, False),
        ({"structured_outputs": {"regex": "a+"}}, False),
        ({"response_format": {"type": "text"}}, True),
        ({}, True),
    ],
)
def test_text_that_follows_a_grammar_is_not_read_for_calls(more: dict[str, Any], expected: bool) -> None:
    body = {**BODY, **more}
    assert is_refined(body, make_plan(body, SETTINGS)) is expected


def test_keys_of_the_environment_travel_as_hashes() -> None:
    config = with_environment(ServeConfig(), {"TOOLACE_API_KEYS": "me=secret-key"})
    sent = ServeConfig.model_validate(config.model_dump(mode="json", exclude_unset=True))
    assert sent.auth.hashed_keys == {"me": hash_key("secret-key")} and "secret-key" not in sent.model_dump_json()
    elsewhere = Keys.from_settings(sent.auth, {})
    assert elsewhere.required and elsewhere.check("Bearer secret-key") == "me"
    with pytest.raises(ApiError):
        elsewhere.check("Bearer wrong")
    assert with_environment(ServeConfig(), {}) == ServeConfig()


def test_a_hash_must_be_one() -> None:
    with pytest.raises(ValidationError):
        AuthSettings(hashed_keys={"me": "secret-key"})


class Cluster:
    def __init__(self, **details: Any) -> None:
        self.details = details

    def get_serve_details(self) -> dict[str, Any]:
        return self.details

    def deploy_applications(self, config: dict[str, Any]) -> None:
        raise AssertionError("nothing is deployed")


def test_a_serve_that_listens_elsewhere_is_told() -> None:
    config = ServeConfig(port=8001)
    elsewhere = {"host": "0.0.0.0", "port": 8000}
    with pytest.raises(ServingError, match=r"listens on 0\.0\.0\.0:8000, not 127\.0\.0\.1:8001"):
        _check_listening(Cluster(proxies={"node": {}}, http_options=elsewhere), config)
    _check_listening(Cluster(proxies={}, http_options=elsewhere), config)
    _check_listening(Cluster(proxies={"node": {}}, http_options={"host": "127.0.0.1", "port": 8001}), config)


def test_a_full_server_says_so_in_the_shape_of_every_error() -> None:
    entered, go = asyncio.Event(), asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        entered.set()
        await go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    guard = Guard(slow, ServeConfig(ingress_concurrency=1), Keys(), Metrics())

    async def ask() -> tuple[httpx.Response, httpx.Response, httpx.Response]:
        transport = httpx.ASGITransport(app=guard, client=("127.0.0.1", 5))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            first = asyncio.create_task(client.post("/v1/chat/completions"))
            await entered.wait()
            second = await client.post("/v1/chat/completions")
            go.set()
            return await first, second, await client.post("/v1/chat/completions")

    first, second, third = asyncio.run(ask())
    assert (first.status_code, second.status_code, third.status_code) == (200, 503, 200)
    assert second.headers["retry-after"] and second.json()["error"]["code"] == "overloaded"


class Declared(Cluster):
    """A cluster with one application, which keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(applications={"toolace": {"deployed_app_config": {"name": "toolace", "args": {"port": 1}}}})
        self.deployed: list[dict[str, Any]] = []

    def deploy_applications(self, config: dict[str, Any]) -> None:
        self.deployed.append(config)


def test_draining_refuses_new_requests_and_waits_for_the_others() -> None:
    api, left = Declared(), iter([2.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    assert drain(api, "toolace", lambda: next(left), replicas=1, timeout_s=60, hurry=threading.Event(), poll_s=0) == 0
    assert list(left) == [], "no request in flight is believed after several readings only"
    (sent,) = api.deployed[0]["applications"]
    assert sent["args"] == {"port": 1} and sent["deployments"][0]["user_config"] == {"draining": True}


def test_draining_ends_at_once_where_there_is_no_time() -> None:
    hurry = threading.Event()
    assert drain(Declared(), "toolace", lambda: 5.0, replicas=1, timeout_s=0.01, hurry=hurry, poll_s=0.001) == 5
    hurry.set()
    assert drain(Declared(), "toolace", lambda: 5.0, replicas=1, timeout_s=600, hurry=hurry) == 0


def test_a_server_that_ends_refuses_what_is_new() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("the request must not come through")

    async def ask(path: str) -> httpx.Response:
        config = ServeConfig(auth=AuthSettings(open=True))
        guard = Guard(app, config, Keys.from_settings(config.auth, {}), Metrics(), drain=Drain(on=True))
        transport = httpx.ASGITransport(app=guard, client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return await client.post(path, json={})

    refused = asyncio.run(ask("/v1/chat/completions"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
    assert refused.headers["retry-after"]
