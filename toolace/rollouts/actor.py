"""The Ray Data actor: one engine in a thread of its own, several shards of rows on it at the same time."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from toolace.calls.schema import Sample
from toolace.config import EngineConfig, ModelConfig, RolloutConfig
from toolace.data.shards import ShardInfo, read_shard
from toolace.errors import EngineError, ToolaceError
from toolace.rollouts.outputs import Counts, make_table, publish, reason_of, record_text
from toolace.rollouts.program import MakeProgram, Program
from toolace.rollouts.worker import Finished, RolloutWorker, TextCodec, describe
from toolace.storage import Store
from toolace.threads import share_cores

LAST_WORDS = "engine_error.json"
"""Where an actor leaves the reason of its engine's death, beside the records."""


@dataclass(frozen=True)
class RolloutJob:
    """One dataset to run programs over.

    `samples` is a directory written by `toolace.data.shards.write_shards`, `out` the directory for its records.
    `make_program` (sample → program) and `count` (record → numbers to sum up for progress and counts) are picklable:
    module-level functions or partials of them.
    """

    name: str
    samples: str
    make_program: MakeProgram
    out: str
    count: Callable[[dict[str, Any]], dict[str, float]] | None = None


@dataclass(frozen=True)
class Setup:
    """All that an actor needs to start; small, because it travels with every actor."""

    jobs: tuple[RolloutJob, ...]
    model: ModelConfig
    engine: EngineConfig
    rollout: RolloutConfig
    script: Any = None
    make_codec: Callable[[], TextCodec] | None = None


@dataclass(slots=True)
class _OpenShard:
    """Rows of one shard on their way through the engine. Touched by the engine thread only, until `done` is set."""

    rows: Iterator[tuple[str, Program[dict[str, Any]] | str]]
    left: int
    count: Callable[[dict[str, Any]], dict[str, float]] | None
    counts: Counts = field(default_factory=Counts)
    records: dict[str, str | None] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    done: Future[None] = field(default_factory=Future)

    def receive(self, finished: Finished) -> None:
        """Take a row's result; the last one completes the shard."""
        key, error, counts = str(finished.key), finished.error, self.counts
        if error is None:
            try:
                self.records[key] = record_text(finished.record)
                for name, value in (self.count(finished.record or {}) if self.count else {}).items():
                    counts.counted[name] = counts.counted.get(name, 0) + value
            except Exception as problem:
                error = describe(problem)
        if error is not None:
            self.records[key] = None
            self.errors[key] = error
            reason = reason_of(error)
            counts.errors[reason] = counts.errors.get(reason, 0) + 1
            if len(counts.examples) < 3:
                counts.examples.append(f"{key}: {error[:500]}")
        counts.rows += 1
        counts.requests += finished.requests
        counts.generated_tokens += finished.generated_tokens
        counts.prompt_tokens += finished.prompt_tokens
        self.left -= 1
        if not self.left:
            self.done.set_result(None)


