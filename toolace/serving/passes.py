"""One pass over the engine as the client will see it, and the response made of all passes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from toolace.calls import Answer, Call, CallFormat, parse_answer, render_calls, same_calls
from toolace.rollouts.program import Completion
from toolace.serving.errors import from_upstream
from toolace.serving.protocol import Plan, Refinement, RefinementStep, ServedStopped
from toolace.serving.scoring import DraftScore


@dataclass(frozen=True, slots=True)
class Round:
    """One pass over the engine: number (0 is the first answer), tokens and seconds. `changed`: its answer differs from
    the one before it."""

    number: int
    tokens: int
    prompt_tokens: int
    cached_tokens: int
    seconds: float
    changed: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a refined request ended. `changed`: the final answer differs from the first one."""

    stopped: ServedStopped
    changed: bool
    passes: tuple[Round, ...]


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass: the engine's chat completion, its choice and the message for the client, and the text and answer that
    the program works with. `checked`: the draft was read, not written."""

    response: dict[str, Any]
    choice: dict[str, Any]
    message: dict[str, Any]
    text: str
    answer: Answer
    seconds: float
    checked: bool = False

    @property
    def usage(self) -> dict[str, Any]:
        """The engine's `usage` object."""
        return self.response.get("usage") or {}

    def completion(self) -> Completion:
        """The pass as the program takes it."""
        finish: Any = "length" if self.response["choices"][0].get("finish_reason") == "length" else "stop"
        tokens, read = self.usage.get("completion_tokens") or 0, self.usage.get("prompt_tokens") or 0
        return Completion(self.text, finish, tokens, read, _sum_logprobs(self.choice))


def parse_message(text: str, format: CallFormat) -> dict[str, Any]:
    """The assistant message of a raw answer: `tool_calls` where it has calls, and `content`.

    A broken or truncated attempt at a call stays text: no call leaves that the model did not write to its end.
    """
    return _message(parse_answer(text, format))


def _message(answer: Answer) -> dict[str, Any]:
    if not answer.calls:
        return {"role": "assistant", "content": answer.text}
    calls = [
        {
            "id": f"chatcmpl-tool-{uuid.uuid4().hex}",
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
        }
        for call in answer.calls
    ]
    return {"role": "assistant", "content": answer.text or None, "tool_calls": calls}


def read_pass(response: dict[str, Any], format: CallFormat, seconds: float, *, constrained: bool) -> Pass:
    """A chat completion taken apart. `constrained`: the engine made the calls itself. Raises a 500 where it is none."""
    try:
        choice = response["choices"][0]
        message = choice["message"]
        if constrained:
            text = _written(message, format)
            return Pass(response, choice, message, text, parse_answer(text, format), seconds)
        text = message.get("content") or ""
        answer = parse_answer(text, format)
        message = {**{key: value for key, value in message.items() if key != "tool_calls"}, **_message(answer)}
        if answer.calls:  # also where the answer was cut off behind its last call, as vLLM has it
            choice = {**choice, "finish_reason": "tool_calls"}
        return Pass(response, choice, message, text, answer, seconds)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise from_upstream(error) from error


def repeated_pass(before: Pass, draft: str, score: DraftScore, format: CallFormat, seconds: float) -> Pass:
    """The pass that greedy decoding would have made, where every token of the draft is the model's first choice."""
    choice = {**before.response["choices"][0], "message": {"role": "assistant", "content": draft}, "logprobs": None}
    response = {
        **before.response,
        "choices": [choice],
        **score.response,
    }
    return replace(read_pass(response, format, seconds, constrained=False), checked=True)


def _written(message: Mapping[str, Any], format: CallFormat) -> str:
    """A constrained answer as the text that the model would write; the raw arguments where they are cut off."""
    content = message.get("content") or ""
    functions = [call["function"] for call in message.get("tool_calls") or ()]
    if not functions:
        return content
    try:
        calls = [Call(name=function["name"], arguments=json.loads(function["arguments"])) for function in functions]
        written = render_calls(calls, format)
    except (ValueError, RecursionError):
        written = "\n".join(str(function["arguments"]) for function in functions)
    return f"{content}\n{written}" if content else written


def _sum_logprobs(choice: Mapping[str, Any]) -> float | None:
    tokens = (choice.get("logprobs") or {}).get("content")
    return sum(token["logprob"] for token in tokens) if tokens else None


def weights_of(response: Mapping[str, Any]) -> str:
    """Which weights answered: the version that the app sets as fingerprint, or else the model's name."""
    return str(response.get("system_fingerprint") or response.get("model"))


def round_of(passes: list[Pass]) -> Round:
    """The last of the passes in figures."""
    usage = passes[-1].usage
    return Round(
        number=len(passes) - 1,
        tokens=usage.get("completion_tokens") or 0,
        prompt_tokens=usage.get("prompt_tokens") or 0,
        cached_tokens=_cached(usage),
        seconds=passes[-1].seconds,
        changed=len(passes) > 1 and not same_calls(passes[-1].answer, passes[-2].answer),
    )


def respond(
    body: Mapping[str, Any],
    plan: Plan,
    passes: list[Pass],
    last: Pass,
    stopped: ServedStopped,
    also: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The chat completion for the client: `last` is the accepted pass, whose answer it is. `also` are completions that
    are no pass, but count in the usage."""
    first, message, choice = passes[0], last.message, dict(last.choice)
    calls = message.get("tool_calls")
    if calls and body.get("parallel_tool_calls") is False:
        message = {**message, "tool_calls": calls[:1]}
    choice["message"] = message
    if not body.get("logprobs"):
        choice["logprobs"] = None  # the margin may have asked for them
    usage: dict[str, Any] = {}
    for one in [*(one.usage for one in passes), *(one.get("usage") or {} for one in also)]:
        usage = _add(usage, one)
    refinement = Refinement(
        rounds=len(passes) - 1,
        stopped=stopped,
        model=weights_of(last.response),
        steps=[_step(one) for one in passes] if plan.return_rounds else None,
    )
    return {
        **last.response,
        **{key: first.response[key] for key in ("id", "created") if key in first.response},
        "choices": [choice],
        "usage": usage,
        "refinement": refinement.model_dump(exclude_none=not plan.return_rounds),
    }


def _cached(usage: Mapping[str, Any]) -> int:
    """Prompt tokens that the engine had in its prefix cache."""
    return (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0


def _step(one: Pass) -> RefinementStep:
    done = one.completion()
    return RefinementStep(
        content=one.message.get("content"),
        tool_calls=one.message.get("tool_calls") or [],
        text=one.text,
        tokens=done.tokens,
        prompt_tokens=done.prompt_tokens,
        cached_tokens=_cached(one.usage),
        checked=one.checked,
        ms=round(one.seconds * 1000, 3),
    )


def _add(total: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Two usage objects in one: numbers are added, objects within them too."""
    result = dict(total)
    for key, value in more.items():
        old = result.get(key)
        if isinstance(value, Mapping):
            result[key] = _add(old if isinstance(old, dict) else {}, value)
        else:
            result[key] = old if value is None else value if old is None else old + value
    return result
