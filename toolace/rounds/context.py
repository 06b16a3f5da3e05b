"""What the stages of one run share."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from toolace.config import Config
from toolace.engines.models import fingerprint, resolve_model
from toolace.errors import StorageError
from toolace.rounds.events import EventLog
from toolace.rounds.progress import Progress
from toolace.rounds.shared import SharedStage, SharedStages
from toolace.rounds.tracking import Tracking
from toolace.storage import Stage, Store, digest

UNKEYED_TRAINING = (
    "token_budget", "workers", "cpus_per_worker", "gpus_per_worker", "threads_per_worker",
    "gradient_checkpointing",
)  # fmt: skip
"""Settings of training that `TrainSpec.made_from` leaves out and that weights may depend on."""


@dataclass(frozen=True)
class ModelRef:
    """A model of the run: its name in reports, where it is, and a key that changes with its weights."""

    name: str
    path: str
    key: str


def base_model(config: Config, name: str = "base") -> ModelRef:
    """The model that a config names, by its weights."""
    path = config.model.path
    folder = resolve_model(path)
    # Training workers have a working directory of their own, where a relative path means nothing. What ships with the
    # package, or is fetched, is at another place on each node, and goes by its name.
    return ModelRef(name, folder if os.path.isdir(path) else path, fingerprint(folder))


@dataclass
class Run:
    """One run: settings, place, event log, progress, and the counts of every stage met so far.

    With `shared`, a stage that another run has made from the same is taken from there.
    """

    config: Config
    store: Store
    events: EventLog
    progress: Progress
    counts: dict[str, dict[str, Any]] = field(default_factory=dict)
    shared: SharedStages | None = None
    tracking: Tracking = field(default_factory=Tracking)

    def stage(self, name: str, made_from: dict[str, Any]) -> Stage:
        """A stage of this run."""
        if self.shared is None:
            return Stage(self.store, name, made_from)
        return SharedStage(self.store, name, made_from, self.shared, share_scope(self.config), self._say_shared)

    def _say_shared(self, stage: Stage) -> None:
        self.events.write("stage_shared", stages=[stage.name])

    @contextmanager
    def timed(self, title: str, *stages: Stage) -> Iterator[dict[str, float]]:
        """Show and log the work on some stages; the dictionary gets `seconds` when the block ends."""
        names = [stage.name for stage in stages]
        clock: dict[str, float] = {}
        begun = time.monotonic()
        self.progress.begin(title)
        self.events.write("stages_begun", stages=names)
        try:
            yield clock
        except BaseException as error:
            with suppress(StorageError):  # storage that is away must not hide what went wrong
                self.events.write("stages_failed", stages=names, error=f"{type(error).__name__}: {error}"[:2000])
            raise
        clock["seconds"] = round(time.monotonic() - begun, 2)
        self.events.write("stages_done", stages=names, **clock)

    def remember(self, stage: Stage, counts: dict[str, Any]) -> dict[str, Any]:
        """Keep a stage's counts for the summary, and show them to the trackers."""
        self.counts[stage.name] = counts
        self.tracking.stage_done(stage, counts)
        return counts

    @property
    def inference_key(self) -> str:
        """Hash of the settings that every generated answer depends on, the model's weights aside."""
        model, engine = self.config.model, self.config.engine
        return digest(
            {
                "format": model.format,
                "template": model.template,
                "dtype": model.dtype,
                "max_model_len": model.max_model_len,
                "engine": engine.kind,
            }
        )


def share_scope(config: Config) -> str:
    """Hash of the settings that a stage's key leaves out because a run does not change them, or because they move
    results by rounding only. Between runs they must be the same too before a stage is shared."""
    return digest(
        {
            "model": config.model.model_dump(),
            "engine": config.engine.model_dump(),
            "rollout": config.rollout.model_dump(),
            "train": config.train.model_dump(include=set(UNKEYED_TRAINING)),
        }
    )
