"""Moments of a run at which a process can be made to die: each file that it writes, each row that it asks, each shard
that it counts, each step of a training. Each has a name that is the same in every run of the same settings, so that an
undisturbed run writes down what there is and a seed picks from that; nothing depends on how fast a machine is.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from toolace import storage
from toolace.calls.schema import Sample
from toolace.rollouts import dataset
from toolace.rollouts.actor import RolloutJob
from toolace.rollouts.program import MakeProgram, Program

Victim = Literal["driver", "actor", "worker"]
HOLD_S = 600
"""How long a process that is held waits for its end."""
_ALONE = ("data", "queries", "tasks")
"""Stages that no model's name goes before."""
_WATCHED = ExitStack()


@dataclass(frozen=True, order=True)
class Moment:
    """Of which process, in which stage, and what it does just then."""

    victim: Victim
    stage: str
    what: str

    @property
    def kind(self) -> str:
        """The stage without the name of its model: `eval` of any of them; `run` for what belongs to none."""
        return self.stage.rpartition("/")[2].partition("-")[0]

    @property
    def flag(self) -> str:
        """The name of the file that tells that it has come."""
        return hashlib.blake2b(repr(self).encode(), digest_size=8).hexdigest()

    def __str__(self) -> str:
        return f"{self.victim} in {self.stage}: {self.what}"


@dataclass(frozen=True)
class Watch:
    """What processes of a run below `root` do at its moments. Picklable: workers get it with their work.

    All are written down in `folder`, and a process dies, once, at each of those in `at`, by SIGKILL. With `hold` it
    leaves its process number instead, and waits to be killed together with its node.
    """

    root: str
    folder: str
    at: tuple[Moment, ...] = ()
    hold: bool = False

    @classmethod
    def of(cls, root: str, *at: Moment, hold: bool = False) -> Watch:
        """For the run `small` below a root, with a folder of its own beside it."""
        folder = Path(f"{root}.watch")
        folder.mkdir(exist_ok=True)
        return cls(f"{root}/small", str(folder), at, hold)

    def meet(self, moment: Moment) -> None:
        """A process has come to a moment."""
        with (Path(self.folder) / "met").open("a") as stream:
            stream.write(f"{moment.victim}\t{moment.stage}\t{moment.what}\n")
        if moment not in self.at:
            return
        try:
            with self.flag(moment).open("x") as stream:
                stream.write(str(os.getpid()))
        except FileExistsError:
            return
        if self.hold:
            time.sleep(HOLD_S)
        os.kill(os.getpid(), signal.SIGKILL)

    def flag(self, moment: Moment) -> Path:
        return Path(self.folder) / moment.flag

    def pid(self, moment: Moment) -> int:
        """The process that has come to one of `at`; 0 before."""
        flag = self.flag(moment)
        return int(flag.read_text() or 0) if flag.exists() else 0

    def met(self) -> list[Moment]:
        """What was written down, in the order in which it came."""
        lines = (Path(self.folder) / "met").read_text().splitlines()
        return [Moment(*line.split("\t")) for line in lines]  # type: ignore[arg-type]

    def place(self, path: str) -> tuple[str, str] | None:
        """The stage of a file or directory of the run, and its path in it."""
        if not path.startswith(f"{self.root}/"):
            return None
        parts = path.removeprefix(f"{self.root}/").split("/")
        deep = 1 if parts[0] in _ALONE else 2
        return ("run", parts[0]) if len(parts) < deep else ("/".join(parts[:deep]), "/".join(parts[deep:]))

    @contextmanager
    def driving(self) -> Iterator[None]:
        """Watch the driver, which is this process: the files that its main thread writes, the shards it counts."""
        add = dataset._Job.add

        def count(job: Any, number: int, counts: Any) -> None:
            add(job, number, counts)
            place = self.place(job.job.out)
            if place is not None:
                self.meet(Moment("driver", place[0], f"{job.counts.shards} shards are counted"))

        with self._writing("driver"):
            dataset._Job.add = count  # type: ignore[method-assign]
            try:
                yield
            finally:
                dataset._Job.add = add  # type: ignore[method-assign]

    def job(self, job: RolloutJob) -> RolloutJob:
        """The same work, with the actors watched that do it."""
        place = self.place(job.out)
        assert place is not None, f"{job.out} is not below {self.root}"
        return RolloutJob(job.name, job.samples, _Watched(self, place[0], job.make_program), job.out, job.count)

    @contextmanager
    def _writing(self, victim: Victim) -> Iterator[None]:
        real = storage._temporary

        @contextmanager
        def temporary(target: Path, data: bytes, *more: Any) -> Iterator[Path]:
            place = self.place(str(target))
            # A driver's other threads write by the clock: heartbeats.
            watched = victim != "driver" or threading.current_thread() is threading.main_thread()
            if place is None or not watched:
                with real(target, data, *more) as aside:
                    yield aside
                return
            stage, name = place
            self.meet(Moment(victim, stage, f"{name} will be written"))
            with real(target, data, *more) as aside:
                self.meet(Moment(victim, stage, f"{name} is written under another name"))
                yield aside
            self.meet(Moment(victim, stage, f"{name} is there"))

        storage._temporary = temporary
        try:
            yield
        finally:
            storage._temporary = real


