"""Starting a Ray of one's own on this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from itertools import count
from typing import Any

from toolace.errors import ClusterError

START_TRIES = 3
BUSY_TRIES = 8
"""Starts on a machine that has more to do than cores: Ray gives its processes 30 s, whatever there is to wait for."""
TOO_SLOW = ("timed out during startup", "Failed to connect to GCS")
"""Parts of Ray's errors where its processes were not up in time, as on a machine with much other work."""
END_S = 5.0
"""Seconds that processes of a failed start have to end by themselves."""


def start_ray(*, otherwise: str, ended: Callable[[], bool] = lambda: False, **options: Any) -> Any:
    """`ray.init` of a local Ray with these options; what it returns. `otherwise`: what to do where none can start.

    What a start that failed has left running is ended, and one that was too slow is tried again, unless `ended` says
    that nobody waits for it any more. Raises `ClusterError`.
    """
    import ray

    on_term = signal.getsignal(signal.SIGTERM)
    tries = START_TRIES
    for tried in count(1):
        before = {process.pid for process in ray_children()}
        tries = max(tries, _tries())  # the load falls again while a start waits for its limit
        try:
            return ray.init(address="local", **options)
        except BaseException as error:
            ray.shutdown()  # does nothing for processes of a start that did not come to its end
            end([process for process in ray_children() if process.pid not in before])
            if not isinstance(error, Exception):
                raise
            if any(part in str(error) for part in TOO_SLOW) and tried < tries and not ended():
                continue
            store = options["object_store_memory"] // 2**20
            raise ClusterError(
                f"Ray cannot start on this machine: {type(error).__name__}: {first_line(error)}\n"
                "Look at the free memory (`toolace doctor`; Ray and its workers take about 1 GiB before any model), at "
                f"the room in /dev/shm and in /tmp (the object store takes {store} MiB), at firewalls between ports of "
                "127.0.0.1, and at other load: a busy machine starts Ray too slowly. Then run the same command again, "
                f"or {otherwise}. Ray's own logs are in /tmp/ray/session_latest/logs"
            ) from error
        finally:
            if threading.current_thread() is threading.main_thread():
                # Ray puts its own in place, which ends its processes first and then the driver with code 1.
                signal.signal(signal.SIGTERM, on_term)


def _tries() -> int:
    try:
        busy = os.getloadavg()[0] > len(os.sched_getaffinity(0))
    except (OSError, AttributeError):  # a system that does not tell
        busy = False
    return BUSY_TRIES if busy else START_TRIES


def ray_children() -> list[Any]:
    """Processes below this one that belong to Ray."""
    import psutil

    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any("/ray/" in part or part.startswith("ray::") for part in process.cmdline()):
                found.append(process)
    return found


def end(processes: list[Any]) -> None:
    """End processes, by force after `END_S`."""
    import psutil

    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    for process in psutil.wait_procs(processes, timeout=END_S)[1]:
        with contextlib.suppress(psutil.Error):
            process.kill()


def first_line(error: BaseException) -> str:
    """The first line of an error's message."""
    return (str(error).strip() or "no reason given").splitlines()[0]
