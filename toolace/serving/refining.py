"""A chat request refined over an OpenAI-compatible engine: the program of `toolace.refinement` asks, this answers it.

Each pass is the client's own request plus the turns that the program appended. With `tool_choice` auto the engine is
told `none`: its prompt still has the tools and it returns the model's raw text, which is parsed here by the one parser
that training and evaluation use. With `required` or a named function the engine constrains the text itself and returns
calls; the program then sees those calls written in the model's format.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from toolace.calls import CallFormat, same_calls
from toolace.calls.schema import Chat, Message
from toolace.config import RefineConfig
from toolace.errors import ServingError
from toolace.refinement.program import refine
from toolace.rollouts.program import Completion, Request
from toolace.serving.errors import DEADLINE_EXCEEDED, ApiError, deadline_exceeded, from_upstream, too_long
from toolace.serving.passes import Outcome, Pass, Round, read_pass, repeated_pass, respond, round_of, weights_of
from toolace.serving.protocol import Plan, ServedStopped
from toolace.serving.scoring import DraftScore

logger = logging.getLogger(__name__)
T = TypeVar("T")

Complete = Callable[[dict[str, Any], float], Awaitable[dict[str, Any]]]
"""One pass: a chat request's body and the seconds left -> a chat completion as a dictionary; raises `ApiError`."""
Score = Callable[[dict[str, Any], str], Awaitable[DraftScore]]
"""What the engine thinks of a draft, its end-of-turn token included, as the answer to a chat body."""

_ANCHOR = Chat(messages=(Message(role="user"),))  # stands for the client's messages; the program only appends to it
_INT64 = 1 << 63
# Fields with which greedy decoding writes each time the token that is likeliest by the model alone, to the end of turn.
_GREEDY = {
    *("model", "messages", "tools", "tool_choice", "parallel_tool_calls", "temperature", "top_p", "seed", "n"),
    *("max_tokens", "max_completion_tokens", "stream", "stream_options", "refinement", "user", "metadata", "store"),
    *("chat_template_kwargs", "cache_salt", "priority", "request_id"),
}


