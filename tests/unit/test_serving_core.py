"""What a chat request may ask for, which field a 400 names, and what upstream failures become."""

from __future__ import annotations

import asyncio
import json
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolace.serving.config import LimitSettings, RefinementSettings
from toolace.serving.errors import ApiError, from_upstream, scrub
from toolace.serving.protocol import (
    Plan,
    RefinementOptions,
    check_completion,
    include_usage,
    is_refined,
    make_plan,
    resolve,
)

SETTINGS = RefinementSettings(max_rounds=3, max_rounds_cap=8, deadline_ms=20_000, deadline_cap_ms=60_000)
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
BODY: dict[str, Any] = {"messages": [{"role": "user", "content": "go"}], "tools": [TOOL]}


def tool(**function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "g", **function}}


ARGUMENTS = "messages[0].tool_calls[0].function.arguments"


def earlier(arguments: str) -> list[dict[str, Any]]:
    """A history whose only call has these arguments."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return [{"role": "assistant", "content": None, "tool_calls": [call]}]


def refused(body: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        make_plan(body, SETTINGS)
    assert caught.value.status == 400 and caught.value.type == "invalid_request_error"
    return caught.value


def test_a_request_gets_the_servers_settings_where_it_says_nothing() -> None:
    assert make_plan(BODY, SETTINGS) == Plan("adaptive", 3, 20.0, False, 0.0, "generate", True)
    assert make_plan({**BODY, "refinement": None}, SETTINGS) == make_plan({**BODY, "refinement": {}}, SETTINGS)
    given = {"mode": "fixed", "max_rounds": 0, "deadline_ms": 1, "return_rounds": True}
    assert make_plan({**BODY, "refinement": given}, SETTINGS) == Plan("fixed", 0, 0.001, True, 0.0, "generate", True)
    open_end = RefinementSettings(
        accept_margin=2.5, check="prompt", refine_text=False, mode="off", deadline_cap_ms=5_000
    )
    assert resolve(RefinementOptions(), open_end) == Plan("off", 5, 5.0, False, 2.5, "prompt", False)


@pytest.mark.parametrize(
    ("given", "field", "says"),
    [
        ({"max_rounds": 9}, "refinement.max_rounds", "at most 8"),
        ({"deadline_ms": 60_001}, "refinement.deadline_ms", "at most 60000 ms"),
        ({"max_rounds": -1}, "refinement.max_rounds", "greater than or equal to 0"),
        ({"max_rounds": True}, "refinement.max_rounds", "integer"),
        ({"max_rounds": 2.0}, "refinement.max_rounds", "integer"),
        ({"max_rounds": "2"}, "refinement.max_rounds", "integer"),
        ({"deadline_ms": 0}, "refinement.deadline_ms", "greater than or equal to 1"),
        ({"mode": "turbo"}, "refinement.mode", "adaptive"),
        ({"return_rounds": "yes"}, "refinement.return_rounds", "boolean"),
        ({"rounds": 2}, "refinement.rounds", "max_rounds"),
        ([], "refinement", "object"),
    ],
)
def test_bad_options_are_refused_by_name(given: Any, field: str, says: str) -> None:
    error = refused({**BODY, "refinement": given})
    assert error.param == field and error.message.startswith(field) and says in error.message


def test_caps_themselves_are_allowed() -> None:
    plan = make_plan({**BODY, "refinement": {"max_rounds": 8, "deadline_ms": 60_000}}, SETTINGS)
    assert (plan.max_rounds, plan.deadline_s) == (8, 60.0)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, True),
        ({"n": 1, "tool_choice": "auto", "stream": True}, True),
        ({"tool_choice": "required"}, True),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, True),
        ({"tool_choice": "none"}, False),
        ({"n": 2}, False),
        ({"tools": None}, False),
        ({"refinement": {"mode": "off"}}, False),
        ({"continue_final_message": True}, False),
        ({"echo": True}, False),
        ({"add_generation_prompt": False}, False),
    ],
)
def test_what_is_refined(more: dict[str, Any], expected: bool) -> None:
    body = {**BODY, **more}
    assert is_refined(body, make_plan(body, SETTINGS)) is expected


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "user", "content": "x"}, 3]}, "messages[1]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "assistant", "tool_calls": 3}]}, "messages[0].tool_calls"),
        ({"tools": {}}, "tools"),
        ({"tools": []}, "tools"),
        ({"tools": [TOOL, "f"]}, "tools[1]"),
        ({"tools": [{"function": {"name": "f"}}]}, "tools[0].type"),
        ({"tools": [{"type": "retrieval"}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "name": "f"}]}, "tools[0].function"),
        ({"tools": [TOOL, tool(name="a b")]}, "tools[1].function.name"),
        ({"tools": [tool(name="f\n")]}, "tools[0].function.name"),
        ({"tools": [tool(name="x" * 65)]}, "tools[0].function.name"),
        ({"tools": [tool(name=None)]}, "tools[0].function.name"),
        ({"tools": [TOOL, tool(), TOOL]}, "tools[2].function.name"),
        ({"tools": [tool(description=3)]}, "tools[0].function.description"),
        ({"tools": [tool(strict="yes")]}, "tools[0].function.strict"),
        ({"tools": [tool(parameters=[])]}, "tools[0].function.parameters"),
        ({"tools": [tool(parameters={"type": "string"})]}, "tools[0].function.parameters.type"),
        ({"tools": [tool(parameters={"properties": []})]}, "tools[0].function.parameters.properties"),
        (
            {"tools": [tool(parameters={"properties": {"a": {"type": "text"}}})]},
            "tools[0].function.parameters.properties.a.type",
        ),
        (
            {"tools": [tool(parameters={"properties": {"a": {"items": {"enum": 3}}}})]},
            "tools[0].function.parameters.properties.a.items.enum",
        ),
        (
            {"tools": [tool(parameters={"properties": {"a": {"anyOf": [{}, 1]}}})]},
            "tools[0].function.parameters.properties.a.anyOf[1]",
        ),
        ({"tools": [tool(parameters={"required": ["a", 1]})]}, "tools[0].function.parameters.required"),
        (
            {"tools": [tool(parameters={"additionalProperties": 1})]},
            "tools[0].function.parameters.additionalProperties",
        ),
        ({"tool_choice": "f"}, "tool_choice"),
        ({"tool_choice": ["auto"]}, "tool_choice"),
        ({"tool_choice": {"type": "custom"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"tool_choice": {"function": {"name": "g"}}}, "tool_choice.function.name"),
        ({"tool_choice": {"function": {"name": {}}}}, "tool_choice.function.name"),
        ({"tools": None, "tool_choice": "required"}, "tool_choice"),
        ({"n": "1"}, "n"),
        ({"n": True}, "n"),
        ({"seed": 1.5}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"seed": -(2**63) - 1}, "seed"),
        ({"stream": "yes"}, "stream"),
        ({"parallel_tool_calls": 0}, "parallel_tool_calls"),
        ({"model": 3}, "model"),
        ({"structured_outputs": []}, "structured_outputs"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": []}, "stream_options"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"n": 129}, "n"),
        ({"n": 10**400}, "n"),
        ({"best_of": 129}, "best_of"),
        ({"length_penalty": 1e308}, "length_penalty"),
        ({"length_penalty": -1e4}, "length_penalty"),
        ({"length_penalty": "1e308"}, "length_penalty"),
        ({"messages": earlier('{"a": "\\ud800"}')}, ARGUMENTS),
        ({"messages": earlier('{"a": ' + "[" * 100 + "]" * 100 + "}")}, ARGUMENTS),
        ({"messages": earlier("[" * 100_000)}, ARGUMENTS),
        ({"messages": earlier('{"a": ' + "1" * 5000 + "}")}, ARGUMENTS),
        ({"messages": earlier('{"a": NaN}')}, ARGUMENTS),
        ({"temperature": float("nan")}, None),
        ({"user": "\ud800"}, None),
    ],
)
def test_a_malformed_body_is_refused_by_the_name_of_its_field(more: dict[str, Any], field: str | None) -> None:
    error = refused({**BODY, **more})
    assert error.param == field
    assert error.message.startswith(field or "the request body")
    assert error.body()["error"]["code"]


def test_the_answers_of_one_request_have_a_cap() -> None:
    few = LimitSettings(answers=4)
    for body in ({"prompt": "a", "n": 4}, {"prompt": ["a", "b"], "n": 2}, {"prompt": [5] * 9}, {"prompt": [[5]] * 4}):
        check_completion(body, few)
    for body, field in (
        ({"prompt": "a", "n": 5}, "n"),
        ({"prompt": "a", "best_of": 5}, "best_of"),
        ({"prompt": ["a", "b", "c"], "n": 2}, "prompt"),
        ({"prompt": ["a"] * 5}, "prompt"),
        ({"prompt": [[5]] * 5}, "prompt"),
        ({"prompt": "a", "length_penalty": 1000}, "length_penalty"),
    ):
        with pytest.raises(ApiError) as caught:
            check_completion(body, few)
        assert (caught.value.status, caught.value.param) == (400, field) and caught.value.message.startswith(field)
    make_plan({**BODY, "n": 4}, SETTINGS, few)
    with pytest.raises(ApiError, match="n is 5; a request may ask for 4 answers"):
        make_plan({**BODY, "n": 5}, SETTINGS, few)


def test_arguments_of_earlier_calls_need_not_be_json() -> None:
    for arguments in ("", "{", "{}", '{"a": [1, "\\u00e9"]}'):  # the renderer takes none for what is no JSON
        make_plan({**BODY, "messages": earlier(arguments)}, SETTINGS)


def test_bodies_that_are_no_objects_or_too_deep_are_refused() -> None:
    for body in (None, [], "x", 3, True):
        assert refused(body).param is None
    assert "surrogate" in refused({**BODY, "user": "\udc00"}).message
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    assert "nested" in refused({**BODY, "metadata": deep}).message


def test_long_names_of_the_client_do_not_make_long_errors() -> None:
    error = refused({**BODY, "tools": [tool(parameters={"properties": {"x" * 10_000: 1}})]})
    assert error.param is not None and len(error.param) < 210 and len(error.message) < 300


def test_real_schemas_pass() -> None:
    parameters = {
        "type": "object",
        "description": "d",
        "properties": {
            "a": {"type": ["string", "null"], "enum": ["x", None], "pattern": "^x"},
            "b": {"type": "array", "items": {"$ref": "#/$defs/b"}, "minItems": 1},
            "c": {"anyOf": [{"type": "integer"}, {"type": "object", "additionalProperties": False}], "default": {}},
            "required": {"type": "boolean"},
        },
        "required": ["a"],
        "$defs": {"b": {"type": "number"}},
        "additionalProperties": {"type": "string"},
    }
    for schema in (parameters, {}, None, {"type": "object"}):
        make_plan({**BODY, "tools": [tool(parameters=schema)]}, SETTINGS)


def test_whether_a_stream_ends_with_usage() -> None:
    assert include_usage({"stream_options": {"include_usage": True}})
    assert not any(map(include_usage, ({}, {"stream_options": None}, {"stream_options": {"include_usage": None}})))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["auto", "f"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
SCHEMA_KEYS = st.sampled_from(["type", "properties", "items", "enum", "required", "anyOf", "$defs", "$ref", "title"])
FUNCTION = JSON | st.fixed_dictionaries(
    {"name": JSON | st.just("f")},
    optional={
        "description": JSON,
        "parameters": st.recursive(
            JSON, lambda inner: st.dictionaries(SCHEMA_KEYS | st.text(max_size=3), inner, max_size=3), max_leaves=8
        ),
    },
)
TOOLS = JSON | st.lists(
    JSON | st.fixed_dictionaries({"type": JSON | st.just("function"), "function": FUNCTION}), max_size=3
)
BODIES = JSON | st.fixed_dictionaries(
    {"messages": JSON | st.just(BODY["messages"]) | st.lists(st.fixed_dictionaries({"role": JSON}), max_size=2)},
    optional={
        "tools": TOOLS | st.just(BODY["tools"]),
        "tool_choice": JSON | st.fixed_dictionaries({"type": JSON, "function": FUNCTION}),
        "refinement": JSON
        | st.dictionaries(st.sampled_from([*RefinementOptions.model_fields, "x"]), JSON | st.just("fixed")),
        "n": JSON,
        "seed": JSON,
        "stream": JSON,
        "stream_options": JSON | st.fixed_dictionaries({"include_usage": JSON}),
        "parallel_tool_calls": JSON,
    },
)


@settings(max_examples=400, deadline=None)
@given(BODIES)
def test_any_json_gives_a_plan_or_a_4xx_that_can_be_sent(body: Any) -> None:
    try:
        plan = make_plan(body, SETTINGS)
    except ApiError as error:
        assert error.status == 400
        json.dumps(error.body()).encode()
        assert len(error.message) < 1000
    else:
        assert plan.max_rounds <= SETTINGS.max_rounds_cap and 0 < plan.deadline_s <= 60
        assert is_refined(body, plan) in (True, False)
        include_usage(body)


# --- errors ---


class RayActorError(Exception):
    """Named as Ray's: the mapping goes by class name, so that this process needs no Ray."""


