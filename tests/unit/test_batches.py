"""Plans and layouts of batches: pure functions, so properties over generated corpora."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolace.errors import TrainingError
from toolace.training.batches import learning_rate, pack_step, padding_share, plan_steps

lengths_of = st.lists(st.integers(2, 200), min_size=1, max_size=120)
many = settings(max_examples=150, deadline=None)


def targets_of(lengths: list[int]) -> list[int]:
    return [max(1, length // 3) for length in lengths]


@many
@given(lengths_of, st.integers(1, 40), st.integers(0, 5), st.integers(1, 3))
def test_every_row_exactly_once_per_epoch(lengths: list[int], global_batch: int, seed: int, epochs: int) -> None:
    plan = plan_steps(lengths, targets_of(lengths), global_batch=global_batch, seed=seed, epochs=epochs)
    assert len(plan) == epochs * plan.steps_per_epoch
    for epoch in range(epochs):
        steps = plan.steps[epoch * plan.steps_per_epoch : (epoch + 1) * plan.steps_per_epoch]
        assert sorted(np.concatenate(steps).tolist()) == list(range(len(lengths)))
        sizes = [len(step) for step in steps]
        assert max(sizes) <= global_batch
        assert max(sizes) - min(sizes) <= 1


@many
@given(lengths_of, st.integers(1, 40), st.integers(16, 600), st.integers(1, 5), st.integers(0, 3))
def test_layout_holds_every_row_once_within_budget_and_evenly(
    lengths: list[int], global_batch: int, budget: int, workers: int, seed: int
) -> None:
    length = np.array(lengths)
    plan = plan_steps(length, length, global_batch=global_batch, seed=seed, epochs=1)
    for rows in plan.steps:
        layout = pack_step(rows, length, budget, workers)
        assert len(layout) == workers
        assert len({len(rank) for rank in layout}) == 1
        batches = [batch for rank in layout for batch in rank]
        assert sorted(row for batch in batches for row in batch.rows) == sorted(rows.tolist())
        for batch in batches:
            assert batch.width == max((lengths[row] for row in batch.rows), default=0)
            assert batch.tokens <= budget or len(batch.rows) == 1
        empty = sum(not batch.rows for batch in batches)
        assert empty == 0 or (empty < workers and all(len(batch.rows) <= 1 for batch in batches))


@many
@given(lengths_of, st.integers(1, 40), st.integers(0, 5), st.floats(0.1, 3.0))
def test_plan_is_the_same_for_every_reader_and_differs_by_seed(
    lengths: list[int], global_batch: int, seed: int, epochs: float
) -> None:
    targets = targets_of(lengths)
    one = plan_steps(lengths, targets, global_batch=global_batch, seed=seed, epochs=epochs)
    two = plan_steps(lengths, targets, global_batch=global_batch, seed=seed, epochs=epochs)
    assert one.key == two.key
    assert all(np.array_equal(a, b) for a, b in zip(one.steps, two.steps, strict=True))
    other = plan_steps([*lengths, 7], [*targets, 1], global_batch=global_batch, seed=seed, epochs=epochs)
    assert other.key != one.key


def test_seed_and_epoch_change_the_order() -> None:
    lengths = np.arange(10, 110)
    plan = plan_steps(lengths, lengths, global_batch=10, seed=0, epochs=2)
    again = plan_steps(lengths, lengths, global_batch=10, seed=1, epochs=2)
    assert plan.key != again.key
    assert not np.array_equal(np.concatenate(plan.steps[:10]), np.concatenate(plan.steps[10:]))


@many
@given(lengths_of, st.integers(1, 40), st.integers(1, 20_000))
def test_target_tokens_end_the_run_at_the_step_that_reaches_them(
    lengths: list[int], global_batch: int, wanted: int
) -> None:
    targets = np.array(targets_of(lengths))
    plan = plan_steps(lengths, targets, global_batch=global_batch, seed=0, epochs=1, target_tokens=wanted)
    seen = np.cumsum([targets[rows].sum() for rows in plan.steps])
    assert seen[-1] >= wanted
    assert len(seen) == 1 or seen[-2] < wanted


def test_fraction_of_an_epoch() -> None:
    lengths = np.full(100, 20)
    assert len(plan_steps(lengths, lengths, global_batch=10, seed=0, epochs=0.5)) == 5
    assert len(plan_steps(lengths, lengths, global_batch=10, seed=0, epochs=2.3)) == 23
    assert len(plan_steps(lengths, lengths, global_batch=10, seed=0, epochs=0.001)) == 1


def test_no_rows_is_refused() -> None:
    with pytest.raises(TrainingError, match="0 rows"):
        plan_steps([], [], global_batch=4, seed=0, epochs=1)


@pytest.mark.parametrize("budget", [1024, 4096, 8192, 65536])
@pytest.mark.parametrize("workers", [1, 2])
def test_padding_stays_below_five_percent(budget: int, workers: int) -> None:
    """Direct rows and longer refinement rows, log-normal: padding is low whatever the budget."""
    rng = np.random.default_rng(0)
    lengths = np.concatenate([rng.lognormal(4.7, 0.3, 1500), rng.lognormal(5.2, 0.25, 700)]).astype(int)
    plan = plan_steps(lengths, lengths, global_batch=48, seed=0, epochs=2)
    assert padding_share(plan, lengths, budget, workers) <= 0.05


def test_steps_mix_lengths() -> None:
    """Length grouping must not make steps of one length: every step has the mix of the corpus."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(20, 220, 2000)
    plan = plan_steps(lengths, lengths, global_batch=40, seed=0, epochs=1)
    means = np.array([lengths[rows].mean() for rows in plan.steps])
    assert means.std() < lengths.std() / np.sqrt(40)


def test_learning_rate() -> None:
    rates = [learning_rate(step, 100, peak=1.0, warmup_ratio=0.1) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert rates == sorted(rates[:10]) + sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.001
    assert learning_rate(50, 100, peak=2.0, warmup_ratio=0.0, schedule="constant") == 2.0
    assert learning_rate(0, 1, peak=1.0, warmup_ratio=0.0) == 1.0
