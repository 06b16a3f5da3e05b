"""The evaluation program: one chat answered directly, with adaptive refinement, and with a fixed number of rounds.

`answer_arms` asks; `evaluate_sample` also judges by the sample's reference, and `answer_sample` leaves the judging to
the rules of a benchmark. Every arm is a run of `toolace.refinement.program.refine`, the program that is also served.
Greedy answers are a function of the prompt, and the arms ask many of the same questions, so the completions of one
sample are remembered and no question is asked twice. Each arm still counts what it alone would have cost.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import BaseModel, ConfigDict

from toolace.calls import judge
from toolace.calls.schema import Chat, Sample
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


def arm_names(fixed_rounds: Sequence[int], margins: Sequence[float]) -> list[str]:
    """The names of all arms under these settings, in the order of the records."""
    fixed = [fixed_arm(rounds) for rounds in sorted(set(fixed_rounds))]
    return [DIRECT, ADAPTIVE, *fixed, *(margin_arm(margin) for margin in sorted(set(margins)))]


class ArmAnswer(BaseModel):
    """What one way of answering gave: its final raw text, and what that way alone would have cost.

    `model_calls` are generations, `scored` passes that only scored a draft; `tokens` were generated, `prompt_tokens`
    read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    rounds: int
    stopped: Stopped
    model_calls: int
    scored: int
    tokens: int
    prompt_tokens: int


class DialogueAnswer(ArmAnswer):
    """What one way of holding a dialogue gave.

    `turns` are the raw texts of the steps of each turn, `text` and `stopped` those of the last, the counts of all.
    """

    turns: tuple[tuple[str, ...], ...]


class ArmResult(ArmAnswer):
    """An answer with the verdict on it; `error` is the kind of mistake."""

    correct: bool
    error: str | None = None


class AnswerRecord(BaseModel):
    """One row answered in all arms, not judged. `chain` has the answers of the adaptive arm in order, the direct one
    first (of a dialogue none); `asked` counts the questions put to the engine for all arms together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    kind: str
    arms: dict[str, DialogueAnswer | ArmAnswer]
    chain: tuple[str, ...]
    asked: int


class EvaluationRecord(BaseModel):
    """One sample evaluated. `chain` has the answers of the adaptive arm in order, the direct one first; `asked` counts
    the questions put to the engine for all arms together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    kind: str
    arms: dict[str, ArmResult]
    chain: tuple[str, ...]
    asked: int


@dataclass(frozen=True, slots=True)
class Answered:
    """A chat answered: what refinement gave in each arm, and the questions put to the engine for all of them."""

    arms: dict[str, Refined]
    asked: int

    @property
    def chain(self) -> tuple[str, ...]:
        return tuple(step.text for step in self.arms[ADAPTIVE].steps)


def evaluate_sample(
    sample: Sample,
    *,
    refine_config: RefineConfig,
    format: CallFormat,
    fixed_rounds: Sequence[int] = (),
    margins: Sequence[float] = (),
) -> Program[dict[str, object]]:
    """The evaluation program of one sample, greedy: `answer_arms`, judged. The dump of its `EvaluationRecord`."""
    found = yield from answer_arms(
        sample.chat, refine_config=refine_config, format=format, fixed_rounds=fixed_rounds, margins=margins
    )
    arms = {}
    for name, result in found.arms.items():
        verdict = judge(sample, result.text, format)
        arms[name] = ArmResult(**_answer(result), correct=verdict.correct, error=verdict.error)
    return EvaluationRecord(
        id=sample.id, kind=sample.kind, arms=arms, chain=found.chain, asked=found.asked
    ).model_dump()


def answer_sample(
    sample: Sample,
    *,
    refine_config: RefineConfig,
    format: CallFormat,
    fixed_rounds: Sequence[int] = (),
    margins: Sequence[float] = (),
) -> Program[dict[str, object]]:
    """As `evaluate_sample`, but the reference is not looked at; returns the dump of an `AnswerRecord`."""
    found = yield from answer_arms(
        sample.chat, refine_config=refine_config, format=format, fixed_rounds=fixed_rounds, margins=margins
    )
    arms: dict[str, DialogueAnswer | ArmAnswer] = {
        name: ArmAnswer(**_answer(result)) for name, result in found.arms.items()
    }
    return AnswerRecord(id=sample.id, kind=sample.kind, arms=arms, chain=found.chain, asked=found.asked).model_dump()


def answer_arms(
    chat: Chat,
    *,
    refine_config: RefineConfig,
    format: CallFormat,
    fixed_rounds: Sequence[int] = (),
    margins: Sequence[float] = (),
) -> Program[Answered]:
    """Answer a chat greedily in all arms.

    Arms: `direct`; `adaptive` under `refine_config`, its accept margin included; `fixed_N` for each of `fixed_rounds`;
    `margin_X` for each of `margins`: adaptive with that accept margin instead. Drafts are scored only where a margin
    needs it. A later question that does not fit into the context ends only the arms that ask it, with the answer they
    have.
    """
    known = Known(lambda request: _key(chat, request))
    results = {}
    for name, answer in arms(refine_config, format, fixed_rounds, margins).items():
        results[name] = yield from known.remembered(answer(chat))
    return Answered(results, known.asked)


def arms(
    refine_config: RefineConfig, format: CallFormat, fixed_rounds: Sequence[int], margins: Sequence[float]
) -> dict[str, Callable[..., Program[Refined]]]:
    """The ways of answering a chat, by name: `refine` under other settings. The direct one asks nothing that the
    adaptive one does not ask too."""

    def way(update: dict[str, object], rounds: int | None = None) -> Callable[..., Program[Refined]]:
        config = refine_config.model_copy(update=update)
        return partial(refine, config=config, format=format, fixed_rounds=rounds)

    return {
        DIRECT: way({"max_rounds": 0}),
        ADAPTIVE: way({}),
        **{fixed_arm(rounds): way({}, rounds) for rounds in sorted(set(fixed_rounds))},
        **{margin_arm(margin): way({"accept_margin": margin}) for margin in sorted(set(margins))},
    }


class Known:
    """The completions of one row, so that no question is asked twice; `key` sets one question apart from another.

    `asked` counts the questions that were passed on and fit into the context.
    """

    def __init__(self, key: Callable[[Request], Hashable]) -> None:
        self._key = key
        self._known: dict[Hashable, Completion] = {}
        self.asked = 0

    def remembered(self, program: Program[R]) -> Program[R]:
        """Answer a program from what is known, and pass on only questions that are new."""
        key, known = self._key, self._known
        try:
            requests = next(program)
            while True:
                new = tuple(request for request in requests if key(request) not in known)
                if new:
                    completions = yield new
                    self.asked += sum(done.finish != "too_long" for done in completions)
                    known.update((key(request), done) for request, done in zip(new, completions, strict=True))
                requests = program.send([known[key(request)] for request in requests])
        except StopIteration as stop:
            result: R = stop.value
            return result


def _key(chat: Chat, request: Request) -> Hashable:
    """What sets one question apart from another: the turns after the chat's own, and the text to score.

    The seed is left out: it means nothing to greedy decoding.
    """
    added = request.chat.messages[len(chat.messages) :]
    return tuple(message.content for message in added), request.score


def _answer(result: Refined) -> dict[str, Any]:
    return {name: getattr(result, name) for name in ArmAnswer.model_fields}
