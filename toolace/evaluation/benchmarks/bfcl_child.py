"""Multi-turn by the official checker; a script for bfcl-eval's own environment, never imported by this package.

    .agreement/venv/bin/python toolace/evaluation/benchmarks/bfcl_child.py CPU_SECONDS SECONDS MEGABYTES

JSON lines in and out. First it says `{"ready": VERSION}`, the version of bfcl-eval; then it answers one line for each
line, in order:

- `{"op": "judge", "entry", "gold", "output"}` -> `{"valid", "error_type", "detail"}`, the official verdict on raw text
  (a list of steps for each turn).
- `{"op": "execute", "entry", "steps"}` -> `{"results"}`: the steps (raw texts) of a dialogue are executed from its
  start, and the last one's results given, a text for each call; None where the last has no readable calls.
- either may answer `{"failed", "detail"}`: `timeout`, `memory`, `crashed` (the calls end the interpreter) or
  `uncheckable` (the official checker raises).

`entry` holds `id`, `initial_config` and `involved_classes`. The official code evaluates model output with `eval`, and
keeps its backends in globals. So each request is worked on in a fork of this process, under limits of time (CPU and
wall clock), memory and file size, with no input or output of its own, and with a hook that refuses to write files and
to reach processes, sockets and foreign code: no request leaves anything to another. It is a fence against accidents, no
sandbox against an attacker.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import json
import os
import resource
import select
import signal
import sys
import time
from typing import Any, NamedTuple, NoReturn

_LONGEST = 200_000
"""Characters of one call's result that are handed on."""
_REFUSED = ("os.", "subprocess.", "shutil.", "socket.", "ctypes.", "pty.", "tempfile.", "signal.", "fcntl.")
_READ_ONLY = frozenset(("os.listdir", "os.scandir", "os.walk", "os.fwalk"))
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Limits(NamedTuple):
    """Of one request: seconds of CPU, seconds of wall clock, megabytes of address space."""

    cpu: int
    seconds: int
    megabytes: int


class Official:
    """The official functions, loaded once."""

    def __init__(self) -> None:
        evaluation = "bfcl_eval.eval_checker.multi_turn_eval"
        self.check: Any = importlib.import_module(f"{evaluation}.multi_turn_checker").multi_turn_checker
        executor: Any = importlib.import_module(f"{evaluation}.multi_turn_utils")
        self.run = executor.execute_multi_turn_func_call
        self.is_empty = executor.is_empty_execute_response
        self.decode: Any = importlib.import_module("bfcl_eval.model_handler.utils").default_decode_execute_prompting
        backends = importlib.import_module("bfcl_eval.constants.executable_backend_config").CLASS_FILE_PATH_MAPPING
        for module in backends.values():
            with contextlib.suppress(ImportError):  # those of the agentic categories want more packages
                importlib.import_module(module)

    def calls(self, text: Any) -> list[str] | None:
        """The calls of a step as source, None where there are none; any failure to decode counts as none."""
        try:
            calls: list[str] = self.decode(text)
            return None if self.is_empty(calls) else calls
        except Exception:
            return None

    def judge(self, request: dict[str, Any]) -> dict[str, Any]:
        """The verdict of the official `eval_runner` on an entry: what it does around the official decoder and checker.

        The limit of steps is the inference's, which then leaves out the turns that follow: turns that are missing are
        `force_terminated`.
        """
        entry, gold, output = request["entry"], request["gold"], request["output"]
        if not isinstance(output, list):
            return _wrong("inference_error", "a list of steps for each turn is expected, got one text")
        if len(output) != len(gold):
            return _wrong("force_terminated", f"{len(output)} turn(s), the dialogue has {len(gold)}")
        turns = [[calls for calls in map(self.calls, steps) if calls is not None] for steps in output]
        category = entry["id"].rsplit("_", 1)[0]
        found = self.check(turns, gold, entry, category, "judged")
        if found["valid"]:
            return {"valid": True, "error_type": None, "detail": ""}
        return {"valid": False, "error_type": found["error_type"], "detail": str(found.get("error_message", ""))[:300]}

    def execute(self, request: dict[str, Any]) -> dict[str, Any]:
        entry, results = request["entry"], None
        for calls in map(self.calls, request["steps"]):
            results = None
            if calls is not None:
                results, _ = self.run(
                    calls,
                    entry["initial_config"],
                    entry["involved_classes"],
                    "executed",
                    entry["id"],
                    long_context="long_context" in entry["id"],
                )
        return {"results": results and [str(result)[:_LONGEST] for result in results]}


def _wrong(kind: str, detail: str) -> dict[str, Any]:
    return {"valid": False, "error_type": f"multi_turn:{kind}", "detail": detail}


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """The audit hook: an error for what a call of a simulated backend has no need of."""
    if event == "open":
        refused = bool(arguments[2] & _WRITING)
    else:
        refused = event.startswith(_REFUSED) and event not in _READ_ONLY
    if refused:
        raise PermissionError(f"{event} is not open to calls")


def _work(official: Official, request: dict[str, Any], writer: int, limits: Limits) -> NoReturn:
    """In the fork: answer into the pipe `writer` and end."""
    try:
        values = {
            resource.RLIMIT_CORE: (0, 0),
            resource.RLIMIT_FSIZE: (0, 0),
            resource.RLIMIT_CPU: (limits.cpu, limits.cpu + 2),  # a signal of its own before the kernel kills
            resource.RLIMIT_AS: (limits.megabytes * 2**20,) * 2,
        }
        for limit, value in values.items():
            resource.setrlimit(limit, value)
        sys.addaudithook(_refuse)
        try:
            answer = official.judge(request) if request["op"] == "judge" else official.execute(request)
        except MemoryError:
            answer = {"failed": "memory", "detail": f"the calls want more than {limits.megabytes} MB"}
        except Exception as error:
            answer = {"failed": "uncheckable", "detail": f"the official code raises {error!r:.200}"}
        except BaseException as error:
            answer = {"failed": "crashed", "detail": f"the calls raise {type(error).__name__}"}
        data = memoryview(json.dumps(answer).encode())
        while data:
            data = data[os.write(writer, data) :]
    finally:
        os._exit(0)


def attend(official: Official, request: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """One request in a fork that is killed where it passes the limits."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reader)
        _work(official, request, writer, limits)
    os.close(writer)
    deadline = time.monotonic() + limits.seconds
    data = bytearray()
    late = False
    while not late:
        left = deadline - time.monotonic()
        late = left <= 0 or not select.select([reader], [], [], left)[0]
        if not late:
            piece = os.read(reader, 2**16)
            if not piece:
                break
            data += piece
    os.close(reader)
    if late:
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    code = os.waitstatus_to_exitcode(status)
    if late:
        return {"failed": "timeout", "detail": f"the calls took longer than {limits.seconds} s"}
    if code == -signal.SIGXCPU:
        return {"failed": "timeout", "detail": f"the calls took more than {limits.cpu} s of CPU"}
    try:
        answer: dict[str, Any] = json.loads(data)
    except ValueError:
        return {"failed": "crashed", "detail": f"the calls ended their process ({code})"}
    return answer


def main() -> None:
    limits = Limits(*(int(value) for value in sys.argv[1:4]))
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)  # neither the official code nor a call reads requests or writes answers
    os.dup2(nowhere, 1)
    official = Official()

    def say(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()

    say({"ready": importlib.metadata.version("bfcl-eval")})
    for line in requests:
        say(attend(official, json.loads(line), limits))


if __name__ == "__main__":
    main()
