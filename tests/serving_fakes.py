"""A scripted engine and scorer for the refinement of served requests."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Awaitable, Callable
from typing import Any

from openai.types.chat import ChatCompletion

from toolace.serving.protocol import Plan
from toolace.serving.refining import refine_chat
from toolace.serving.scoring import DraftScore

A, B, C = "[f(x=1)]", "[f(x=2)]", "[g(y='z')]"
TOOLS = [{"type": "function", "function": {"name": name}} for name in ("f", "g")]
BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "do it"}], "tools": TOOLS}
LOGPROBS = {"content": [{"token": "a", "logprob": -0.5, "bytes": None, "top_logprobs": []}] * 2}


def completion(n: int, content: str | None, finish: str = "stop", **choice: Any) -> dict[str, Any]:
    """A chat completion as vLLM gives it for pass `n`, which reads 100 tokens and writes 10 + n."""
    message = {"role": "assistant", "content": content, "reasoning": None, **choice.pop("message", {})}
    details = {"cached_tokens": 90 * n, "created_cache_tokens": None}
    return {
        "id": f"chatcmpl-{n}",
        "object": "chat.completion",
        "created": 1000 + n,
        "model": "m",
        "system_fingerprint": "m@1",
        "choices": [
            {"index": 0, "message": message, "logprobs": None, "finish_reason": finish, "stop_reason": None, **choice}
        ],
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 10 + n,
            "total_tokens": 110 + n,
            "prompt_tokens_details": details if n else None,
        },
    }


Answer = str | Exception | dict[str, Any] | Callable[[int], Awaitable[dict[str, Any]]]


class Engine:
    """Answers in order: a text, a whole completion, an exception to raise, or a function to await."""

    def __init__(self, *answers: Answer, now: float = 0.0, seconds: float = 0.5) -> None:
        self.answers, self.now, self.seconds = list(answers), now, seconds
        self.asked: list[dict[str, Any]] = []
        self.left: list[float] = []

    async def complete(self, body: dict[str, Any], left: float) -> dict[str, Any]:
        n = len(self.asked)
        self.asked.append(copy.deepcopy(body))
        self.left.append(left)
        self.now += self.seconds
        answer = self.answers[n]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, dict):
            return answer
        return completion(n, answer) if isinstance(answer, str) else await answer(n)

    def run(self, plan: Plan | None = None, **options: Any) -> dict[str, Any]:
        body = {**BODY, **options.pop("body", {})}
        before = copy.deepcopy(body)
        options.setdefault("format", "pythonic")
        response = asyncio.run(refine_chat(body, plan or Plan(), self.complete, clock=lambda: self.now, **options))
        assert body == before, "the client's body was changed"
        ChatCompletion.model_validate(response, strict=True)
        json.dumps(response, ensure_ascii=False, allow_nan=False).encode()
        return response


def calls_of(response: dict[str, Any]) -> list[tuple[str, Any]]:
    calls = response["choices"][0]["message"].get("tool_calls", [])
    return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls]


class Scorer:
    """Scores of drafts in order: log-probability, whether the model's first choice throughout, or what is raised."""

    def __init__(self, *scores: float | tuple[float, bool] | Exception) -> None:
        self.scores = list(scores)
        self.asked: list[tuple[dict[str, Any], str]] = []

    async def __call__(self, body: dict[str, Any], draft: str) -> DraftScore:
        self.asked.append((copy.deepcopy(body), draft))
        score = self.scores.pop(0)
        if isinstance(score, Exception):
            raise score
        logprob, first = score if isinstance(score, tuple) else (score, False)
        return DraftScore(logprob, first, 150, "m@1")
