"""Experiment trackers follow a run, and never hold it up or end it.

The run directory is the truth: a tracker is shown the step logs and the counts of finished stages, each as entries with
a name and a number of their own. `tracking.json` of the run remembers how many of each a tracker has, so that a start
that goes on logs what is missing and nothing twice. Each tracker has a thread: an outage becomes a `tracker_failed`
event, and what it could not take is offered again until the run ends, and by the next start of the same command.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

from toolace.errors import StorageError
from toolace.rounds.events import EventLog
from toolace.storage import Stage, Store, digest
from toolace.training.steplog import curves, read_steps

MEMORY = "tracking.json"
FILES = ("config.yaml", "summary.json", "report.html")
"""Logged as artifacts when the run is finished."""
STEPS_S = 15.0
"""How often the steps of a training at work are offered, seconds."""
RETRY_S = 30.0
"""How long a tracker that failed is left alone, seconds."""
FINISH_S, STOP_S = 60.0, 5.0
"""How long the end of a run waits for a tracker: finished or failed, and stopped by a signal, seconds."""
CHUNK = 200
SCORES = ("n", "direct", "adaptive", "mean_calls", "repairs", "regressions", "errors", "mean_tokens")
PARTS = {
    "probe": ("rows", "solved", "draws", "draws_full"),
    "select": ("probed", "selected"),
    "evolve": ("queries", "accepted", "draws", "draws_full", "accepted_right", "call_diversity"),
    "corpus": ("direct", "keep", "fix", "adaption", "generation", "invocation", "replay"),
    "train": ("steps", "target_tokens", "tokens", "seconds"),
}
"""Counts that are logged, by stage."""
Ending = Literal["finished", "failed", "stopped"]


@dataclass(frozen=True)
class Entry:
    """One point of a run's curves: `values` at `step` of `axis`. `scope` and `index` (0, 1, ... within the scope) name
    it for good."""

    scope: str
    index: int
    axis: str
    step: int
    values: Mapping[str, float]


class Tracker(Protocol):
    """A client of a tracking service. Every method may raise when the service is down, and is then called again."""

    name: str
    place: str
    """Which service, project and so on; what another place has taken counts nothing here."""

    def open(self) -> str:
        """Find the run, or make it with its settings; returns where it can be seen. After a failure it is called
        again before anything else."""

    def log(self, entries: Sequence[Entry], first: int) -> None:
        """Log entries; `first`: how many were logged before them. The same ones may come again after a failure."""

    def finish(self, files: Mapping[str, bytes]) -> None:
        """Log the files by name, and settings that have changed since the run was made."""

    def close(self, ending: Ending) -> None:
        """Mark the run's end and send what is left."""


class Memory:
    """`tracking.json`: the run's id at trackers, what each of them has, and the stages that were made anew."""

    def __init__(self, run: Store, begun: str) -> None:
        self._run, self._lock = run, threading.Lock()
        found: Any = None
        with suppress(StorageError):  # damaged: trackers are asked what they have
            found = run.read_json(MEMORY) if run.exists(MEMORY) else None
        self._state: dict[str, Any] = found if isinstance(found, dict) else {}
        self.id: str = self._state.setdefault("id", digest({"run": run.uri, "begun": begun}))

    def made(self, stage: Stage) -> int:
        """How many times a stage of this name was made before, from something else."""
        with self._lock:
            keys = self._state.setdefault("made", {}).setdefault(stage.name, [])
            if stage.key not in keys:
                keys.append(stage.key)
            return int(keys.index(stage.key))

    def of(self, place: str) -> dict[str, Any]:
        """What one tracker has: `logged` (entries by scope), `count` (all entries), `files` (hash of the summary)."""
        with self._lock:
            places = self._state.setdefault("trackers", {})
            return dict(places.setdefault(place, {"logged": {}, "count": 0, "files": None}))

    def keep(self, place: str, state: Mapping[str, Any]) -> None:
        """Remember what one tracker has. Raises `StorageError`."""
        with self._lock:
            self._state["trackers"][place] = dict(state)
            self._run.write_json(MEMORY, self._state)