async def refine_chat(
    body: dict[str, Any],
    plan: Plan,
    complete: Complete,
    *,
    format: CallFormat,
    score: Score | None = None,
    clock: Callable[[], float] = time.monotonic,
    on_round: Callable[[Round], None] | None = None,
    on_end: Callable[[Outcome], None] | None = None,
) -> dict[str, Any]:
    """Refine one chat request (checked by `protocol.make_plan`) and return the chat completion for the client.

    The completion is the accepted pass's, with the first pass's `id` and `created`, the usage of all passes, and
    `refinement` beside it. `on_round` is told of each pass, `on_end` of an answered request.

    The accept margin compares raw answers, so it does not apply to `required` and named functions; nor does
    `plan.check`, which only stands for greedy decoding with nothing else set.

    Raises `ApiError` when the first pass fails (504 past the deadline). A later pass that fails, that does not fit into
    the context, or that other weights answered, leaves the last good answer. Cancelling it cancels the pass that runs.
    """
    if (plan.accept_margin > 0 or plan.check == "prompt") and score is None:
        raise ServingError(
            f"refinement.accept_margin is {plan.accept_margin:g} and refinement.check {plan.check}, and the engine "
            "cannot score a draft: set them to 0 and generate"
        )
    constrained = body.get("tool_choice") not in (None, "auto")
    margin = 0.0 if constrained else plan.accept_margin
    checking = plan.check == "prompt" and not constrained and _is_greedy(body)
    seed = body.get("seed")
    program = refine(
        _ANCHOR,
        config=RefineConfig(max_rounds=plan.max_rounds, accept_margin=margin),
        format=format,
        fixed_rounds=plan.max_rounds if plan.mode == "fixed" else None,
        skip_text=not plan.refine_text,
        seed=seed or 0,
    )
    end = clock() + plan.deadline_s
    base = _pass_body(body, format, constrained=constrained)
    passes: list[Pass] = []
    rounds: list[Round] = []
    scores: dict[int, DraftScore] = {}  # of the draft that pass n was shown

    async def answer(request: Request) -> Completion:
        asked = {**base, "messages": base["messages"] + _appended(request)}
        if request.score is not None and score is not None:
            shown_to = len(passes) - 1
            if shown_to not in scores:
                scores[shown_to] = await read(score, asked, request.score)
            return Completion("", "score", logprob=scores[shown_to].logprob)
        if checking and passes and passes[-1].completion().finish == "stop" and score is not None:
            draft, started = _appended(request)[0]["content"], clock()
            try:
                found = await read(score, asked, draft)
            except ApiError as error:
                if error.status >= 500:
                    raise  # else draft and prompt do not fit together, and the round is written
            else:
                if found.first_choice:
                    return keep(repeated_pass(passes[-1], draft, found, format, clock() - started))
                scores[len(passes)] = found
        if seed is not None:
            asked["seed"] = (request.seed + _INT64) % (2 * _INT64) - _INT64  # stays in the engine's range
        if margin and passes:
            asked |= {"logprobs": True, "top_logprobs": asked.get("top_logprobs") or 0}
        started = clock()
        left = end - started
        response = await _within(left, plan, partial(complete, asked, left))
        done = read_pass(response, format, clock() - started, constrained=constrained)
        check_weights(done.response)
        if margin and passes and done.completion().logprob is None:
            raise ApiError(500, "the engine gives no log-probabilities, which the accept margin needs")
        return keep(done)

    async def answer_if_it_fits(request: Request) -> Completion:
        try:
            return await answer(request)
        except ApiError as error:
            if request.optional and too_long(error):
                return Completion("", "too_long")
            raise

    async def read(score: Score, asked: dict[str, Any], draft: str) -> DraftScore:
        found = await _within(end - clock(), plan, partial(score, asked, draft))
        check_weights(found.response)
        return found

    def check_weights(response: Mapping[str, Any]) -> None:
        if passes and weights_of(response) != weights_of(passes[0].response):
            raise ApiError(503, "the model was replaced between two rounds")

    def keep(found: Pass) -> Completion:
        passes.append(found)
        rounds.append(round_of(passes))
        if on_round is not None:
            on_round(rounds[-1])
        return found.completion()

    stopped: ServedStopped
    request = next(program)[0]
    try:
        while True:
            (request,) = program.send([await answer_if_it_fits(request)])
    except StopIteration as stop:
        stopped = stop.value.stopped
        unscored = stopped == "context" and request.score is not None
        accepted = -2 if stopped == "margin" or unscored else -1
    except ApiError as error:
        if not passes:
            raise
        stopped = "deadline" if error.code == DEADLINE_EXCEEDED else "error"
        if stopped == "error":
            logger.warning("round %d failed, the answer before it stands: %s", len(passes), error.message)
        accepted = -2 if request.score is not None else -1  # an answer that was to be scored is not accepted yet
    finally:
        program.close()
    last = passes[accepted]
    if on_end is not None:
        on_end(Outcome(stopped, not same_calls(passes[0].answer, last.answer), tuple(rounds)))
    return respond(body, plan, passes, last, stopped, also=[one.response for one in scores.values()])


def _is_greedy(body: Mapping[str, Any]) -> bool:
    """Whether reading a draft can stand for writing it: nothing but the model's own first choices decides."""
    return not body.get("temperature") and {key for key, value in body.items() if value is not None} <= _GREEDY


def _pass_body(body: dict[str, Any], format: CallFormat, *, constrained: bool) -> dict[str, Any]:
    base = {key: value for key, value in body.items() if key not in ("refinement", "stream", "stream_options")}
    base["stream"] = False
    if not constrained:
        base["tool_choice"] = "none"
        if format == "hermes":  # its marks are special tokens in some vocabularies; kept offline too
            base.setdefault("skip_special_tokens", False)
    return base


def _appended(request: Request) -> list[dict[str, Any]]:
    """The turns that the program put behind the client's messages: the draft and the refine turn."""
    new = request.chat.messages[len(_ANCHOR.messages) :]
    return [{"role": message.role, "content": message.content} for message in new]


async def _within(left: float, plan: Plan, work: Callable[[], Awaitable[T]]) -> T:
    """Do `work` in `left` seconds. Whatever fails becomes an `ApiError`; a cancellation from outside passes."""
    if left <= 0:
        raise deadline_exceeded(plan.deadline_s)
    try:
        async with asyncio.timeout(left) as limit:
            return await work()
    except ApiError:
        raise
    except Exception as error:
        if isinstance(error, TimeoutError) and limit.expired():
            raise deadline_exceeded(plan.deadline_s) from None
        raise from_upstream(error) from error
