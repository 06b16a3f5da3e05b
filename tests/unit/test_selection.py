"""Selection: which samples, the counts by reason, how labels moved, and the stop rule."""

from __future__ import annotations

from typing import Literal

import pytest

from toolace.config import SelectConfig
from toolace.errors import RolloutError
from toolace.probing import Label, ProbedAnswer, ProbeRecord
from toolace.selection import labels, select, stalled

SOLVED = SelectConfig(rule="solved")
BAND = SelectConfig(rule="band", low=0.25, high=0.75)


RIGHT = {"unsolved": 0, "below": 1, "solved": 1, "inside": 2, "above": 3}
"""Right answers of four that give a label, under the rules above."""


def record(sample_id: str, label: Label, *, n: int = 4, c: int | None = None) -> ProbeRecord:
    right = RIGHT[label] if c is None else c
    answers = [
        ProbedAnswer(text=text, correct=text == "a", count=count, draw=0)
        for text, count in (("a", right), ("b", n - right))
        if count
    ]
    stop: Literal["all_draws", "decided"] = "all_draws" if n == 4 else "decided"
    return ProbeRecord(id=sample_id, k=4, n=n, c=right, stop=stop, label=label, answers=tuple(answers))


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
    before = labels(
        [record("a", "unsolved"), record("b", "unsolved"), record("c", "solved"), record("d", "solved")], SOLVED
    )
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


def test_full_records_are_labelled_under_the_rule_of_today() -> None:
    records = [record("a", "below"), record("b", "inside"), record("c", "above")]
    assert select(records, SOLVED).ids == ("a", "b", "c")
    assert select(records, SelectConfig(rule="band", low=0.5, high=0.8)).ids == ("c",)
    narrow = SelectConfig(rule="band", low=0.0, high=0.5)
    assert select(records, narrow).counts == {"above": 2, "inside": 1}
    assert select(records, narrow, labels(records, narrow)).transitions == {
        "above": {"above": 2},
        "inside": {"inside": 1},
    }


def test_records_that_stopped_under_another_rule_are_refused_where_they_are_undecided() -> None:
    stopped = record("a", "solved", n=1, c=1)
    with pytest.raises(
        RolloutError, match=r"1 of 4 draws \(1 right, solved\).*low 0\.25 and select\.high 0\.75.*mode full"
    ):
        select([stopped], BAND)
    with pytest.raises(RolloutError, match="probe again"):
        labels([stopped], BAND)
    three = record("b", "inside", n=3, c=2)  # 2 or 3 of 4 in the end
    assert select([three], SelectConfig(rule="band", low=0.25, high=1.0)).ids == ("b",)
    with pytest.raises(RolloutError, match="3 of 4 draws"):
        select([three], SelectConfig(rule="band", low=0.5, high=1.0))


def test_rounds_stop_when_the_selection_no_longer_grows() -> None:
    assert not stalled(10, None)
    assert not stalled(11, 10)
    assert stalled(10, 10)
    assert stalled(9, 10)