class ActorDiedError(RayActorError): ...


class RequestCancelledError(Exception): ...


class EngineDeadError(Exception): ...


class BackPressureError(Exception):
    status_code = 503
    retry_after_s: float | None = None


class RayTaskError(Exception):
    def __init__(self, cause: Exception) -> None:
        super().__init__('ray::ServeReplica:LLMServer.chat() (pid=12, ip=10.0.0.3)\n  File "/srv/x.py", line 3')
        self.cause = cause


class HTTPException(Exception):
    def __init__(self, status_code: int, detail: str) -> None:
        self.status_code, self.detail = status_code, detail


@pytest.mark.parametrize(
    ("failure", "status", "code", "retry"),
    [
        (BackPressureError("queue"), 429, "overloaded", "1"),
        (RayTaskError(BackPressureError("queue")), 429, "overloaded", "1"),
        (ActorDiedError("The actor 0123 died"), 503, "unavailable", "1"),
        (RayTaskError(EngineDeadError("at /srv/engine")), 503, "unavailable", "1"),
        (TimeoutError(), 504, "deadline_exceeded", None),
        (asyncio.CancelledError(), 499, "cancelled", None),
        (RequestCancelledError(), 499, "cancelled", None),
        (HTTPException(404, 'Could not find model with id "x".'), 404, "model_not_found", None),
        (HTTPException(408, "Request server side timeout"), 408, "deadline_exceeded", None),
        (HTTPException(500, "File /srv/x.py"), 500, "internal_error", None),
        (ValueError("secret /srv/x.py"), 500, "internal_error", None),
        (RayTaskError(KeyError("secret")), 500, "internal_error", None),
        ({"error": {"message": "Bad /srv/data/x", "type": "BadRequestError", "code": 400}}, 400, None, None),
        ({"error": {"message": "no", "code": 422}}, 400, None, None),
        ({"error": {"message": "boom /srv/x", "code": 500}}, 500, "internal_error", None),
        ({"error": {"message": "x", "code": 503}}, 503, "unavailable", "1"),
        ({"error": {"message": "x", "code": "nonsense"}}, 500, "internal_error", None),
        ({"error": {"message": ["x"], "code": "429"}}, 429, "rate_limit_exceeded", "1"),
        ({}, 500, "internal_error", None),
    ],
)
def test_upstream_failures(failure: Any, status: int, code: str | None, retry: str | None) -> None:
    error = from_upstream(failure)
    assert (error.status, error.code, error.headers.get("Retry-After")) == (status, code, retry)
    assert set(error.body()["error"]) == {"message", "type", "param", "code"}
    said = json.dumps(error.body())
    assert not any(word in said for word in ("/srv", "secret", "ray::", "pid=", "10.0.0.3", "actor", "File"))


