"""The official checker of multi-turn rows, in a process of its own environment (`make agreement-env`).

The process runs `bfcl_child.py`, which says what it takes and answers. This side starts it when it is first needed,
starts it again after it died, and gives each request a time after which the process is killed: whatever model output
does there, only the request that it belongs to is lost.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolace.errors import ConfigError

VERSION = "2026.3.23"
"""The version of bfcl-eval whose verdicts these are."""
FOLDER = Path(".agreement") / "venv"
"""Where `make agreement-env` puts the environment."""
CPU_SECONDS = 10
"""Of one row; the official backends take milliseconds. CPU time, so that a busy machine changes no verdict."""
SECONDS = 120
"""Wall clock of one row, for what waits."""
MEGABYTES = 1024
_GRACE = 10.0
"""Seconds after a row's own limit before the whole process is killed."""
_START = 120.0
_SCRIPT = Path(__file__).with_name("bfcl_child.py")
_WAY_OUT = "Make the environment anew with `make agreement-env`, or leave --official out: multi-turn is not scored then"


def find_official(given: Path | None = None) -> Path | None:
    """The official environment: the one given, else `.agreement/venv` in the current directory, else None.

    Raises `ConfigError` where the one given is none.
    """
    if given is not None:
        if not _python(given).is_file():
            raise ConfigError(f"no environment in {given}: {_python(given)} is missing. {_WAY_OUT}")
        return given.absolute()
    here = Path.cwd() / FOLDER
    # The stamp is set when the installation is whole.
    return here if (here / ".installed").is_file() and _python(here).is_file() else None


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


@dataclass
class _Child:
    process: subprocess.Popen[bytes]
    errors: Any
    rest: bytearray = field(default_factory=bytearray)

    def ask(self, line: bytes, seconds: float) -> dict[str, Any] | None:
        """The answer to a line, None after so many seconds. Raises `OSError` or `EOFError` where the child is dead."""
        assert self.process.stdin is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()
        return self.read(seconds)

    def read(self, seconds: float) -> dict[str, Any] | None:
        assert self.process.stdout is not None
        place, deadline = self.process.stdout.fileno(), time.monotonic() + seconds
        while b"\n" not in self.rest:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([place], [], [], left)[0]:
                return None
            piece = os.read(place, 2**16)
            if not piece:
                raise EOFError
            self.rest += piece
        line, _, self.rest = self.rest.partition(b"\n")
        answer = json.loads(line)
        if not isinstance(answer, dict):
            raise ValueError("no object")
        return answer

    def last_words(self) -> str:
        self.errors.seek(0)
        text: str = self.errors.read().decode(errors="replace").strip()
        return text[-600:] or f"exit status {self.process.poll()}"

    def end(self) -> None:
        """Kill the process and what it has started."""
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            if stream is not None:
                with contextlib.suppress(OSError):  # what was not flushed has no reader
                    stream.close()


class OfficialProcess:
    """Asks the official checker; for several threads.

    `patience` are the seconds after which a process that has not answered is killed. `command` replaces the process: a
    list of words that it is started with, for tests.
    """

    def __init__(
        self,
        folder: Path,
        *,
        cpu_seconds: int = CPU_SECONDS,
        seconds: int = SECONDS,
        megabytes: int = MEGABYTES,
        command: Sequence[str] = (),
    ) -> None:
        folder = folder.absolute()  # the process has a directory of its own
        # -s -P -B: no user packages, nothing from the script's own folder, no byte code written.
        self._command = list(command) or [
            str(_python(folder)), "-s", "-P", "-B", str(_SCRIPT), *map(str, (cpu_seconds, seconds, megabytes))
        ]  # fmt: skip
        self._folder = folder
        self.patience = seconds + _GRACE
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._scratch = tempfile.TemporaryDirectory(prefix="toolace-bfcl-")
        self._finalizer: weakref.finalize[..., Any] | None = None

    def judge(self, entry: Mapping[str, Any], gold: Any, output: Any) -> dict[str, Any]:
        """`{"valid", "error_type", "detail"}`, or `{"failed", "detail"}`; see `bfcl_child`."""
        return self._ask({"op": "judge", "entry": entry, "gold": gold, "output": output})

    def execute(self, entry: Mapping[str, Any], steps: Sequence[str]) -> dict[str, Any]:
        """`{"results"}` of the last of the steps of a dialogue, or `{"failed", "detail"}`."""
        return self._ask({"op": "execute", "entry": entry, "steps": list(steps)})

    def start(self) -> None:
        """Start the process where it does not run. Raises `ConfigError` where it cannot be used."""
        with self._lock:
            if self._child is None:
                self._start()

    def close(self) -> None:
        """End the process. It is started again if something is asked."""
        with self._lock:
            self._end()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        line = json.dumps(request).encode() + b"\n"
        with self._lock:
            for _ in range(2):
                child = self._child or self._start()
                try:
                    answer = child.ask(line, self.patience)
                except BrokenPipeError:  # it died since the last request: this one has done nothing yet
                    self._end()
                    continue
                except (OSError, EOFError, ValueError) as error:
                    said = child.last_words()
                    self._end()
                    return {"failed": "crashed", "detail": f"the process ended ({type(error).__name__}): {said:.200}"}
                if answer is None:
                    self._end()
                    return {"failed": "timeout", "detail": f"the process was killed after {self.patience:g} s"}
                return answer
        return {"failed": "crashed", "detail": "the process ends before it takes a request"}

    def _start(self) -> _Child:
        """Start the process and hear its version. Raises `ConfigError`."""
        errors = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the child
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=self._scratch.name,
                # Nothing of this process's environment: no keys, and the package makes folders where it is told to.
                env={"BFCL_PROJECT_ROOT": self._scratch.name, "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"},
                start_new_session=True,
            )
        except OSError as error:
            raise ConfigError(f"the official checker in {self._folder} cannot start: {error}. {_WAY_OUT}") from None
        child = self._child = _Child(process, errors)
        self._finalizer = weakref.finalize(self, child.end)
        try:
            hello = child.read(_START)
        except (OSError, EOFError, ValueError):
            hello = {}
        version = (hello or {}).get("ready")
        if version != VERSION:
            said = f"it holds bfcl-eval {version}, not {VERSION}" if version else child.last_words()
            self._end()
            raise ConfigError(f"the official checker in {self._folder} cannot be used: {said}. {_WAY_OUT}")
        return child

    def _end(self) -> None:
        if self._finalizer is not None:
            self._finalizer()
        self._child = self._finalizer = None
