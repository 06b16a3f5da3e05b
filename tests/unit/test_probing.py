"""Probing: labels, stop rules, and that `exact` finds what `full` finds."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from toolace.calls.schema import Call, Chat, Message, Sample, Tool
from toolace.config import ProbeConfig, SelectConfig
from toolace.probing import ProbeRecord, decided, draws_needed, label_of, probe
from toolace.rollouts.program import Completion, Request, draw_seed, drive

RIGHT, RIGHT_TOO, WRONG, WRONG_TOO = "[f(x=1)]", "[f(x = 1)]", "[f(x=2)]", "[g(x=1)]"
SOLVED = SelectConfig(rule="solved")
BAND = SelectConfig(rule="band")


def make_sample(sample_id: str = "s") -> Sample:
    properties = {"x": {"type": "integer"}}
    tool = Tool(name="f", parameters={"type": "object", "properties": properties, "required": ["x"]})
    return Sample(
        id=sample_id,
        chat=Chat(tools=(tool,), messages=(Message(role="user", content="one, please"),)),
        reference=Message(role="assistant", calls=(Call(name="f", arguments={"x": 1}),)),
        kind="single",
    )


def run_probe(texts: list[str], rule: SelectConfig = SOLVED, **config: Any) -> tuple[ProbeRecord, list[int]]:
    """Probe with the given answers by draw index; also returns how many draws each turn asked for."""
    settings = ProbeConfig(**{"k": len(texts), **config})
    draw_of = {draw_seed(7, "s", draw): draw for draw in range(settings.k)}
    asked: list[int] = []
    program = probe(make_sample(), config=settings, select=rule, format="pythonic", run_seed=7)
    try:
        requests = next(program)
        while True:
            asked.append(len(requests))
            requests = program.send([Completion(texts[draw_of[r.seed]], tokens=3) for r in requests])
    except StopIteration as stop:
        return ProbeRecord.model_validate(stop.value), asked


def test_full_makes_all_draws_together_and_records_every_distinct_answer() -> None:
    record, asked = run_probe([WRONG, RIGHT, WRONG, RIGHT, WRONG_TOO], mode="full", draft_draws=2)
    assert asked == [5]
    assert (record.n, record.c, record.k, record.stop, record.label) == (5, 2, 5, "all_draws", "solved")
    assert (record.kind, record.tokens, record.pass_rate) == ("single", 15, 2 / 5)
    seen = [(a.text, a.correct, a.count, a.draw, a.draft) for a in record.answers]
    assert seen == [(WRONG, False, 2, 0, True), (RIGHT, True, 2, 1, True), (WRONG_TOO, False, 1, 4, False)]
    assert [a.error is None for a in record.answers] == [False, True, False]


def test_exact_draws_the_drafts_together_and_stops_at_the_first_right_answer() -> None:
    record, asked = run_probe([WRONG, WRONG, WRONG, RIGHT, RIGHT, RIGHT], draft_draws=2)
    assert asked == [2, 1, 1]
    assert (record.n, record.c, record.stop, record.label) == (4, 1, "decided", "solved")
    assert record.pass_rate is None


def test_exact_draws_everything_for_an_unsolved_sample_whose_rate_is_then_known() -> None:
    record, asked = run_probe([WRONG] * 4, draft_draws=0)
    assert asked == [1, 1, 1, 1]
    assert (record.n, record.stop, record.label, record.pass_rate) == (4, "all_draws", "unsolved", 0.0)
    assert record.drafts == ()


def test_the_band_is_decided_by_one_right_and_one_wrong_answer() -> None:
    record, asked = run_probe([RIGHT, RIGHT, WRONG, RIGHT, RIGHT], BAND, draft_draws=1)
    assert asked == [2, 1]
    assert (record.n, record.label, record.stop) == (3, "inside", "decided")


def test_drafts_are_drawn_even_where_the_label_is_already_decided() -> None:
    record, _ = run_probe([RIGHT, WRONG, WRONG_TOO, RIGHT], draft_draws=3)
    assert [a.text for a in record.drafts] == [RIGHT, WRONG, WRONG_TOO]


def test_draws_are_seeded_by_run_sample_and_index_and_sampled_as_configured() -> None:
    config = ProbeConfig(k=3, mode="full", temperature=0.7, top_p=0.9, max_tokens=11)
    asked: list[Request] = []

    def answer(request: Request) -> Completion:
        asked.append(request)
        return Completion(RIGHT, finish="length")

    program = probe(make_sample("id"), config=config, select=SOLVED, format="pythonic", run_seed=5)
    record = ProbeRecord.model_validate(drive(program, answer))
    assert [r.seed for r in asked] == [draw_seed(5, "id", draw) for draw in range(3)]
    assert {(r.sampling.temperature, r.sampling.top_p, r.sampling.max_tokens) for r in asked} == {(0.7, 0.9, 11)}
    assert record.answers[0].truncated


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0.0, 1.0, ["below", "inside", "inside", "inside", "above"]),
        (0.25, 0.75, ["below", "below", "inside", "above", "above"]),
    ],
)
def test_the_bounds_of_the_band_are_outside_it(low: float, high: float, labels: list[str]) -> None:
    rule = SelectConfig(rule="band", low=low, high=high)
    assert [label_of(rule, 4, c) for c in range(5)] == labels


rules = st.one_of(
    st.just(SOLVED),
    st.tuples(st.floats(0, 1), st.floats(0, 1))
    .filter(lambda pair: pair[0] < pair[1])
    .map(lambda pair: SelectConfig(rule="band", low=pair[0], high=pair[1])),
)


@st.composite
def states(draw: st.DrawFn) -> tuple[int, int, int]:
    k = draw(st.integers(1, 16))
    n = draw(st.integers(0, k))
    return k, draw(st.integers(0, n)), n


@given(rules, states())
def test_decided_is_the_label_that_every_outcome_shares(rule: SelectConfig, state: tuple[int, int, int]) -> None:
    k, c, n = state
    possible = {label_of(rule, k, final) for final in range(c, c + k - n + 1)}
    assert decided(rule, k, c, n) == (possible.pop() if len(possible) == 1 else None)


@given(rules, states())
def test_no_fewer_draws_than_needed_can_decide(rule: SelectConfig, state: tuple[int, int, int]) -> None:
    k, c, n = state
    needed = draws_needed(rule, k, c, n)
    assert n + needed <= k
    for more in range(needed):
        assert not any(decided(rule, k, c + right, n + more) for right in range(more + 1))
    assert any(decided(rule, k, c + right, n + needed) for right in range(needed + 1))


def test_exact_gives_the_labels_and_drafts_of_full_on_ten_thousand_rows() -> None:
    rng = random.Random(0)
    draws = {"exact": 0, "full": 0}
    for row in range(10_000):
        low, high = sorted(rng.sample([0.0, 0.125, 0.25, 0.3, 0.5, 0.6, 0.75, 1.0], 2))
        rule = rng.choice([SOLVED, BAND, SelectConfig(rule="band", low=low, high=high)])
        k = rng.choice([1, 2, 3, 4, 5, 8, 10, 16])
        shape = {"k": k, "draft_draws": rng.randint(0, min(k, 3))}
        rate = rng.choice([0.0, 1.0, rng.random(), rng.random() ** 3])

        def answer(request: Request, rate: float = rate) -> Completion:
            roll = random.Random(request.seed)
            if roll.random() < rate:
                return Completion(roll.choice([RIGHT, RIGHT_TOO]))
            return Completion(roll.choice([WRONG, WRONG_TOO]))

        records = {}
        for mode in ("exact", "full"):
            config = ProbeConfig.model_validate({**shape, "mode": mode})
            program = probe(make_sample(f"row-{row}"), config=config, select=rule, format="pythonic", run_seed=3)
            records[mode] = ProbeRecord.model_validate(drive(program, answer))
            draws[mode] += records[mode].n
        exact, full = records["exact"], records["full"]
        assert exact.label == full.label, (rule, exact, full)
        assert [(a.text, a.correct, a.draw) for a in exact.drafts] == [(a.text, a.correct, a.draw) for a in full.drafts]
        assert full.n == k and full.pass_rate == full.c / k
        assert exact.n >= shape["draft_draws"]
        assert (exact.pass_rate is None) == (exact.n < k)
    assert draws["exact"] < 0.8 * draws["full"]


@pytest.mark.parametrize("change", [{"c": 0}, {"n": 5}, {"stop": "decided"}, {"k": 3}])
def test_a_record_whose_counts_do_not_add_up_is_refused(change: dict[str, Any]) -> None:
    record, _ = run_probe([RIGHT, WRONG, WRONG, WRONG], mode="full")
    with pytest.raises(ValidationError, match="probe record s"):
        ProbeRecord.model_validate({**record.model_dump(), **change})


def test_a_record_is_json_and_back() -> None:
    record, _ = run_probe([RIGHT, WRONG], mode="full")
    assert ProbeRecord.model_validate_json(record.model_dump_json()) == record
