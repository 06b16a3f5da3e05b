"""What a run directory says about its run, finished or not. Everything is optional except `run.json`.

What cannot be read becomes a note that the report prints, so that nothing is missing in silence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from toolace.errors import StorageError, ToolaceError
from toolace.storage import BEGUN, DONE, Store

T = TypeVar("T")

UNREADABLE = (ToolaceError, ValueError, KeyError)
"""What reading a damaged file, or one of another version of this program, raises."""

STEPS = "steps.jsonl"
SPLITS = ("test", "dev")
"""Splits in the order in which the headline prefers them."""
PARTS = ("probe", "select", "evolve", "corpus", "train", "eval-dev", "eval-test", "tasks-test")
EVOLVE = "evolve"
"""The method of a run that evolves; what other runs name, or nothing, are rounds."""
QUARANTINE_SHOWN = 20
_ROUND = re.compile(r"(round|evolve)-([1-9][0-9]*)")


@dataclass(frozen=True)
class ModelFacts:
    """One model of the run, and what its stages counted: `base`; `bootstrap`, `plain_sft`, `round-N`; `adaption`,
    `decomposed`, `evolve-N`."""

    name: str
    label: str
    number: int | None = None
    """The round, where it is the model of one, of selection or of evolution."""
    corpus: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    evaluations: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Scores by split (the dump of `toolace.evaluation.metrics.Scores`)."""
    tasks: dict[str, Any] = field(default_factory=dict)
    """Scores of the sub-tasks on the test split."""
    evolved: dict[str, Any] = field(default_factory=dict)
    """What became of the queries of its round of evolution, which the model before it was asked."""
    steps: tuple[dict[str, Any], ...] = ()
    """The lines of its step log."""


@dataclass(frozen=True)
class Cost:
    """What one group of stages that ran together took. Seconds of every attempt, also of failed ones, are added up."""

    stages: tuple[str, ...]
    seconds: float | None
    attempts: int
    draws: int | None = None
    generated: int | None = None
    read: int | None = None
    trained: int | None = None


@dataclass
class RunFacts:
    """A run as its directory tells it."""

    store: Store
    method: str
    config: dict[str, Any]
    config_text: str
    attempts: list[dict[str, Any]]
    events: list[dict[str, Any]]
    stages: dict[str, dict[str, Any]]
    """Counts of the stages that are done."""
    begun: list[str]
    """Stages that were begun and are not done."""
    models: list[ModelFacts]
    summary: dict[str, Any] | None
    quarantine: list[dict[str, Any]]
    notes: list[str]

    @property
    def name(self) -> str:
        """The run's name."""
        return str(self.config.get("name") or self.store.uri.rstrip("/").rsplit("/", 1)[-1])

    @property
    def rounds(self) -> list[int]:
        """Rounds whose probe or selection is done."""
        return sorted({int(name[6:].split("/")[0]) for name in self.stages if name.startswith("round-")})

    @property
    def evolves(self) -> bool:
        """Whether it is a run of ToolACE-DEV."""
        return self.method == EVOLVE

    @property
    def evolutions(self) -> list[ModelFacts]:
        """Rounds of evolution whose queries were asked."""
        return [model for model in self.models if model.evolved]

    @property
    def split(self) -> str:
        """The split of the headline: test where any model was evaluated on it, else dev."""
        return next((s for s in SPLITS if any(s in model.evaluations for model in self.models)), SPLITS[0])

    def model(self, name: str) -> ModelFacts | None:
        """A model by name."""
        return next((model for model in self.models if model.name == name), None)

    @property
    def last(self) -> ModelFacts | None:
        """The newest model of the method that is evaluated: the last round's, else the newest before it."""
        order = [m for m in self.models if m.evaluations and m.name != "plain_sft"]
        order.sort(key=lambda m: (-1 if m.name == "base" else 0) if m.number is None else m.number)
        return order[-1] if order else None


def gather(run: Store) -> RunFacts:
    """Read a run directory. Raises `StorageError` where it is none; other gaps become notes."""
    if not run.exists("run.json"):
        raise StorageError(f"no run.json in {run.uri}: this is not a run directory. Give one, such as runs/demo")
    notes: list[str] = []

    def optional(path: str, read: Callable[[str], T], otherwise: T) -> T:
        if not run.exists(path):
            return otherwise
        try:
            return read(path)
        except UNREADABLE as error:
            notes.append(f"{path} cannot be read: {error}")
            return otherwise

    def lines(path: str) -> list[dict[str, Any]]:
        return _json_lines(run.read(path))

    def read_object(path: str) -> dict[str, Any]:
        found = run.read_json(path)
        if not isinstance(found, dict) or not isinstance(found.get("counts", {}), dict):
            raise StorageError(f"it holds {str(found)[:80]}")
        return found

    def read_summary(path: str) -> dict[str, Any]:
        found = read_object(path)
        if "name" not in found or not isinstance(found.get("rounds"), list):
            raise StorageError(f"it holds {str(found)[:80]}. {run.remake(path)}")
        return found

    record = run.read_json("run.json")
    if not isinstance(record, dict):
        raise StorageError(f"{run.at('run.json')} is damaged (it holds {str(record)[:80]}). {run.remake('run.json')}")
    stages: dict[str, dict[str, Any]] = {}
    begun: list[str] = []
    for name in stage_places(run):
        if run.exists(f"{name}/{DONE}"):
            marker: dict[str, Any] = optional(f"{name}/{DONE}", read_object, {})
            stages[name] = dict(marker.get("counts", {}))
        elif run.exists(f"{name}/{BEGUN}"):
            begun.append(name)
    models = []
    for name in ("base", "bootstrap", "plain_sft", "adaption", "decomposed", *_round_names(run)):
        evaluations = {
            split: stages[f"{name}/eval-{split}"]["scores"]
            for split in SPLITS
            if "scores" in stages.get(f"{name}/eval-{split}", {})
        }
        steps: list[dict[str, Any]] = optional(f"{name}/train/{STEPS}", lines, [])
        train, corpus = stages.get(f"{name}/train", {}), stages.get(f"{name}/corpus", {})
        tasks = stages.get(f"{name}/tasks-test", {}).get("scores", {})
        evolved = stages.get(f"{name}/evolve", {})
        if evaluations or train or steps or corpus or tasks or evolved:
            models.append(
                ModelFacts(
                    name, label_of(name), round_of(name), corpus, train, evaluations, tasks, evolved, tuple(steps)
                )
            )
    return RunFacts(
        store=run,
        method=str(record.get("method", "")),
        config=record.get("config", {}),
        config_text=optional("config.yaml", lambda path: run.read(path).decode(), ""),
        attempts=record.get("attempts", []),
        events=optional("events.jsonl", lines, []),
        stages=stages,
        begun=begun,
        models=models,
        summary=optional("summary.json", read_summary, None),
        quarantine=optional(
            "data/quarantine.jsonl", lambda path: _json_lines(run.read(path), limit=QUARANTINE_SHOWN), []
        ),
        notes=notes,
    )


