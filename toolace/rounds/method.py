"""What is the same for every method that fills a run directory: lock, record, trackers, cluster, events, report."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from toolace.config import Config
from toolace.errors import StorageError
from toolace.rounds.cluster import check_lasting, cluster
from toolace.rounds.context import Run
from toolace.rounds.events import EventLog
from toolace.rounds.lock import RunLock
from toolace.rounds.preflight import check_speech
from toolace.rounds.progress import Progress
from toolace.rounds.record import MethodName, check_method, record_start, recorded, restore
from toolace.rounds.shared import SharedStages
from toolace.rounds.summary import SUMMARY
from toolace.rounds.trackers import check_trackers, make_trackers
from toolace.rounds.tracking import follow
from toolace.storage import StageMismatch, Store

STOPPED = "\nstopped by a signal; what is finished stays, and the same command goes on from there"


@dataclass(frozen=True)
class Method:
    """A way from data to a model.

    `stages` strings a run's stages together and returns its summary; `table` shows that to people; `last` names the
    model that it ends with, by its directory, or None.
    """

    name: MethodName
    stages: Callable[[Run], dict[str, Any]]
    table: Callable[[dict[str, Any]], str]
    last: Callable[[dict[str, Any]], str | None]


def carry_out(
    method: Method, config: Config, progress: Progress | None = None, shared: SharedStages | None = None
) -> dict[str, Any]:
    """Run, or go on with, a method in the run directory of a config; returns the summary, also in `summary.json`.

    With `shared`, stages that other runs have made from the same are taken from there, and new ones are put there.
    Raises `ToolaceError` with the way out; what is finished by then stays finished.
    """
    check_lasting(config.root, Path.cwd())
    check_trackers(config.tracking)
    check_speech(config.model)
    store = Store(config.run_dir)
    run = Run(config, store, EventLog(store), progress or Progress(), shared=shared)
    with terminates(), RunLock(store):
        before = recorded(store)
        check_method(before, method.name, store.uri)
        attempt = record_start(store, config, method.name)
        run.events.write("run_begun", attempt=attempt["number"], changed=attempt["changed"])
        run.progress.say(f"run {store.uri}, start {attempt['number']}; what happens is in {EventLog.FILE}")
        trackers = partial(make_trackers, config, store)
        first = before["attempts"][0] if before and before["attempts"] else attempt
        with follow(trackers, store, run.events, run.progress.say, str(first.get("time"))) as run.tracking:
            try:
                with cluster(config.cluster), terminates():  # again: Ray puts its own handler in place when it starts
                    summary = method.stages(run)
            except BaseException as error:
                away = False
                try:
                    run.events.write("run_stopped", error=f"{type(error).__name__}: {error}"[:2000])
                except StorageError:  # storage that is away must not hide what stopped the run, nor be waited for again
                    away = True
                if isinstance(error, (SystemExit, KeyboardInterrupt)):  # of this process, or of a worker
                    run.progress.say(STOPPED)
                if isinstance(error, StageMismatch):
                    restore(store, before)  # the run is what it was made with, not what was refused
                if not away:
                    _leave_cards(store)
                raise
            store.write_json(SUMMARY, summary)
            from toolace.report import write_model_cards, write_report

            report = write_report(store)
            write_model_cards(store)
            run.events.write("run_done", report=report)
            run.progress.say("\n" + method.table(summary))
            run.progress.say(f"report: {report}")
        last = method.last(summary)
        if config.rounds.promote != "none" and last is not None:
            _promote(run, last)
    return summary


def _leave_cards(store: Store) -> None:
    """The cards of the models that a stopped run has finished; whatever goes wrong must not hide what stopped it."""
    with suppress(Exception):
        from toolace.report import write_model_cards

        write_model_cards(store)


def _promote(run: Run, stage: str) -> None:
    """Put a model behind the endpoint that `rounds.promote` names; nothing to do where it is already."""
    from toolace.serving.models import choose_model
    from toolace.serving.promotion import check_address, connect, promote

    api = connect(check_address(run.config.rounds.promote))
    version = promote(api, choose_model(f"{run.store.uri}/{stage}"), again=True, say=run.progress.say)
    run.events.write("promoted", version=version, address=run.config.rounds.promote)


class Terminated(SystemExit):
    """SIGTERM came: everything unwinds, the lock is given back, and the run can go on later."""


@contextmanager
def terminates() -> Iterator[None]:
    """Turn SIGTERM into an exception, so that the driver leaves a run that can go on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
