"""Adaptive self-refinement: the model checks its own answer until it repeats it.

    a_0 = M(T, H);  a_n = M(T, H, draft a_{n-1}, refine turn)      no outside feedback, no second model

The rule to stop when a_n equals a_{n-1} is the paper's (ToolACE-R, arXiv 2504.01400); the rules `cycle`,
`max_rounds`, `margin` and `context` are this project's. Answers are equal when their calls are (parallel calls in any
order), or their stripped texts where there are none. The same program is evaluated offline and served.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from toolace.calls import parse_answer, same_calls
from toolace.calls.schema import Chat
from toolace.config import CallFormat, RefineConfig
from toolace.errors import RolloutError
from toolace.rendering import refine_turn
from toolace.rollouts.program import Completion, Program, Request, Sampling, ask

Stopped = Literal["direct", "no_call", "unchanged", "cycle", "margin", "max_rounds", "fixed", "context"]
"""Why refinement ended:

- `direct`: it was not asked for (`max_rounds` 0)
- `no_call`: the first answer has no call and text answers were to be left alone
- `unchanged`: the answer equals its draft
- `cycle`: the answer equals one before its draft
- `margin`: the answer differs, but the model does not prefer it to the draft by more than `accept_margin`
- `max_rounds`: the last round changed the answer
- `fixed`: the fixed number of rounds is done
- `context`: the next question is longer than the model's context, and the answer before it stands
"""


class Step(BaseModel):
    """One generated answer. `logprob` is its summed log-probability, nats; `draft_logprob` that of the draft it was
    shown, after the same prompt, where the accept margin asked for it. `tokens` were generated, `prompt_tokens` read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    tokens: int = 0
    prompt_tokens: int = 0
    logprob: float | None = None
    draft_logprob: float | None = None
    truncated: bool = False


class Refined(BaseModel):
    """The final answer and what it cost.

    `rounds` counts refinement passes and `steps` holds every answer, the direct one first, also one that the margin
    rejected, or that it could not judge where scoring the draft did not fit into the context. `model_calls` counts
    generations and `scored` passes that only scored a draft. `tokens` were generated; `prompt_tokens` were read by
    generations and scoring passes together.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    rounds: int
    stopped: Stopped
    model_calls: int
    scored: int
    tokens: int
    prompt_tokens: int
    steps: tuple[Step, ...]


def refine(
    chat: Chat,
    *,
    config: RefineConfig,
    format: CallFormat,
    fixed_rounds: int | None = None,
    skip_text: bool = False,
    sampling: Sampling | None = None,
    seed: int = 0,
    optional: bool = False,
) -> Program[Refined]:
    """The refinement program of one chat.

    With `fixed_rounds` exactly so many refinement passes are made, whatever they answer, and the margin is not used.
    `skip_text` leaves a first answer without calls alone (a server may want that; training and evaluation refine text
    answers too, since a missing call is a mistake like any other). `sampling` is greedy unless given; `seed` then
    seeds the first answer, `seed + n` the n-th round.

    Whatever is asked after the first answer is optional: a question that does not fit into the context leaves the
    answer before it. With `optional` the first question is so too; where it does not fit, the result has no text and no
    steps.

    Raises `RolloutError` when the margin is set and the engine gives no log-probabilities.
    """
    how = sampling or Sampling(max_tokens=config.max_tokens)
    answer = yield from ask(Request(chat, how, seed=seed, optional=optional))
    steps = [] if answer.finish == "too_long" else [_step(answer)]
    scored = scored_tokens = 0

    def done(text: str, stopped: Stopped) -> Refined:
        return Refined(
            text=text,
            rounds=max(0, len(steps) - 1),
            stopped=stopped,
            model_calls=len(steps),
            scored=scored,
            tokens=sum(step.tokens for step in steps),
            prompt_tokens=sum(step.prompt_tokens for step in steps) + scored_tokens,
            steps=tuple(steps),
        )

    if not steps:
        return done("", "context")
    draft = parse_answer(answer.text, format)
    earlier = [draft]
    if skip_text and not draft.calls and draft.error is None:
        return done(answer.text, "no_call")
    text = answer.text
    rounds = config.max_rounds if fixed_rounds is None else fixed_rounds
    for n in range(1, rounds + 1):
        turn = refine_turn(chat, text)
        shown = turn.messages[len(chat.messages)].content
        again = yield from ask(Request(turn, how, seed=seed + n, optional=True))
        if again.finish == "too_long":
            return done(text, "context")
        steps.append(_step(again))
        if fixed_rounds is not None:
            text = again.text
            continue
        new = parse_answer(again.text, format)
        if same_calls(new, earlier[-1]):
            return done(again.text, "unchanged")
        if config.accept_margin > 0:
            score = yield from ask(Request(turn, how, score=shown, optional=True))
            if score.finish == "too_long":
                return done(text, "context")
            scored, scored_tokens = scored + 1, scored_tokens + score.prompt_tokens
            steps[-1] = steps[-1].model_copy(update={"draft_logprob": score.logprob})
            if not _preferred(again, score, config.accept_margin):
                return done(text, "margin")
        if any(same_calls(new, old) for old in earlier):
            return done(again.text, "cycle")
        text = again.text
        earlier.append(new)
    if fixed_rounds is not None:
        return done(text, "fixed")
    return done(text, "max_rounds" if rounds else "direct")


def _step(completion: Completion) -> Step:
    return Step(
        text=completion.text,
        tokens=completion.tokens,
        prompt_tokens=completion.prompt_tokens,
        logprob=completion.logprob,
        truncated=completion.finish == "length",
    )


def _preferred(answer: Completion, draft: Completion, margin: float) -> bool:
    """Whether the refine pass prefers its own answer to the draft by more than `margin` nats of summed logprob."""
    if answer.logprob is None or draft.logprob is None:
        raise RolloutError(
            f"refine.accept_margin {margin:g} needs log-probabilities, and this engine gives none. "
            "Use engine.kind vllm or hf, or set refine.accept_margin to 0"
        )
    return answer.logprob - draft.logprob > margin