def label_of(name: str) -> str:
    """A model's or stage's name for people."""
    model, _, part = name.partition("/")
    label = "plain SFT" if model == "plain_sft" else model
    if found := _ROUND.fullmatch(model):
        label = f"{'round' if found[1] == 'round' else 'evolution'} {found[2]}"
    return f"{label}: {part}" if part else label


def round_of(model: str) -> int | None:
    """The number of the round that a model is of; None for one that no round made."""
    found = _ROUND.fullmatch(model)
    return int(found[2]) if found else None


def on_path(model: str) -> bool:
    """Whether a model is a step of a method: one of its rounds, or what ToolACE-DEV makes before them."""
    return round_of(model) is not None or model in ("adaption", "decomposed")


def path_order(model: str) -> tuple[int, int, str]:
    """Sorts the names of the models that lead to one another: the base, what is before the rounds, the rounds."""
    number = round_of(model)
    before = ("base", "bootstrap", "adaption", "decomposed")
    if number is None:
        return 0, before.index(model) if model in before else len(before), model
    return 1, number, model


def arm_order(arms: Iterable[str]) -> list[str]:
    """Ways of answering in the order for people: direct, adaptive, then fixed and margin arms by their number."""

    def place(name: str) -> tuple[int, float, str]:
        kind, _, number = name.partition("_")
        order = {"direct": 0, "adaptive": 1, "fixed": 2, "margin": 3}.get(kind, 4)
        return order, float(number) if order in (2, 3) else 0.0, name

    return sorted(arms, key=place)


def costs(facts: RunFacts) -> list[Cost]:
    """Time by group of stages from the events, draws and tokens from the counts, in the order of their first start."""
    seconds: dict[tuple[str, ...], float] = {}
    attempts: dict[tuple[str, ...], int] = {}
    started: dict[tuple[str, ...], float] = {}
    for event in facts.events:
        group = tuple(event.get("stages", ()))
        kind = event.get("event")
        if kind == "stages_begun":
            started[group] = float(event["time"])
            attempts[group] = attempts.get(group, 0) + 1
            seconds.setdefault(group, 0.0)
        elif kind in ("stages_done", "stages_failed") and group in started:
            took = event.get("seconds", float(event["time"]) - started.pop(group))
            seconds[group] += float(took)
    known = {name for group in seconds for name in group}
    for name, counts in facts.stages.items():
        if name not in known:
            seconds[(name,)] = float(counts.get("seconds", 0.0))
    return [_cost(facts, group, took, attempts.get(group, 1)) for group, took in seconds.items()]


def _cost(facts: RunFacts, group: tuple[str, ...], took: float, attempts: int) -> Cost:
    def total(key: str, *, training: bool = False) -> int | None:
        found = [
            int(facts.stages[name][key])
            for name in group
            if key in facts.stages.get(name, {}) and name.endswith("/train") == training
        ]
        return sum(found) if found else None

    return Cost(
        stages=group,
        seconds=took,
        attempts=attempts,
        draws=total("draws"),
        generated=total("generated_tokens"),
        read=total("prompt_tokens"),
        trained=total("target_tokens", training=True),
    )


def _round_names(run: Store) -> Iterator[str]:
    for kind in ("round", "evolve"):
        number = 1
        while run.exists(f"{kind}-{number}"):
            yield f"{kind}-{number}"
            number += 1


def stage_places(run: Store) -> Iterator[str]:
    """Names that the stages of a run can have, done or not."""
    yield from ("data", "tasks", "queries")
    for model in ("base", "bootstrap", "adaption", "decomposed", *_round_names(run), "plain_sft"):
        for part in PARTS:
            yield f"{model}/{part}"


def _json_lines(data: bytes, limit: int | None = None) -> list[dict[str, Any]]:
    """Whole lines of a JSON Lines file; a last line without its end was cut by a killed writer and is left out."""
    lines = [line for line in data.decode().split("\n")[:-1] if line.strip()]
    found = [json.loads(line) for line in lines[:limit]]
    if odd := [value for value in found if not isinstance(value, dict)]:
        raise ValueError(f"a line holds {str(odd[0])[:80]}, not an object")
    return found