@dataclass(frozen=True)
class _Watched:
    """Makes the programs of a job in a watched actor."""

    watch: Watch
    stage: str
    make: MakeProgram = field(repr=False)

    def __call__(self, sample: Sample) -> Program[dict[str, Any]]:
        watch_actor(self.watch)
        return self._run(sample.id, self.make(sample))

    def _run(self, row: str, program: Program[dict[str, Any]]) -> Program[dict[str, Any]]:
        self.watch.meet(Moment("actor", self.stage, f"row {row} begins"))
        record = yield from program
        self.watch.meet(Moment("actor", self.stage, f"row {row} is answered"))
        return record


STEPS = "rank {rank} has taken step {step}"
EXPORT = (
    "the export begins", "the weights are written", "the canary is written", "model is there",
    "result.json will be written", "result.json is there",
)  # fmt: skip
"""Moments of a training's worker: of any, and of the one that exports the model, in their order."""


@dataclass(frozen=True)
class WatchedWorker:
    """In place of `toolace.training.launch._worker`: the same work in a worker that is watched. It trains below the
    watch's root, in a stage of a model."""

    watch: Watch
    stage: str

    def __call__(self, config: dict[str, Any]) -> str | None:
        from toolace.training import export, launch, loop

        def after(function: Any, what: str) -> Any:
            def call(*arguments: Any, **named: Any) -> Any:
                result = function(*arguments, **named)
                self.watch.meet(Moment("worker", self.stage, what))
                return result

            return call

        def step(spec: Any, engine: Any, table: Any, plan: Any, number: int) -> Any:
            record = take_step(spec, engine, table, plan, number)
            self.watch.meet(Moment("worker", self.stage, STEPS.format(rank=engine.worker.rank, step=number)))
            return record

        def begin(*arguments: Any) -> Any:
            self.watch.meet(Moment("worker", self.stage, EXPORT[0]))
            return export_model(*arguments)

        take_step, export_model = loop.take_step, loop.export_model
        loop.take_step, loop.export_model = step, after(begin, EXPORT[3])
        export.write_model = after(export.write_model, EXPORT[1])
        export.write_canary = after(export.write_canary, EXPORT[2])
        with self.watch._writing("worker"):
            return launch._worker(config)


_actors: list[Watch] = []


def watch_actor(watch: Watch) -> None:
    """Watch the shards that this process publishes; once, and for as long as it lives."""
    if not _actors:
        _actors.append(watch)
        _WATCHED.enter_context(watch._writing("actor"))


def pick(seed: int, moments: Sequence[Moment], kinds: Sequence[str]) -> list[Moment]:
    """A moment of each of some kinds of stages, chosen by a seed; in the order in which they are given."""
    chance, found = random.Random(seed), []
    for kind in kinds:
        of_kind = [moment for moment in moments if moment.kind == kind]
        assert of_kind, f"no stage of the run is of the kind {kind}"
        found.append(chance.choice(of_kind))
    return sorted(found, key=moments.index)


def told(seed: int, at: Sequence[Moment]) -> None:
    """Print what a seed has picked: shown where the test fails."""
    print(f"FAULT_SEEDS={seed}", *at, sep="\n  ")


def seeds(default: str) -> list[int]:
    """The seeds to try: those of the environment variable FAULT_SEEDS, such as "4 5 6", or some that stay the same."""
    return [int(one) for one in os.environ.get("FAULT_SEEDS", default).split()]
