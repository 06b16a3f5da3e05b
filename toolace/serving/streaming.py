"""A refined answer as server-sent events. Nothing of the answer leaves before it is final; comments keep the line open.

The chunks have the shape and order of OpenAI's: the role, the content, each call's name and then its arguments, the
finish reason (with our `refinement` object beside `choices`), the usage where it was asked for, `[DONE]`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any

from toolace.serving.errors import ApiError, from_upstream

COMMENT = ": refining\n\n"
DONE = "data: [DONE]\n\n"


def chunks(response: Mapping[str, Any], include_usage: bool) -> Iterator[str]:
    """A chat completion as the events of a stream. Joined by a client they give the same message.

    With `include_usage` the usage comes in a chunk of its own, with empty `choices`, and is null in all others.
    """
    (choice,) = response["choices"]
    message = choice["message"]
    head = {
        "id": response["id"],
        "object": "chat.completion.chunk",
        "created": response["created"],
        "model": response["model"],
    }
    if response.get("system_fingerprint") is not None:
        head["system_fingerprint"] = response["system_fingerprint"]
    logprobs = choice.get("logprobs")

    def chunk(delta: dict[str, Any], finish: str | None = None, **beside: Any) -> str:
        nonlocal logprobs
        part: dict[str, Any] = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        if "role" not in delta and "reasoning" not in delta:  # the first chunk with a part of the answer has them
            part["logprobs"], logprobs = logprobs, None
        if finish is not None and choice.get("stop_reason") is not None:
            part["stop_reason"] = choice["stop_reason"]
        if include_usage:
            beside["usage"] = None
        return _event({**head, "choices": [part], **beside})

    yield chunk({"role": message.get("role", "assistant"), "content": ""})
    if message.get("reasoning"):
        yield chunk({"reasoning": message["reasoning"]})
    if message.get("content"):
        yield chunk({"content": message["content"]})
    for index, call in enumerate(message.get("tool_calls") or ()):
        function = call["function"]
        begin = {"name": function["name"], "arguments": ""}
        yield chunk({"tool_calls": [{"index": index, "id": call["id"], "type": "function", "function": begin}]})
        yield chunk({"tool_calls": [{"index": index, "function": {"arguments": function["arguments"]}}]})
    beside = {"refinement": response["refinement"]} if "refinement" in response else {}
    yield chunk({}, choice.get("finish_reason") or "stop", **beside)
    if include_usage:
        yield _event({**head, "choices": [], "usage": response["usage"]})
    yield DONE


async def stream_refined(
    task_factory: Callable[[], Awaitable[dict[str, Any]]], include_usage: bool, every: float = 10.0
) -> AsyncGenerator[str, None]:
    """Run the refinement that `task_factory` starts, and stream its answer; a comment each `every` seconds until then.

    A failure becomes an error event and `[DONE]`: the status line has left already. When the stream is closed, or the
    task that reads it is cancelled, the refinement is cancelled and its end awaited, which frees the engine.
    """
    task = asyncio.ensure_future(task_factory())
    try:
        while not (await asyncio.wait({task}, timeout=every))[0]:
            yield COMMENT
        try:
            response = task.result()
        except (Exception, asyncio.CancelledError) as error:  # the refinement's own cancellation; ours comes at `wait`
            failure = from_upstream(error)
            yield error_event(failure)
            yield DONE
            return
        for event in chunks(response, include_usage):
            yield event
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                task.exception()  # seen: nobody is left to tell


def error_in(event: Any) -> dict[str, Any] | None:
    """The error that an event of the library's streams tells of; None where it is a part of an answer."""
    text = event.decode(errors="replace") if isinstance(event, bytes) else str(event)
    if not text.startswith('data: {"error"'):
        return None
    try:
        found = json.loads(text.removeprefix("data: ").partition("\n\n")[0])
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


async def stream_passed_on(
    first: Any, events: AsyncIterator[Any], blame: Callable[[BaseException | Mapping[str, Any]], ApiError]
) -> AsyncGenerator[Any, None]:
    """The library's stream after its first event, with errors in OpenAI's shape: also one that the library tells of in
    its own, and the end of the replica that was answering, which would only break the connection."""
    failure: BaseException | Mapping[str, Any] | None
    yield first
    try:
        async for event in events:
            if (failure := error_in(event)) is not None:
                break
            yield event
        else:
            return
    except Exception as error:  # GeneratorExit and cancellation are no Exception: nobody listens any more
        failure = error
    yield error_event(blame(failure))
    yield DONE


def error_event(error: ApiError) -> str:
    """The event that ends a stream whose request failed."""
    return _event(error.body())


def _event(data: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"
