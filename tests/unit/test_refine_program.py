"""The refinement program: each stop rule, what it asks, and what it counts."""

from __future__ import annotations

from typing import Any

import pytest

from toolace.calls.schema import Chat, Message, Tool
from toolace.config import RefineConfig
from toolace.errors import RolloutError
from toolace.refinement.program import Refined, refine
from toolace.rendering import refine_turn
from toolace.rollouts.program import Completion, Request, Sampling, drive

A, B, C = "[f(x=1)]", "[f(x=2)]", "[g(y='z')]"
TOO_LONG = Completion("", "too_long")
CHAT = Chat(tools=(Tool(name="f"), Tool(name="g")), messages=(Message(role="user", content="do it"),))


def run_refine(
    *answers: str | tuple[str, float], scores: tuple[Any, ...] = (), **options: Any
) -> tuple[Refined, list[Request]]:
    """Refine with these answers in order (text, or text and logprob) and these scores of drafts; "too long" is what a
    question beyond the context gets."""
    config = RefineConfig(max_rounds=options.pop("max_rounds", 5), accept_margin=options.pop("accept_margin", 0))
    texts, left = iter(answers), iter(scores)
    asked: list[Request] = []

    def answer(request: Request) -> Completion:
        asked.append(request)
        if request.score is not None:
            score = next(left)
            assert request.optional
            return TOO_LONG if score == "too long" else Completion("", "score", prompt_tokens=1, logprob=score)
        given = next(texts)
        if given == "too long":
            assert request.optional
            return TOO_LONG
        text, logprob = (given, -1.0) if isinstance(given, str) else given
        return Completion(text, tokens=10, prompt_tokens=100, logprob=logprob)

    result = drive(refine(CHAT, config=config, format="pythonic", **options), answer)
    assert next(texts, None) is None and next(left, None) is None, "the program asked for less than it was given"
    return result, asked


def outcome(result: Refined) -> tuple[str, str, int, int]:
    return result.text, result.stopped, result.rounds, result.model_calls


def test_it_stops_when_the_answer_repeats_its_draft() -> None:
    result, asked = run_refine(A, B, B)
    assert outcome(result) == (B, "unchanged", 2, 3)
    assert [request.chat for request in asked] == [CHAT, refine_turn(CHAT, A), refine_turn(CHAT, B)]
    assert all(request.sampling.temperature == 0 and request.sampling.max_tokens == 256 for request in asked)
    assert (result.tokens, result.prompt_tokens, result.scored) == (30, 300, 0)
    assert [step.text for step in result.steps] == [A, B, B]


def test_equal_calls_written_otherwise_are_unchanged() -> None:
    result, _ = run_refine("[f(x=1), g(y='z')]", '[g(y="z"), f(x = 1)]')
    assert result.stopped == "unchanged" and result.rounds == 1


def test_text_answers_are_equal_when_their_stripped_texts_are() -> None:
    assert run_refine("Which city?", " Which city?\n")[0].stopped == "unchanged"
    assert outcome(run_refine("Which city?", "Which town?", A, A)[0]) == (A, "unchanged", 3, 4)


def test_an_answer_that_comes_back_is_a_cycle() -> None:
    assert outcome(run_refine(A, B, A)[0]) == (A, "cycle", 2, 3)
    assert outcome(run_refine(A, B, C, B)[0]) == (B, "cycle", 3, 4)


def test_it_stops_after_max_rounds_with_the_last_answer() -> None:
    assert outcome(run_refine(A, B, C, max_rounds=2)[0]) == (C, "max_rounds", 2, 3)
    assert outcome(run_refine(A, B, B, max_rounds=2)[0]) == (B, "unchanged", 2, 3)


def test_no_rounds_is_the_direct_answer() -> None:
    assert outcome(run_refine(A, max_rounds=0)[0]) == (A, "direct", 0, 1)