class Tracking:
    """What a run tells its trackers. Without trackers every call does nothing."""

    def __init__(self, memory: Memory | None = None, followers: Sequence[Follower] = ()) -> None:
        self._memory, self._followers = memory, tuple(followers)
        self._offered = 0.0

    def steps_made(self, stage: Stage) -> None:
        """A training at work has made steps; read from its log now and then."""
        if self._followers and time.monotonic() - self._offered > STEPS_S:
            self._offered = time.monotonic()
            self._offer(partial(step_entries, stage.store, stage.name, self._again(stage)))

    def stage_done(self, stage: Stage, counts: Mapping[str, Any]) -> None:
        """A stage is done, now or in an earlier start."""
        if not self._followers:
            return
        again = self._again(stage)
        if stage.name.endswith("/train"):
            self._offer(partial(step_entries, stage.store, stage.name, again))
        self._offer(partial(count_entries, stage.name, dict(counts), again))

    def close(self, ending: Ending, files: Mapping[str, bytes] | None = None) -> None:
        """Wait a while for the trackers to take what is left."""
        for follower in self._followers:
            follower.end(ending, files or {})
        until = time.monotonic() + (STOP_S if ending == "stopped" else FINISH_S)
        for follower in self._followers:
            follower.wait(max(0.0, until - time.monotonic()))

    def _again(self, stage: Stage) -> int:
        return self._memory.made(stage) if self._memory is not None else 0

    def _offer(self, entries: Callable[[], list[Entry]]) -> None:
        for follower in self._followers:
            follower.offer(entries)


