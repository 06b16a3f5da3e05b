"""Refining a chat request over a scripted engine: each stop rule, what is sent, what comes back."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_fakes import BODY, LOGPROBS, A, Answer, B, C, Engine, Scorer, calls_of, completion

from toolace.calls import parse_answer
from toolace.calls.schema import Chat, Message
from toolace.config import RefineConfig
from toolace.errors import ServingError
from toolace.refinement.program import refine
from toolace.rendering import REFINE_INSTRUCTION
from toolace.rollouts.program import Completion, Request, drive
from toolace.serving.errors import ApiError
from toolace.serving.passes import Outcome, Round
from toolace.serving.protocol import Plan
from toolace.serving.refining import refine_chat

LATE = ApiError(504, "late")
BOOM = ApiError(500, "boom")
LONG = ApiError(400, "This model's maximum context length is 512 tokens. However, your prompt contains 600 tokens.")
LONG_DRAFT = ApiError(400, "The decoder prompt (length 513) is longer than the maximum model length of 512.")


@pytest.mark.parametrize(
    ("answers", "plan", "stopped", "rounds", "final"),
    [
        ((A, A), Plan(), "unchanged", 1, A),
        ((A, B, " [f(x = 2)]"), Plan(), "unchanged", 2, B),
        ((A, B, A), Plan(), "cycle", 2, A),
        ((A, B, C), Plan(max_rounds=2), "max_rounds", 2, C),
        ((A,), Plan(max_rounds=0), "direct", 0, A),
        ((A, A, B), Plan(mode="fixed", max_rounds=2), "fixed", 2, B),
        ((A,), Plan(mode="fixed", max_rounds=0), "fixed", 0, A),
        (("Which?",), Plan(refine_text=False), "no_call", 0, "Which?"),
        (("Which?", A, A), Plan(), "unchanged", 2, A),
        (("[f(x=", A, A), Plan(refine_text=False), "unchanged", 2, A),
        ((A, LONG), Plan(), "context", 0, A),
        ((A, B, LONG), Plan(mode="fixed", max_rounds=4), "context", 1, B),
        ((A, ApiError(400, "temperature must be at least 0")), Plan(), "error", 0, A),
        ((A, BOOM), Plan(), "error", 0, A),
        ((A, B, ValueError("x")), Plan(), "error", 1, B),
        ((A, {"choices": []}), Plan(), "error", 0, A),
        ((A, TimeoutError()), Plan(), "deadline", 0, A),
        ((A, B, LATE), Plan(), "deadline", 1, B),
        ((A, B), Plan(deadline_s=1.0), "deadline", 1, B),
        ((A, B, LATE), Plan(mode="fixed", max_rounds=4), "deadline", 1, B),
    ],
)
def test_how_refinement_ends(answers: tuple[Answer, ...], plan: Plan, stopped: str, rounds: int, final: str) -> None:
    response = (engine := Engine(*answers)).run(plan)
    assert response["refinement"] == {"rounds": rounds, "stopped": stopped, "model": "m@1"}
    parsed = parse_answer(final)
    assert calls_of(response) == [(call.name, call.arguments) for call in parsed.calls]
    choice = response["choices"][0]
    assert choice["finish_reason"] == ("tool_calls" if parsed.calls else "stop")
    assert choice["message"]["content"] == (None if parsed.calls else final)
    assert len(engine.asked) == len(answers)


def test_what_each_pass_is_asked() -> None:
    engine = Engine(f" {A}\n", B, B)
    more = {
        "stream": True,
        "stream_options": {"include_usage": True},
        "refinement": {"mode": "adaptive"},
        "temperature": 0.3,
        "max_tokens": 7,
        "stop": ["x"],
        "response_format": {"type": "text"},
    }
    engine.run(body=more)
    kept = {"temperature": 0.3, "max_tokens": 7, "stop": ["x"], "response_format": {"type": "text"}}
    base = {**BODY, **kept, "stream": False, "tool_choice": "none"}

    def turns(draft: str) -> list[dict[str, str]]:
        return [{"role": "assistant", "content": draft}, {"role": "user", "content": REFINE_INSTRUCTION}]

    assert engine.asked == [
        base,
        {**base, "messages": BODY["messages"] + turns(A)},
        {**base, "messages": BODY["messages"] + turns(B)},
    ]


def test_special_tokens_are_kept_for_the_format_whose_marks_they_may_be() -> None:
    call = '<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call>'
    engine = Engine(call, call)
    assert calls_of(engine.run(format="hermes")) == [("f", {"x": 1})]
    assert all(asked["skip_special_tokens"] is False for asked in engine.asked)
    (engine := Engine(call, call)).run(format="hermes", body={"skip_special_tokens": True})
    assert all(asked["skip_special_tokens"] is True for asked in engine.asked)


def test_the_seed_of_round_n_is_the_requests_plus_n() -> None:
    (engine := Engine(A, B, C, C)).run(body={"seed": 40})
    assert [asked["seed"] for asked in engine.asked] == [40, 41, 42, 43]
    (engine := Engine(A, B, B)).run(body={"seed": 2**63 - 1})
    assert [asked["seed"] for asked in engine.asked] == [2**63 - 1, -(2**63), -(2**63) + 1]
    (engine := Engine(A, A)).run()
    assert all("seed" not in asked for asked in engine.asked)


def test_usage_sums_all_passes_and_ids_come_from_the_first() -> None:
    response = Engine(A, B, B).run()
    usage = response["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (300, 33, 333)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 270
    assert (response["id"], response["created"], response["model"]) == ("chatcmpl-0", 1000, "m")
    assert "steps" not in response["refinement"]


def test_rounds_are_returned_when_asked_for() -> None:
    response = Engine("Which?", A + " ok", A).run(Plan(return_rounds=True))
    steps = response["refinement"]["steps"]
    assert [step["content"] for step in steps] == ["Which?", "ok", None]
    assert [[call["function"]["name"] for call in step["tool_calls"]] for step in steps] == [[], ["f"], ["f"]]
    assert [(step["tokens"], step["prompt_tokens"], step["ms"]) for step in steps] == [
        (10, 100, 500.0),
        (11, 100, 500.0),
        (12, 100, 500.0),
    ]


def test_a_round_that_failed_is_not_counted() -> None:
    response = Engine(A, B, BOOM).run(Plan(return_rounds=True))
    assert response["usage"]["completion_tokens"] == 21 and len(response["refinement"]["steps"]) == 2


def test_calls_have_ids_of_their_own_and_json_arguments() -> None:
    response = Engine('[f(x="ü"), f(x="ü")]', '[f(x="ü"), f(x="ü")]').run()
    calls = response["choices"][0]["message"]["tool_calls"]
    assert len({call["id"] for call in calls}) == 2 and all(call["id"].startswith("chatcmpl-tool-") for call in calls)
    assert calls[0]["type"] == "function" and calls[0]["function"]["arguments"] == '{"x": "ü"}'


def test_without_parallel_calls_the_first_one_leaves() -> None:
    two = "[f(x=1), g(y='z')]"
    response = Engine(two, two).run(Plan(return_rounds=True), body={"parallel_tool_calls": False})
    assert calls_of(response) == [("f", {"x": 1})]
    assert response["choices"][0]["finish_reason"] == "tool_calls"
    assert len(response["refinement"]["steps"][0]["tool_calls"]) == 2
    assert len(calls_of(Engine(two, two).run(body={"parallel_tool_calls": True}))) == 2


def test_a_truncated_answer_gives_no_unfinished_call() -> None:
    cut = '[f(x=1), f(x="ab'
    response = Engine(completion(0, cut, "length"), completion(1, cut, "length")).run()
    choice = response["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("length", cut)
    assert "tool_calls" not in choice["message"]
    whole = completion(0, A, "length")  # as vLLM: whole calls are calls
    assert Engine(whole, A).run()["choices"][0]["finish_reason"] == "tool_calls"


def test_calls_come_from_the_text_alone() -> None:
    made = {"tool_calls": [{"id": "i", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}
    choice = Engine(completion(0, "Which?", message=made), "Which?").run(Plan(max_rounds=0))["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Which?", "stop")
    assert "tool_calls" not in choice["message"]


def test_an_empty_list_of_calls_is_an_empty_text() -> None:
    choice = Engine("[]", "[]").run()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("", "stop")


def test_logprobs_of_the_accepted_pass_are_kept() -> None:
    first, second = completion(0, A), completion(1, B, logprobs=LOGPROBS)
    response = Engine(first, second, completion(2, B, logprobs=LOGPROBS)).run(body={"logprobs": True})
    assert response["choices"][0]["logprobs"] == LOGPROBS


def constrained(n: int, *calls: tuple[str, str], finish: str = "tool_calls") -> dict[str, Any]:
    made = [
        {"id": f"id-{n}-{i}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for i, (name, arguments) in enumerate(calls)
    ]
    return completion(n, "", finish, message={"tool_calls": made})


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "f"}}])
def test_constrained_passes_keep_their_choice_and_their_calls(choice: Any) -> None:
    finish = "tool_calls" if choice == "required" else "stop"
    engine = Engine(
        constrained(0, ("f", '{"x": 1}'), finish=finish),
        constrained(1, ("f", '{"x": 2}'), finish=finish),
        constrained(2, ("f", '{"x":2}'), finish=finish),
    )
    response = engine.run(body={"tool_choice": choice})
    assert response["refinement"]["stopped"] == "unchanged" and calls_of(response) == [("f", {"x": 2})]
    assert response["choices"][0]["message"]["tool_calls"][0]["id"] == "id-2-0"
    assert response["choices"][0]["finish_reason"] == finish
    assert [asked["tool_choice"] for asked in engine.asked] == [choice] * 3
    assert [asked["messages"][1]["content"] for asked in engine.asked[1:]] == [A, B]


def test_a_constrained_call_that_was_cut_off_is_shown_as_it_is() -> None:
    cut = constrained(0, ("f", '{"x": "ab'), finish="length")
    engine = Engine(cut, constrained(1, ("f", '{"x": 1}')), constrained(2, ("f", '{"x": 1}')))
    assert calls_of(engine.run(body={"tool_choice": "required"})) == [("f", {"x": 1})]
    assert engine.asked[1]["messages"][1]["content"] == '{"x": "ab'


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (LONG, 400, None),
        (ApiError(429, "busy", retry_after=1), 429, "rate_limit_exceeded"),
        (ValueError("/srv/x"), 500, "internal_error"),
        (TimeoutError(), 504, "deadline_exceeded"),
        ({}, 500, "internal_error"),
        ({"choices": [{"message": None}]}, 500, "internal_error"),
    ],
)
def test_the_first_pass_failing_is_the_requests_error(failure: Answer, status: int, code: str | None) -> None:
    with pytest.raises(ApiError) as caught:
        Engine(failure).run()
    assert (caught.value.status, caught.value.code) == (status, code)


def test_each_pass_is_told_the_time_that_is_left() -> None:
    (engine := Engine(A, B, B, seconds=2.0, now=100.0)).run(Plan(deadline_s=60.0))
    assert engine.left == [60.0, 58.0, 56.0]


async def forever(_: int) -> dict[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError


def test_a_pass_that_ignores_its_deadline_is_stopped() -> None:
    with pytest.raises(ApiError) as caught:
        Engine(forever, seconds=0).run(Plan(deadline_s=0.01))
    error = caught.value
    assert (error.status, error.type, error.code) == (504, "timeout_error", "deadline_exceeded")
    assert "10 ms" in error.message
    response = Engine(A, forever, seconds=0).run(Plan(deadline_s=0.01))
    assert response["refinement"]["stopped"] == "deadline" and calls_of(response) == [("f", {"x": 1})]


def test_cancelling_cancels_the_pass_that_runs() -> None:
    ended: list[str] = []
    running = asyncio.Event()

    async def slow(_: int) -> dict[str, Any]:
        try:
            running.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        raise AssertionError

    async def main() -> None:
        task = asyncio.create_task(refine_chat(BODY, Plan(), Engine(A, slow).complete, format="pythonic"))
        await running.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ended == ["cancelled"]


def test_answers_of_two_models_are_not_mixed() -> None:
    other = {**completion(1, B), "system_fingerprint": "m@2"}
    response = Engine(A, other).run()
    assert response["refinement"] == {"rounds": 0, "stopped": "error", "model": "m@1"}
    assert calls_of(response) == [("f", {"x": 1})] and response["usage"]["prompt_tokens"] == 100
    unnamed = [{**completion(n, A), "system_fingerprint": None} for n in range(2)]
    assert Engine(*unnamed).run()["refinement"]["model"] == "m"


# --- the accept margin ---


MARGIN = Plan(accept_margin=1.0)


def scored(*texts: str) -> list[Answer]:
    return [completion(n, text, logprobs=LOGPROBS if n else None) for n, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("texts", "scores", "stopped", "rounds", "final"),
    [
        ((A, A), (), "unchanged", 1, A),
        ((A, B), (-1.5,), "margin", 1, A),  # the answer's -1.0 beats the draft by 0.5 only
        ((A, B, B), (-3.0,), "unchanged", 2, B),
        ((A, B, C), (-3.0, -1.0), "margin", 2, B),
        ((A, B), (BOOM,), "error", 1, A),
        ((A, B), (TimeoutError(),), "deadline", 1, A),
        ((A, B), (LONG_DRAFT,), "context", 1, A),
    ],
)
def test_the_accept_margin(texts: Any, scores: Any, stopped: str, rounds: int, final: str) -> None:
    scorer = Scorer(*scores)
    engine = Engine(*scored(*texts))
    response = engine.run(MARGIN, score=scorer)
    assert response["refinement"] == {"rounds": rounds, "stopped": stopped, "model": "m@1"}
    assert calls_of(response) == [(call.name, call.arguments) for call in parse_answer(final).calls]
    assert response["choices"][0]["logprobs"] is None, "the client asked for none"
    assert scorer.scores == []
    for body, draft in scorer.asked:
        assert body["messages"][-2] == {"role": "assistant", "content": draft}
    assert "logprobs" not in engine.asked[0]
    assert all(asked["logprobs"] is True and asked["top_logprobs"] == 0 for asked in engine.asked[1:])


def test_the_margin_needs_a_scorer_and_logprobs() -> None:
    with pytest.raises(ServingError, match="accept_margin"):
        Engine(A).run(MARGIN)
    response = Engine(A, B).run(MARGIN, score=Scorer(-9.0))
    assert response["refinement"]["stopped"] == "error" and calls_of(response) == [("f", {"x": 1})]


def test_the_margin_leaves_the_clients_logprobs_and_constrained_calls_alone() -> None:
    engine = Engine(*scored(A, B), completion(2, B, logprobs=LOGPROBS))
    response = engine.run(MARGIN, score=Scorer(-9.0), body={"logprobs": True, "top_logprobs": 3})
    assert response["choices"][0]["logprobs"] == LOGPROBS
    assert [asked["top_logprobs"] for asked in engine.asked] == [3, 3, 3]
    passes = [constrained(n, ("f", json.dumps({"x": x}))) for n, x in enumerate((1, 2, 2))]
    response = Engine(*passes).run(MARGIN, score=Scorer(), body={"tool_choice": "required"})
    assert response["refinement"]["stopped"] == "unchanged"


# --- what is told beside the response ---


def test_rounds_and_the_outcome_are_told() -> None:
    rounds: list[Round] = []
    ends: list[Outcome] = []
    Engine(A, B, B).run(on_round=rounds.append, on_end=ends.append)
    assert rounds[1] == Round(1, tokens=11, prompt_tokens=100, cached_tokens=90, seconds=0.5, changed=True)
    assert [(one.number, one.changed) for one in rounds] == [(0, False), (1, True), (2, False)]
    assert ends == [Outcome("unchanged", True, tuple(rounds))]
    ends.clear()
    Engine(A, B, A).run(on_end=ends.append)
    assert [(end.stopped, end.changed) for end in ends] == [("cycle", False)]
    with pytest.raises(ApiError):
        Engine(BOOM).run(on_end=ends.append)
    assert len(ends) == 1


# --- the same program offline and served ---

PIECES = st.sampled_from(
    [
        A,
        B,
        C,
        " [f(x=1.0)]",
        "[f(x=1), g(y='z')]",
        "[g(y='z'), f(x=1)]",
        "Which city?",
        "Which  city?",
        "[f(x=",
        "[]",
        "",
    ]
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(PIECES | st.text(max_size=6), min_size=7, max_size=7),
    st.sampled_from(["adaptive", "fixed"]),
    st.integers(0, 6),
    st.booleans(),
    st.sampled_from([None, 0, 5]),
)
def test_the_served_and_the_offline_program_agree(
    texts: list[str], mode: Any, max_rounds: int, refine_text: bool, seed: int | None
) -> None:
    chat = Chat(messages=(Message(role="user", content="do it"),))
    shown: list[tuple[list[str], int]] = []
    left = iter(texts)

    def answer(request: Request) -> Completion:
        shown.append(([message.content for message in request.chat.messages], request.seed))
        return Completion(next(left), tokens=10, prompt_tokens=100)

    offline = drive(
        refine(
            chat,
            config=RefineConfig(max_rounds=max_rounds),
            format="pythonic",
            fixed_rounds=max_rounds if mode == "fixed" else None,
            skip_text=not refine_text,
            seed=seed or 0,
        ),
        answer,
    )
    engine = Engine(*texts)
    plan = Plan(mode=mode, max_rounds=max_rounds, refine_text=refine_text)
    response = engine.run(plan, body={} if seed is None else {"seed": seed})
    served = response["refinement"]
    assert (served["rounds"], served["stopped"]) == (offline.rounds, offline.stopped)
    final = parse_answer(offline.text)
    assert calls_of(response) == [(call.name, call.arguments) for call in final.calls]
    assert response["choices"][0]["message"]["content"] == (final.text or (None if final.calls else ""))
    assert [
        ([turn["content"] for turn in asked["messages"]], asked.get("seed", n)) for n, asked in enumerate(engine.asked)
    ] == ([(contents, n if seed is None else used) for n, (contents, used) in enumerate(shown)])
