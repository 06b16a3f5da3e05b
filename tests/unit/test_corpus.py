"""The corpus of a round: which rows, their targets, caps, shares, counts, and the same rows for the same seed."""

from __future__ import annotations

import pickle
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolace.calls.schema import Call, Chat, Message, Sample, Tool
from toolace.config import CorpusConfig
from toolace.corpus import CorpusRow, direct_row
from toolace.errors import RolloutError
from toolace.probing import ProbedAnswer, ProbeRecord
from toolace.refinement.corpus import CorpusPlan, plan_corpus
from toolace.rendering import refine_turn

RIGHT, RIGHT_TOO, WRONG, WRONG_TOO = "[f(x=1)]", "[f(x = 1)]", "[f(x=2)]", "[f(x=3)]"


def make_sample(sample_id: str) -> Sample:
    return Sample(
        id=sample_id,
        chat=Chat(tools=(Tool(name="f"),), messages=(Message(role="user", content=f"question {sample_id}"),)),
        reference=Message(role="assistant", calls=(Call(name="f", arguments={"x": 1}),)),
    )


def make_record(sample_id: str, *drafts: str, later: tuple[str, ...] = (), truncated: bool = False) -> ProbeRecord:
    texts = (*drafts, *later)
    right = [text.strip() in (RIGHT, RIGHT_TOO) for text in texts]
    answers = tuple(
        ProbedAnswer(
            text=text,
            correct=right[draw],
            error=None if right[draw] else "wrong_value",
            count=1,
            draw=draw,
            truncated=truncated,
            draft=draw < len(drafts),
        )
        for draw, text in enumerate(texts)
    )
    n, c = len(texts), sum(answer.correct for answer in answers)
    label = "solved" if c else "unsolved"
    return ProbeRecord(id=sample_id, k=n, n=n, c=c, stop="all_draws", label=label, answers=answers)


def build(
    records: list[ProbeRecord], selected: list[str], seed: int = 0, **config: Any
) -> tuple[CorpusPlan, list[CorpusRow]]:
    plan = plan_corpus(iter(records), selected, CorpusConfig(**config), seed=seed)
    rows = [row for record in records for row in plan.rows(make_sample(record.id), record)]
    by_kind = {kind: sum(row.kind == kind for row in rows) for kind in ("direct", "keep", "fix")}
    assert by_kind == plan.counts
    assert sum(plan.drafts.values()) == sum(len(record.drafts) for record in records)
    return plan, rows


def kinds(rows: list[CorpusRow]) -> list[tuple[str, str]]:
    return [(row.sample_id, row.kind) for row in rows]


def test_a_selected_sample_gives_a_direct_row_a_keep_pair_and_a_fix_pair() -> None:
    _, rows = build([make_record("a", RIGHT_TOO, WRONG)], ["a"])
    sample = make_sample("a")
    raw = Message(role="assistant", content=RIGHT_TOO)
    assert [(row.id, row.kind) for row in rows] == [("a/direct", "direct"), ("a/draft0", "keep"), ("a/draft1", "fix")]
    assert rows[0] == direct_row(sample)
    assert (rows[0].chat, rows[0].target) == (sample.chat, sample.reference)
    assert (rows[1].chat, rows[1].target) == (refine_turn(sample.chat, RIGHT_TOO), raw)
    assert (rows[2].chat, rows[2].target) == (refine_turn(sample.chat, WRONG), sample.reference)


def test_a_keep_pair_repeats_the_draft_as_it_is_shown() -> None:
    _, rows = build([make_record("a", f" {RIGHT}\n")], ["a"])
    assert rows[1].target == rows[1].chat.messages[1] == Message(role="assistant", content=RIGHT)


def test_drafts_that_differ_in_outer_white_space_make_one_pair() -> None:
    plan, rows = build([make_record("a", WRONG, f"{WRONG} ")], ["a"], max_fix=2)
    assert kinds(rows) == [("a", "direct"), ("a", "fix")] and plan.drafts["same_text"] == 1


def test_only_drafts_make_pairs() -> None:
    _, rows = build([make_record("a", later=(RIGHT, WRONG))], ["a"])
    assert kinds(rows) == [("a", "direct")]


def test_pairs_are_capped_by_sample_in_draw_order() -> None:
    record = make_record("a", WRONG, RIGHT, WRONG_TOO, RIGHT_TOO)
    plan, rows = build([record], ["a"])
    assert [row.id for row in rows] == ["a/direct", "a/draft0", "a/draft1"]
    assert (plan.drafts["keep_cap"], plan.drafts["fix_cap"]) == (1, 1)
    assert len(build([record], ["a"], max_keep=2, max_fix=0)[1]) == 3
    assert len(build([record], ["a"], max_keep=9, max_fix=9)[1]) == 5


