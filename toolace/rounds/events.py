"""What happened in a run, one JSON line each, in `events.jsonl` of the run directory."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from toolace.storage import Store


class EventLog:
    """Appends events, from any thread. On object stores, which cannot append, the file is replaced whole."""

    FILE = "events.jsonl"

    def __init__(self, run: Store) -> None:
        self._run = run
        self._lines: list[str] = []
        self._lock = threading.Lock()
        if run.local is None and run.exists(self.FILE):
            self._lines = run.read(self.FILE).decode().splitlines()

    def write(self, event: str, **fields: Any) -> None:
        """One event: its name, the time (UNIX seconds) and any JSON values."""
        line = json.dumps({"time": round(time.time(), 3), "event": event, **fields}, ensure_ascii=False)
        with self._lock:
            if self._run.local is not None:
                self._run.local.mkdir(parents=True, exist_ok=True)
                with (self._run.local / self.FILE).open("a", encoding="utf-8") as stream:
                    stream.write(line + "\n")
                return
            self._lines.append(line)
            self._run.write(self.FILE, ("\n".join(self._lines) + "\n").encode())
