"""The worker: many programs on one engine, one row's trouble never another's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from rollout_fakes import ByteCodec, expected, ids, make_samples, scripted_worker, shout, two_turns, user

from toolace.engines import Generate, Script, ScriptedEngine
from toolace.errors import EngineError
from toolace.rollouts.program import Program, Request, Sampling, ask, drive
from toolace.rollouts.worker import Finished, RolloutWorker


def by_length(request: Generate) -> tuple[int, ...]:
    """Answers of different lengths, so that rows finish in another order than they start."""
    return ids("x" * (1 + request.prompt[-1] % 5))


def one(text: str) -> Program[dict[str, Any]]:
    answer = yield from ask(Request(user(text)))
    return {"text": answer.text, "tokens": answer.tokens, "prompt": answer.prompt_tokens}


def run(worker: RolloutWorker, *texts: str) -> dict[str, Finished]:
    return {done.key: done for done in worker.run((text, one(text)) for text in texts)}


def test_records_are_those_of_the_program_driven_alone():
    worker = scripted_worker(Script(shout, tokens_per_step=3))
    samples = list(make_samples(30))
    found = {done.key: done.record for done in worker.run((s.id, two_turns(s)) for s in samples)}
    for sample in samples:
        assert {"id": sample.id, **(found[sample.id] or {})} == expected(sample)
    assert worker.open == 0


def test_answers_come_back_in_the_order_of_the_requests():
    def ask_both() -> Program[dict[str, Any]]:
        # The second answer is shorter and is ready first.
        long, short = yield (Request(user("d")), Request(user("a")))
        return {"long": long.text, "short": short.text}

    worker = scripted_worker(Script(lambda r: ids("xxxxxx") if r.prompt == ids("d") else ids("y"), tokens_per_step=1))
    (done,) = worker.run([("row", ask_both())])
    assert done.record == {"long": "xxxxxx", "short": "y"}
    assert (done.requests, done.generated_tokens, done.prompt_tokens) == (2, 9, 2)


def test_rows_are_read_only_as_there_is_room():
    worker = scripted_worker(Script(by_length, tokens_per_step=1), rows_in_flight=3)
    most = 0
    finished = 0

    def rows() -> Iterator[tuple[int, Program[dict[str, Any]]]]:
        nonlocal most
        for i in range(20):
            most = max(most, i - finished)
            yield i, one(chr(97 + i))

    for done in worker.run(rows()):
        finished += 1
        assert done.error is None
    assert finished == 20
    assert most == 2


def test_a_slow_row_does_not_hold_up_the_others():
    script = Script(lambda r: ids("z" * (100 if r.prompt == ids("slow") else 1)), tokens_per_step=1)
    worker = scripted_worker(script, rows_in_flight=2)
    order = [done.key for done in worker.run((t, one(t)) for t in ("slow", "a", "b", "c"))]
    assert order == ["a", "b", "c", "slow"]


def test_trouble_in_a_row_is_that_rows_error():
    def breaks() -> Program[dict[str, Any]]:
        yield from ask(Request(user("fine")))
        raise KeyError("lost")

    class Picky(ByteCodec):
        def prompt(self, chat):
            if "bad" in chat.messages[-1].content:
                raise ValueError("cannot render this")
            return super().prompt(chat)

    def answer(request: Generate) -> tuple[int, ...]:
        if request.prompt == ids("refuse"):
            raise RuntimeError("no answer")
        return ids("ok")

    worker = RolloutWorker(ScriptedEngine(answer, max_model_len=50), Picky(), rows_in_flight=4)
    rows = [("render", one("bad")), ("long", one("l" * 60)), ("program", breaks()), ("engine", one("refuse"))]
    found = {done.key: done for done in worker.run([*rows, ("good", one("fine"))])}
    assert found["good"].record is not None and found["good"].record["text"] == "ok"
    assert found["render"].error == "ValueError: cannot render this"
    assert "needs a context of 61, the engine has 50" in (found["long"].error or "")
    assert found["program"].error == "KeyError: 'lost'"
    assert found["engine"].error == "engine: RuntimeError: no answer"
    assert all(found[key].record is None for key in ("render", "long", "program", "engine"))
    assert worker.open == 0


def test_an_optional_request_beyond_the_context_is_answered_as_too_long():
    def asks(*more: Request) -> Program[dict[str, Any]]:
        first = yield from ask(Request(user("fine")))
        found = yield more
        last = yield (Request(user("l" * 60), optional=True),)  # nothing here goes to the engine
        return {"first": first.text, "found": [(one.text, one.finish) for one in [*found, *last]]}

    long = "l" * 60
    rows = [
        ("both", asks(Request(user(long), optional=True), Request(user("ok")))),
        ("score", asks(Request(user("ok"), score=long, optional=True), Request(user("ok"), score="fine"))),
        ("must", asks(Request(user("ok"), optional=True), Request(user(long)))),
    ]
    engine = ScriptedEngine(shout, max_model_len=50)
    worker = RolloutWorker(engine, ByteCodec(), rows_in_flight=4)
    found = {done.key: done for done in worker.run(rows)}
    too_long = ("", "too_long")
    assert found["both"].record == {"first": "FINE 0", "found": [too_long, ("OK 0", "stop"), too_long]}
    assert (found["both"].requests, found["both"].prompt_tokens) == (2, 6), "what was not asked costs nothing"
    assert found["score"].record == {"first": "FINE 0", "found": [too_long, ("fine", "score"), too_long]}
    assert "ContextError" in (found["must"].error or "") and found["must"].record is None
    assert worker.open == 0 and engine.pending == 0


def test_a_row_that_asks_only_what_does_not_fit_finishes_at_once():
    def asks() -> Program[dict[str, Any]]:
        (found,) = yield (Request(user("l" * 60), optional=True),)
        return {"finish": found.finish}

    worker = RolloutWorker(ScriptedEngine(shout, max_model_len=50), ByteCodec(), rows_in_flight=1)
    done = worker.start("row", asks())
    assert done is not None and done.record == {"finish": "too_long"} and worker.open == 0


def test_a_failed_row_leaves_nothing_behind_in_the_engine():
    def one_long_one_short() -> Program[dict[str, Any]]:
        yield (Request(user("ok")), Request(user("l" * 60)))
        return {}

    engine = ScriptedEngine(Script(lambda r: ids("slow answer"), tokens_per_step=1), max_model_len=50)
    worker = RolloutWorker(engine, ByteCodec(), rows_in_flight=4)
    (done,) = worker.run([("row", one_long_one_short())])
    assert done.error is not None
    assert engine.pending == 0


def test_a_dead_engine_is_not_a_rows_error():
    worker = scripted_worker(Script(shout, tokens_per_step=1, die_at_step=3))
    with pytest.raises(EngineError, match="died at step 3"):
        run(worker, "a", "b")


def test_a_program_without_questions_finishes_at_once():
    def silent() -> Program[dict[str, Any]]:
        nothing = yield ()
        return {"got": nothing}

    (done,) = scripted_worker(shout).run([("row", silent())])
    assert done.record == {"got": []}


def test_draws_of_a_row_share_one_rendering():
    class Counting(ByteCodec):
        calls = 0

        def prompt(self, chat):
            Counting.calls += 1
            return super().prompt(chat)

    def draws() -> Program[dict[str, Any]]:
        chat = user("q")
        answers = yield tuple(Request(chat, Sampling(temperature=1.0), seed=i) for i in range(4))
        more = yield tuple(Request(chat, Sampling(temperature=1.0), seed=i) for i in range(4, 8))
        return {"texts": [a.text for a in [*answers, *more]]}

    worker = RolloutWorker(ScriptedEngine(shout), Counting(), rows_in_flight=2)
    (done,) = worker.run([("row", draws())])
    assert done.record == {"texts": [f"Q {i}" for i in range(8)]}
    assert Counting.calls == 1


def test_max_tokens_and_the_context_bound_an_answer():
    engine = ScriptedEngine(lambda r: ids("abcdef"), max_model_len=8)
    engine.submit(Generate("limit", ids("pp"), Sampling(max_tokens=3)))
    engine.submit(Generate("context", ids("pppp"), Sampling(max_tokens=50)))
    engine.submit(Generate("whole", ids("p"), Sampling()))
    found = {answer.id: answer for answer in engine.step()}
    assert (found["limit"].token_ids, found["limit"].finish) == (ids("abc"), "length")
    assert (found["context"].token_ids, found["context"].finish) == (ids("abcd"), "length")
    assert (found["whole"].token_ids, found["whole"].finish, found["whole"].generated_tokens) == (
        ids("abcdef"),
        "stop",
        7,
    )


def test_the_program_alone_gives_the_same_record():
    from toolace.rollouts.program import Completion

    (sample,) = make_samples(1)

    def answer(request: Request) -> Completion:
        if request.score is not None:
            return Completion(request.score, "score", logprob=-2.0)
        return Completion(f"{request.chat.messages[-1].content.upper()} {request.seed}")

    assert {"id": sample.id, **drive(two_turns(sample), answer)} == expected(sample)
