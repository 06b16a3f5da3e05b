"""What the models of ToolACE-DEV learn from and are asked: the halves of the training split, and a corpus a stage.

A `..._place` says where a stage is and what it is made from; a `..._stage` makes it where that is not done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from toolace.calls.schema import Sample
from toolace.corpus import SUBTASKS, CorpusRow, read_corpus, write_corpus
from toolace.data.shards import read_samples, write_shards
from toolace.errors import DataError, StorageError
from toolace.evolution.corpus import (
    accepted_rows,
    decomposed_rows,
    hidden_samples,
    hide,
    learning_samples,
    replayed,
)
from toolace.evolution.program import EvolveRecord
from toolace.evolution.subtasks import adaption_rows
from toolace.evolution.tasks import task_samples
from toolace.rollouts.dataset import read_records
from toolace.rounds.context import Run
from toolace.rounds.stages import train_samples
from toolace.storage import Stage

ADAPTION, DECOMPOSED = "adaption", "decomposed"


@dataclass(frozen=True)
class Sources:
    """What the models of a run are asked: the splits, questions about the sub-tasks, and queries (None: no rounds)."""

    data: Stage
    tasks: Stage | None
    queries: Stage | None


def round_name(number: int) -> str:
    """The directory of a round of evolution."""
    return f"evolve-{number}"


def make_sources(run: Run, data: Stage) -> Sources:
    """Write the questions that are asked beside the splits, where that is not done."""
    tasks = tasks_stage(run, data) if "test" in run.config.evaluate.splits else None
    return Sources(data, tasks, queries_stage(run, data) if run.config.evolve.rounds else None)


def sources_place(run: Run, data: Stage) -> Sources:
    """Where they are."""
    tasks = tasks_place(run, data) if "test" in run.config.evaluate.splits else None
    return Sources(data, tasks, queries_place(run, data) if run.config.evolve.rounds else None)


def tasks_place(run: Run, data: Stage) -> Stage:
    """Where the questions about the sub-tasks on the test split are."""
    return run.stage("tasks", {"data": data.key, "shard_rows": run.config.rollout.shard_rows})


def tasks_stage(run: Run, data: Stage) -> Stage:
    """Write the questions about the sub-tasks."""
    stage = tasks_place(run, data)
    counts = stage.done()
    if counts is None:
        with run.timed("tasks", stage):
            samples = task_samples(read_samples(data.store.sub("test")))
            counts = stage.publish({"rows": write_shards(samples, stage.store, run.config.rollout.shard_rows).rows})
        run.progress.end(f"{counts['rows']} questions about the sub-tasks")
    run.remember(stage, counts)
    return stage


def queries_place(run: Run, data: Stage) -> Stage:
    """Where the queries of evolution are."""
    return run.stage("queries", {**_halves(run, data), "shard_rows": run.config.rollout.shard_rows})


def queries_stage(run: Run, data: Stage) -> Stage:
    """Write the queries of evolution, their tools and references hidden."""
    stage = queries_place(run, data)
    counts = stage.done()
    if counts is None:
        with run.timed("queries", stage):
            left_out: Counter[str] = Counter()
            samples = (hide(sample) for sample in hidden(run, data, left_out))
            rows = write_shards(samples, stage.store, run.config.rollout.shard_rows).rows
            if not rows:
                raise DataError(
                    f"no query to evolve on: evolve.held_out {run.config.evolve.held_out:g} keeps none of the training "
                    f"samples ({_pairs(left_out) or 'none'} left out). Raise it, use more rows, or set evolve.rounds=0"
                )
            counts = stage.publish({"rows": rows, "left_out": dict(left_out)})
        run.progress.end(f"{counts['rows']} queries are kept for evolution")
    run.remember(stage, counts)
    return stage


def adaption_corpus_place(run: Run, data: Stage) -> Stage:
    """Where the corpus of stage 1 is."""
    return run.stage(f"{ADAPTION}/corpus", _halves(run, data))


def adaption_corpus_stage(run: Run, data: Stage) -> Stage:
    """Write the corpus of stage 1: documentation adaption of the distinct tools of the learning half."""
    left_out: Counter[str] = Counter()
    rows = adaption_rows(_learning(run, data), left_out)
    wanted = (
        "no tool to learn the definition of: the learning half of the samples has no tool with a description. Set "
        f"evolve.adaption=false, use more rows, or lower evolve.held_out ({run.config.evolve.held_out:g})"
    )
    return _written(run, adaption_corpus_place(run, data), rows, left_out, wanted)


def decomposed_corpus_place(run: Run, data: Stage) -> Stage:
    """Where the corpus of stage 2 is."""
    return run.stage(
        f"{DECOMPOSED}/corpus", {**_halves(run, data), "evolve": evolve_settings(run, "held_out", "generation", "mix")}
    )


def decomposed_corpus_stage(run: Run, data: Stage) -> Stage:
    """Write the corpus of stage 2: tool generation and invocation of the learning half, jointly."""
    left_out: Counter[str] = Counter()
    rows = decomposed_rows(_learning(run, data), run.config.evolve, run.config.seed, left_out)
    wanted = "nothing to learn in stage 2: raise evolve.mix, lower evolve.held_out, or use more rows"
    return _written(run, decomposed_corpus_place(run, data), rows, left_out, wanted)


def _written(run: Run, stage: Stage, rows: Iterator[CorpusRow], left_out: Counter[str], empty: str) -> Stage:
    """Write a corpus; `left_out` is filled while the rows are made. Raises `DataError` with `empty` without a row."""
    counts = stage.done()
    if counts is None:
        with run.timed(stage.name.replace("/", ": "), stage):
            written = write_corpus(rows, stage.store, SUBTASKS)
            if not any(written.values()):
                raise DataError(f"{stage.name}: {empty}. Left out: {_pairs(left_out) or 'nothing'}")
            counts = stage.publish({**written, "left_out": dict(left_out)})
        run.progress.end(f"{_rows(counts)} rows")
    run.remember(stage, counts)
    return stage


def evolved_corpus_place(run: Run, number: int, evolved: Stage, decomposed: Stage) -> Stage:
    """Where the corpus of a round is."""
    made_from = {"evolved": evolved.key, "decomposed": decomposed.key, "evolve": evolve_settings(run, "replay")}
    rule = {"replayed": "rows without a call keep their share"}
    return run.stage(f"{round_name(number)}/corpus", {**made_from, **rule, "seed": run.config.seed})


def evolved_corpus_stage(run: Run, number: int, evolved: Stage, decomposed: Stage, queries: Stage) -> Stage:
    """Write the corpus of a round: what was accepted, and a replay of stage 2. Counts are by kind, the replay in them
    and also under `replay`."""
    stage = evolved_corpus_place(run, number, evolved, decomposed)
    counts = stage.done()
    if counts is None:
        with run.timed(stage.name.replace("/", ": "), stage):
            pairs = run.counts[evolved.name]["accepted"]
            accepted = 2 * pairs
            wanted = round(run.config.evolve.replay * accepted)
            again = replayed(read_corpus(decomposed.store), wanted, run.config.seed, number, pairs)

            def rows() -> Iterator[CorpusRow]:
                for record, query in zip(read_records(evolved.store.uri), read_samples(queries.store), strict=True):
                    if not record.get("error") and record["reason"] is None:
                        yield from accepted_rows(EvolveRecord.model_validate(record), query, run.config.model.format)
                yield from (row for row in read_corpus(decomposed.store) if row.id in again)

            written = write_corpus(rows(), stage.store, SUBTASKS)
            if sum(written.values()) != accepted + len(again):
                raise StorageError(
                    f"{stage.name} was to have {accepted} accepted and {len(again)} replayed rows, but was written as "
                    f"{written}: {evolved.store.uri} was changed after it was published. Delete it and run the same "
                    "command again"
                )
            counts = stage.publish({**written, "replay": len(again)})
        run.progress.end(f"{_rows(counts)} rows, {counts['replay']} of them replayed")
    run.remember(stage, counts)
    return stage


def _learning(run: Run, data: Stage) -> Iterator[Sample]:
    return learning_samples(train_samples(data), run.config.evolve, run.config.seed)


def hidden(run: Run, data: Stage, left_out: Counter[str] | None = None) -> Iterator[Sample]:
    """The samples of the queries in their order, with tools and references: for scores only."""
    return hidden_samples(train_samples(data), run.config.evolve, run.config.seed, left_out)


def _halves(run: Run, data: Stage) -> dict[str, Any]:
    """What the two halves of the training split are made from."""
    rule = {"halved": "by first query"}
    return {"data": data.key, "evolve": evolve_settings(run, "held_out"), "seed": run.config.seed, **rule}


def evolve_settings(run: Run, *names: str) -> dict[str, Any]:
    """Some settings of evolution, for what a stage is made from: another setting must not refuse it."""
    return run.config.evolve.model_dump(include=set(names))


def _rows(counts: dict[str, Any]) -> str:
    return ", ".join(f"{counts[kind]} {kind}" for kind in SUBTASKS if counts[kind])


def _pairs(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {reason}" for reason, number in counts.most_common())
