"""`--dry-run` of a comparison: how many stages its runs need, how many of them are the same, and which are refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from toolace.config import Config, TrainConfig
from toolace.errors import StorageError
from toolace.rounds.compare import is_finished
from toolace.rounds.compare_plan import PlannedRun
from toolace.rounds.context import ModelRef, Run, base_model, share_scope
from toolace.rounds.driver import outgrown
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
from toolace.storage import DONE, Stage, StageMismatch, Store

ENGINE, TRAIN = "engine", "train"
PLAIN_TRAIN = "plain_sft/train"
_STATES = ("done", "to_make", "to_share", "refused")


@dataclass(frozen=True)
class Step:
    """Stages that a run makes together. `kind`: `data`, `engine` (one start of it), `select`, `corpus`, `train`.

    `looked_for`: the same stages under the keys that the run looks for in its directory, where those are others.
    """

    kind: str
    stages: tuple[Stage, ...]
    looked_for: tuple[Stage, ...] = ()


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
        trained = run.stage(PLAIN_TRAIN, {"corpus": corpus.key, "as many target tokens as": like})
        settings = config.train.model_copy(update={"target_tokens": _target_tokens(run, trainings)})
        real = train_place(run, "plain_sft", base, corpus, settings)
        yield from (Step("corpus", (corpus,)), Step(TRAIN, (trained,), (real,)))
        planned, found = (engine(trained_model("plain_sft", stage), None).stages for stage in (trained, real))
        yield Step(ENGINE, planned, found)


def _target_tokens(run: Run, trainings: Sequence[Stage]) -> int:
    """What plain SFT is to see. 1, which is no training, where rounds that decide it may be still to come."""
    done = []
    for stage in trainings:
        with suppress(StorageError):  # made from other settings, or damaged
            done.append(stage.look())
    seen = [int(counts.get("target_tokens", 0)) for counts in done if counts is not None]
    if len(seen) < len(trainings) and run.config.rounds.plateau is None:
        return 1
    return max(1, sum(seen if run.config.rounds.start == "previous" else seen[-1:]))


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
    """How many stages the runs have, how many of them are done, to make, to take from another run, and refused: there,
    but made from other settings or inputs. `by_run` has the first refused stage of a run, and what differs.

    Of a run that is finished only the stages that it has count.
    """
    seen: set[str] = set()
    made: dict[str, int] = {}
    counts = {"runs": len(runs), "stages": 0, **dict.fromkeys(_STATES, 0)}
    rows = []
    for run in runs:
        row: dict[str, Any] = {"run": run.config.name, **dict.fromkeys(_STATES, 0)}
        look = _Look(run)
        for step in planned_steps(run.config, run.method):
            work = False
            for stage, real in zip(step.stages, step.looked_for or step.stages, strict=True):
                identity = identity_of(stage, share_scope(run.config))
                state = look.at(real)
                if state == "missing" and look.finished:
                    continue
                if state == "missing" and shared is not None and (identity in seen or shared.holds(identity)):
                    state = "to_share"
                elif state == "missing":
                    state, work = "to_make", True
                if state != "refused":
                    seen.add(identity)
                row[state] += 1
                counts[state] += 1
                counts["stages"] += 1
            if work:
                made[step.kind] = made.get(step.kind, 0) + 1
        rows.append({**row, **look.refusal})
    return {**counts, "trainings": made.get(TRAIN, 0), "engine_starts": made.get(ENGINE, 0), "by_run": rows}


class _Look:
    """What a run finds in its directory, stage by stage, in their order."""

    def __init__(self, run: PlannedRun) -> None:
        self.finished = is_finished(run)
        self.refusal: dict[str, Any] = {}
        """The first stage that is refused, as `refused_at`, and what differs, as `changes`."""
        self._remade = False
        """Whether plain SFT is made again, with its evaluations."""

    def at(self, stage: Stage) -> str:
        """`done`, `missing` or `refused`."""
        if self.finished:
            return "done" if stage.store.exists(DONE) else "missing"
        if self._remade and stage.name.startswith("plain_sft/"):
            return "missing"
        try:
            state = "missing" if stage.look() is None else "done"
        except StorageError as error:
            changes = error.changes if isinstance(error, StageMismatch) else [str(error)]
            if stage.name != PLAIN_TRAIN or not isinstance(error, StageMismatch) or not outgrown(error):
                self.refusal = self.refusal or {"refused_at": stage.name, "changes": changes}
                return "refused"
            state = "missing"
        self._remade = stage.name == PLAIN_TRAIN and state == "missing"
        return state


def describe(plan: dict[str, Any], home: str) -> str:
    """The plan as text."""
    width = max(len(row["run"]) for row in plan["by_run"])
    states = [state for state in _STATES if state != "refused" or plan["refused"]]
    head = {"done": "done", "to_make": "make", "to_share": "share", "refused": "refused"}
    lines = [f"comparison {home}", f"{'run':<{width}}  " + " ".join(f"{head[state]:>5}" for state in states)]
    for row in plan["by_run"]:
        cells = " ".join(f"{row[state]:>{max(5, len(head[state]))}}" for state in states)
        lines.append(f"{row['run']:<{width}}  {cells}")
    lines.append(
        f"{plan['runs']} runs with {plan['stages']} stages: {plan['done']} done, {plan['to_make']} to make "
        f"({plan['trainings']} trainings, {plan['engine_starts']} engine starts), {plan['to_share']} shared. A run may "
        "stop before its last round."
    )
    return "\n".join([*lines, *_refusals(plan)])


def _refusals(plan: dict[str, Any]) -> Iterator[str]:
    """The runs that cannot go on, those together that differ in the same."""
    alike: dict[str, list[dict[str, Any]]] = {}
    for row in plan["by_run"]:
        if "refused_at" in row:
            alike.setdefault(f"{row['refused_at']} {row['changes']}", []).append(row)
    if not alike:
        return
    yield (
        f"{sum(map(len, alike.values()))} run(s) will be refused, for {plan['refused']} of their stages were made from "
        "other settings or inputs, or are damaged:"
    )
    for first, *more in alike.values():
        others = f" and {len(more)} more" if more else ""
        yield f"  {first['run']}{others}, at {first['refused_at']}:"
        yield from (f"    {change}" for change in first["changes"])
    yield (
        "Take another name for the comparison (--set name=...), restore the settings, or delete the directories of "
        "those stages, and of all that come after them in the run, to make them anew"
    )
