"""Running a model on a benchmark: the same stages as any evaluation, and scores that can be made again from them.

    OUT/data/rows/                  the questions, in shards
    OUT/model/answers/              records: the raw answers of every arm, in shards (`AnswerRecord`)
    OUT/predictions-ARM.jsonl       the texts that were scored; `toolace evaluate --predictions` takes them
    OUT/verdicts-ARM.jsonl          a verdict for each row at hand
    OUT/scores.json                 the scores of every arm

Answers depend on the questions, the model and the settings, not on the benchmark's answers or rules: scoring is done
anew at every call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from toolace.config import Config
from toolace.data.shards import write_shards
from toolace.evaluation.benchmarks import benchmark_named
from toolace.evaluation.benchmarks.base import BenchmarkRow
from toolace.evaluation.benchmarks.running import Plan, build_report, plan_rows, questions, score_arms
from toolace.evaluation.dialogue import answer_row
from toolace.evaluation.program import arm_names
from toolace.rollouts.dataset import read_records
from toolace.rollouts.worker import TextCodec
from toolace.rounds.context import ModelRef, Run
from toolace.rounds.lock import RunLock
from toolace.rounds.rolling import Rollout, roll
from toolace.rounds.standalone import model_of, run_in
from toolace.storage import Stage, digest

SCORES = "scores.json"
SHARD_ROWS = 16
"""Rows a shard, at most. Answers appear by shards, and a benchmark has few rows that take long: a run that is killed
has lost little more than what the engine was at."""


def run_benchmark(
    config: Config,
    name: str,
    folder: Path,
    out: str,
    *,
    categories: Sequence[str] | None = None,
    limit: int | None = None,
    official: Path | None = None,
    script: Any = None,
    make_codec: Callable[[], TextCodec] | None = None,
) -> dict[str, Any]:
    """Ask `config.model` the rows of a benchmark in `folder`, in all arms of `config.evaluate`, and score the answers.

    Returns what `out/scores.json` holds (see `toolace.evaluation.benchmarks.running`). The same call again asks only
    what is missing, and scores anew. `official` is the environment of the official checker, for the rows that it must
    judge; it is wanted at that path on every machine that asks. `script` is what a `scripted` engine answers,
    `make_codec` replaces the renderer.
    """
    benchmark = benchmark_named(name, official)
    plan = plan_rows(benchmark, folder, categories, limit)
    small = config.rollout.model_copy(update={"shard_rows": min(SHARD_ROWS, config.rollout.shard_rows)})
    run = run_in(config.model_copy(update={"rollout": small}), out)
    with RunLock(run.store):
        data = _questions(run, name, plan)
        model = model_of(config)
        stage = answers_stage(run, model, data)
        program = partial(
            answer_row,
            dialogues={row.id: row.dialogue for row in plan.asked if row.dialogue is not None},
            execute=benchmark.backends(config.model.format),
            refine_config=config.refine,
            format=config.model.format,
            fixed_rounds=tuple(config.evaluate.fixed_rounds),
            margins=tuple(config.evaluate.margins),
        )
        rollout = Rollout(stage, data.store.at("rows"), program, _line)
        roll(run, model, {name: rollout}, lambda _: f"answer {name}", script=script, make_codec=make_codec)
        arms = arm_names(config.evaluate.fixed_rounds, config.evaluate.margins)
        scored = score_arms(benchmark, plan, read_records(stage.store.uri), arms, config.model.format)
        for arm, entry in scored.items():
            run.store.write(f"predictions-{arm}.jsonl", entry.predictions)
            run.store.write(f"verdicts-{arm}.jsonl", entry.found.lines())
        report = build_report(benchmark, plan, scored)
        run.store.write_json(SCORES, report)
        return report


def answers_stage(run: Run, model: ModelRef, data: Stage) -> Stage:
    """Where a model's answers are."""
    return run.stage(
        f"{model.name}/answers",
        {
            "model": model.key,
            "data": data.key,
            "inference": run.inference_key,
            "refine": run.config.refine.model_dump(),
            "fixed_rounds": run.config.evaluate.fixed_rounds,
            "margins": run.config.evaluate.margins,
        },
    )


def _questions(run: Run, name: str, plan: Plan) -> Stage:
    """The rows to ask as a data stage, known by what is asked."""
    shard_rows = run.config.rollout.shard_rows
    stage = run.stage(
        "data",
        {
            "benchmark": name,
            "rows": dict(Counter(row.category for row in plan.asked)),
            "questions": digest([_question(row) for row in plan.asked]),
            "shard_rows": shard_rows,
        },
    )
    if stage.done() is None:
        index = write_shards(questions(plan.asked), stage.store.sub("rows"), shard_rows)
        stage.publish({"rows": index.rows})
    return stage


def _question(row: BenchmarkRow) -> list[Any]:
    """All that a model may be asked about a row, as JSON."""
    question: list[Any] = [row.id, row.chat.model_dump(exclude_defaults=True)]
    if row.dialogue is not None:
        turns = [[message.model_dump(exclude_defaults=True) for message in turn] for turn in row.dialogue.turns]
        held = {str(turn): [tool.model_dump() for tool in tools] for turn, tools in row.dialogue.held.items()}
        question += [turns, held, row.dialogue.entry]
    return question


def _line(counts: dict[str, Any]) -> str:
    failed = sum(counts["errors"].values())
    return f"{counts['rows']} rows answered" + (f", {failed} of them with an error" if failed else "")
