"""Selection: which samples, the counts by reason, how labels moved, and the stop rule."""

from __future__ import annotations

import pytest

from toolace.config import SelectConfig
from toolace.errors import RolloutError
from toolace.probing import Label, ProbedAnswer, ProbeRecord
from toolace.selection import labels, select, stalled

SOLVED = SelectConfig(rule="solved")
BAND = SelectConfig(rule="band", low=0.25, high=0.75)


def record(sample_id: str, label: Label) -> ProbeRecord:
    right = label in ("solved", "inside", "above")
    answers = (ProbedAnswer(text="a", correct=right, count=1, draw=0),)
    return ProbeRecord(id=sample_id, k=1, n=1, c=int(right), stop="all_draws", label=label, answers=answers)


def test_solved_samples_are_selected_in_order_and_all_rows_counted() -> None:
    records = [record("c", "solved"), record("a", "unsolved"), record("b", "solved")]
    selection = select(iter(records), SOLVED, errors=2)
    assert selection.ids == ("c", "b")
    assert selection.counts == {"error": 2, "solved": 2, "unsolved": 1}
    assert selection.probed == sum(selection.counts.values()) == 5
    assert selection.transitions == {}


def test_the_band_selects_what_is_inside() -> None:
    selection = select([record("a", "below"), record("b", "inside"), record("c", "above")], BAND)
    assert selection.ids == ("b",)
    assert selection.counts == {"above": 1, "below": 1, "inside": 1}


def test_transitions_count_every_sample_of_both_rounds() -> None:
    before = labels([record("a", "unsolved"), record("b", "unsolved"), record("c", "solved"), record("d", "solved")])
    now = [record("a", "solved"), record("b", "unsolved"), record("c", "solved"), record("e", "solved")]
    assert select(now, SOLVED, before).transitions == {
        "absent": {"solved": 1},
        "solved": {"solved": 1, "absent": 1},
        "unsolved": {"solved": 1, "unsolved": 1},
    }


@pytest.mark.parametrize(
    ("records", "errors", "config", "hint"),
    [
        ([record("a", "unsolved")], 1, SOLVED, r"1 error, 1 unsolved.*bootstrap_rows"),
        ([record("a", "above")], 0, BAND, r"1 above.*select\.low 0\.25"),
        ([], 3, SOLVED, r"3 error.*every row failed"),
        ([], 0, SOLVED, r"no probe records"),
    ],
)
def test_an_empty_selection_is_an_error_with_counts_and_a_way_out(
    records: list[ProbeRecord], errors: int, config: SelectConfig, hint: str
) -> None:
    with pytest.raises(RolloutError, match=hint):
        select(records, config, errors=errors)


def test_a_sample_that_comes_twice_is_refused() -> None:
    with pytest.raises(RolloutError, match="sample a has two probe records"):
        select([record("a", "solved"), record("a", "solved")], SOLVED)


def test_records_of_another_rule_are_refused() -> None:
    with pytest.raises(RolloutError, match=r"another select\.rule"):
        select([record("a", "solved")], BAND)


def test_rounds_stop_when_the_selection_no_longer_grows() -> None:
    assert not stalled(10, None)
    assert not stalled(11, 10)
    assert stalled(10, 10)
    assert stalled(9, 10)