class Follower:
    """One tracker and the thread that feeds it."""

    def __init__(
        self, tracker: Tracker, memory: Memory, events: EventLog, say: Callable[[str], None], retry_s: float = RETRY_S
    ) -> None:
        self._tracker, self._memory, self._events, self._say = tracker, memory, events, say
        self._retry_s = retry_s
        self._work: deque[Callable[[], None]] = deque([lambda: None])  # the run is opened even before there is work
        self._wake = threading.Condition()
        self._ending: Ending | None = None
        self._open = self._failing = self._given_up = False
        self._thread = threading.Thread(target=self._follow, name=f"tracker-{tracker.name}", daemon=True)
        self._thread.start()

    def offer(self, entries: Callable[[], list[Entry]]) -> None:
        """Entries to log where the tracker has not got them; made in the tracker's thread."""
        self._add(lambda: self._log(entries()))

    def end(self, ending: Ending, files: Mapping[str, bytes]) -> None:
        """What is left is tried once more; then the tracker's run is closed."""
        if files:
            self._add(lambda: self._finish(files))
        with self._wake:
            self._ending = ending
            self._wake.notify()

    def wait(self, seconds: float) -> None:
        """Wait for the end."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._given_up = True
            self._report(f"no answer for {seconds:.0f} s at the end of the run")

    def _add(self, work: Callable[[], None]) -> None:
        with self._wake:
            self._work.append(work)
            self._wake.notify()

    def _follow(self) -> None:
        while not self._given_up:
            with self._wake:
                while not self._work and self._ending is None:
                    self._wake.wait()
                work, ending = (self._work[0] if self._work else None), self._ending
            try:
                self._ready()
                if work is not None:
                    work()
                    self._work.popleft()
                elif ending is not None:
                    self._tracker.close(ending)
                    return
            except Exception as error:  # whatever it is, the run goes on
                self._open = False
                if ending is not None:
                    self._report(error)
                    return
                if not self._failing:
                    self._report(error)
                self._failing = True
                with self._wake:
                    self._wake.wait_for(lambda: self._ending is not None, self._retry_s)

    def _ready(self) -> None:
        if self._open:
            return
        url = self._tracker.open()
        self._open = True
        self._note("tracker_opened", url=url)
        if not self._failing:
            self._tell(f"{self._tracker.name}: {url}")
        self._failing = False

    def _log(self, entries: Sequence[Entry]) -> None:
        state = self._memory.of(self._tracker.place)
        logged: dict[str, int] = dict(state["logged"])
        missing = [entry for entry in entries if entry.index >= logged.get(entry.scope, 0)]
        for start in range(0, len(missing), CHUNK):
            chunk = missing[start : start + CHUNK]
            self._tracker.log(chunk, state["count"])
            logged |= {entry.scope: entry.index + 1 for entry in chunk}
            state = {**state, "logged": logged, "count": state["count"] + len(chunk)}
            self._memory.keep(self._tracker.place, state)

    def _finish(self, files: Mapping[str, bytes]) -> None:
        state = self._memory.of(self._tracker.place)
        identity = digest({name: data.decode("utf-8", "replace") for name, data in files.items() if name != FILES[2]})
        if state["files"] != identity:  # the report alone differs by the time at which it was written
            self._tracker.finish(files)
            self._memory.keep(self._tracker.place, {**state, "files": identity})

    def _report(self, error: object) -> None:
        what = f"{type(error).__name__}: {error}" if isinstance(error, Exception) else str(error)
        self._note("tracker_failed", error=what[:2000], waiting=len(self._work))
        self._tell(
            f"warning: {self._tracker.name} failed ({what[:300]}). The run goes on; what is missing there is logged "
            "when it is back, or by the next start of the same command"
        )

    def _note(self, event: str, **fields: Any) -> None:
        with suppress(OSError):
            self._events.write(event, tracker=self._tracker.name, **fields)

    def _tell(self, text: str) -> None:
        with suppress(OSError, ValueError):  # a stream that is closed
            self._say(text)


@contextmanager
def follow(
    trackers: Callable[[str], Sequence[Tracker]],
    run: Store,
    events: EventLog,
    say: Callable[[str], None],
    begun: str,
) -> Iterator[Tracking]:
    """Let trackers follow a run while the block runs; `trackers` makes them from the run's id.

    `begun` is when the run's first start was: a run that is deleted and made anew has another id.
    """
    memory = Memory(run, begun)
    tracking = Tracking(memory, [Follower(tracker, memory, events, say) for tracker in trackers(memory.id)])
    try:
        yield tracking
    except (KeyboardInterrupt, SystemExit):
        tracking.close("stopped")
        raise
    except BaseException:
        tracking.close("failed")
        raise
    tracking.close("finished", {name: run.read(name) for name in FILES if run.exists(name)})


def step_entries(stage: Store, name: str, again: int) -> list[Entry]:
    """The step log of a training as entries."""
    place = f"{_prefix(again)}{name}"
    return [
        Entry(
            scope=f"{place}/steps",
            index=record["step"],
            axis=f"{place}/step",
            step=record["step"],
            values={f"{place}/{name}": value for name, value in curves(record).items()},
        )
        for record in read_steps(stage)
    ]


def count_entries(name: str, counts: Mapping[str, Any], again: int) -> list[Entry]:
    """What the trackers show of a finished stage's counts, by round; models before the first are round 0."""
    model, _, part = name.partition("/")
    number = model.removeprefix("round-").removeprefix("evolve-")
    step = int(number) if number != model else 0
    side = f"{model}/" if model in ("bootstrap", "plain_sft", "adaption", "decomposed") else ""
    if name == "data":
        part, found = "data", {key: counts.get(key) for key in ("rows", "samples", "train", "dev", "test")}
        found["quarantined"] = sum(counts.get("quarantined", {}).values())
    elif part.startswith("eval-"):
        part, found = part.removeprefix("eval-"), {key: counts["scores"].get(key) for key in SCORES}
    elif part == "tasks-test":
        part, found = "tasks", dict(counts["scores"])
    else:
        found = {key: counts.get(key) for key in PARTS.get(part, ())}
        found |= {f"label_{label}": number for label, number in counts.get("labels", {}).items()}
    values = {
        f"{_prefix(again)}{side}{part}/{key}": float(value)
        for key, value in found.items()
        if isinstance(value, (int, float))
    }
    return [Entry(f"{_prefix(again)}{name}", 0, "round", step, values)] if values else []


def _prefix(again: int) -> str:
    """Curves of a stage that was made anew from something else do not go on from the old ones."""
    return f"again_{again}/" if again else ""
