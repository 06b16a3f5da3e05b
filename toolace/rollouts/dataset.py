"""Running programs over datasets on Ray Data: an actor pool, shards in, published records out, counts that add up."""

from __future__ import annotations

import json
import logging
import time
import warnings
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from toolace.config import EngineConfig, ModelConfig, RolloutConfig
from toolace.data.shards import ShardIndex, ShardInfo, read_index
from toolace.errors import ConfigError, DataError, EngineError, RolloutError, StorageError, TemplateError, ToolaceError
from toolace.rollouts.actor import LAST_WORDS, RolloutJob, Setup, ShardActor
from toolace.rollouts.outputs import Counts, copy_index, load, read_records
from toolace.rollouts.worker import TextCodec, describe
from toolace.storage import Store

__all__ = ["Counts", "Progress", "RolloutJob", "read_records", "run_rollouts"]

MAX_RESTARTS = 8
"""Times that Ray may replace an actor's dead process before the stage fails: a row that kills its engine every time
must not be tried for ever, lost machines must not matter."""

_ERRORS: dict[str, type[ToolaceError]] = {
    kind.__name__: kind for kind in (ConfigError, DataError, EngineError, RolloutError, StorageError, TemplateError)
}


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a job stands, told after every shard. `rows_per_s` is of this run, start-up left out (0 at first)."""

    job: str
    counts: Counts
    rows_total: int
    rows_per_s: float

    @property
    def eta_s(self) -> float | None:
        """Seconds that the rest of this job will take at the present rate."""
        left = self.rows_total - self.counts.rows
        return left / self.rows_per_s if self.rows_per_s else None


class _Job:
    """A job's bookkeeping in the driver: which shards are done, and the sums of their counts."""

    def __init__(self, job: RolloutJob, max_error_share: float) -> None:
        self.job = job
        self.samples = Store(job.samples)
        self.out = Store(job.out)
        self.index: ShardIndex = read_index(self.samples)
        self.counts = Counts()
        self.done = bytearray(len(self.index.shards))
        self.started = self.finished = 0.0
        self.own_rows = 0
        self._max_error_share = max_error_share
        self._find_done()

    def _find_done(self) -> None:
        """Count what an earlier run has published; a shard that is damaged or failed too often counts as missing."""

        def look(shard: ShardInfo) -> Counts | None:
            if shard.file not in present:
                return None
            try:
                return load(self.out, shard)[1]
            except StorageError:
                return None

        present = set(self.out.list())
        with ThreadPoolExecutor(8) as pool:
            for shard, counts in zip(self.index.shards, pool.map(look, self.index.shards), strict=True):
                if counts is not None and counts.failed <= self._max_error_share * counts.rows:
                    self.add(shard.number, counts)

    def add(self, number: int, counts: Counts) -> None:
        if self.done[number]:
            raise RolloutError(f"shard {number} of job {self.job.name} was counted twice")
        self.done[number] = 1
        self.counts.add(counts)

    def take(self, number: int, told: dict[str, Any]) -> None:
        """What an actor tells about a shard: its counts and times, or an error that ends the stage."""
        if "error" in told:
            raise _ERRORS.get(told["error"], RolloutError)(told["message"])
        counts = Counts(**told["counts"])
        self.add(number, counts)
        self.own_rows += counts.rows
        self.started = min(self.started or told["started"], told["started"])
        self.finished = max(self.finished, told["finished"])
        self.check_errors()

    def check_errors(self) -> None:
        """Fail as soon as the share of errors cannot come below the limit any more."""
        if self.counts.failed > self._max_error_share * self.index.rows:
            reasons = "\n".join(
                f"  {n} × {reason}" for reason, n in sorted(self.counts.errors.items(), key=lambda item: -item[1])[:10]
            )
            examples = "\n".join(f"  {example}" for example in self.counts.examples)
            raise RolloutError(
                f"job {self.job.name}: {self.counts.failed} of the {self.counts.rows} rows so far ended in an error; "
                f"rollout.max_error_share allows {self._max_error_share:g} of {self.index.rows}.\n{reasons}\n"
                f"For example\n{examples}\nMend the cause and run the same command again, or raise the limit"
            )

    def check_whole(self) -> None:
        """Every shard is there, and the rows add up exactly."""
        present = set(self.out.list())
        absent = [s.file for s in self.index.shards if not self.done[s.number] or s.file not in present]
        if absent or self.counts.rows != self.index.rows:
            raise RolloutError(
                f"job {self.job.name}: {self.counts.rows} of {self.index.rows} rows have a record in {self.out.uri}; "
                f"{len(absent)} shards are missing ({', '.join(absent[:3])}). Run the same command again"
            )