def test_a_fixed_number_of_rounds_is_done_whatever_the_answers() -> None:
    assert outcome(run_refine(A, A, A, A, fixed_rounds=3)[0]) == (A, "fixed", 3, 4)
    assert outcome(run_refine(A, B, fixed_rounds=1, accept_margin=5)[0]) == (B, "fixed", 1, 2)


def test_a_change_is_taken_only_when_preferred_by_more_than_the_margin() -> None:
    taken, asked = run_refine((A, -9.0), (B, -1.0), (B, -1.0), scores=(-2.5,), accept_margin=1)
    assert outcome(taken) == (B, "unchanged", 2, 3)
    assert (asked[2].chat, asked[2].score) == (refine_turn(CHAT, A), A)
    assert (taken.scored, taken.prompt_tokens, taken.steps[1].draft_logprob) == (1, 301, -2.5)

    left, _ = run_refine((A, -0.1), (B, -1.0), scores=(-2.0,), accept_margin=1)
    assert outcome(left) == (A, "margin", 1, 2)
    assert [step.text for step in left.steps] == [A, B]


def test_a_cycle_too_has_to_clear_the_margin() -> None:
    result, _ = run_refine((A, -1.0), (B, -1.0), (A, -1.0), scores=(-5.0, -1.0), accept_margin=1)
    assert outcome(result) == (B, "margin", 2, 3)
    result, _ = run_refine((A, -1.0), (B, -1.0), (A, -1.0), scores=(-5.0, -5.0), accept_margin=1)
    assert outcome(result) == (A, "cycle", 2, 3)


def test_a_question_beyond_the_context_leaves_the_answer_before_it() -> None:
    assert outcome(run_refine(A, "too long")[0]) == (A, "context", 0, 1)
    assert outcome(run_refine(A, B, "too long")[0]) == (B, "context", 1, 2)
    fixed, asked = run_refine(A, B, "too long", fixed_rounds=3)
    assert outcome(fixed) == (B, "context", 1, 2) and (fixed.tokens, fixed.prompt_tokens) == (20, 200)
    assert [request.optional for request in asked] == [False, True, True]


def test_a_change_whose_draft_cannot_be_scored_is_not_taken() -> None:
    result, _ = run_refine(A, B, scores=("too long",), accept_margin=1)
    assert outcome(result) == (A, "context", 1, 2)
    assert ([step.text for step in result.steps], result.scored, result.prompt_tokens) == ([A, B], 0, 200)


def test_the_first_question_may_be_optional_too() -> None:
    result, asked = run_refine("too long", optional=True)
    assert outcome(result) == ("", "context", 0, 0) and result.steps == () and len(asked) == 1
    assert outcome(run_refine(A, A, optional=True)[0]) == (A, "unchanged", 1, 2)


def test_the_margin_needs_logprobs() -> None:
    with pytest.raises(RolloutError, match="accept_margin 1 needs log-probabilities"):
        run_refine(A, B, scores=(None,), accept_margin=1)


def test_text_drafts_are_refined_unless_they_are_to_be_left_alone() -> None:
    assert outcome(run_refine("No tool fits.", A, A)[0]) == (A, "unchanged", 2, 3)
    assert outcome(run_refine("No tool fits.", skip_text=True)[0]) == ("No tool fits.", "no_call", 0, 1)
    assert run_refine(A, A, skip_text=True)[0].stopped == "unchanged"
    assert run_refine("[f(x=", A, A, skip_text=True)[0].stopped == "unchanged"


def test_sampling_gets_a_seed_for_each_round() -> None:
    sampling = Sampling(temperature=0.5, max_tokens=9)
    _, asked = run_refine(A, B, B, sampling=sampling, seed=40)
    assert [(request.seed, request.sampling) for request in asked] == [(seed, sampling) for seed in (40, 41, 42)]


def test_a_result_is_json_and_back() -> None:
    result, _ = run_refine((A, -9.0), (B, -1.0), (B, -1.0), scores=(-5.0,), accept_margin=1)
    assert Refined.model_validate_json(result.model_dump_json()) == result
