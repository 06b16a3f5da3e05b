"""Reading a draft instead of writing it again: when, with what result, and what it costs."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from serving_fakes import A, B, C, Engine, Scorer, calls_of, completion

from toolace.calls import parse_answer
from toolace.errors import ServingError
from toolace.serving.errors import ApiError
from toolace.serving.protocol import Plan
from toolace.serving.scoring import read_table

SAME, OTHER = (-0.1, True), (-3.0, False)
CHECK = Plan(check="prompt", return_rounds=True)


@pytest.mark.parametrize(
    ("texts", "scores", "plan", "stopped", "checked", "final"),
    [
        ((A,), (SAME,), CHECK, "unchanged", [False, True], A),
        ((A, B), (OTHER, SAME), CHECK, "unchanged", [False, False, True], B),
        (
            (A, B, C),
            (OTHER, OTHER),
            Plan(check="prompt", max_rounds=2, return_rounds=True),
            "max_rounds",
            [False] * 3,
            C,
        ),
        ((A, A), (OTHER,), CHECK, "unchanged", [False, False], A),  # a near-tie: it is written after all
        (
            (A, B),
            (SAME, SAME, OTHER),
            Plan(mode="fixed", max_rounds=3, check="prompt", return_rounds=True),
            "fixed",
            [False, True, True, False],
            B,
        ),
        (("Which?",), (SAME,), CHECK, "unchanged", [False, True], "Which?"),
        ((A,), (ApiError(503, "gone"),), CHECK, "error", [False], A),
        ((A, A), (ApiError(400, "too long"),), CHECK, "unchanged", [False, False], A),
    ],
)
def test_a_round_is_written_only_where_the_draft_is_not_the_first_choice(
    texts: Any, scores: Any, plan: Plan, stopped: str, checked: list[bool], final: str
) -> None:
    scorer, engine = Scorer(*scores), Engine(*texts)
    response = engine.run(plan, score=scorer)
    found = response["refinement"]
    assert (found["stopped"], [step["checked"] for step in found["steps"]]) == (stopped, checked)
    assert calls_of(response) == [(call.name, call.arguments) for call in parse_answer(final).calls]
    assert scorer.scores == [] and len(engine.asked) == len(texts)
    for body, draft in scorer.asked:
        assert body["messages"][-2] == {"role": "assistant", "content": draft}


def test_reading_counts_in_the_usage() -> None:
    usage = Engine(A, B).run(CHECK, score=Scorer(OTHER, SAME))["usage"]
    # Two passes of 100 + 10 and 100 + 11 tokens, and two readings of 150 + 1.
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (500, 23)
    assert usage["total_tokens"] == 523


@pytest.mark.parametrize(
    "field",
    [
        {"temperature": 0.7},
        {"stop": ["]"]},
        {"logprobs": True},
        {"logit_bias": {"5": 10}},
        {"frequency_penalty": 0.5},
        {"response_format": {"type": "json_object"}},
        {"tool_choice": "required"},
        {"min_tokens": 5},
        {"something_new": 1},
    ],
)
def test_what_changes_decoding_is_written(field: dict[str, Any]) -> None:
    scorer = Scorer(SAME)
    response = Engine(A, A).run(CHECK, score=scorer, body=field)
    assert [step["checked"] for step in response["refinement"]["steps"]] == [False, False]
    assert scorer.asked == []


def test_what_does_not_change_decoding_is_read() -> None:
    body = {"temperature": 0, "top_p": 0.5, "seed": 3, "max_tokens": 50, "user": "u", "stop": None, "n": 1}
    assert Engine(A).run(CHECK, score=Scorer(SAME), body=body)["refinement"]["steps"][1]["checked"]


def test_a_draft_that_was_cut_off_is_written() -> None:
    response = Engine(completion(0, A, finish="length"), A).run(CHECK, score=Scorer())
    assert response["refinement"]["stopped"] == "unchanged"


def test_one_reading_serves_check_and_margin() -> None:
    scorer = Scorer((-1.5, False))
    both = Plan(check="prompt", accept_margin=1.0, return_rounds=True)
    logprobs = {"content": [{"token": "a", "logprob": -0.5, "bytes": None, "top_logprobs": []}] * 2}
    response = Engine(A, completion(1, B, logprobs=logprobs)).run(both, score=scorer)
    assert response["refinement"]["stopped"] == "margin" and calls_of(response) == [("f", {"x": 1})]
    assert len(scorer.asked) == 1


def test_other_weights_that_read_the_draft_are_no_answer() -> None:
    class Replaced(Scorer):
        async def __call__(self, body: dict[str, Any], draft: str) -> Any:
            return replace(await super().__call__(body, draft), version="m@2")

    response = Engine(A).run(CHECK, score=Replaced(SAME))
    assert response["refinement"]["stopped"] == "error" and response["refinement"]["model"] == "m@1"


def test_the_check_needs_a_scorer() -> None:
    with pytest.raises(ServingError, match="check prompt"):
        Engine(A).run(CHECK)


def entry(token: int, logprob: float, rank: int) -> dict[int, Any]:
    return {token: SimpleNamespace(logprob=logprob, rank=rank)}


def test_a_score_is_read_behind_the_prompt() -> None:
    table: list[Any] = [None, entry(5, -9.0, 7), entry(6, -0.5, 1), entry(7, -0.25, 1)]
    assert read_table(table, 2, (6, 7)) == (-0.75, True)
    table[3] = entry(7, -0.25, 2)
    assert read_table(table, 2, (6, 7)) == (-0.75, False)
    for broken in ([*table, None], (), [None, None, entry(6, -1.0, 1), entry(8, -1.0, 1)]):
        with pytest.raises(ApiError) as error:
            read_table(broken, 2, (6, 7))
        assert error.value.status == 500