def run_rollouts(
    jobs: Sequence[RolloutJob],
    *,
    model: ModelConfig,
    engine: EngineConfig,
    rollout: RolloutConfig,
    on_progress: Callable[[Progress], None] | None = None,
    script: Any = None,
    make_codec: Callable[[], TextCodec] | None = None,
) -> dict[str, Counts]:
    """Run every job's program over its samples with one actor pool, and return the counts by job name.

    Ray must be running (`ray.init` is the caller's). Only shards whose records are not there yet are run. `script`
    is what a `scripted` engine answers; `make_codec` replaces the model's renderer.
    Raises `RolloutError` when rows are missing at the end or too many of them failed, `EngineError` when the engine
    cannot start.
    """
    began = time.time()
    states = [_Job(job, rollout.max_error_share) for job in jobs]
    missing = [
        (n, shard) for n, state in enumerate(states) for shard in state.index.shards if not state.done[shard.number]
    ]
    if missing:
        setup = Setup(tuple(jobs), model, engine, rollout, script, make_codec)
        for state in states:
            state.out.delete(LAST_WORDS)
        try:
            with closing(_stream(setup, missing)) as stream:
                for row in stream:
                    state = states[row["job"]]
                    state.take(row["number"], json.loads(row["told"]))
                    if on_progress is not None:
                        on_progress(_progress(state))
        except ToolaceError:
            raise
        except Exception as error:
            raise _explain(error, states, rollout) from error
    for state in states:
        state.check_errors()
        state.check_whole()
        state.out.sweep()
        copy_index(state.samples, state.out)
        state.counts.seconds = state.finished - state.started
        state.counts.startup_seconds = state.started - began if state.started else 0.0
    return {state.job.name: state.counts for state in states}


def _stream(setup: Setup, missing: Sequence[tuple[int, ShardInfo]]) -> Generator[dict[str, Any], None, None]:
    """Run the missing shards on Ray Data; rows with their counts, as they are published."""
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    if not ray.is_initialized():
        raise RolloutError("Ray is not running in this process. Call ray.init() before, or use the command line")
    rollout = setup.rollout
    # Enough shards in flight to fill `rows_in_flight`, and one more to take over where they run out.
    together = max(2, -(-rollout.rows_in_flight // rollout.shard_rows) + 1)
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # not what a person who watches a run wants to read
    context = DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.issue_detectors_config.detectors = []
    context.print_on_execution_start = False
    context.execution_no_progress_timeout_s = rollout.no_progress_s
    with DataContext.current(context), warnings.catch_warnings():
        # `max_restarts` has no named parameter in Ray 2.60; without it a dying engine is restarted for ever.
        warnings.filterwarnings("ignore", message=".*ray_remote_args")
        items = [{"job": job, "number": s.number, "rows": s.rows, "ids": s.ids} for job, s in missing]
        dataset = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            ShardActor,
            fn_constructor_kwargs={"setup": setup},
            batch_size=1,
            compute=ActorPoolStrategy(
                min_size=rollout.min_actors,
                max_size=rollout.max_actors,
                max_concurrent_calls_per_actor=together,
                max_tasks_in_flight_per_actor=2 * together,
                enable_true_multi_threading=True,
            ),
            num_cpus=rollout.cpus_per_actor,
            num_gpus=rollout.gpus_per_actor,
            max_restarts=MAX_RESTARTS,
        )
    for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        yield from batch.to_pylist()


def _progress(state: _Job) -> Progress:
    seconds = state.finished - state.started
    return Progress(state.job.name, state.counts, state.index.rows, state.own_rows / seconds if seconds > 0 else 0.0)


def _explain(error: BaseException, states: Sequence[_Job], rollout: RolloutConfig) -> ToolaceError:
    """A `RolloutError` with an engine's last words, or with what Ray said."""
    from ray.data.exceptions import ExecutionTimeoutError

    words = [s.out.read_json(LAST_WORDS)["error"] for s in states[:1] if s.out.exists(LAST_WORDS)]
    for state in states[:1]:
        state.out.delete(LAST_WORDS)
    if (
        isinstance(error, ExecutionTimeoutError) and not words
    ):  # its own advice is a setting of Ray's that this one stands before
        done, shards = sum(sum(state.done) for state in states), sum(len(state.done) for state in states)
        return RolloutError(
            f"the rollout stopped: nothing moved for rollout.no_progress_s={rollout.no_progress_s:g} s; {done} of "
            f"{shards} shards are published and stay. An engine hangs, or actors found no place: look at the nodes of "
            "the cluster and their free CPUs and GPUs (`ray status`) and at the logs of the actors, and run the same "
            "command again to go on. Where a shard takes longer, or new nodes do until they have the image and the "
            "model, raise rollout.no_progress_s"
        )
    return RolloutError(
        f"the rollout stopped: {words[0] if words else describe(error)[:2000]}. What was published stays: "
        "run the same command again to go on"
    )
