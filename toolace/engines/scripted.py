"""The public fake: answers from a function or a table. For tests, and for rehearsals of a run without a model."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolace.engines.base import Generate, Generated, ModelIdentity, check_fits, new_tokens
from toolace.errors import EngineError

Answer = Callable[[Generate], Sequence[int]] | Mapping[tuple[int, ...], Sequence[int]]
"""Token ids for a request: a function of it, or a table by prompt. An exception that it raises fails that request."""


@dataclass(frozen=True)
class Script:
    """What a scripted engine answers, and how it misbehaves. Picklable if `answer` is."""

    answer: Answer
    tokens_per_step: int = 0
    """Tokens that one step adds to each running answer; 0: an answer is whole after one step."""
    step_seconds: float = 0.0
    """How long a step takes."""
    die_at_step: int | None = None
    """The engine is dead from this step on (the first is 1)."""


def load_script(script: Script | Answer | str) -> Script:
    """A `Script` from itself, from its answer alone, or from its address `module:attribute`."""
    if isinstance(script, str):
        module, _, name = script.partition(":")
        try:
            found: Any = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise EngineError(f"no script {script!r}: {error}. Write it as package.module:attribute") from None
        return load_script(found)
    return script if isinstance(script, Script) else Script(script)


class ScriptedEngine:
    """An `Engine` without a model. The log-probability of an answer or a score is -0.5 nats a token."""

    def __init__(self, script: Script | Answer | str, *, max_model_len: int = 2048, max_num_seqs: int = 256) -> None:
        self._script = load_script(script)
        self._max_num_seqs = max_num_seqs
        self._waiting: dict[str, Generate] = {}
        self._left: dict[str, int] = {}
        self._answers: dict[str, Generated] = {}
        self._steps = 0
        self.identity = ModelIdentity("scripted", "scripted", "no", max_model_len)

    @property
    def pending(self) -> int:
        return len(self._waiting) + len(self._left)

    def submit(self, request: Generate) -> None:
        check_fits(request, self.identity.max_model_len)
        self._waiting[request.id] = request

    def abort(self, request_id: str) -> None:
        self._waiting.pop(request_id, None)
        self._left.pop(request_id, None)
        self._answers.pop(request_id, None)

    def step(self) -> list[Generated]:
        self._steps += 1
        if self._script.die_at_step is not None and self._steps >= self._script.die_at_step:
            raise EngineError(f"the scripted engine died at step {self._steps}, as its script says")
        if self._script.step_seconds:
            time.sleep(self._script.step_seconds)
        while self._waiting and len(self._left) < self._max_num_seqs:
            request = self._waiting.pop(next(iter(self._waiting)))
            answer = self._answers[request.id] = self._answer(request)
            speed = self._script.tokens_per_step
            self._left[request.id] = -(-answer.generated_tokens // speed) if speed else 1
        for request_id in self._left:
            self._left[request_id] -= 1
        finished = [request_id for request_id, left in self._left.items() if left <= 0]
        for request_id in finished:
            del self._left[request_id]
        return [self._answers.pop(request_id) for request_id in finished]

    def close(self) -> None:
        self._waiting.clear()
        self._left.clear()
        self._answers.clear()

    def _answer(self, request: Generate) -> Generated:
        if request.score_ids:
            return Generated(request.id, finish="score", logprob=-0.5 * len(request.score_ids))
        try:
            source = self._script.answer
            ids = tuple(source(request) if callable(source) else source[request.prompt])
        except Exception as error:
            return Generated(request.id, finish="error", error=f"{type(error).__name__}: {error}")
        limit = new_tokens(request, self.identity.max_model_len)
        if len(ids) >= limit:
            return Generated(request.id, ids[:limit], "length", -0.5 * limit, limit)
        return Generated(request.id, ids, "stop", -0.5 * (len(ids) + 1), len(ids) + 1)