class ShardActor:
    """Takes shard numbers, publishes their records, returns their counts. Called by several threads at a time.

    An engine that cannot start raises `EngineError`. One that dies later ends this process: Ray starts another, and
    the shards that were open are run again.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._stores = [(Store(job.samples), Store(job.out)) for job in setup.jobs]
        self._inbox: queue.SimpleQueue[_OpenShard] = queue.SimpleQueue()
        self._ready: Future[str] = Future()
        threading.Thread(target=self._engine_thread, name="engine", daemon=True).start()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        shards = zip(*(batch[name].tolist() for name in ("job", "number", "rows", "ids")), strict=True)
        told = []
        for job, number, rows, ids in shards:
            try:
                told.append(json.dumps(self._run(job, ShardInfo(number, rows, ids))))
            except ToolaceError as error:
                # Told as a row: what a task raises reaches the driver as text, and Ray might retry it.
                told.append(json.dumps({"error": type(error).__name__, "message": str(error)}))
        return {"job": batch["job"], "number": batch["number"], "told": told}

    def _run(self, job_number: int, shard: ShardInfo) -> dict[str, Any]:
        """One shard from samples to published records; its counts and times."""
        model = self._ready.result()
        started = time.time()
        job = self._setup.jobs[job_number]
        samples, out = self._stores[job_number]
        rows = read_shard(samples, shard)
        opened = _OpenShard(_programs(by_tools(rows), job.make_program), len(rows), job.count)
        self._inbox.put(opened)
        opened.done.result()
        counts = opened.counts
        counts.models = [model]
        counts.shards = 1
        results = {row.id: opened.records[row.id] for row in rows}
        publish(out, shard, make_table(results, opened.errors, counts))
        return {"counts": counts.as_dict(), "started": started, "finished": time.time()}

    def _engine_thread(self) -> None:
        """Everything that touches the engine: CUDA and OpenMP keep state by thread."""
        try:
            engine, worker = self._open()
        except BaseException as error:
            self._ready.set_exception(error if isinstance(error, ToolaceError) else EngineError(describe(error)))
            return
        self._ready.set_result(engine.identity.fingerprint)
        try:
            self._drive(worker)
        except BaseException as error:
            self._die(error)

    def _open(self) -> tuple[Any, RolloutWorker]:
        from toolace.engines import open_engine

        setup = self._setup
        threads = setup.rollout.threads_per_actor or max(1, (os.cpu_count() or 1) // setup.rollout.max_actors)
        os.environ["OMP_NUM_THREADS"] = str(threads)
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        share_cores()
        codec = setup.make_codec() if setup.make_codec is not None else open_codec(setup.model)
        engine = open_engine(setup.model, setup.engine, threads=threads, script=setup.script)
        return engine, RolloutWorker(engine, codec, rows_in_flight=setup.rollout.rows_in_flight)

    def _drive(self, worker: RolloutWorker) -> None:
        """Feed rows of the oldest open shard first; the next shard's rows follow at once, so the batch stays full."""
        feeding: deque[_OpenShard] = deque()
        owners: dict[int, _OpenShard] = {}
        number = 0
        while True:
            if not worker.open and not feeding:
                feeding.append(self._inbox.get())
            while not self._inbox.empty():
                feeding.append(self._inbox.get())
            while feeding and worker.has_room:
                shard = feeding[0]
                row = next(shard.rows, None)
                if row is None:
                    feeding.popleft()
                    continue
                key, program = row
                if isinstance(program, str):
                    shard.receive(Finished(key, error=program))
                    continue
                number += 1
                owners[number] = shard
                done = worker.start((number, key), program)
                if done is not None:
                    _deliver(owners, done)
            if worker.open:
                for done in worker.step():
                    _deliver(owners, done)

    def _die(self, error: BaseException) -> None:
        """End this process: an engine that died cannot be trusted, nor the memory it leaves behind."""
        text = describe(error)
        print(f"toolace: the engine of process {os.getpid()} died: {text}", file=sys.stderr, flush=True)
        try:
            self._stores[0][1].write_json(LAST_WORDS, {"error": text})
        finally:
            os._exit(1)


def open_codec(model: ModelConfig) -> TextCodec:
    """The renderer of the configured model."""
    from toolace.engines.models import resolve_model
    from toolace.rendering import Renderer

    return Renderer.from_pretrained(resolve_model(model.path), format=model.format, template=model.template)


def by_tools(rows: list[Sample]) -> list[Sample]:
    """Rows that share their tools next to each other, so that the prefix cache serves them; otherwise in order."""
    first: dict[tuple[tuple[str, str], ...], int] = {}
    keys = [tuple((tool.name, tool.description) for tool in row.chat.tools) for row in rows]
    for i, key in enumerate(keys):
        first.setdefault(key, i)
    return [row for _, row in sorted(zip(keys, rows, strict=True), key=lambda pair: first[pair[0]])]


def _programs(rows: list[Sample], make_program: MakeProgram) -> Iterator[tuple[str, Program[dict[str, Any]] | str]]:
    """Programs by sample id, made when there is room for them; the error text where one cannot be made."""
    for row in rows:
        try:
            yield row.id, make_program(row)
        except Exception as error:
            yield row.id, describe(error)


def _deliver(owners: dict[int, _OpenShard], finished: Finished) -> None:
    number, key = finished.key
    finished.key = key
    owners.pop(number).receive(finished)
