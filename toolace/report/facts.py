"""What a run directory says about its run, finished or not. Everything is optional except `run.json`.

What cannot be read becomes a note that the report prints, so that nothing is missing in silence.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from toolace.errors import StorageError, ToolaceError
from toolace.storage import DONE, Store

T = TypeVar("T")

UNREADABLE = (ToolaceError, ValueError, KeyError)
"""What reading a damaged file, or one of another version of this program, raises."""

STEPS = "steps.jsonl"
SPLITS = ("test", "dev")
"""Splits in the order in which the headline prefers them."""
PARTS = ("probe", "select", "corpus", "train", "eval-dev", "eval-test")
QUARANTINE_SHOWN = 20


@dataclass(frozen=True)
class ModelFacts:
    """One model of the run: `base`, `bootstrap`, `plain_sft` or `round-N`, and what its stages counted."""

    name: str
    label: str
    number: int | None = None
    """The round, where it is the model of one."""
    corpus: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    evaluations: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Scores by split (the dump of `toolace.evaluation.metrics.Scores`)."""
    steps: tuple[dict[str, Any], ...] = ()
    """The lines of its step log."""

    @property
    def key(self) -> str:
        """The colour of the model in charts."""
        return self.name if self.number is None else "round"


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
    def split(self) -> str:
        """The split of the headline: test where any model was evaluated on it, else dev."""
        return next((s for s in SPLITS if any(s in model.evaluations for model in self.models)), SPLITS[0])

    def model(self, name: str) -> ModelFacts | None:
        """A model by name."""
        return next((model for model in self.models if model.name == name), None)

    @property
    def last(self) -> ModelFacts | None:
        """The newest model of the method that is evaluated: the last round's, else the bootstrap's, else the base."""
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

    record = run.read_json("run.json")
    if not isinstance(record, dict):
        raise StorageError(
            f"{run.at('run.json')} is damaged (it holds {str(record)[:80]}). Delete it and start the run again to have "
            "it written anew"
        )
    stages: dict[str, dict[str, Any]] = {}
    begun: list[str] = []
    for name in stage_places(run):
        if run.exists(f"{name}/{DONE}"):
            marker: dict[str, Any] = optional(f"{name}/{DONE}", run.read_json, {})
            stages[name] = dict(marker.get("counts", {}))
        elif run.exists(f"{name}/begun.json"):
            begun.append(name)
    models = []
    for name in ("base", "bootstrap", "plain_sft", *_round_names(run)):
        evaluations = {
            split: stages[f"{name}/eval-{split}"]["scores"]
            for split in SPLITS
            if "scores" in stages.get(f"{name}/eval-{split}", {})
        }
        steps: list[dict[str, Any]] = optional(f"{name}/train/{STEPS}", lines, [])
        train, corpus = stages.get(f"{name}/train", {}), stages.get(f"{name}/corpus", {})
        if evaluations or train or steps or corpus:
            number = int(name[6:]) if name.startswith("round-") else None
            models.append(ModelFacts(name, label_of(name), number, corpus, train, evaluations, tuple(steps)))
    return RunFacts(
        store=run,
        config=record.get("config", {}),
        config_text=optional("config.yaml", lambda path: run.read(path).decode(), ""),
        attempts=record.get("attempts", []),
        events=optional("events.jsonl", lines, []),
        stages=stages,
        begun=begun,
        models=models,
        summary=optional("summary.json", run.read_json, None),
        quarantine=optional(
            "data/quarantine.jsonl", lambda path: _json_lines(run.read(path), limit=QUARANTINE_SHOWN), []
        ),
        notes=notes,
    )


def label_of(name: str) -> str:
    """A model's or stage's name for people."""
    model, _, part = name.partition("/")
    label = "plain SFT" if model == "plain_sft" else model.replace("round-", "round ")
    return f"{label}: {part}" if part else label


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
    number = 1
    while run.exists(f"round-{number}"):
        yield f"round-{number}"
        number += 1


def stage_places(run: Store) -> Iterator[str]:
    """Names that the stages of a run can have, done or not."""
    yield "data"
    for model in ("base", "bootstrap", *_round_names(run), "plain_sft"):
        for part in PARTS:
            yield f"{model}/{part}"


def _json_lines(data: bytes, limit: int | None = None) -> list[dict[str, Any]]:
    """Whole lines of a JSON Lines file; a last line without its end was cut by a killed writer and is left out."""
    lines = [line for line in data.decode().split("\n")[:-1] if line.strip()]
    return [json.loads(line) for line in lines[:limit]]
