"""Stopping a vote early changes nothing but the cost."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from toolace.evolution.voting import Vote, decided, draws_needed, votes_needed


def whole(answers: list[int], needed: int) -> tuple[int | None, str | None]:
    """The outcome of all votes, by the definition: who has the most, alone, and at least `needed`."""
    counts = Counter(answers).most_common()
    if counts[0][1] < needed:
        return None, "no_majority"
    if len(counts) > 1 and counts[1][1] == counts[0][1]:
        return None, "tie"
    return counts[0][0], None


def early(answers: list[int], needed: int) -> tuple[int | None, str | None, int]:
    """The same, asking for draws as the program does; the number of draws made comes last."""
    order: list[int] = []
    counts: list[int] = []
    n = 0
    while want := draws_needed(counts, len(answers) - n, needed):
        for answer in answers[n : n + want]:
            if answer not in order:
                order.append(answer)
                counts.append(0)
            counts[order.index(answer)] += 1
        n += want
    vote = decided(counts, len(answers) - n, needed)
    assert vote is not None
    return (None if vote.winner is None else order[vote.winner]), vote.reason, n


@settings(max_examples=2000)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=10), st.data())
def test_stopping_early_gives_what_all_votes_give(answers: list[int], data: st.DataObject) -> None:
    needed = data.draw(st.integers(1, len(answers)))
    winner, reason, n = early(answers, needed)
    assert (winner, reason) == whole(answers, needed)
    assert n <= len(answers)


@settings(max_examples=300)
@given(st.lists(st.integers(0, 3), min_size=0, max_size=5), st.integers(1, 5), st.data())
def test_no_draw_is_wasted(drawn: list[int], left: int, data: st.DataObject) -> None:
    """Fewer draws than asked for decide nothing, whatever they give."""
    counts = list(Counter(drawn).values())
    needed = data.draw(st.integers(1, len(drawn) + left))
    want = draws_needed(counts, left, needed)
    if want > 1:
        some = data.draw(st.lists(st.integers(0, 6), min_size=want - 1, max_size=want - 1))
        names = list(Counter(drawn))
        after = Counter(dict(zip(names, counts, strict=True)))
        after.update(some)
        assert decided(list(after.values()), left - len(some), needed) is None


def test_unanimous_votes_stop_at_five_of_eight() -> None:
    assert votes_needed(8, 0.5) == 4 and votes_needed(1, 0.5) == 1 and votes_needed(3, 0.5) == 2
    assert draws_needed([], 8, 4) == 5
    assert decided([5], 3, 4) == Vote(0)
    assert decided([4, 4], 0, 4) == Vote(None, "tie")
    assert decided([1, 1, 1, 1, 1, 1], 2, 4) == Vote(None, "no_majority")
    assert decided([4, 1], 3, 4) is None  # the other may still come to four
