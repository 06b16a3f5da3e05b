"""`--dry-run` of a comparison: how many stages its runs need, and how many of them are the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from toolace.config import Config, TrainConfig
from toolace.rounds.compare_plan import PlannedRun
from toolace.rounds.context import ModelRef, Run, base_model, share_scope
from toolace.rounds.events import EventLog
from toolace.rounds.evolve import round_settings
from toolace.rounds.evolve_corpora import (
    ADAPTION,
    DECOMPOSED,
    adaption_corpus_place,
    decomposed_corpus_place,
    evolved_corpus_place,
    round_name,
    sources_place,
)
from toolace.rounds.evolve_stages import evolve_place, task_answers_place
from toolace.rounds.ingest import data_stage
from toolace.rounds.progress import Progress
from toolace.rounds.record import EVOLVE, ROUNDS, MethodName
from toolace.rounds.shared import SharedStages, identity_of
from toolace.rounds.stages import corpus_place, evaluation_stage, plain_corpus_place, probe_stage, select_place
from toolace.rounds.train_stage import train_place, trained_model
from toolace.storage import DONE, Stage, Store

ENGINE, TRAIN = "engine", "train"


@dataclass(frozen=True)
class Step:
    """Stages that a run makes together. `kind`: `data`, `engine` (one start of it), `select`, `corpus`, `train`."""

    kind: str
    stages: tuple[Stage, ...]


def planned_steps(config: Config, method: MethodName = ROUNDS) -> list[Step]:
    """The steps of a run that goes through all its rounds, in the order of its driver. Writes nothing.

    Keys of stages are those of the run itself, but for what comes after plain SFT: how many target tokens that sees is
    known only when the rounds are done, so its key here is made of the trainings that decide it.
    """
    store = Store(config.run_dir)
    run = Run(config, store, EventLog(store), Progress())
    return list(_evolve_steps(run) if method == EVOLVE else _steps(run))


def _steps(run: Run) -> Iterator[Step]:
    config, rounds = run.config, run.config.rounds
    data = data_stage(run)
    yield Step("data", (data,))

    def engine(model: ModelRef, probe: int | None, *, evaluate: bool = True) -> Step:
        splits = config.evaluate.splits if evaluate else []
        stages = [evaluation_stage(run, model, split, data.key) for split in splits]
        if probe is not None:
            stages.append(probe_stage(run, model, probe, data.key))
        return Step(ENGINE, tuple(stages))

    base = base_model(config)
    yield engine(base, None if rounds.bootstrap_rows else 1)
    model, trainings = base, []
    if rounds.bootstrap_rows:
        corpus = plain_corpus_place(run, "bootstrap", data, rounds.bootstrap_rows)
        trained = train_place(run, "bootstrap", base, corpus, config.train)
        trainings.append(trained)
        yield from (Step("corpus", (corpus,)), Step(TRAIN, (trained,)))
        model = trained_model("bootstrap", trained)
        yield engine(model, 1)
    probed: Stage | None = None
    for number in range(1, rounds.max_rounds + 1):
        previous, probed = probed, probe_stage(run, model, number, data.key)
        selected = select_place(run, number, probed, previous)
        corpus = corpus_place(run, number, selected)
        trained = train_place(run, f"round-{number}", base if rounds.start == "base" else model, corpus, config.train)
        trainings.append(trained)
        yield from (Step("select", (selected,)), Step("corpus", (corpus,)), Step(TRAIN, (trained,)))
        model = trained_model(f"round-{number}", trained)
        yield engine(model, number + 1 if number < rounds.max_rounds else None)
    if rounds.plain_sft:
        corpus = plain_corpus_place(run, "plain_sft", data, None)
        like = [stage.key for stage in (trainings if rounds.start == "previous" else trainings[-1:])]
        trained = run.stage("plain_sft/train", {"corpus": corpus.key, "as many target tokens as": like})
        yield from (Step("corpus", (corpus,)), Step(TRAIN, (trained,)))
        yield engine(trained_model("plain_sft", trained), None)


def _evolve_steps(run: Run) -> Iterator[Step]:
    config, evolve = run.config, run.config.evolve
    data = data_stage(run)
    sources = sources_place(run, data)
    asked = [stage for stage in (sources.tasks, sources.queries) if stage is not None]
    yield from (Step("data", (data,)), Step("data", tuple(asked)))

    def engine(model: ModelRef, round: int | None = None) -> Step:
        stages = [evaluation_stage(run, model, split, data.key) for split in config.evaluate.splits]
        if sources.tasks is not None:
            stages.append(task_answers_place(run, model, sources.tasks))
        if round is not None and sources.queries is not None:
            stages.append(evolve_place(run, model, round, sources.queries))
        return Step(ENGINE, tuple(stages))

    def train(name: str, corpus: Stage, settings: TrainConfig) -> tuple[ModelRef, list[Step]]:
        start = base if evolve.start == "base" else model
        trained = train_place(run, name, start, corpus, settings)
        return trained_model(name, trained), [Step("corpus", (corpus,)), Step(TRAIN, (trained,))]

    base = model = base_model(config)
    yield engine(base)
    if evolve.adaption:
        model, steps = train(ADAPTION, adaption_corpus_place(run, data), config.train)
        yield from (*steps, engine(model))
    decomposed = decomposed_corpus_place(run, data)
    model, steps = train(DECOMPOSED, decomposed, config.train)
    yield from (*steps, engine(model, 1 if evolve.rounds else None))
    for number in range(1, evolve.rounds + 1):
        assert sources.queries is not None
        corpus = evolved_corpus_place(run, number, evolve_place(run, model, number, sources.queries), decomposed)
        model, steps = train(round_name(number), corpus, round_settings(config))
        yield from (*steps, engine(model, number + 1 if number < evolve.rounds else None))


def count_plan(runs: Sequence[PlannedRun], shared: SharedStages | None) -> dict[str, Any]:
    """How many stages the runs have, how many of them are done, to make, and to take from another run."""
    seen: set[str] = set()
    made: dict[str, int] = {}
    counts = {"runs": len(runs), "stages": 0, "done": 0, "to_make": 0, "to_share": 0}
    rows = []
    for run in runs:
        store = Store(run.config.run_dir)
        row = {"done": 0, "to_make": 0, "to_share": 0}
        for step in planned_steps(run.config, run.method):
            work = False
            for stage in step.stages:
                identity = identity_of(stage, share_scope(run.config))
                if store.exists(f"{stage.name}/{DONE}"):
                    state = "done"
                elif shared is not None and (identity in seen or shared.holds(identity)):
                    state = "to_share"
                else:
                    state, work = "to_make", True
                seen.add(identity)
                row[state] += 1
                counts[state] += 1
                counts["stages"] += 1
            if work:
                made[step.kind] = made.get(step.kind, 0) + 1
        rows.append({"run": run.config.name, **row})
    return {**counts, "trainings": made.get(TRAIN, 0), "engine_starts": made.get(ENGINE, 0), "by_run": rows}


def describe(plan: dict[str, Any], home: str) -> str:
    """The plan as text."""
    width = max(len(row["run"]) for row in plan["by_run"])
    lines = [f"comparison {home}", f"{'run':<{width}}  {'done':>5} {'make':>5} {'share':>5}"]
    lines += [
        f"{row['run']:<{width}}  {row['done']:>5} {row['to_make']:>5} {row['to_share']:>5}" for row in plan["by_run"]
    ]
    lines.append(
        f"{plan['runs']} runs with {plan['stages']} stages: {plan['done']} done, {plan['to_make']} to make "
        f"({plan['trainings']} trainings, {plan['engine_starts']} engine starts), {plan['to_share']} shared. A run may "
        "stop before its last round."
    )
    return "\n".join(lines)