def test_an_upstream_wait_is_passed_on_in_whole_seconds() -> None:
    failure = BackPressureError("queue")
    failure.retry_after_s = 2.2
    assert from_upstream(failure).headers == {"Retry-After": "3"}


def test_vllms_useful_messages_are_kept_with_their_field() -> None:
    message = "This model's maximum context length is 2048 tokens, but 3000 were requested (see /v1/models)."
    error = from_upstream(
        {"error": {"message": message, "type": "BadRequestError", "param": "max_tokens", "code": 400}}
    )
    assert (error.message, error.param, error.type) == (message, "max_tokens", "invalid_request_error")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("max_tokens must be at least 1, got 0.", "max_tokens must be at least 1, got 0."),
        ("application/json and/or text", "application/json and/or text"),
        ("no file '/srv/models/x/config.json' here", "no file '<path>' here"),
        ("see ~/data/models/x", "see <path>"),
        (
            "Message: bad top_p (Request ID: ab-1), Internal exception: ValueError: x, original exception: y",
            "bad top_p",
        ),
        ("Field required\n    For further information visit https://errors.pydantic.dev/2/v/missing", "Field required"),
        ('Traceback (most recent call last):\n  File "x.py", line 1\nValueError: no', "?"),
        ("failed in Replica(id='ab', deployment='LLM')", "?"),
        ("(Request ID: ab)", "?"),
        (None, "?"),
    ],
)
def test_messages_are_scrubbed(message: str | None, expected: str) -> None:
    assert scrub(message, "?") == expected


