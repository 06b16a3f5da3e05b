"""A training run on Ray Train: workers, resources, restarts; the driver can be run again at any time.

A run's directory:
    tokens/ or elsewhere     the tokenised corpus (`TrainSpec.tokens`)
    checkpoints/             index.json, step-000200/...; deleted once the model is published
    steps.jsonl              one line an optimizer step; tensorboard/ has the curves
    model/                   the exported Hugging Face directory
    result.json              written last: the run is complete
    ray/                     Ray Train's own state, of no use after the run; deleted
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import signal
import threading
import uuid
from collections.abc import Mapping
from typing import Any

from toolace.config import TrainConfig
from toolace.errors import StorageError, ToolaceError, TrainingError
from toolace.storage import Store
from toolace.threads import sharing
from toolace.training.dataset import TokenTable
from toolace.training.loop import CHECKPOINTS, Reporter, checkpoints_of, finished, plan_run, train
from toolace.training.spec import TrainResult, TrainSpec
from toolace.training.steplog import read_steps

POLL_S = 1.0
"""How often the driver looks for new steps to report, seconds."""
START_S = 60.0
"""One try of Ray Train to place a worker group, seconds."""
FROZEN_S = 600.0
"""A worker that does not answer Ray Train for this long is given up, seconds."""


def run_training(spec: TrainSpec, progress: Reporter | None = None) -> TrainResult:
    """Train on the Ray cluster that this process is connected to, and return the result.

    Continues from the latest checkpoint, after a dead worker (up to `max_failures` times) as after a dead driver;
    returns at once where the run is complete. `progress` is called in a thread with the newest step's record.
    Raises `TrainingError`.
    """
    if (done := finished(spec)) is not None:
        _clear(spec)
        return done
    spec = spec.model_copy(update={"tokens": Store(spec.tokens).uri, "out": Store(spec.out).uri})
    table = TokenTable.open(Store(spec.tokens))
    checkpoints_of(spec, table, plan_run(spec, table), spec.settings.workers).check()
    stop = threading.Event()
    follower = threading.Thread(target=_follow, args=(spec, progress, stop), daemon=True)
    if progress is not None:
        follower.start()
    try:
        _fit(spec)
    finally:
        stop.set()
        if progress is not None:
            follower.join()
    result = finished(spec)
    if result is None:
        raise TrainingError(f"the workers ended, but {spec.out} has no result. Run the same command again")
    _clear(spec)
    return result


def _clear(spec: TrainSpec) -> None:
    """Delete the checkpoints of a run that is complete: its workers have, unless they died just before."""
    with contextlib.suppress(StorageError):  # of no use to anyone, and no reason to fail
        Store(spec.out).delete(CHECKPOINTS)


def _fit(spec: TrainSpec) -> None:
    settings = spec.settings
    # Defaults of Ray Train's controller: a poll of 2 s would be a good part of a short run.
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
    # What the workers' own watchdogs cannot see: a process that is frozen.
    os.environ["RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S"] = str(min(FROZEN_S, settings.no_progress_s))
    start_s = min(START_S, settings.no_progress_s)
    os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = str(start_s)
    import ray.train
    from ray.train.torch import TorchConfig, TorchTrainer

    out = Store(spec.out)
    if out.local is not None:
        out.local.mkdir(parents=True, exist_ok=True)
    trainer = TorchTrainer(
        _worker,
        train_loop_config={"spec": spec.model_dump(mode="json")},
        scaling_config=ray.train.ScalingConfig(
            num_workers=settings.workers,
            use_gpu=settings.gpus_per_worker > 0,
            resources_per_worker=_resources(settings),
        ),
        torch_config=TorchConfig(backend="nccl" if spec.kind == "cuda" else "gloo"),
        run_config=ray.train.RunConfig(
            # A new name each time: checkpoints are this package's own, Ray's state of an earlier driver is of no use.
            name=f"attempt-{uuid.uuid4().hex[:8]}",
            storage_path=out.at("ray"),
            # A worker has imported torch before it runs anything of this package.
            worker_runtime_env={"env_vars": sharing()} if spec.kind == "cpu" else None,
            failure_config=ray.train.FailureConfig(
                max_failures=settings.max_failures,
                # Ray Train asks again and again for resources that are not there, without a limit of its own.
                controller_failure_limit=max(1, math.ceil(settings.no_progress_s / start_s)) - 1,
            ),
        ),
    )
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        answer = trainer.fit().return_value
    except (ray.train.TrainingFailedError, ray.exceptions.RayError) as error:
        if isinstance(error, ray.train.ControllerError) and "Timeout" in type(error.controller_failure).__name__:
            raise TrainingError(
                f"training in {spec.out} did not start within train.no_progress_s={settings.no_progress_s:g} s: "
                f"{settings.workers} workers of {_resources(settings)} each did not find a place. The cluster has "
                f"{_amounts(ray.cluster_resources())} in all. Lower train.workers or what each takes, or add nodes, "
                "then run the same command again"
            ) from error
        cause = _cause(error)
        way = "Run the same command again to continue from the latest checkpoint"
        if isinstance(error, ray.exceptions.OutOfMemoryError):
            cause, way = "Ray ended it, for this machine ran out of memory", f"Free some, then r{way[1:]}"
        elif "No space left" in cause:
            way = f"Free space in {spec.out}, then r{way[1:]}"
        elif cause.endswith("run the same command again"):  # storage says so too
            way = "It continues from the latest checkpoint"
        raise TrainingError(
            f"training in {spec.out} failed and was restarted {settings.max_failures} times at the most: {cause}. {way}"
        ) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(
                signal.SIGINT, interrupt
            )  # Ray Train leaves its own, which would abort a training that is over
        with contextlib.suppress(StorageError):  # of no use to anyone, and no reason to fail
            out.delete("ray")
    if answer is not None:
        raise TrainingError(answer)


def _worker(config: dict[str, Any]) -> str | None:
    """What runs in each Ray Train worker. Returns the message of an error that a restart would only repeat."""
    import logging

    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    spec = TrainSpec.model_validate(config["spec"])
    try:
        train(spec)
    except Exception as error:
        # Of several workers the others may be waiting for this one: only the group's end frees them.
        if spec.settings.workers > 1 or not (isinstance(error, TrainingError) or _disk_full(error)):
            raise
        if isinstance(error, ToolaceError):
            return str(error)
        return f"cannot write in {spec.out}: {error}. Free some space, then run the same command again"
    return None


def _disk_full(error: BaseException | None) -> bool:
    """Whether an error, or what led to it, is a disk without space: safetensors tells it in words only."""
    while error is not None:
        if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _resources(settings: TrainConfig) -> dict[str, float]:
    resources: dict[str, float] = {"CPU": settings.cpus_per_worker}
    if settings.gpus_per_worker > 0:
        resources["GPU"] = settings.gpus_per_worker
    return resources


def _amounts(resources: Mapping[str, float]) -> str:
    return ", ".join(f"{resources.get(name, 0):g} {name}" for name in ("CPU", "GPU"))


def _cause(error: BaseException) -> str:
    """The last line of the workers' errors: Ray's messages hold whole tracebacks."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _follow(spec: TrainSpec, progress: Reporter, stop: threading.Event) -> None:
    out = Store(spec.out)
    last: dict[str, Any] | None = None
    ended = False
    while not ended:
        ended = stop.wait(POLL_S)
        records = read_steps(out)
        if records and records[-1] != last:
            last = records[-1]
            progress(last)
