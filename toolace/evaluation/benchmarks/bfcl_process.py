"""The official checker of multi-turn rows, in processes of its own environment (`make agreement-env`).

Two processes run `bfcl_child.py`, which says what they take and answer: one executes model output and never hears a
gold answer or a verdict, the other judges what the first has observed and executes gold answers alone. This side starts
them when they are first needed, starts one again after it died, and gives each request a time after which its process
is killed. An answer is taken only with the token of its request: no other request gets it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
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
_FAILURES = ("timeout", "memory", "crashed", "uncheckable")
_NOTHING = "the calls ended their process before it had answered"
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

    def ask(self, request: bytes, seconds: float) -> dict[str, Any] | None:
        """The answer to a request, None after so many seconds. Raises `OSError`, `EOFError` or `ValueError` where the
        child is dead, or says what is no answer to it."""
        assert self.process.stdin is not None
        if self.rest or self._has_more(0):  # it is dead, or said what nobody had asked for
            raise BrokenPipeError
        token = secrets.token_hex(16).encode()
        self.process.stdin.write(b"%010d" % len(request) + request + token)
        self.process.stdin.flush()
        line = self.read(seconds)
        if line is None:
            return None
        if not secrets.compare_digest(line[: len(token) + 1], token + b" "):
            raise ValueError("the answer is not to this request")
        try:
            answer = json.loads(line[len(token) :])
            if isinstance(answer, dict):
                return answer
        except (ValueError, RecursionError):
            pass
        return {"failed": "crashed", "detail": _NOTHING}

    def read(self, seconds: float) -> bytes | None:
        """A line, None after so many seconds."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + seconds
        piece = b""
        while b"\n" not in piece:
            if not self._has_more(deadline - time.monotonic()):
                return None
            piece = os.read(self.process.stdout.fileno(), 2**16)
            if not piece:
                raise EOFError
            self.rest += piece
        line, _, self.rest = self.rest.partition(b"\n")
        return bytes(line)

    def _has_more(self, seconds: float) -> bool:
        assert self.process.stdout is not None
        return bool(select.select([self.process.stdout], [], [], max(seconds, 0))[0])

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

    `command` replaces the processes: a list of words that each is started with, for tests.
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
        folder = folder.absolute()  # the processes have directories of their own
        # -s -P -B: no user packages, nothing from the script's own folder, no byte code written.
        words = list(command) or [
            str(_python(folder)), "-s", "-P", "-B", str(_SCRIPT), *map(str, (cpu_seconds, seconds, megabytes))
        ]  # fmt: skip
        self.player, self.referee = (Service(folder, words, seconds + _GRACE) for _ in range(2))

    def judge(self, entry: Mapping[str, Any], gold: Any, output: Any) -> dict[str, Any]:
        """`{"valid", "error_type", "detail"}`, or `{"failed", "detail"}`; see `bfcl_child`.

        The verdict of the official `eval_runner` on an entry: what it does around the official decoder and checker. The
        limit of steps is the inference's, which then leaves out the turns that follow: turns that are missing are
        `force_terminated`.
        """
        if not isinstance(output, list):
            return _wrong("inference_error", "a list of steps for each turn is expected, got one text")
        if len(output) != len(gold):
            return _wrong("force_terminated", f"{len(output)} turn(s), the dialogue has {len(gold)}")
        played = self.player.ask({"op": "play", "entry": entry, "output": output})
        if "failed" in played:
            return played
        if not isinstance(played.get("turns"), list):
            return {"failed": "crashed", "detail": _NOTHING}
        return self.referee.ask({"op": "judge", "entry": entry, "gold": gold, "turns": played["turns"]})

    def execute(self, entry: Mapping[str, Any], steps: Sequence[str]) -> dict[str, Any]:
        """`{"results"}` of the last of the steps of a dialogue, or `{"failed", "detail"}`."""
        found = self.player.ask({"op": "execute", "entry": entry, "steps": list(steps)})
        if "failed" in found:
            return found
        results = found.get("results", 0)
        if results is None or (isinstance(results, list) and all(isinstance(result, str) for result in results)):
            return {"results": results}
        return {"failed": "crashed", "detail": _NOTHING}

    def start(self) -> None:
        """Start the processes where they do not run. Raises `ConfigError` where they cannot be used."""
        self.player.start()
        self.referee.start()

    def close(self) -> None:
        """End the processes. They are started again if something is asked."""
        self.player.close()
        self.referee.close()


def _wrong(kind: str, detail: str) -> dict[str, Any]:
    return {"valid": False, "error_type": f"multi_turn:{kind}", "detail": detail}


class Service:
    """One process of the environment, killed where it has not answered after `patience` seconds."""

    def __init__(self, folder: Path, command: Sequence[str], patience: float) -> None:
        self._folder, self._command, self.patience = folder, command, patience
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._scratch = tempfile.TemporaryDirectory(prefix="toolace-bfcl-")
        self._finalizer: weakref.finalize[..., Any] | None = None

    def start(self) -> None:
        """Start the process where it does not run. Raises `ConfigError` where it cannot be used."""
        with self._lock:
            if self._child is None:
                self._start()

    def close(self) -> None:
        """End the process. It is started again if something is asked."""
        with self._lock:
            self._end()

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer, which may be `{"failed", "detail"}`."""
        try:
            line = json.dumps(request).encode()
        except RecursionError:
            return {"failed": "crashed", "detail": "values that are too deep"}
        with self._lock:
            answer = self._ask(line)
        if "failed" in answer:  # also said by what model output made of its process
            kind = answer["failed"]
            return {"failed": kind if kind in _FAILURES else "crashed", "detail": str(answer.get("detail"))[:300]}
        return answer

    def _ask(self, line: bytes) -> dict[str, Any]:
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
            hello = json.loads(child.read(_START) or b"{}")
        except (OSError, EOFError, ValueError):
            hello = {}
        version = hello.get("ready")
        if version != VERSION:
            said = f"it holds bfcl-eval {version}, not {VERSION}" if version else child.last_words()
            self._end()
            raise ConfigError(f"the official checker in {self._folder} cannot be used: {said}. {_WAY_OUT}")
        return child

    def _end(self) -> None:
        if self._finalizer is not None:
            self._finalizer()
        self._child = self._finalizer = None
