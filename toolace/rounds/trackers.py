"""MLflow and Weights & Biases, through their own clients. Neither is imported before it is used."""

from __future__ import annotations

import importlib.util
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolace.config import Config, MlflowConfig, TrackingConfig, WandbConfig
from toolace.errors import ConfigError
from toolace.rounds.tracking import FINISH_S, Ending, Entry, Tracker
from toolace.storage import Store

INSTALL = "pip install 'toolace[tracking]'"
TAG = "toolace.run"
MLFLOW_BATCH, MLFLOW_PARAMS, MLFLOW_TEXT = 1000, 100, 500
"""Bounds of MLflow on one request: metrics, parameters; and a length of parameter values that every server takes."""


def check_trackers(tracking: TrackingConfig) -> None:
    """Raises `ConfigError` for a tracker that is configured and cannot be used, with what to do. Asks no host."""
    for name, settings in (("mlflow", tracking.mlflow), ("wandb", tracking.wandb)):
        if settings is not None and importlib.util.find_spec(name) is None:
            raise ConfigError(
                f"tracking.{name} is set, but the package {name} is not installed. Install it with `{INSTALL}`, or "
                f"leave tracking.{name} out"
            )
    if tracking.wandb is not None and tracking.wandb.mode == "online":
        _quiet()
        import wandb

        if not wandb.login(prompt=False, verify=False):
            raise ConfigError(
                "tracking.wandb is online, and there is no key. Run `wandb login`, set WANDB_API_KEY, or set "
                "tracking.wandb.mode=offline"
            )


def make_trackers(config: Config, run: Store, run_id: str) -> list[Tracker]:
    """The trackers that the settings ask for."""
    found: list[Tracker] = []
    if config.tracking.mlflow is not None:
        found.append(MlflowTracker(config.tracking.mlflow, config, run_id))
    if config.tracking.wandb is not None:
        found.append(WandbTracker(config.tracking.wandb, config, run_id, run.local))
    return found


class MlflowTracker:
    """A run on an MLflow server, found again by its tag `toolace.run`."""

    name = "mlflow"

    def __init__(self, settings: MlflowConfig, config: Config, run_id: str) -> None:
        self.place = f"mlflow {settings.uri} {settings.experiment}"
        self._settings, self._config, self._id = settings, config, run_id
        self._client: Any = None
        self._run = ""
        self._steps: dict[str, set[int]] | None = None
        """Steps by metric that the server has, as far as asked; None: the run was made just now and has none."""

    def open(self) -> str:
        _quiet()
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._client = client = MlflowClient(tracking_uri=self._settings.uri)
        experiment = client.get_experiment_by_name(self._settings.experiment)
        place = experiment.experiment_id if experiment else client.create_experiment(self._settings.experiment)
        known = client.search_runs([place], filter_string=f"tags.`{TAG}` = '{self._id}'", max_results=1)
        if known:
            self._run, self._steps = known[0].info.run_id, {}
            client.update_run(self._run, status="RUNNING")
        else:
            made = client.create_run(place, run_name=self._config.name, tags={TAG: self._id})
            self._run, self._steps = made.info.run_id, None
        has = known[0].data.params if known else {}
        new = [Param(key, value) for key, value in self._params().items() if key not in has]
        for start in range(0, len(new), MLFLOW_PARAMS):
            client.log_batch(self._run, params=new[start : start + MLFLOW_PARAMS])
        return f"{self._settings.uri}, experiment {self._settings.experiment}, run {self._run}"

    def log(self, entries: Sequence[Entry], first: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [
            Metric(key, value, now, entry.step)
            for entry in entries
            for key, value in entry.values.items()
            if not self._has(key, entry.step)
        ]
        for start in range(0, len(metrics), MLFLOW_BATCH):
            self._client.log_batch(self._run, metrics=metrics[start : start + MLFLOW_BATCH])

    def finish(self, files: Mapping[str, bytes]) -> None:
        has = self._client.get_run(self._run).data.params
        for key, value in self._params().items():
            if has.get(key, value) != value:  # MLflow does not change a parameter
                self._client.set_tag(self._run, f"changed.{key}", value)
        with tempfile.TemporaryDirectory() as folder:
            for name, data in files.items():
                (Path(folder) / name).write_bytes(data)
            self._client.log_artifacts(self._run, folder)

    def close(self, ending: Ending) -> None:
        status = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}[ending]
        self._client.set_terminated(self._run, status)

    def _has(self, key: str, step: int) -> bool:
        """Whether the server has a point already: a start that was killed may have sent more than it remembered."""
        if self._steps is None:
            return False
        if key not in self._steps:
            self._steps[key] = {metric.step for metric in self._client.get_metric_history(self._run, key)}
        return step in self._steps[key]

    def _params(self) -> dict[str, str]:
        return {key: str(value)[:MLFLOW_TEXT] for key, value in flat_settings(self._config).items()}


class WandbTracker:
    """A run on Weights & Biases, under an id of its own.

    Points carry their number in the run, which is the same whenever they are logged again; the service drops a point
    whose number it has.
    """

    name = "wandb"

    def __init__(self, settings: WandbConfig, config: Config, run_id: str, folder: Path | None) -> None:
        self.place = f"wandb {settings.entity or ''}/{settings.project} {settings.mode}"
        self._settings, self._config, self._id, self._folder = settings, config, run_id, folder
        self._run: Any = None
        self._axes: set[str] = set()

    def open(self) -> str:
        _quiet()
        import wandb

        if self._run is not None:  # it has failed
            self._run.finish(exit_code=1)
            self._run = None
        self._axes.clear()
        self._run = wandb.init(
            project=self._settings.project,
            entity=self._settings.entity,
            name=self._config.name,
            id=self._id,
            resume="allow",
            mode=self._settings.mode,
            dir=self._folder,
            config=flat_settings(self._config),
            settings=wandb.Settings(console="off", silent=True, finish_timeout=FINISH_S),
        )
        return str(self._run.dir if self._settings.mode == "offline" else self._run.url)

    def log(self, entries: Sequence[Entry], first: int) -> None:
        for number, entry in enumerate(entries, start=first):
            for key in entry.values:
                if key not in self._axes:
                    self._run.define_metric(key, step_metric=entry.axis)
                    self._axes.add(key)
            self._run.log({**entry.values, entry.axis: entry.step}, step=number)

    def finish(self, files: Mapping[str, bytes]) -> None:
        import wandb

        artifact = wandb.Artifact(f"{self._config.name}-{self._id}", type="report")
        for name, data in files.items():
            with artifact.new_file(name, mode="wb") as stream:
                stream.write(data)
        self._run.log_artifact(artifact)

    def close(self, ending: Ending) -> None:
        self._run.finish(exit_code={"finished": 0, "failed": 1, "stopped": 255}[ending])
        self._run = None


def flat_settings(config: Config) -> dict[str, Any]:
    """All settings by their path, such as `probe.k`; lists as they are."""
    found: dict[str, Any] = {}

    def walk(value: Any, path: str) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                walk(item, f"{path}.{key}" if path else key)
        else:
            found[path] = value

    walk(config.model_dump(mode="json"), "")
    return found


def _quiet() -> None:
    """The clients report nothing to their makers, and give up on a server within a minute. What the environment says
    about it stays."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
