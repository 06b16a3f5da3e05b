"""A refined answer as a stream: read by the stock `openai` client, closed by a client that goes away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from toolace.serving.errors import ApiError
from toolace.serving.streaming import COMMENT, DONE, chunks, stream_refined

REFINEMENT = {"rounds": 1, "stopped": "unchanged", "model": "m@1"}


def response(content: str | None, *calls: tuple[str, str], **choice: Any) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if calls:
        message["tool_calls"] = [
            {"id": f"id-{i}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for i, (name, arguments) in enumerate(calls)
        ]
    finish = "tool_calls" if calls else "stop"
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "system_fingerprint": "m@1",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish, **choice}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        "refinement": REFINEMENT,
    }


def client_of(events: Iterable[str]) -> openai.OpenAI:
    """The stock client, before a server that answers everything with these events."""
    body = "".join(events).encode()

    def handle(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body)

    http = httpx.Client(transport=httpx.MockTransport(handle))
    return openai.OpenAI(api_key="k", base_url="http://test/v1", http_client=http, max_retries=0)


def read(events: Iterable[str]) -> list[ChatCompletionChunk]:
    with client_of(events) as client:
        return list(client.chat.completions.create(model="m", messages=[], stream=True))


def joined(parts: list[ChatCompletionChunk]) -> ChatCompletion:
    state = ChatCompletionStreamState()
    for part in parts:
        state.handle_chunk(part)
    return state.get_final_completion()


def data_of(events: Iterable[str]) -> list[Any]:
    lines = [event.removeprefix("data: ") for event in events]
    assert all(line.endswith("\n\n") and line.count("\n") == 2 for line in lines)
    assert lines[-1] == "[DONE]\n\n"
    return [json.loads(line) for line in lines[:-1]]


def test_the_shape_of_the_chunks() -> None:
    final = response("Now:", ("f", '{"x": 1}'), ("g", "{}"))
    sent = data_of(chunks(final, include_usage=False))
    assert {(part["id"], part["object"], part["created"], part["model"]) for part in sent} == {
        ("chatcmpl-1", "chat.completion.chunk", 7, "m")
    }
    assert [part["choices"][0]["delta"] for part in sent] == [
        {"role": "assistant", "content": ""},
        {"content": "Now:"},
        {"tool_calls": [{"index": 0, "id": "id-0", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"x": 1}'}}]},
        {"tool_calls": [{"index": 1, "id": "id-1", "type": "function", "function": {"name": "g", "arguments": ""}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
        {},
    ]
    assert [part["choices"][0]["finish_reason"] for part in sent] == [None] * 6 + ["tool_calls"]
    assert [part.get("refinement") for part in sent] == [None] * 6 + [REFINEMENT]
    assert not any("usage" in part for part in sent)


def test_the_usage_chunk_is_last_and_alone() -> None:
    sent = data_of(chunks(response("x"), include_usage=True))
    assert [part["usage"] for part in sent[:-1]] == [None] * 3
    assert sent[-1]["choices"] == [] and sent[-1]["usage"] == response("x")["usage"]


def test_logprobs_stop_reason_and_reasoning_are_streamed() -> None:
    logprobs = {"content": [{"token": "x", "logprob": -0.5, "bytes": [120], "top_logprobs": []}]}
    final = response("x", logprobs=logprobs, stop_reason="END", finish_reason="length")
    final["choices"][0]["message"]["reasoning"] = "hm"
    sent = [part["choices"][0] for part in data_of(chunks(final, include_usage=False))]
    assert [part["delta"] for part in sent[1:3]] == [{"reasoning": "hm"}, {"content": "x"}]
    assert [part["logprobs"] for part in sent] == [None, None, logprobs, None]
    assert [part.get("stop_reason") for part in sent] == [None, None, None, "END"]
    assert sent[-1]["finish_reason"] == "length"
    calls = data_of(chunks(response(None, ("f", "{}"), logprobs=logprobs), include_usage=False))
    assert [part["choices"][0]["logprobs"] for part in calls] == [None, logprobs, None, None]


TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12)
CALLS = st.lists(
    st.tuples(
        st.from_regex(r"[a-zA-Z0-9_-]{1,8}", fullmatch=True),
        st.dictionaries(TEXT, TEXT | st.integers(), max_size=2).map(
            lambda value: json.dumps(value, ensure_ascii=False)
        ),
    ),
    max_size=3,
)


@settings(max_examples=60, deadline=None)
@given(TEXT, CALLS, st.booleans())
def test_the_stock_client_puts_the_same_answer_together(content: str, calls: Any, include_usage: bool) -> None:
    final = response(content if content or not calls else None, *calls)
    parts = read(chunks(final, include_usage))
    whole = joined(parts)
    choice = whole.choices[0]
    assert (choice.message.content or None) == (content or None)
    assert [
        (call.id, call.type, call.function.name, call.function.arguments)  # type: ignore[union-attr]
        for call in choice.message.tool_calls or []
    ] == [(f"id-{i}", "function", name, arguments) for i, (name, arguments) in enumerate(calls)]
    assert choice.finish_reason == final["choices"][0]["finish_reason"]
    assert (whole.id, whole.created, whole.model, whole.system_fingerprint) == ("chatcmpl-1", 7, "m", "m@1")
    assert (whole.usage is not None and whole.usage.total_tokens == 5) is include_usage
    assert [part.refinement for part in parts if "refinement" in (part.model_extra or {})] == [REFINEMENT]  # type: ignore[attr-defined]


# --- the stream while it refines ---


async def collect(stream: Any) -> list[str]:
    return [event async for event in stream]


def test_comments_keep_the_line_open_and_the_client_skips_them() -> None:
    async def main() -> list[str]:
        told = asyncio.Event()

        async def work() -> dict[str, Any]:
            await told.wait()
            return response("x")

        events = []
        async for event in stream_refined(work, True, every=0.001):
            events.append(event)
            if len(events) == 3:
                told.set()
        return events

    events = asyncio.run(main())
    assert events[:3] == [COMMENT] * 3 and COMMENT == ": refining\n\n"
    assert [event for event in events if event != COMMENT] == list(chunks(response("x"), True))
    assert joined(read(events)).choices[0].message.content == "x"


async def fail_with(error: BaseException) -> dict[str, Any]:
    raise error


@pytest.mark.parametrize(
    ("error", "message", "code"),
    [
        (ApiError(504, "too late"), "too late", "deadline_exceeded"),
        (ValueError("/srv/secret"), None, "internal_error"),
        (asyncio.CancelledError(), None, "cancelled"),
    ],
)
def test_a_failure_ends_the_stream_with_an_error_event(error: BaseException, message: str | None, code: str) -> None:
    events = asyncio.run(collect(stream_refined(lambda: fail_with(error), False)))
    assert len(events) == 2 and events[-1] == DONE
    (sent,) = data_of(events)
    assert sent["error"]["code"] == code and "secret" not in sent["error"]["message"]
    assert message is None or sent["error"]["message"] == message
    with pytest.raises(openai.APIError) as caught:
        read(events)
    assert caught.value.code == code


class Work:
    """A refinement that never ends by itself, and takes a moment to end when cancelled."""

    def __init__(self) -> None:
        self.running = asyncio.Event()
        self.ended = False

    async def __call__(self) -> dict[str, Any]:
        try:
            self.running.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.ended = True
        raise AssertionError


def test_closing_the_stream_ends_the_refinement() -> None:
    async def main() -> None:
        work = Work()
        stream = stream_refined(work, False, every=0.001)
        assert await anext(stream) == COMMENT
        await stream.aclose()
        assert work.ended
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_cancelling_the_reader_ends_the_refinement() -> None:
    async def main() -> None:
        work = Work()
        reader = asyncio.create_task(collect(stream_refined(work, False)))
        await work.running.wait()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert work.ended
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_a_task_that_runs_already_can_be_streamed() -> None:
    async def main() -> list[str]:
        async def work() -> dict[str, Any]:
            return response("x")

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        return await collect(stream_refined(lambda: task, False))

    assert asyncio.run(main()) == list(chunks(response("x"), False))
