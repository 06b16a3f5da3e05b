"""Stages that ask a model: programs over datasets, several of them on one start of the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from toolace.rollouts.dataset import Progress, RolloutJob, run_rollouts
from toolace.rollouts.program import MakeProgram
from toolace.rollouts.worker import TextCodec
from toolace.rounds.cluster import cluster
from toolace.rounds.context import ModelRef, Run
from toolace.rounds.preflight import check_actors
from toolace.storage import Stage, Store


def _nothing(counts: dict[str, Any], records: Store) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Rollout:
    """A stage whose files are the records of a program over samples.

    `count` is summed up over the records as they come; `add` gives what belongs to the stage's counts beside those of
    the rollout, from these and the records, and may put files beside these; `line` says the outcome in a few words.
    """

    stage: Stage
    samples: str
    program: MakeProgram
    line: Callable[[dict[str, Any]], str]
    count: Callable[[dict[str, Any]], dict[str, float]] | None = None
    add: Callable[[dict[str, Any], Store], dict[str, Any]] = _nothing


def roll(
    run: Run,
    model: ModelRef,
    rollouts: Mapping[str, Rollout],
    title: Callable[[Sequence[str]], str],
    *,
    script: Any = None,
    make_codec: Callable[[], TextCodec] | None = None,
) -> dict[str, dict[str, Any]]:
    """Do the stages that are not done yet, all on one start of the engine; the counts of each by its name.

    `title` says what is done, from the names of those stages. `script` and `make_codec` are `run_rollouts`'.
    """
    counts: dict[str, dict[str, Any]] = {}
    missing: dict[str, Rollout] = {}
    for name, rollout in rollouts.items():
        done = rollout.stage.done()
        if done is None:
            missing[name] = rollout
        else:
            counts[name] = run.remember(rollout.stage, done)
    if not missing:
        return counts
    jobs = [
        RolloutJob(name, rollout.samples, rollout.program, rollout.stage.store.uri, rollout.count)
        for name, rollout in missing.items()
    ]
    stages = [rollout.stage for rollout in missing.values()]
    config = run.config
    # A cluster only where there is work: what is finished is told without one.
    with run.timed(f"{model.name}: {title(list(missing))}", *stages) as clock, cluster(config.cluster):
        check_actors(config)
        results = run_rollouts(
            jobs,
            model=config.model.model_copy(update={"path": model.path}),
            engine=config.engine,
            rollout=config.rollout,
            on_progress=partial(_show, run),
            script=script,
            make_codec=make_codec,
        )
        for name, rollout in missing.items():
            found = results[name].as_dict()
            counts[name] = found | rollout.add(found, rollout.stage.store)
    for name, rollout in missing.items():
        counts[name] = rollout.stage.publish({**counts[name], "seconds": clock["seconds"], "model": model.name})
        run.remember(rollout.stage, counts[name])
    run.progress.end(", ".join(rollouts[name].line(found) for name, found in counts.items()))
    return counts


def _show(run: Run, state: Progress) -> None:
    """Show where a rollout stands: rows decided, draws saved, speed."""
    counted = state.counts.counted
    note = f"{state.rows_per_s:.3g} rows/s"
    if counted.get("draws_full"):
        note += f", {1 - counted['draws'] / counted['draws_full']:.0%} of the draws saved"
    run.progress.update(state.counts.rows, state.rows_total, f"rows ({state.job})", note)
