"""Evaluation: all arms off one chain of answers, and scores computed by hand."""

from __future__ import annotations

import random
from typing import Any

import pytest

from toolace.calls.schema import Call, Chat, Message, Sample, Tool
from toolace.config import RefineConfig
from toolace.errors import RolloutError
from toolace.evaluation.metrics import ScoreTally, score
from toolace.evaluation.program import ArmResult, EvaluationRecord, evaluate_sample
from toolace.refinement.program import Refined, Stopped, refine
from toolace.rollouts.program import Completion, Request, drive

RIGHT, WRONG, OTHER = "[f(x=1)]", "[f(x=2)]", "[f(x=3)]"
SAMPLE = Sample(
    id="s",
    chat=Chat(
        tools=(Tool(name="f", parameters={"type": "object", "properties": {"x": {"type": "integer"}}}),),
        messages=(Message(role="user", content="one, please"),),
    ),
    reference=Message(role="assistant", calls=(Call(name="f", arguments={"x": 1}),)),
    kind="single",
)


class Model:
    """A greedy model: its answer is a function of the draft it is shown (None: the first question)."""

    def __init__(
        self,
        answers: dict[str | None, str],
        scores: dict[str, float] | None = None,
        too_long: tuple[tuple[str | None, str | None], ...] = (),
    ) -> None:
        self.answers = answers
        self.too_long = too_long
        self.scores = scores or {}
        self.asked: list[tuple[str | None, str | None]] = []

    def __call__(self, request: Request) -> Completion:
        added = request.chat.messages[len(SAMPLE.chat.messages) :]
        draft = added[0].content if added else None
        if (draft, request.score) in self.too_long:
            assert request.optional
            return Completion("", "too_long")
        self.asked.append((draft, request.score))
        if request.score is not None:
            return Completion("", finish="score", prompt_tokens=60, logprob=self.scores[request.score])
        return Completion(self.answers[draft], tokens=7, prompt_tokens=50 if added else 30, logprob=-1.0)


def evaluate(model: Model, config: RefineConfig | None = None, **options: Any) -> EvaluationRecord:
    program = evaluate_sample(SAMPLE, refine_config=config or RefineConfig(), format="pythonic", **options)
    record = EvaluationRecord.model_validate(drive(program, model))
    assert record.asked == len(model.asked) == len(set(model.asked)), "a question was asked twice"
    return record


def test_all_arms_share_one_chain_and_each_counts_its_own_cost() -> None:
    model = Model({None: WRONG, WRONG: RIGHT, RIGHT: RIGHT})
    record = evaluate(model, fixed_rounds=[3, 1, 2])
    assert model.asked == [(None, None), (WRONG, None), (RIGHT, None)]
    assert record.chain == (WRONG, RIGHT, RIGHT)
    assert (record.id, record.kind) == ("s", "single")
    arms = {name: (arm.correct, arm.stopped, arm.model_calls, arm.tokens) for name, arm in record.arms.items()}
    assert arms == {
        "direct": (False, "direct", 1, 7),
        "adaptive": (True, "unchanged", 3, 21),
        "fixed_1": (True, "fixed", 2, 14),
        "fixed_2": (True, "fixed", 3, 21),
        "fixed_3": (True, "fixed", 4, 28),
    }
    assert record.arms["direct"].error is not None and record.arms["adaptive"].error is None
    assert record.arms["fixed_3"].prompt_tokens == 30 + 3 * 50


def test_fixed_rounds_go_beyond_where_the_adaptive_arm_stopped() -> None:
    model = Model({None: WRONG, WRONG: OTHER, OTHER: WRONG})
    record = evaluate(model, fixed_rounds=[1, 2, 3])
    assert [record.arms[name].text for name in ("adaptive", "fixed_1", "fixed_2", "fixed_3")] == [
        WRONG,
        OTHER,
        WRONG,
        OTHER,
    ]
    assert record.arms["adaptive"].stopped == "cycle"
    assert len(model.asked) == 3


def test_drafts_are_scored_only_for_margins() -> None:
    answers: dict[str | None, str] = {None: RIGHT, RIGHT: WRONG, WRONG: WRONG}
    plain = Model(answers)
    evaluate(plain, fixed_rounds=[1])
    assert all(score is None for _, score in plain.asked)
    model = Model(answers, scores={RIGHT: -1.5})
    record = evaluate(model, margins=[1.0, 0.25])
    assert (RIGHT, RIGHT) in model.asked
    arms = {name: (arm.correct, arm.stopped, arm.scored) for name, arm in record.arms.items()}
    assert arms == {
        "direct": (True, "direct", 0),
        "adaptive": (False, "unchanged", 0),
        "margin_0.25": (False, "unchanged", 1),
        "margin_1": (True, "margin", 1),
    }


def test_a_question_beyond_the_context_is_felt_only_by_the_arms_that_ask_it() -> None:
    answers: dict[str | None, str] = {None: RIGHT, RIGHT: WRONG, WRONG: OTHER}
    model = Model(answers, scores={RIGHT: -9.0}, too_long=((WRONG, None), (RIGHT, RIGHT)))
    record = evaluate(model, fixed_rounds=[1, 2], margins=[1.0])
    assert {name: (arm.text, arm.stopped, arm.rounds) for name, arm in record.arms.items()} == {
        "direct": (RIGHT, "direct", 0),
        "adaptive": (WRONG, "context", 1),
        "fixed_1": (WRONG, "fixed", 1),
        "fixed_2": (WRONG, "context", 1),
        "margin_1": (RIGHT, "context", 1),
    }
    assert record.asked == 2 and record.chain == (RIGHT, WRONG)


