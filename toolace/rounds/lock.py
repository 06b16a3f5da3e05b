"""One driver a run: a lock file with owner and heartbeat in the run directory."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from types import TracebackType
from typing import Any

from toolace.errors import StorageError
from toolace.storage import Store

HEARTBEAT_S = 10.0
"""Seconds between heartbeats."""
_HELD: set[str] = set()
"""Tokens of the locks that this process holds."""

STALE_S = 60.0
"""A lock without a heartbeat for this long belongs to a dead driver (six missed heartbeats)."""


class RunLock:
    """Holds `lock.json` of a run while in the `with` block.

    Raises `StorageError` with owner and age when another driver holds it. A lock whose owner is dead (same machine:
    the process is gone; elsewhere: no heartbeat for `STALE_S`) is taken over.
    """

    FILE = "lock.json"

    def __init__(self, run: Store) -> None:
        self._run = run
        self._token = uuid.uuid4().hex
        self._started = time.time()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> RunLock:
        if not self._run.create_new(self.FILE, self._content()):
            self._take_over(self._run.read_json(self.FILE))
        if self._run.local is None:
            time.sleep(
                1.0
            )  # object stores have no exclusive create: the last of two writers wins, the other sees it here
        if self._run.read_json(self.FILE).get("token") != self._token:
            raise StorageError(
                f"{self._run.uri} was locked by another driver at the same moment. Run one driver at a time"
            )
        _HELD.add(self._token)
        self._thread = threading.Thread(target=self._beat, name="run-lock", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        _HELD.discard(self._token)
        self._run.delete(self.FILE)

    def _content(self) -> bytes:
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "token": self._token}
        return json.dumps({**owner, "started": self._started, "heartbeat": time.time()}).encode()

    def _take_over(self, found: dict[str, Any]) -> None:
        silent = time.time() - float(found.get("heartbeat", 0))
        same_host = found.get("host") == socket.gethostname()
        pid = int(found.get("pid", -1))
        if same_host and pid == os.getpid():  # a restarted container gives the same name and process number again
            alive = found.get("token") in _HELD
        else:
            alive = _process_exists(pid) if same_host else silent < STALE_S
        if alive:
            age = time.time() - float(found.get("started", 0))
            raise StorageError(
                f"{self._run.uri} is in use by process {pid} on {found.get('host')}, started {age:.0f} s ago "
                f"(last sign of life {silent:.0f} s ago). Wait for it, stop it, or use another run name"
            )
        self._run.delete(self.FILE)
        if not self._run.create_new(self.FILE, self._content()):
            raise StorageError(
                f"{self._run.uri} was locked by another driver at the same moment. Run one driver at a time"
            )

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            with contextlib.suppress(StorageError):  # storage that fails for a while must not cost the lock: beat again
                self._run.write(self.FILE, self._content())


def _process_exists(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
