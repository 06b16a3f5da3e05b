"""Which rows make each optimizer step, and how a step's rows are laid out in micro-batches. Pure functions.

Two decisions are kept apart on purpose. *Which* rows a step holds depends on the corpus, the seed and `global_batch`
alone (`plan_steps`), so training means the same on any number of workers. *How* they are laid out (`pack_step`)
depends on `token_budget` and the number of workers, and changes no result beyond rounding.

Order of an epoch: a permutation seeded by (seed, epoch) is cut into windows of `WINDOW_STEPS` steps. In a window the
rows are sorted by length and cut into `STRATA` strata; each step of the window gets a run of neighbours from every
stratum, and which run is drawn by lot. So every step has rows of all lengths (its mix is that of the corpus), and yet
its rows come in groups of nearly equal length, which is what keeps padding low. Steps are then shuffled.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from toolace.errors import TrainingError

WINDOW_STEPS = 16
"""Steps whose rows are sorted together: more means less padding and a little less mixing."""
STRATA = 4
"""Length classes from which every step draws."""
LAUNCH_SHARE = 1 / 32
"""What one more micro-batch costs when packing, in tokens: this share of a full one."""

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    """The rows of every optimizer step, in order. `key` identifies it: equal plans, equal keys."""

    steps: tuple[Rows, ...]
    rows_per_epoch: int
    steps_per_epoch: int
    key: str

    def __len__(self) -> int:
        return len(self.steps)


@dataclass(frozen=True)
class MicroBatch:
    """Rows that go through the model together; `width` is the length they are padded to, tokens.

    An empty one keeps a worker in step with the others where there are fewer rows than workers: its loss weighs
    nothing.
    """

    rows: tuple[int, ...]
    width: int

    @property
    def tokens(self) -> int:
        """Tokens computed, padding included."""
        return len(self.rows) * self.width


def epoch_steps(lengths: Rows, global_batch: int, seed: int, epoch: int) -> list[Rows]:
    """The steps of one epoch: every row exactly once; step sizes differ by one at the most and never pass
    `global_batch`, so that no small last step weighs its rows more than the others."""
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths)).astype(np.int64)
    count = math.ceil(len(order) / global_batch)
    sizes = [len(part) for part in np.array_split(order, count)]
    steps: list[Rows] = []
    start = 0
    for first in range(0, count, WINDOW_STEPS):
        window_sizes = sizes[first : first + WINDOW_STEPS]
        window = order[start : start + sum(window_sizes)]
        start += len(window)
        window = window[np.argsort(lengths[window], kind="stable")]
        parts: list[list[Rows]] = [[] for _ in window_sizes]
        taken = 0
        for stratum in range(STRATA):
            for step in rng.permutation(len(window_sizes)):
                size = window_sizes[step]
                run = size * (stratum + 1) // STRATA - size * stratum // STRATA
                parts[step].append(window[taken : taken + run])
                taken += run
        steps += [np.concatenate(part) for part in parts]
    return [steps[i] for i in rng.permutation(count)]


def plan_steps(
    lengths: Sequence[int] | Rows,
    targets: Sequence[int] | Rows,
    *,
    global_batch: int,
    seed: int,
    epochs: float,
    target_tokens: int | None = None,
) -> Plan:
    """All steps of a training run.

    lengths, targets: tokens and target tokens of every row. Runs for `epochs` (a fraction takes the first steps of
    one more epoch), or, with `target_tokens`, for as many epochs as it takes until that many target tokens were seen
    (the step that reaches the number is the last). Raises `TrainingError` for a corpus without rows or targets.
    """
    length, target = np.asarray(lengths, dtype=np.int64), np.asarray(targets, dtype=np.int64)
    if len(length) == 0 or int(target.sum()) == 0:
        raise TrainingError(f"nothing to train on: {len(length)} rows with {int(target.sum())} target tokens")
    per_epoch = math.ceil(len(length) / global_batch)
    wanted = max(1, round(epochs * per_epoch))
    steps: list[Rows] = []
    seen = 0
    epoch = 0
    while True:
        for rows in epoch_steps(length, global_batch, seed, epoch):
            steps.append(rows)
            seen += int(target[rows].sum())
            if (seen >= target_tokens) if target_tokens is not None else (len(steps) >= wanted):
                return Plan(tuple(steps), len(length), per_epoch, _key(steps, length, target))
        epoch += 1


def pack_step(rows: Rows, lengths: Rows, token_budget: int, workers: int) -> list[list[MicroBatch]]:
    """Lay one step out: for each worker its micro-batches, the same number for all (collectives must match).

    Rows are sorted by length and cut where the sum of padded tokens plus a fixed cost a micro-batch is least (dynamic
    programming over the cuts). No micro-batch passes `token_budget` padded tokens, except one longer row alone.
    Micro-batches of similar size run at the same time on different workers, the largest first.
    """
    order = rows[np.lexsort((rows, lengths[rows]))]
    sizes = lengths[order]
    count = len(order)
    launch = min(token_budget, int(sizes.sum()) / STRATA) * LAUNCH_SHARE
    best = np.zeros(count + 1)
    cut = np.zeros(count + 1, dtype=np.int64)
    for end in range(1, count + 1):
        width = int(sizes[end - 1])
        first = end - max(1, min(end, token_budget // width))
        starts = np.arange(first, end)
        costs = best[first:end] + (end - starts) * width
        choice = int(np.argmin(costs))
        best[end] = costs[choice] + launch
        cut[end] = first + choice
    groups: list[Rows] = []
    end = count
    while end > 0:
        groups.append(order[cut[end] : end])
        end = int(cut[end])
    while len(groups) % workers:
        divisible = [i for i, group in enumerate(groups) if len(group) > 1]
        if not divisible:
            break
        group = groups.pop(max(divisible, key=lambda i: len(groups[i]) * int(lengths[groups[i][-1]])))
        groups += [group[: len(group) // 2], group[len(group) // 2 :]]
    batches = [MicroBatch(tuple(int(row) for row in group), int(lengths[group[-1]])) for group in groups]
    batches.sort(key=lambda batch: (-batch.tokens, batch.rows))
    batches += [MicroBatch((), 0)] * (-len(batches) % workers)
    dealt: list[list[MicroBatch]] = [[] for _ in range(workers)]
    for turn in range(0, len(batches), workers):
        hand = batches[turn : turn + workers]
        # The worker with the least work so far gets the largest of the hand.
        ranks = sorted(range(workers), key=lambda rank: (sum(batch.tokens for batch in dealt[rank]), rank))
        for rank, batch in zip(ranks, hand, strict=True):
            dealt[rank].append(batch)
    return dealt


def padding_share(plan: Plan, lengths: Sequence[int] | Rows, token_budget: int, workers: int = 1) -> float:
    """Share of computed tokens that are padding, 0..1, over the whole plan."""
    length = np.asarray(lengths, dtype=np.int64)
    real = padded = 0
    for rows in plan.steps:
        real += int(length[rows].sum())
        padded += sum(batch.tokens for rank in pack_step(rows, length, token_budget, workers) for batch in rank)
    return 1 - real / padded


def learning_rate(
    step: int, total: int, *, peak: float, warmup_ratio: float, schedule: str = "cosine", floor: float = 0.0
) -> float:
    """The learning rate of optimizer step `step` (0-based) of `total`.

    Linear from peak/warm-up to peak over the first `warmup_ratio` of the steps, then half a cosine down to `floor`
    (Loshchilov & Hutter 2017, one cycle) or constant.
    """
    warmup = math.ceil(warmup_ratio * total) if warmup_ratio > 0 else 0
    if step < warmup:
        return peak * (step + 1) / warmup
    if schedule == "constant":
        return peak
    done = (step - warmup) / max(1, total - warmup)
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def rows_key(rows: Rows) -> str:
    """Short hash of a step's rows, in any order: the step log's proof of what was consumed."""
    return hashlib.sha256(np.sort(rows).tobytes()).hexdigest()[:12]


def _key(steps: Sequence[Rows], lengths: Rows, targets: Rows) -> str:
    state = hashlib.sha256()
    for array in (lengths, targets, *steps):
        state.update(len(array).to_bytes(8, "little") + array.tobytes())
    return state.hexdigest()[:16]
