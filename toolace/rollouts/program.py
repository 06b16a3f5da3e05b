"""Programs: what to ask a model about one row, one answer deciding the next question.

A program is a pure generator. It yields a tuple of requests, is sent the list of their completions in the same order,
and returns the row's record. It owns no engine, no clock and no I/O, so a test drives it with a list of answers::

    def twice(chat: Chat) -> Program[str]:
        first = yield from ask(Request(chat))
        second = yield from ask(Request(chat.then(Message(role="assistant", content=first.text), ...)))
        return second.text
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from toolace.calls.schema import Chat

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw an answer. `temperature` 0 is greedy; `top_k` 0 means no limit; `max_tokens` None: engine default."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One question to the model.

    With `score` set nothing is generated: the completion holds the summed log-probability (nats, at temperature 1) of
    that answer text, its end-of-turn token included, as the reply to `chat`.

    A request that is longer than the model's context ends its row with an error. An `optional` one is not asked then:
    its completion has the finish `too_long`, and the program goes on with what it has.
    """

    chat: Chat
    sampling: Sampling = Sampling()
    seed: int = 0
    score: str | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Completion:
    """The answer to one request.

    `text` has no end-of-turn token. `logprob` is the summed log-probability of the answer's tokens (nats), or None
    where the engine was not asked for it. `tokens` counts generated tokens, `prompt_tokens` those read.
    With the finish `too_long` (only of an optional request) there is nothing else.
    """

    text: str
    finish: Literal["stop", "length", "score", "too_long"] = "stop"
    tokens: int = 0
    prompt_tokens: int = 0
    logprob: float | None = None


Program = Generator[tuple[Request, ...], list[Completion], R]
MakeProgram = Callable[[Any], Program[dict[str, Any]]]
"""Makes the program of one row; picklable (a module-level function or a partial of one)."""


def ask(request: Request) -> Program[Completion]:
    """One request, one completion: `answer = yield from ask(Request(chat))`."""
    (completion,) = yield (request,)
    return completion


def drive(program: Program[R], answer: Callable[[Request], Completion]) -> R:
    """Run a program to its end with a function that answers requests: tests, notebooks, one-off queries."""
    try:
        requests = next(program)
        while True:
            requests = program.send([answer(request) for request in requests])
    except StopIteration as stop:
        result: R = stop.value
        return result


def draw_seed(run_seed: int, sample_id: str, draw: int) -> int:
    """The sampling seed of one draw: a function of run, sample and draw alone, never of worker or order (31 bits)."""
    digest = hashlib.blake2b(f"{run_seed}\x00{sample_id}\x00{draw}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") & 0x7FFF_FFFF