def test_long_messages_are_cut() -> None:
    assert len(scrub("x" * 100_000, "?")) < 2100


def test_an_api_error_passes_through_and_survives_pickle() -> None:
    error = ApiError(429, "slow down", param="p", code="c", retry_after=1.5)
    assert from_upstream(error) is error and from_upstream(RayTaskError(error)) is error  # type: ignore[arg-type]
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.status, copy.body(), copy.headers) == (429, error.body(), {"Retry-After": "2"})
    assert str(copy) == "slow down" and copy.type == "rate_limit_error"


def test_the_field_at_fault_is_read_from_the_engines_message_where_it_says_so_only_there() -> None:
    failure = {"error": {"message": "too many (parameter=max_tokens, value=5000)", "param": None, "code": 400}}
    assert from_upstream(failure).param == "max_tokens"
    assert from_upstream({"error": {**failure["error"], "param": "n"}}).param == "n"
    assert from_upstream({"error": {"message": "parameter=x", "code": 400}}).param is None


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"content": {"a": 1}}, "messages[0].content"),
        ({"content": ["a", 1]}, "messages[0].content[1]"),
        ({"tool_calls": ["f"]}, "messages[0].tool_calls[0]"),
        ({"tool_calls": [{}]}, "messages[0].tool_calls[0].function"),
    ],
)
def test_parts_of_a_message_are_refused_by_name(message: dict[str, Any], field: str) -> None:
    assert refused({**BODY, "messages": [{"role": "assistant", **message}]}).param == field