def test_unselected_samples_give_fix_pairs_only_when_asked() -> None:
    records = [make_record("a", RIGHT), make_record("b", WRONG), make_record("c", RIGHT, WRONG)]
    plan, rows = build(records, ["a"])
    assert kinds(rows) == [("a", "direct"), ("a", "keep")]
    assert plan.drafts["not_selected"] == 3
    plan, rows = build(records, ["a"], fix_from_unsolved=True)
    assert kinds(rows) == [("a", "direct"), ("a", "keep"), ("b", "fix"), ("c", "fix")]
    assert plan.drafts["not_selected"] == 1


def test_refinement_rows_and_keep_pairs_can_be_switched_off() -> None:
    records = [make_record("a", RIGHT, WRONG)]
    plan, rows = build(records, ["a"], refinement=False)
    assert kinds(rows) == [("a", "direct")] and plan.drafts["refinement_off"] == 2
    plan, rows = build(records, ["a"], keep_pairs=False)
    assert kinds(rows) == [("a", "direct"), ("a", "fix")] and plan.drafts["keep_off"] == 1


def test_a_right_draft_that_was_cut_off_is_not_to_be_repeated() -> None:
    plan, rows = build([make_record("a", RIGHT, truncated=True)], ["a"])
    assert kinds(rows) == [("a", "direct")] and plan.drafts["keep_truncated"] == 1


def pool(size: int, fixes: int) -> tuple[list[ProbeRecord], list[str]]:
    records = [make_record(f"s{i}", RIGHT, *([WRONG] if i < fixes else [])) for i in range(size)]
    return records, [record.id for record in records]


@given(st.integers(1, 60), st.data(), st.floats(0, 1), st.integers(0, 3))
def test_the_fix_share_is_reached_by_dropping_no_more_keep_pairs_than_needed(
    size: int, data: st.DataObject, share: float, seed: int
) -> None:
    fixes = data.draw(st.integers(0, size))
    plan, _ = build(*pool(size, fixes), seed=seed, min_fix_share=share)
    keep, fix = plan.counts["keep"], plan.counts["fix"]
    assert fix == fixes
    assert keep + plan.drafts["keep_share"] == size
    assert fix >= share * (fix + keep) - 1e-6
    if keep < size:
        assert fix < share * (fix + keep + 1)


def test_the_fix_share_by_hand() -> None:
    plan, _ = build(*pool(20, 3), min_fix_share=0.3)
    assert plan.counts == {"direct": 20, "keep": 7, "fix": 3}
    plan, _ = build(*pool(20, 0), min_fix_share=0.3)
    assert plan.counts == {"direct": 20, "keep": 0, "fix": 0}
    plan, _ = build(*pool(20, 20), min_fix_share=0.3)
    assert plan.counts == {"direct": 20, "keep": 20, "fix": 20}


def test_the_same_seed_drops_the_same_pairs_in_any_order_and_another_seed_others() -> None:
    records, selected = pool(50, 5)
    shuffled = random.Random(0).sample(records, len(records))

    def chosen(rows: list[CorpusRow]) -> set[str]:
        return {row.id for row in rows}

    first = chosen(build(records, selected, seed=1, min_fix_share=0.25)[1])
    assert chosen(build(shuffled, selected, seed=1, min_fix_share=0.25)[1]) == first
    assert chosen(build(records, selected, seed=2, min_fix_share=0.25)[1]) != first


def test_a_plan_travels_to_other_processes() -> None:
    records, selected = pool(10, 2)
    plan, rows = build(records, selected, min_fix_share=0.5)
    copy = pickle.loads(pickle.dumps(plan))
    assert [row for record in records for row in copy.rows(make_sample(record.id), record)] == rows


def test_a_selected_sample_without_a_record_is_refused() -> None:
    with pytest.raises(RolloutError, match="2 samples are selected, but 1 of the probe records"):
        plan_corpus([make_record("a", RIGHT)], ["a", "b"], CorpusConfig(), seed=0)


def test_a_record_of_another_sample_is_refused() -> None:
    plan, _ = build([make_record("a", RIGHT)], ["a"])
    with pytest.raises(RolloutError, match="sample b was joined with the probe record of a"):
        plan.rows(make_sample("b"), make_record("a", RIGHT))
