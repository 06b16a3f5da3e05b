"""Evolution, the pure parts: what is hidden, what is learnt, what is replayed, and what a round's records say."""

from __future__ import annotations

from collections import Counter

import pytest

from toolace.calls.schema import Call, Chat, Message, Sample, Tool
from toolace.config import EvolveConfig
from toolace.corpus import in_share, rank
from toolace.data.synthetic import generate
from toolace.errors import RolloutError
from toolace.evolution.corpus import (
    accepted_rows,
    decomposed_rows,
    hidden_samples,
    hide,
    learning_samples,
    replayed,
)
from toolace.evolution.program import EvolveRecord, VotedAnswer
from toolace.evolution.subtasks import first_query, generation_chat, invocation_row
from toolace.evolution.tally import EvolveTally, count_evolved

SAMPLES = list(generate(300, 4, profile="house"))
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool(name="weather", description="The weather of a city", parameters=CITY)
FORECAST = WEATHER.model_copy(update={"name": "forecast"})


def sample(key: str, *calls: Call) -> Sample:
    chat = Chat(tools=(WEATHER,), messages=(Message(role="user", content="Weather in Oslo?"),))
    return Sample(id=key, chat=chat, reference=Message(role="assistant", content="" if calls else "No.", calls=calls))


def record(key: str, text: str | None, tool: Tool = WEATHER, *, n: int = 5, reason: str | None = None) -> EvolveRecord:
    answers = (VotedAnswer(text=text or "?", draw=0, votes=n),) if n else ()
    return EvolveRecord(
        id=key, query="Weather in Oslo?", tools_text="", tools=(tool,), answers=answers, k=8, n=n,
        reason=reason, answer=text, votes=n,  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_share_is_about_that_share_and_holds_every_smaller_one() -> None:
    ids = [f"row-{number}" for number in range(2000)]
    quarter, half = ({row for row in ids if in_share(3, row, share)} for share in (0.25, 0.5))
    assert quarter < half and 0.22 < len(quarter) / len(ids) < 0.28 and 0.47 < len(half) / len(ids) < 0.53
    assert all(in_share(3, row, 1.0) for row in ids) and not any(in_share(3, row, 0.0) for row in ids)
    assert {row for row in ids if in_share(4, row, 0.5)} != half
    assert rank(0, "a") == rank(0, "a") != rank(1, "a")


def test_every_sample_is_learnt_from_or_hidden_or_counted() -> None:
    config, left_out = EvolveConfig(held_out=0.3), Counter[str]()
    learning = [one.id for one in learning_samples(SAMPLES, config, 7)]
    hidden = list(hidden_samples(SAMPLES, config, 7, left_out))
    assert len(learning) + len(hidden) + left_out["begun_dialogue"] == len(SAMPLES)
    assert not {one.id for one in hidden} & set(learning) and 0.6 < len(learning) / len(SAMPLES) < 0.8
    assert left_out["begun_dialogue"] > 0 and not any(m.calls for one in hidden for m in one.chat.messages)
    backwards = [one.id for one in hidden_samples(SAMPLES[::-1], config, 7)]
    assert backwards[::-1] == [one.id for one in hidden], "a sample's half does not depend on order"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_of_a_hidden_query_is_learnt_from(seed: int) -> None:
    """By content: a dialogue gives a sample a turn, and its later turns show the tools and calls of the first."""
    config = EvolveConfig()
    queries = {first_query(one) for one in hidden_samples(SAMPLES, config, seed)}
    asked = {generation_chat(query or "").messages[0].content for query in queries}
    rows = list(decomposed_rows(learning_samples(SAMPLES, config, seed), config, seed, Counter()))
    later = [one for one in SAMPLES if any(message.calls for message in one.chat.messages)]
    assert len(queries) > 50 and len(later) > 5
    for row in rows:
        assert row.chat.messages[0].content not in asked
        assert queries.isdisjoint(message.content for message in row.chat.messages if message.role == "user")


def test_a_dialogue_teaches_its_tools_once() -> None:
    left_out = Counter[str]()
    twice = [SAMPLES[0], SAMPLES[0].model_copy(update={"id": "turn-2"})]
    assert SAMPLES[0].reference.calls
    kinds = [row.kind for row in decomposed_rows(twice, EvolveConfig(), 1, left_out)]
    assert kinds == ["generation", "invocation", "invocation"] and left_out == Counter(same_query=1)


def test_a_query_shows_neither_tools_nor_reference() -> None:
    for one in SAMPLES:
        query = hide(one)
        assert (query.id, query.chat.messages, query.kind) == (one.id, one.chat.messages, one.kind)
        assert query.chat.tools == () and query.reference == Message(role="assistant") and query.group == ""


@pytest.mark.parametrize(("generation", "mix"), [(True, (1.0, 1.0)), (False, (1.0, 1.0)), (True, (0.5, 0.25))])
def test_rows_of_stage_two_add_up(generation: bool, mix: tuple[float, float]) -> None:
    config = EvolveConfig(generation=generation, rounds=0, mix={"generation": mix[0], "invocation": mix[1]})  # type: ignore[arg-type]
    left_out = Counter[str]()
    kinds = Counter(row.kind for row in decomposed_rows(SAMPLES, config, 1, left_out))
    calls = sum(bool(one.reference.calls) for one in SAMPLES)
    possible = {"generation": calls if generation else 0, "invocation": len(SAMPLES)}
    assert left_out["no_call"] == (len(SAMPLES) - calls if generation else 0)
    possible["generation"] -= left_out["same_query"]
    assert kinds.total() + left_out["mix"] == sum(possible.values())
    for kind, share in zip(("generation", "invocation"), mix, strict=True):
        assert abs(kinds[kind] - share * possible[kind]) < 30 and (share < 1 or kinds[kind] == possible[kind])


def test_accepted_rows_are_over_the_models_own_tools() -> None:
    query = hide(sample("q", Call(name="weather")))
    generation, invocation = accepted_rows(record("q", 'So: [forecast(city="Oslo")]', FORECAST), query, "pythonic")
    assert (generation.kind, invocation.kind) == ("generation", "invocation") and generation.chat.tools == ()
    assert "forecast" in generation.target.content and "Weather in Oslo?" in generation.chat.messages[0].content
    assert invocation.chat == Chat(tools=(FORECAST,), messages=query.chat.messages)
    assert invocation.target.calls == (Call(name="forecast", arguments={"city": "Oslo"}),)
    assert invocation.target.content == "", "what stands around the calls is not learnt"
    for wrong in (record("other", "[weather()]"), record("q", None, reason="tie")):
        with pytest.raises(RolloutError, match="joined"):
            accepted_rows(wrong, query, "pythonic")


STAGE_TWO = list(decomposed_rows(SAMPLES, EvolveConfig(), 1, Counter()))


def test_a_replay_is_of_the_size_asked_for_and_another_each_round() -> None:
    first, second = replayed(STAGE_TWO, 40, 1, 1, 20), replayed(STAGE_TWO, 40, 1, 2, 20)
    assert len(first) == len(second) == 40 and first != second and first == replayed(STAGE_TWO[::-1], 40, 1, 1, 20)
    assert replayed(STAGE_TWO, 10_000, 1, 1, 5_000) == {row.id for row in STAGE_TWO}
    assert replayed(STAGE_TWO, 0, 1, 1, 20) == frozenset() == replayed([], 40, 1, 1, 20)


@pytest.mark.parametrize(("accepted", "replay"), [(50, 1.0), (80, 0.5), (100, 2.0), (150, 0.1), (280, 2.0)])
def test_answers_without_a_call_keep_their_share(accepted: int, replay: float) -> None:
    invocation = [row for row in STAGE_TWO if row.kind == "invocation"]
    texts = {row.id for row in invocation if not row.target.calls}
    assert 20 < len(texts) < len(invocation) / 3
    chosen = replayed(STAGE_TWO, wanted := round(2 * accepted * replay), 1, 1, accepted)
    kept = [row for row in invocation if row.id in chosen]
    share = sum(row.id in texts for row in kept) / (accepted + len(kept))
    assert len(chosen) == min(wanted, len(STAGE_TWO))
    # All of them where that is not enough, and no other row where they take the whole replay.
    possible = min(len(texts), len(chosen)) / (accepted + len(kept))
    assert share == pytest.approx(min(len(texts) / len(invocation), possible), abs=1 / (accepted + len(kept)))


def test_the_share_is_exact_where_a_third_of_the_answers_are_no_calls() -> None:
    call, text, generation = STAGE_TWO[1], invocation_row(sample("none")), STAGE_TWO[0]
    assert (call.kind, generation.kind) == ("invocation", "generation") and call.target.calls
    numbers = ((call, 1000), (text, 500), (generation, 1000))
    rows = [row.model_copy(update={"id": f"{row.id}-{n}"}) for row, many in numbers for n in range(many)]
    chosen = [row for row in rows if row.id in replayed(rows, 200, 1, 1, 100)]
    kept = Counter("text" if row.id.startswith(text.id) else row.kind for row in chosen)
    assert kept["text"] / (100 + kept["text"] + kept["invocation"]) == pytest.approx(1 / 3, abs=0.02)


def test_a_replay_of_rows_without_any_call_is_whole() -> None:
    texts = [invocation_row(sample(f"s{number}")) for number in range(9)]
    assert len(replayed(texts, 6, 1, 1, 3)) == 6 and len(replayed(texts, 20, 1, 1, 10)) == 9


def test_the_tally_of_a_round_worked_out_by_hand() -> None:
    tally = EvolveTally("pythonic")
    oslo = Call(name="weather", arguments={"city": "Oslo"})
    right = tally.add(record("a", '[weather(city="Oslo")]'), sample("a", oslo))
    same = tally.add(record("b", '[weather(city = "Oslo")]', n=6), sample("b", oslo))
    other = tally.add(record("c", '[forecast(city="Oslo")]', FORECAST), sample("c", oslo))
    text = tally.add(record("d", '[weather(city="Bergen")]'), sample("d"))
    assert right == same == {"right": True, "relevant": True} and other == {"right": False, "relevant": False}
    assert text == {"right": None, "relevant": None}, "a query whose hidden reference is text cannot be judged"
    for key, reason, n in (("e", "tie", 8), ("f", "no_tools", 0), ("g", "no_tools", 0)):
        assert tally.add(record(key, None, n=n, reason=reason), sample(key, oslo)) is None
    tally.add_error()
    assert tally.scores().model_dump() == {
        "queries": 8, "accepted": 4, "rejected": {"no_tools": 2, "tie": 1}, "errors": 1,
        "draws": 5 + 6 + 5 + 5 + 8, "draws_full": 5 * 8,
        "call_diversity": 3 / 4, "tool_diversity": 2 / 4, "judged": 3, "accepted_right": 2 / 3, "relevance": 2 / 3,
    }  # fmt: skip
    with pytest.raises(RolloutError, match="joined"):
        tally.add(record("a", None, reason="tie"), sample("b"))


def test_a_round_without_an_accepted_query_has_no_shares() -> None:
    tally = EvolveTally("pythonic")
    tally.add(record("a", None, n=0, reason="no_tools"), sample("a"))
    scores = tally.scores()
    assert (scores.queries, scores.accepted, scores.draws_full) == (1, 0, 0)
    assert scores.call_diversity is scores.accepted_right is scores.relevance is None


def test_draws_are_counted_where_there_was_a_vote() -> None:
    voted, dropped = record("a", "x", n=5), record("b", None, n=0, reason="bad_schema")
    assert count_evolved(voted.model_dump()) == {"accepted": 1, "draws": 5, "draws_full": 8}
    assert count_evolved(dropped.model_dump()) == {"accepted": 0, "draws": 0, "draws_full": 0}
