"""Asking a model of ToolACE-DEV: evaluation on the splits and on the sub-tasks, and the queries of a round."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from toolace.data.shards import read_index
from toolace.evolution.program import EvolveRecord, evolve
from toolace.evolution.tally import EvolveTally, count_evolved
from toolace.evolution.tasks import TaskRecord, TaskTally, answer_task
from toolace.rollouts.dataset import read_records
from toolace.rounds.context import ModelRef, Run
from toolace.rounds.evolve_corpora import Sources, evolve_settings, hidden, round_name
from toolace.rounds.rolling import Rollout, roll
from toolace.rounds.stages import PROBE_SEEDS, evaluations
from toolace.storage import Stage, Store

TASKS, EVOLVE = "tasks", "evolve"
ACCEPTED = "accepted.parquet"
"""In the stage of a round's records: an accepted query a row, with where it comes from and how it compares."""
COLUMNS = {
    "id": "string", "round": "int64", "model": "string", "weights": "string", "votes": "int64", "n": "int64",
    "k": "int64", "right": "bool_", "relevant": "bool_",
}  # fmt: skip
"""`votes` of `n` draws made and `k` planned; `weights` is the hash of those that answered. `right`: the answer matches
the hidden reference; `relevant`: its calls can be expressed in the model's own tools; null where it has none."""
ASKING = (
    "votes", "mode", "accept_share", "temperature", "top_k", "top_p", "tools_temperature", "tools_tokens",
    "call_tokens", "max_tools", "rules",
)  # fmt: skip
"""Settings that the records of a round depend on."""


def evolve_place(run: Run, model: ModelRef, number: int, queries: Stage) -> Stage:
    """Where the records of a round are: its queries asked of the model before it."""
    return run.stage(
        f"{round_name(number)}/evolve",
        {
            "model": model.key,
            "queries": queries.key,
            "inference": run.inference_key,
            "evolve": evolve_settings(run, *ASKING),
            "seed": run.config.seed,
        },
    )


def task_answers_place(run: Run, model: ModelRef, tasks: Stage) -> Stage:
    """Where a model's answers to the questions about the sub-tasks are."""
    return run.stage(
        f"{model.name}/tasks-test",
        {
            "model": model.key,
            "tasks": tasks.key,
            "inference": run.inference_key,
            "evolve": evolve_settings(run, "tools_tokens", "max_tools"),
        },
    )


def ask_model(
    run: Run, model: ModelRef, sources: Sources, *, evaluate: bool, evolve_round: int | None = None
) -> dict[str, dict[str, Any]]:
    """Evaluate a model, on the splits and on the sub-tasks, and let it evolve the queries of a round, all on one start
    of the engine; the counts by name of the split, `tasks` and `evolve`."""
    config = run.config
    planned = evaluations(run, model, sources.data) if evaluate else {}
    if evaluate and sources.tasks is not None and read_index(sources.tasks.store).rows:
        program = partial(answer_task, config=config.evolve, format=config.model.format)
        stage = task_answers_place(run, model, sources.tasks)
        planned[TASKS] = Rollout(stage, sources.tasks.store.uri, program, _tasks_line, add=_score_tasks)
    if evolve_round is not None:
        assert sources.queries is not None
        program = partial(
            evolve,
            config=config.evolve,
            format=config.model.format,
            run_seed=config.seed * PROBE_SEEDS + evolve_round,
        )
        stage = evolve_place(run, model, evolve_round, sources.queries)
        add = partial(_keep_accepted, run, sources.data, model, evolve_round)
        planned[EVOLVE] = Rollout(stage, sources.queries.store.uri, program, _evolve_line, count_evolved, add)
    return roll(run, model, planned, _title)


def _keep_accepted(
    run: Run, data: Stage, model: ModelRef, number: int, counts: dict[str, Any], records: Store
) -> dict[str, Any]:
    """Write where each accepted query comes from; the counts of the round, and how it compares with what was hidden."""
    import pyarrow as pa

    tally = EvolveTally(run.config.model.format)
    origin = {"round": number, "model": model.name, "weights": ",".join(counts["models"])}
    rows = []
    for record, sample in zip(read_records(records.uri), hidden(run, data), strict=True):
        if record.get("error"):
            tally.add_error()
            continue
        found = EvolveRecord.model_validate(record)
        compared = tally.add(found, sample)
        if compared is not None:
            rows.append({"id": found.id, "votes": found.votes, "n": found.n, "k": found.k, **origin, **compared})
    table = pa.Table.from_pylist(rows, pa.schema([(name, getattr(pa, kind)()) for name, kind in COLUMNS.items()]))
    records.write_table(ACCEPTED, table)
    scores = tally.scores().model_dump()
    scores.pop("errors")  # the counts of the rollout have them by reason
    return scores


def _score_tasks(counts: dict[str, Any], records: Store) -> dict[str, Any]:
    tally = TaskTally()
    for record in read_records(records.uri):
        if record.get("error"):
            tally.add_error(record["id"])
        else:
            tally.add(TaskRecord.model_validate(record))
    return {"scores": tally.scores().model_dump()}


def _title(names: Sequence[str]) -> str:
    asked = [name for name in names if name not in (TASKS, EVOLVE)]
    what = [f"evaluate on {' and '.join(asked)}"] if asked else []
    return ", ".join([*what, *(name for name in (TASKS, EVOLVE) if name in names)])


def _tasks_line(counts: dict[str, Any]) -> str:
    scores = counts["scores"]
    told = (
        f"{scores[name]:.1%} {what}"
        for name, what in (("definition_valid", "definitions valid"), ("tools_valid", "tools valid"))
        if scores[name] is not None
    )
    return "sub-tasks " + ", ".join(told)


def _evolve_line(counts: dict[str, Any]) -> str:
    saved = 1 - counts["draws"] / max(1, counts["draws_full"])
    return f"{counts['accepted']} of {counts['queries']} queries accepted, {saved:.0%} of the draws saved"
