"""The evaluation program: one sample answered directly, with adaptive refinement, and with a fixed number of rounds.

Every arm is a run of `toolace.refinement.program.refine`, the program that is also served. Greedy answers are a
function of the prompt, and the arms ask many of the same questions, so the completions of one sample are remembered
and no question is asked twice. Each arm still counts what it alone would have cost.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from toolace.calls import judge
from toolace.calls.schema import Sample
from toolace.config import CallFormat, RefineConfig
from toolace.refinement.program import Refined, Stopped, refine
from toolace.rollouts.program import Completion, Program, R, Request

DIRECT = "direct"
ADAPTIVE = "adaptive"


def fixed_arm(rounds: int) -> str:
    """The name of the arm with exactly so many refinement rounds."""
    return f"fixed_{rounds}"


def margin_arm(margin: float) -> str:
    """The name of the adaptive arm with this accept margin (nats)."""
    return f"margin_{margin:g}"


class ArmResult(BaseModel):
    """What one way of answering gave: its final text, the verdict on it, and what that way alone would have cost.

    `error` is the kind of mistake. `model_calls` are generations, `scored` passes that only scored a draft; `tokens`
    were generated, `prompt_tokens` read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    correct: bool
    error: str | None = None
    rounds: int
    stopped: Stopped
    model_calls: int
    scored: int
    tokens: int
    prompt_tokens: int


class EvaluationRecord(BaseModel):
    """One sample evaluated. `chain` has the answers of the adaptive arm in order, the direct one first; `asked` counts
    the questions put to the engine for all arms together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    kind: str
    arms: dict[str, ArmResult]
    chain: tuple[str, ...]
    asked: int


def evaluate_sample(
    sample: Sample,
    *,
    refine_config: RefineConfig,
    format: CallFormat,
    fixed_rounds: Sequence[int] = (),
    margins: Sequence[float] = (),
) -> Program[dict[str, object]]:
    """The evaluation program of one sample, greedy; returns the dump of its `EvaluationRecord`.

    Arms: `direct`; `adaptive` under `refine_config`, its accept margin included; `fixed_N` for each of `fixed_rounds`;
    `margin_X` for each of `margins`: adaptive with that accept margin instead. Drafts are scored only where a margin
    needs it.
    """
    known: dict[_Key, Completion] = {}
    asked = 0

    def remembered(program: Program[R]) -> Program[R]:
        """Answer a program from what is known, and pass on only questions that are new."""
        nonlocal asked
        try:
            requests = next(program)
            while True:
                new = tuple(request for request in requests if _key(sample, request) not in known)
                if new:
                    completions = yield new
                    asked += len(new)
                    known.update((_key(sample, request), done) for request, done in zip(new, completions, strict=True))
                requests = program.send([known[_key(sample, request)] for request in requests])
        except StopIteration as stop:
            result: R = stop.value
            return result

    adaptive = yield from remembered(refine(sample.chat, config=refine_config, format=format))
    direct = yield from remembered(
        refine(sample.chat, config=refine_config.model_copy(update={"max_rounds": 0}), format=format)
    )
    results = {DIRECT: direct, ADAPTIVE: adaptive}
    for rounds in sorted(set(fixed_rounds)):
        results[fixed_arm(rounds)] = yield from remembered(
            refine(sample.chat, config=refine_config, format=format, fixed_rounds=rounds)
        )
    for margin in sorted(set(margins)):
        config = refine_config.model_copy(update={"accept_margin": margin})
        results[margin_arm(margin)] = yield from remembered(refine(sample.chat, config=config, format=format))
    return EvaluationRecord(
        id=sample.id,
        kind=sample.kind,
        arms={name: _arm(sample, result, format) for name, result in results.items()},
        chain=tuple(step.text for step in adaptive.steps),
        asked=asked,
    ).model_dump()


_Key = tuple[tuple[str, ...], str | None]


def _key(sample: Sample, request: Request) -> _Key:
    """What sets one question apart from another: the turns after the sample's own, and the text to score.

    The seed is left out: it means nothing to greedy decoding.
    """
    added = request.chat.messages[len(sample.chat.messages) :]
    return tuple(message.content for message in added), request.score


def _arm(sample: Sample, result: Refined, format: CallFormat) -> ArmResult:
    verdict = judge(sample, result.text, format)
    return ArmResult(
        text=result.text,
        correct=verdict.correct,
        error=verdict.error,
        rounds=result.rounds,
        stopped=result.stopped,
        model_calls=result.model_calls,
        scored=result.scored,
        tokens=result.tokens,
        prompt_tokens=result.prompt_tokens,
    )
