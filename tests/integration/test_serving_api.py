"""The endpoint as clients see it: the stock `openai` client and plain HTTP against the real engine."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai import BadRequestError, OpenAI, pydantic_function_tool
from openai.types.chat import ChatCompletion
from pydantic import create_model
from serving_bodies import OTHER_PATHS, OTHERS, WRONG, chat_bodies
from serving_endpoint import (
    Endpoint,
    ask,
    body_of,
    calls_of,
    check_answered,
    demo_samples,
    error_of,
    eventually,
    post,
    running_endpoint,
    told,
)
from serving_offline import evaluate
from serving_requests import ERRORS, MODEL, PAINT, PLAIN, SCHEMA, TOOLS

from toolace.calls import parse_answer
from toolace.calls.schema import Sample
from toolace.config import RefineConfig
from toolace.data.synthetic import generate

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1200)]  # the first one waits for the endpoint
pytest.importorskip("vllm", reason="needs an engine: make install")

SEQUENCES = 16
QUEUE = 100
"""Requests that wait for the engine, beside the 64 that it takes."""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    limits = ["limits.max_body_bytes=100000", f"engine.max_num_seqs={SEQUENCES}"]
    limits = [part for one in (*limits, f"replicas.max_queued_requests={QUEUE}") for part in ("--set", one)]
    with running_endpoint("--model", "builtin:tiny_base", *limits) as found:
        yield found


@pytest.fixture(scope="module")
def client(endpoint: Endpoint) -> Iterator[OpenAI]:
    with endpoint.client() as found:
        yield found


@pytest.fixture(scope="module", autouse=True)
def first_replicas(endpoint: Endpoint) -> dict[str, int]:
    """The engine replicas before anything was asked."""
    return endpoint.replicas()


@pytest.fixture(scope="module")
def sample() -> Sample:
    """A request that wants one call."""
    return next(sample for sample in demo_samples(40) if sample.kind == "single")


# Refined or not


def test_a_request_with_tools_is_refined(client: OpenAI, sample: Sample) -> None:
    answer = ask(client, body_of(sample), return_rounds=True)
    refinement, steps = told(answer), told(answer)["steps"]
    assert refinement["stopped"] in ("unchanged", "cycle", "max_rounds")
    assert refinement["rounds"] == len(steps) - 1 >= 1
    assert refinement["model"] == answer.system_fingerprint
    assert re.fullmatch(rf"{MODEL}@[0-9a-f]{{12}}", refinement["model"])
    assert calls_of(answer.choices[0].message) == calls_of(steps[-1])
    assert all(step["ms"] > 0 for step in steps)
    assert steps[1]["cached_tokens"] > 0, "the refine turn reads the first pass from the prefix cache"
    usage = answer.usage
    assert usage is not None and usage.prompt_tokens_details is not None
    assert usage.prompt_tokens == sum(step["prompt_tokens"] for step in steps)
    assert usage.completion_tokens == sum(step["tokens"] for step in steps)
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.prompt_tokens_details.cached_tokens == sum(step["cached_tokens"] for step in steps)


def test_what_is_not_refined_is_the_engines_own_answer(client: OpenAI, sample: Sample) -> None:
    body = body_of(sample)
    first = told(ask(client, body, return_rounds=True))["steps"][0]
    off = ask(client, body, mode="off")
    assert "refinement" not in (off.model_extra or {})
    assert off.system_fingerprint == ask(client, body).system_fingerprint
    assert calls_of(off.choices[0].message) == calls_of(first) != []
    assert off.usage is not None and off.usage.completion_tokens == first["tokens"]
    no_tools = ask(client, PLAIN)
    two = ask(client, {**body, "n": 2})
    assert "refinement" not in (no_tools.model_extra or {}) and "refinement" not in (two.model_extra or {})
    assert [choice.index for choice in two.choices] == [0, 1]
    assert [calls_of(choice.message) for choice in two.choices] == [calls_of(first)] * 2


def test_rounds_as_asked_for(client: OpenAI, sample: Sample) -> None:
    body = body_of(sample)
    direct = ask(client, body, max_rounds=0, return_rounds=True)
    assert (told(direct)["rounds"], told(direct)["stopped"], len(told(direct)["steps"])) == (0, "direct", 1)
    fixed = ask(client, body, mode="fixed", max_rounds=3, return_rounds=True)
    assert (told(fixed)["rounds"], told(fixed)["stopped"], len(told(fixed)["steps"])) == (3, "fixed", 4)
    assert fixed.usage is not None and direct.usage is not None
    assert fixed.usage.completion_tokens > direct.usage.completion_tokens
    assert "steps" not in told(ask(client, body))


# The client's fields keep their meaning


def test_tool_choice(client: OpenAI, sample: Sample) -> None:
    body = body_of(sample)
    auto = ask(client, {**body, "tool_choice": "auto"}, max_rounds=0)
    assert calls_of(auto.choices[0].message) and auto.choices[0].finish_reason == "tool_calls"
    none = ask(client, {**body, "tool_choice": "none"})
    assert none.choices[0].message.tool_calls is None and "refinement" not in (none.model_extra or {})
    written = parse_answer(none.choices[0].message.content or "", "pythonic")
    assert [(call.name, call.arguments) for call in written.calls] == calls_of(auto.choices[0].message)
    named = {"type": "function", "function": {"name": "paint_wall"}}
    # Where no tool fits, too: the engine is held to a call, in each round.
    # So small a model would go on writing calls where it has to write at least one, but for the penalty.
    hello = {**TOOLS, "messages": [{"role": "user", "content": "Hello!"}], "frequency_penalty": 2.0}
    for choice in ("required", named):
        forced = ask(client, {**hello, "tool_choice": choice}, return_rounds=True)
        assert told(forced)["stopped"] in ("unchanged", "cycle", "max_rounds") and told(forced)["rounds"] >= 1
        for step in told(forced)["steps"]:
            assert calls_of(step)
            for name, arguments in calls_of(step):
                assert name == "paint_wall" and arguments["color"] in ("red", "green")


def test_one_call_where_parallel_ones_are_not_wanted(client: OpenAI) -> None:
    for sample in (s for s in demo_samples(200) if s.kind == "parallel"):
        body = body_of(sample)
        calls = calls_of(ask(client, body).choices[0].message)
        if len(calls) > 1:
            single = ask(client, {**body, "parallel_tool_calls": False})
            assert calls_of(single.choices[0].message) == calls[:1]
            return
    pytest.fail("the model made parallel calls for no request")


def test_a_seed_fixes_every_round(client: OpenAI, sample: Sample) -> None:
    hot = {**body_of(sample), "temperature": 1.5, "max_tokens": 40}

    def texts(seed: int) -> list[Any]:
        steps = told(ask(client, {**hot, "seed": seed}, mode="fixed", max_rounds=2, return_rounds=True))["steps"]
        return [(step["content"], calls_of(step)) for step in steps]

    assert texts(1) == texts(1)
    assert len({str(texts(seed)) for seed in range(2, 8)}) > 1


def test_logprobs_are_those_of_the_answer(client: OpenAI, sample: Sample) -> None:
    answer = ask(client, {**body_of(sample), "logprobs": True, "top_logprobs": 2}, return_rounds=True)
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None and logprobs.content is not None
    text = b"".join(bytes(token.bytes or ()) for token in logprobs.content).decode().removesuffix("<|im_end|>")
    written = parse_answer(text, "pythonic")
    assert [(call.name, call.arguments) for call in written.calls] == calls_of(answer.choices[0].message)
    assert all(token.logprob <= 0 and len(token.top_logprobs) >= 2 for token in logprobs.content)
    assert ask(client, body_of(sample)).choices[0].logprobs is None


def test_stop_cuts_every_round(client: OpenAI, sample: Sample) -> None:
    whole = ask(client, {**body_of(sample), "tool_choice": "none"}).choices[0].message.content or ""
    cut = ask(client, {**body_of(sample), "stop": ["("]}, return_rounds=True)
    assert cut.choices[0].message.content == whole.partition("(")[0] and cut.choices[0].finish_reason == "stop"
    assert [step["content"] for step in told(cut)["steps"]] == [whole.partition("(")[0]] * 2


def test_response_format(client: OpenAI) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": SCHEMA, "strict": True}}
    for body in (PLAIN, TOOLS):
        answer = ask(client, {**body, "max_tokens": 40, "response_format": wanted})
        assert json.loads(answer.choices[0].message.content or "")["color"] in ("red", "green")
        assert "refinement" not in (answer.model_extra or {}), "text that follows a schema is no call"


def test_tool_calls_are_parsed_by_the_client(client: OpenAI) -> None:
    types = {"string": str, "integer": int, "number": float, "boolean": bool}
    parsed = 0
    for sample in (s for s in generate(40, 5, profile="base-easy") if s.kind == "single"):
        (tool,) = (tool for tool in sample.chat.tools if tool.name == sample.reference.calls[0].name)
        fields = tool.parameters["properties"]
        if not all(
            field.get("type") in types and name in tool.parameters["required"] for name, field in fields.items()
        ):
            continue
        model = create_model(tool.name, **{name: (types[field["type"]], ...) for name, field in fields.items()})
        found = client.chat.completions.parse(**{**body_of(sample), "tools": [pydantic_function_tool(model)]})
        for call in found.choices[0].message.tool_calls or ():
            if json.loads(call.function.arguments) == sample.reference.calls[0].arguments:
                assert isinstance(call.function.parsed_arguments, model)
                parsed += 1
    assert parsed > 0, "the model got none of the easy requests right"


# Streams, and many at a time


def test_a_stream_gives_the_same_answer(client: OpenAI, sample: Sample) -> None:
    body = body_of(sample)
    whole = ask(client, body)
    chunks = list(client.chat.completions.create(**body, stream=True, stream_options={"include_usage": True}))
    *answer, last = chunks
    assert last.choices == [] and last.usage is not None and whole.usage is not None
    counts = {"prompt_tokens", "completion_tokens", "total_tokens"}  # of cached tokens the second request has more
    assert last.usage.model_dump(include=counts) == whole.usage.model_dump(include=counts)
    assert all(chunk.usage is None and len(chunk.choices) == 1 for chunk in answer)
    assert [chunk.choices[0].finish_reason for chunk in answer][-2:] == [None, "tool_calls"]
    assert (answer[-1].model_extra or {})["refinement"] == told(whole)
    with client.chat.completions.stream(**body) as stream:
        joined = stream.get_final_completion()
    assert calls_of(joined.choices[0].message) == calls_of(whole.choices[0].message) != []
    assert joined.system_fingerprint == whole.system_fingerprint
    off = client.chat.completions.create(
        **body, stream=True, stream_options={"include_usage": True}, extra_body={"refinement": {"mode": "off"}}
    )
    *answer, last = list(off)
    assert last.usage is not None and last.usage.completion_tokens > 0
    assert "".join(
        call.function.arguments or ""
        for chunk in answer
        for call in chunk.choices[0].delta.tool_calls or ()
        if call.function is not None
    )


def test_a_stream_that_the_engine_refuses_is_refused_before_it_begins(client: OpenAI) -> None:
    schema = {"type": "object", "required": ["a"], "properties": {"a": False}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    for stream in (False, True):
        with pytest.raises(BadRequestError) as caught:
            client.chat.completions.create(**{**PLAIN, "response_format": wanted, "stream": stream})
        assert caught.value.param == "response_format"


def test_the_async_client_gets_the_same_answers(endpoint: Endpoint, client: OpenAI) -> None:
    bodies = [body_of(sample) for sample in demo_samples(24)]

    async def all_at_once() -> list[ChatCompletion]:
        async with endpoint.async_client() as asking:
            return await asyncio.gather(*(asking.chat.completions.create(**body) for body in bodies))

    for body, answer in zip(bodies[:8], asyncio.run(all_at_once())[:8], strict=True):
        again = ask(client, body)
        assert calls_of(again.choices[0].message) == calls_of(answer.choices[0].message)
        assert again.choices[0].message.content == answer.choices[0].message.content
        assert told(again) == told(answer)


def test_a_client_that_goes_away_frees_the_engine(endpoint: Endpoint) -> None:
    """Enough long answers to keep the engine busy for minutes are asked for and left: the next one does not wait."""
    long = {**TOOLS, "max_tokens": 900, "ignore_eos": True}
    kinds = [long, {**long, "stream": True}, {**long, "n": 4, "stream": True}, {**long, "tools": None}]
    gone = endpoint.metric("toolace_requests_total", status="499")

    async def leave() -> None:
        async with httpx.AsyncClient(timeout=120) as asking:
            tasks = []
            for kind in kinds * 24:
                request = asking.post(f"{endpoint.url}/v1/chat/completions", json=kind)
                tasks.append(asyncio.create_task(request))
            # Half of them: on a fast machine the first is answered before the last has been sent.
            while await asyncio.to_thread(endpoint.metric, "toolace_requests_in_flight") < len(tasks) / 2:
                assert all(task.result().status_code == 200 for task in tasks if task.done())
                await asyncio.sleep(0.05)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(leave())
    eventually(lambda: endpoint.metric("toolace_requests_in_flight") == 0, 240, "no request in flight")
    with endpoint.client() as client:
        client.with_options(timeout=30).chat.completions.create(**PLAIN)
    assert endpoint.metric("toolace_requests_total", status="499") > gone


def test_a_full_queue_is_refused_with_the_time_to_come_back(endpoint: Endpoint) -> None:
    long = {**PLAIN, "max_tokens": 900, "ignore_eos": True}

    async def flood() -> httpx.Response:
        async with httpx.AsyncClient(timeout=120, limits=httpx.Limits(max_connections=None)) as asking:
            url = f"{endpoint.url}/v1/chat/completions"
            tasks = [asyncio.create_task(asking.post(url, json=long)) for _ in range(2 * (64 + QUEUE))]
            try:
                for task in asyncio.as_completed(tasks):
                    response = await task
                    if response.status_code != 200:
                        return response
                pytest.fail("nothing was refused")
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    refused = asyncio.run(flood())
    assert (refused.status_code, error_of(refused)["code"]) == (429, "overloaded")
    assert int(refused.headers["retry-after"]) >= 1
    eventually(lambda: endpoint.metric("toolace_requests_in_flight") == 0, 240, "no request in flight")


# Deadlines and errors


def test_a_deadline_ends_what_the_engine_generates(endpoint: Endpoint) -> None:
    """Answers for minutes, whose time is over at once: the next request finds a free engine."""
    long = {**PLAIN, "max_tokens": 700, "min_tokens": 700, "refinement": {"deadline_ms": 500}}
    for body in ({**long, "n": 128}, {**long, "tools": [PAINT]}):
        with ThreadPoolExecutor(4) as pool:
            for response in pool.map(lambda body: post(endpoint, body), [body] * 4):
                assert response.status_code == 504, response.text
    with endpoint.client() as client:
        client.with_options(timeout=30).chat.completions.create(**PLAIN)


def test_deadlines(endpoint: Endpoint, client: OpenAI, sample: Sample) -> None:
    late = post(endpoint, {**TOOLS, "refinement": {"deadline_ms": 1}})
    assert (late.status_code, error_of(late)["code"], error_of(late)["type"]) == (
        504,
        "deadline_exceeded",
        "timeout_error",
    )
    # Between one pass and eleven: found by search, because how long a pass takes is the machine's business.
    deadline = 100
    body = {**body_of(sample), "ignore_eos": True, "max_tokens": 60}
    for _ in range(30):
        asked = {"mode": "fixed", "max_rounds": 10, "deadline_ms": deadline, "return_rounds": True}
        response = post(endpoint, {**body, "refinement": asked})
        refinement = response.json().get("refinement", {})
        if refinement.get("stopped") == "deadline":
            break
        assert response.status_code == 504 or refinement["stopped"] == "fixed"
        deadline = deadline * 2 if response.status_code == 504 else int(deadline / 1.3)
    answer, steps = response.json(), refinement["steps"]
    assert refinement["stopped"] == "deadline" and len(steps) == refinement["rounds"] + 1 <= 10
    message = answer["choices"][0]["message"]
    assert (message["content"], message.get("tool_calls", [])) == (steps[-1]["content"], steps[-1]["tool_calls"])
    assert answer["usage"]["completion_tokens"] == sum(step["tokens"] for step in steps)


@pytest.mark.parametrize(("method", "path", "body", "status", "param"), ERRORS)
def test_errors_have_the_shape_of_openai(
    endpoint: Endpoint, method: str, path: str, body: Any, status: int, param: str | None
) -> None:
    content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    response = httpx.request(method, endpoint.url + path, content=content, headers=headers, timeout=120)
    assert response.status_code == status, response.text
    error = error_of(response)
    assert error["type"] == "invalid_request_error"
    if param is not None:
        assert error["param"] == param and param in error["message"]
    if status == 404 and isinstance(body, dict):
        assert error["code"] == "model_not_found" and "gpt-5" in error["message"]


ENDLESS = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}
MANY = {f"p{i}": {"type": "string", "pattern": "^[a-z]{2,5}$", "maxLength": 5} for i in range(1000)}
LARGE = {"type": "object", "properties": MANY}


@pytest.mark.parametrize("schema", [ENDLESS, LARGE], ids=["endless", "large"])
@pytest.mark.parametrize("way", ["structured_outputs", "response_format", "tools", "completions"])
def test_a_constraint_that_the_engine_cannot_follow_is_the_clients_error(
    endpoint: Endpoint, client: OpenAI, schema: dict[str, Any], way: str
) -> None:
    path, body, field = "/v1/chat/completions", {**PLAIN, "max_tokens": 50}, way
    if way == "completions":
        path, body, field = "/v1/completions", {"model": MODEL, "prompt": "a", "max_tokens": 50}, "structured_outputs"
    if way == "response_format":
        body[way] = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    elif way == "tools":
        body |= {"tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]}
        body["tool_choice"] = "required"
    else:
        body["structured_outputs"] = {"json": schema}
    response = httpx.post(endpoint.url + path, json=body, timeout=120)
    assert response.status_code in (200, 400), response.text  # it may come to its token limit instead
    if response.status_code == 400 and (way, schema) != ("tools", LARGE):  # there its prompt is too long
        assert error_of(response)["param"] == field
    assert ask(client, PLAIN).choices[0].message.content is not None


def test_pages_of_other_origins_may_ask(endpoint: Endpoint) -> None:
    origin = {"origin": "https://elsewhere.example"}
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    url = f"{endpoint.url}/v1/chat/completions"
    allowed = httpx.options(url, headers={**origin, **asked}, timeout=120)
    assert allowed.status_code == 200 and "authorization" in allowed.headers["access-control-allow-headers"]
    for body in (PLAIN, TOOLS, {**TOOLS, "stream": True}, {**TOOLS, "model": "gpt-5"}, {**TOOLS, "tools": 1}):
        assert post(endpoint, body, headers=origin).headers["access-control-allow-origin"] == "*"


def test_request_ids_go_in_and_out(endpoint: Endpoint) -> None:
    for body in (PLAIN, TOOLS, {**TOOLS, "stream": True}, {"model": MODEL}):
        given = post(endpoint, body, headers={"x-request-id": "mine-17"})
        assert given.headers.get_list("x-request-id") == ["mine-17"]
        (made,) = post(endpoint, body).headers.get_list("x-request-id")
        (other,) = post(endpoint, body).headers.get_list("x-request-id")
        assert made != other and len(made) >= 16
    assert len(post(endpoint, PLAIN, headers={"x-request-id": "a b/../" * 40}).headers.get_list("x-request-id")) == 1


@pytest.mark.parametrize(("path", "body", "field"), WRONG)
def test_other_routes_name_the_field_at_fault(endpoint: Endpoint, path: str, body: dict[str, Any], field: str) -> None:
    answer = httpx.post(endpoint.url + path, json={"model": MODEL, **body}, timeout=120)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, field), answer.text


def test_what_the_library_offers_passes_through(endpoint: Endpoint, client: OpenAI) -> None:
    (model,) = client.models.list()
    assert model.id == MODEL
    assert client.models.retrieve(MODEL).id == MODEL
    text = client.completions.create(model=MODEL, prompt="hello", max_tokens=5)
    assert text.usage is not None and text.usage.completion_tokens == 5 and text.choices[0].finish_reason == "length"
    streamed = client.completions.create(model=MODEL, prompt="hello", max_tokens=5, stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == text.choices[0].text
    tokens = httpx.post(f"{endpoint.url}/tokenize", json={"model": MODEL, "prompt": "hello world"}, timeout=120).json()
    assert tokens["count"] == len(tokens["tokens"]) > 0
    back = httpx.post(f"{endpoint.url}/detokenize", json={"model": MODEL, "tokens": tokens["tokens"]}, timeout=120)
    assert back.json()["prompt"] == "hello world"
    health = httpx.get(f"{endpoint.url}/health", timeout=120).json()
    assert health == {"status": "ok", "model": ask(client, PLAIN).system_fingerprint}
    page = httpx.get(endpoint.url, timeout=120)
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")


def test_metrics_count_what_was_refined(endpoint: Endpoint, client: OpenAI, sample: Sample) -> None:
    names = ("toolace_requests_total", "toolace_refinement_rounds_sum", "toolace_round_generated_tokens_total")
    before = [endpoint.metric(name) for name in names]
    answers = [ask(client, body_of(sample), mode="fixed", max_rounds=2), ask(client, body_of(sample), mode="off")]
    after = [endpoint.metric(name) for name in names]
    assert [new - old for new, old in zip(after, before, strict=True)] == [
        2,
        2,
        answers[0].usage.completion_tokens if answers[0].usage else None,
    ]


# Served is evaluated


def test_what_is_served_is_what_is_evaluated(endpoint: Endpoint) -> None:
    """The offline program on the offline engine: the same calls, rounds and reasons to stop, greedy, at any load."""
    config = RefineConfig(max_rounds=5, max_tokens=160)
    samples = [*demo_samples(64), *generate(16, 3, profile="house", split="dev")]
    offline = evaluate(samples, config, SEQUENCES)
    with endpoint.client() as client, ThreadPoolExecutor(12) as pool:
        bodies = [{**body_of(sample), "max_tokens": config.max_tokens} for sample in samples]
        served = list(
            pool.map(lambda body: ask(client, body, max_rounds=config.max_rounds, return_rounds=True), bodies)
        )
    assert len({sample.kind for sample in samples}) >= 7
    kinds = {told(answer)["stopped"] for answer in served}
    assert "unchanged" in kinds and any(told(answer)["rounds"] > 1 for answer in served)
    for sample, answer in zip(samples, served, strict=True):
        expected, found, message = offline[sample.id], told(answer), answer.choices[0].message
        assert (found["rounds"], found["stopped"]) == (expected.rounds, expected.stopped), sample.id
        passes = [(step["tokens"], step["prompt_tokens"]) for step in found["steps"]]
        assert passes == [(step.tokens, step.prompt_tokens) for step in expected.steps], sample.id
        written = parse_answer(expected.text, "pythonic")
        assert calls_of(message) == [(call.name, call.arguments) for call in written.calls], sample.id
        assert (message.content or "") == written.text, sample.id


# Whatever is sent


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(body=chat_bodies())
def test_no_chat_request_makes_the_server_fail(endpoint: Endpoint, body: Any) -> None:
    check_answered(endpoint, "/v1/chat/completions", body)


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(path=st.sampled_from(OTHER_PATHS), body=OTHERS)
def test_no_other_request_makes_the_server_fail(endpoint: Endpoint, path: str, body: Any) -> None:
    # A completion without a limit writes to the end of the context.
    check_answered(endpoint, path, {"max_tokens": 3, **body} if "complet" in path else body)


def test_no_engine_died_of_what_was_sent(endpoint: Endpoint, first_replicas: dict[str, int]) -> None:
    assert endpoint.replicas() == first_replicas
