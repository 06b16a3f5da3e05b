"""The seam between programs and inference: token ids in, token ids out, one step at a time.

An engine owns weights and nothing else: no chat template, no parsing, no rows. Implementations: `vllm` (default),
`hf` (reference, small models), `scripted` (public fake for tests and rehearsals).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from toolace.errors import ContextError, EngineError
from toolace.rollouts.program import Sampling


@dataclass(frozen=True, slots=True)
class Generate:
    """One generation: continue `prompt` (token ids) until a stop token, `sampling.max_tokens` or the context's end.

    With `score_ids` nothing is generated: the result's `logprob` is the summed log-probability of `score_ids` after
    `prompt`.
    """

    id: str
    prompt: tuple[int, ...]
    sampling: Sampling
    seed: int = 0
    stop_token_ids: tuple[int, ...] = ()
    score_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Generated:
    """A finished generation. `token_ids` are without the stop token; `error` set means that only this one failed."""

    id: str
    token_ids: tuple[int, ...] = ()
    finish: Literal["stop", "length", "score", "error"] = "stop"
    logprob: float | None = None
    generated_tokens: int = 0
    """Tokens generated, the stop token included."""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """What an engine serves: the path asked for, a fingerprint of the weight files, and how it was proven."""

    path: str
    fingerprint: str
    verified: Literal["canary", "weights", "no"] = "no"
    max_model_len: int = 0
    details: dict[str, str] = field(default_factory=dict)


class Engine(Protocol):
    """Continuous batching: `submit` at any time, `step` until nothing is pending.

    `submit` raises `EngineError` for a request that can never run, `ContextError` where it is longer than the context.
    `step` advances all running requests by about a token and returns what finished; it raises `EngineError` when the
    engine is dead.
    """

    @property
    def identity(self) -> ModelIdentity: ...
    @property
    def pending(self) -> int: ...
    def submit(self, request: Generate) -> None: ...
    def abort(self, request_id: str) -> None: ...
    def step(self) -> list[Generated]: ...
    def close(self) -> None: ...


def check_fits(request: Generate, max_model_len: int) -> None:
    """Raise `ContextError` for a request that is longer than this context, `EngineError` for an empty one."""
    if not request.prompt:
        raise EngineError(f"request {request.id}: the prompt is empty")
    needed = len(request.prompt) + len(request.score_ids) + 1
    if needed > max_model_len:
        raise ContextError(
            f"request {request.id}: a prompt of {len(request.prompt)} tokens"
            + (f" and an answer of {len(request.score_ids)} to score" if request.score_ids else "")
            + f" needs a context of {needed}, the engine has {max_model_len}. Raise model.max_model_len"
        )


def new_tokens(request: Generate, max_model_len: int) -> int:
    """Tokens that a request may generate: `max_tokens`, bounded by what the context leaves."""
    room = max_model_len - len(request.prompt)
    return room if request.sampling.max_tokens is None else min(request.sampling.max_tokens, room)
