"""Seeds of a comparison at the same time, each in a process (and on a local Ray) of its own.

Runs of one seed take stages from each other, so they stay in one process, in their order; runs of different seeds have
little in common.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import TypeAlias

from toolace.rounds.compare_plan import PlannedRun

Work: TypeAlias = Callable[[Sequence[PlannedRun], str], dict[str, str]]
"""Makes runs, with a label for its progress lines; returns the error of each run that failed, by its name."""
LOST = "its process ended with code {code} before it could say why: it was killed, or the machine had no memory left"


def at_once(planned: Sequence[PlannedRun], jobs: int, work: Work) -> dict[str, str]:
    """Do `work` for the runs of each seed, for `jobs` seeds at the same time.

    `work` must be picklable. Returns all errors by run; runs whose process was lost are among them. Whatever ends this
    process ends the others with SIGTERM, as by the user.
    """
    context = get_context("spawn")  # Ray's threads and forks do not go together
    seeds: dict[int, list[PlannedRun]] = {}
    for run in planned:
        seeds.setdefault(run.seed, []).append(run)
    waiting = list(seeds.items())
    running: dict[Connection, tuple[SpawnProcess, list[PlannedRun]]] = {}
    failed: dict[str, str] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                seed, runs = waiting.pop(0)
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(target=_seed, args=(runs, seed, work, sender), name=f"seed-{seed}")
                process.start()
                sender.close()  # so that the end of the process is the end of the pipe
                running[receiver] = (process, runs)
            ready = wait(list(running))
            for receiver in [one for one in running if one in ready]:
                process, runs = running[receiver]
                try:
                    failed |= receiver.recv()
                    process.join()
                except EOFError:
                    process.join()
                    failed |= {run.config.name: LOST.format(code=process.exitcode) for run in runs}
                del running[receiver]
    finally:
        for process, _ in running.values():
            process.terminate()
        for process, _ in running.values():
            process.join()
    return failed


def _seed(runs: Sequence[PlannedRun], seed: int, work: Work, sender: Connection) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sender.send(work(runs, f"seed {seed}: "))
    sender.close()


def _end_with_parent() -> None:
    """A comparison that was killed gives its lock to the next one: nothing of it may go on working."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