def test_the_configured_margin_applies_to_the_adaptive_arm() -> None:
    model = Model({None: RIGHT, RIGHT: WRONG}, scores={RIGHT: -1.5})
    record = evaluate(model, RefineConfig(accept_margin=1))
    assert (record.arms["adaptive"].text, record.arms["adaptive"].stopped) == (RIGHT, "margin")


def test_each_arm_equals_refinement_run_alone() -> None:
    rng = random.Random(0)
    texts = [RIGHT, "[f(x = 1)]", WRONG, OTHER, "no", "[f("]
    for _ in range(200):
        answers = {draft: rng.choice(texts) for draft in (None, *texts)}
        model = Model(answers, scores={text: rng.choice([-0.5, -1.5, -3.0]) for text in texts})
        config = RefineConfig(max_rounds=rng.randint(0, 5))
        record = evaluate(model, config, fixed_rounds=[1, 2, 3], margins=[1.0])
        alone: dict[str, Refined] = {
            "direct": drive(refine(SAMPLE.chat, config=RefineConfig(max_rounds=0), format="pythonic"), model),
            "adaptive": drive(refine(SAMPLE.chat, config=config, format="pythonic"), model),
            "margin_1": drive(
                refine(
                    SAMPLE.chat, config=RefineConfig(max_rounds=config.max_rounds, accept_margin=1), format="pythonic"
                ),
                model,
            ),
        }
        for n in (1, 2, 3):
            alone[f"fixed_{n}"] = drive(refine(SAMPLE.chat, config=config, format="pythonic", fixed_rounds=n), model)
        assert record.arms.keys() == alone.keys()
        for name, arm in record.arms.items():
            expected = alone[name].model_dump(exclude={"steps"})
            assert arm.model_dump(exclude={"correct", "error"}) == expected, name


def arm(
    correct: bool, calls: int, tokens: int, stopped: Stopped = "unchanged", error: str = "wrong_value"
) -> ArmResult:
    return ArmResult(
        text="t",
        correct=correct,
        error=None if correct else error,
        rounds=calls - 1,
        stopped=stopped,
        model_calls=calls,
        scored=0,
        tokens=tokens,
        prompt_tokens=10 * calls,
    )


def row(kind: str, direct: bool, adaptive: bool, fixed: bool, calls: int) -> EvaluationRecord:
    arms = {
        "direct": arm(direct, 1, 5, "direct"),
        "adaptive": arm(adaptive, calls, 5 * calls),
        "fixed_1": arm(fixed, 2, 10, "fixed", "missing_call"),
    }
    return EvaluationRecord(id="r", kind=kind, arms=arms, chain=("t",), asked=calls)


ROWS = [
    row("single", direct=False, adaptive=True, fixed=True, calls=3),
    row("single", direct=True, adaptive=True, fixed=True, calls=2),
    row("parallel", direct=True, adaptive=False, fixed=True, calls=4),
    row("parallel", direct=False, adaptive=True, fixed=False, calls=3),
]


def test_scores_by_hand() -> None:
    scores = score(iter(ROWS), errors=1)
    assert (scores.n, scores.errors) == (5, 1)
    assert (scores.direct, scores.adaptive) == (2 / 5, 3 / 5)
    assert (scores.repairs, scores.regressions) == (2, 1)
    assert (scores.mean_calls, scores.mean_tokens) == (3.0, 15.0)
    fixed = scores.arms["fixed_1"]
    assert (fixed.accuracy, fixed.repairs, fixed.regressions) == (3 / 5, 1, 0)
    assert (fixed.mean_calls, fixed.mean_prompt_tokens, fixed.mean_scored) == (2.0, 20.0, 0.0)
    assert (fixed.stopped, fixed.mistakes) == ({"fixed": 4}, {"missing_call": 1})
    assert {kind: (s.n, s.direct, s.adaptive) for kind, s in scores.by_kind.items()} == {
        "": (1, 0.0, 0.0),
        "parallel": (2, 0.5, 0.5),
        "single": (2, 0.5, 1.0),
    }
    assert {"n", "direct", "adaptive", "mean_calls", "repairs", "regressions"} <= scores.model_dump().keys()


def test_parts_merge_to_the_scores_of_the_whole() -> None:
    rng = random.Random(1)
    rows = [
        row(rng.choice("ab"), rng.random() < 0.5, rng.random() < 0.5, rng.random() < 0.5, rng.randint(1, 6))
        for _ in range(100)
    ]
    whole, merged = ScoreTally(), ScoreTally()
    for start in range(0, 100, 30):
        part = ScoreTally()
        for record in rows[start : start + 30]:
            part.add(record)
            whole.add(record)
        merged.merge(part)
    failed = ScoreTally()
    failed.add_error("a")
    merged.merge(failed)
    whole.add_error("a")
    assert merged.scores() == whole.scores()
    assert merged.scores().n == 101


@pytest.mark.parametrize(("errors", "hint"), [(0, "Check that the split has samples"), (3, "of 3 evaluated rows none")])
def test_no_answered_row_is_an_error(errors: int, hint: str) -> None:
    with pytest.raises(RolloutError, match=hint):
        score([], errors=errors)


def test_records_of_different_settings_do_not_mix() -> None:
    other = ROWS[0].model_copy(update={"arms": {name: ROWS[0].arms[name] for name in ("direct", "adaptive")}})
    with pytest.raises(RolloutError, match="different settings"):
        score([ROWS[0], other])
    tallies = [ScoreTally(), ScoreTally()]
    tallies[0].add(ROWS[0])
    tallies[1].add(other)
    with pytest.raises(RolloutError, match="different settings"):
        tallies[0].merge(tallies[1])
