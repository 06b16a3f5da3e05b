"""One driver a run: a lock file with owner and heartbeat in the run directory."""

from __future__ import annotations

import fcntl
import json
import math
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from toolace.errors import StorageError
from toolace.storage import Store

HEARTBEAT_S = 10.0
"""Seconds between heartbeats."""
_HELD: set[str] = set()
"""Tokens of the locks that this process holds."""
_LOST: list[StorageError] = []
"""Locks of this process that another driver has taken over, until the main thread is told."""
_WAKE = signal.SIGUSR2
"""What tells it, also in the middle of a wait. Ray blocks SIGINT in its processes, jobs among them."""

STALE_S = 60.0
"""A lock without a heartbeat for this long belongs to a dead driver (six missed heartbeats)."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds a lock. `started` and `heartbeat` are seconds since 1970.

    `space` names the table in which `pid` is a process (boot and pid namespace) and `born` the moment at which that
    process began: process numbers are given again, after a reboot or in another container. Empty where not known.
    """

    host: str
    pid: int
    token: str
    started: float
    heartbeat: float
    space: str = ""
    born: str = ""


class RunLock:
    """Holds `lock.json` of a run while in the `with` block.

    Raises `StorageError` with owner and age when another driver holds it. A lock whose owner is dead (same machine:
    the process is gone; otherwise: no heartbeat for `STALE_S`) is taken over, and so is a damaged one of that age. Of
    several that take over at the same moment one gets it: on local and mounted places a lock is only deleted if it is
    the one that was judged dead, and only its own by the driver that gives it back.

    Every heartbeat looks first whether the lock is still this driver's. One that was silent too long, and was taken
    over, is interrupted and ends with a `StorageError`; it never writes over its successor's lock. On object stores,
    where no file can be created exclusively, that is also what ends the second of two drivers that began at the same
    moment and both passed the look at the start, within `HEARTBEAT_S`.
    """

    FILE = "lock.json"

    def __init__(self, run: Store) -> None:
        self._run = run
        self._token = uuid.uuid4().hex
        self._started = time.time()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lost_to: StorageError | None = None
        self._before: Any = None

    def __enter__(self) -> RunLock:
        if not self._run.create_new(self.FILE, self._content()):
            self._take_over()
        if self._run.local is None:
            time.sleep(
                1.0
            )  # object stores have no exclusive create: the last of two writers wins, the other sees it here
        found = _owner(self._run.read(self.FILE))
        if found is None or found.token != self._token:
            raise self._lost()
        _HELD.add(self._token)
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(_WAKE, _tell)
        self._thread = threading.Thread(target=self._beat, name="run-lock", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        _HELD.discard(self._token)
        if self._before is not None:
            signal.signal(_WAKE, self._before)
        if self._lost_to is not None:  # the lock file is another driver's
            if error is self._lost_to:
                return
            raise self._lost_to from None
        try:
            self._run.delete_if(self.FILE, lambda data: (owner := _owner(data)) is None or owner.token == self._token)
        except StorageError:
            if error is None:  # what stopped the run says more than a lock that cannot be given back
                raise

    def _content(self) -> bytes:
        pid = os.getpid()
        owner = Owner(socket.gethostname(), pid, self._token, self._started, time.time(), _space(), _born(pid) or "")
        return json.dumps(asdict(owner)).encode()

    def _take_over(self) -> None:
        with self._one_at_a_time():
            try:
                seen = self._run.read(self.FILE)
            except StorageError:
                if self._run.exists(self.FILE):
                    raise
                seen = None  # given back since
            if seen is not None:
                self._refuse_living(seen)
                # Another driver may have judged the same, and hold the run by now: only what was judged goes.
                if not self._run.delete_if(self.FILE, lambda data: data == seen):
                    raise self._lost()
            if not self._run.create_new(self.FILE, self._content()):
                raise self._lost()

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Those who take over, and heartbeats, wait for one another where the filesystem can, so that what was looked
        at is what is written over. The system ends the wait if one dies."""
        try:
            folder = None if self._run.local is None else os.open(self._run.local, os.O_RDONLY)
        except OSError:
            folder = None
        if folder is None:
            yield
            return
        try:
            with suppress(OSError):
                fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _refuse_living(self, seen: bytes) -> None:
        """Raise `StorageError` where the owner lives, or may."""
        found = _owner(seen)
        if found is None:
            age = self._run.age(self.FILE)
            if age < STALE_S:
                raise StorageError(
                    f"{self._run.at(self.FILE)} is damaged, so it does not tell who holds this run (written "
                    f"{age:.0f} s ago). Where no driver works on the run it is safe to delete that file; after "
                    f"{STALE_S:.0f} s without a change the same command takes it over"
                )
            return
        silent = time.time() - found.heartbeat
        known = _alive(found)
        if known is False or (known is None and silent >= STALE_S):
            return
        age = time.time() - found.started
        way_out = (
            "Wait for it, stop it, or use another run name"
            if known
            else f"Use another name, or wait: {STALE_S:.0f} s without a sign of life, and the same command takes it"
        )
        raise StorageError(
            f"{self._run.uri} is in use by process {found.pid} on {found.host}, started {age:.0f} s ago "
            f"(last sign of life {silent:.0f} s ago). {way_out}"
        )

    def _lost(self) -> StorageError:
        return StorageError(
            f"{self._run.uri} was locked by another driver at the same moment. Run one driver at a time"
        )

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            try:
                with self._one_at_a_time():
                    other = self._successor()
                    if other is None:
                        self._run.write(self.FILE, self._content())
                        continue
            except StorageError:  # storage that fails for a while must not cost the lock: beat again
                continue
            self._lost_to = StorageError(
                f"{self._run.uri} was taken over by process {other.pid} on {other.host} while this driver gave no sign "
                "of life. What is finished stays; let the other one go on, or stop it and run the same command again"
            )
            if self._before is not None:
                _LOST.append(self._lost_to)
                signal.pthread_kill(threading.main_thread().ident or 0, _WAKE)
            return

    def _successor(self) -> Owner | None:
        """Who else holds the lock by now; None where the file is this driver's, gone or damaged."""
        if not self._run.exists(self.FILE):
            return None
        found = _owner(self._run.read(self.FILE))
        return None if found is None or found.token == self._token else found


def _tell(number: int, frame: FrameType | None) -> None:
    if _LOST:
        raise _LOST.pop()


def _owner(data: bytes) -> Owner | None:
    """The owner in a lock file; None where the file is damaged."""
    try:
        owner = Owner(**json.loads(data))
        if not math.isfinite(owner.started + owner.heartbeat):
            return None
        return Owner(
            str(owner.host), int(owner.pid), str(owner.token), float(owner.started), float(owner.heartbeat),
            str(owner.space), str(owner.born),
        )  # fmt: skip
    except (ValueError, TypeError, OverflowError):
        return None


def _alive(owner: Owner) -> bool | None:
    """Whether the process of a lock still runs; None where that cannot be seen from here."""
    if owner.token in _HELD:
        return True
    if owner.space and owner.space == _space():
        return bool(owner.born) and owner.born == _born(owner.pid)
    if not owner.space and owner.host == socket.gethostname() and not _process_exists(owner.pid):
        return False
    return None


def _space() -> str:
    """The table of processes that this process is in: this boot of the machine and this pid namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _born(pid: int) -> str | None:
    """When a process began, in clock ticks since the boot; None where it is gone, or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before may hold spaces and brackets
    return None if fields[0] in "ZX" else fields[19]


def _process_exists(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
