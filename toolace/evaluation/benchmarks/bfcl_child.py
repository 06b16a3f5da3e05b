"""Multi-turn by the official checker; a script for bfcl-eval's own environment, never imported by this package.

    .agreement/venv/bin/python toolace/evaluation/benchmarks/bfcl_child.py CPU_SECONDS SECONDS MEGABYTES

First it says `{"ready": VERSION}`, the version of bfcl-eval. Then it takes requests, each `LENGTH REQUEST TOKEN`
without the spaces: ten digits, so many bytes of JSON, 32 bytes. It answers each, in order, by a line `TOKEN ANSWER`:

- `{"op": "play", "entry", "output"}` -> `{"turns": [{"steps", "state"}]}`: raw texts (a list of steps for each turn)
  are read by the official decoder and executed; the results of each step with calls, and the state after each turn.
- `{"op": "judge", "entry", "gold", "turns"}` -> `{"valid", "error_type", "detail"}`, the official verdict on what was
  played. Only the gold's calls are executed.
- `{"op": "execute", "entry", "steps"}` -> `{"results"}`: the steps (raw texts) of a dialogue are executed from its
  start, and the last one's results given, a text for each call; None where the last has no readable calls.
- each may answer `{"failed", "detail"}`: `timeout`, `memory`, `crashed` (the calls end the interpreter) or
  `uncheckable` (the official code raises).

`entry` holds `id`, `initial_config` and `involved_classes`. The official code evaluates model output with `eval`, and
keeps its backends in globals. So each request is worked on in a fork of this process, under limits of time (CPU and
wall clock), memory and file size, with a hook that refuses files and processes, sockets and foreign code. A fork holds
one channel, a pipe of its own, and the token of a request is read when its fork has ended: calls can answer no other
request. `play` and `judge` are asked of two processes (`bfcl_process`), so that calls see neither gold nor verdict. It
is a fence, no sandbox: code that leaves it can do what its user can.
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
_MOST = 2**24
"""Bytes of an answer; the gold's calls give a tenth of a MB at most."""
_HEAD, _TOKEN = 10, 32
_REFUSED = (
    "os.", "subprocess.", "shutil.", "socket.", "ctypes.", "pty.", "tempfile.", "signal.", "fcntl.", "resource."
)  # fmt: skip
_READ_ONLY = frozenset(("os.listdir", "os.scandir", "os.walk", "os.fwalk"))
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CODE = (".py", ".pyc", ".so")
"""What may be read, so that modules can be imported; not the gold answers, for one."""


class Limits(NamedTuple):
    """Of one request: seconds of CPU, seconds of wall clock, megabytes of address space."""

    cpu: int
    seconds: int
    megabytes: int


class Official:
    """The official functions, loaded once."""

    def __init__(self) -> None:
        evaluation = "bfcl_eval.eval_checker.multi_turn_eval"
        self.checker: Any = importlib.import_module(f"{evaluation}.multi_turn_checker")
        executor: Any = importlib.import_module(f"{evaluation}.multi_turn_utils")
        self.run = executor.execute_multi_turn_func_call
        self.is_empty = executor.is_empty_execute_response
        self.decode: Any = importlib.import_module("bfcl_eval.model_handler.utils").default_decode_execute_prompting
        backends = importlib.import_module("bfcl_eval.constants.executable_backend_config").CLASS_FILE_PATH_MAPPING
        self.classes: dict[str, type] = {}
        """Those of the backends, by module and name: what a state is made of, beside plain values."""
        for name in backends.values():
            with contextlib.suppress(ImportError):  # those of the agentic categories want more packages
                for value in vars(importlib.import_module(name)).values():
                    if isinstance(value, type) and value.__module__ == name:
                        self.classes[f"{name}.{value.__name__}"] = value

    def calls(self, text: Any) -> list[str] | None:
        """The calls of a step as source, None where there are none; any failure to decode counts as none."""
        try:
            calls: list[str] = self.decode(text)
            return None if self.is_empty(calls) else calls
        except Exception:
            return None

    def play(self, request: dict[str, Any]) -> dict[str, Any]:
        """What the official checker learns of the model's calls."""
        entry = request["entry"]
        category = entry["id"].rsplit("_", 1)[0]
        turns = [[calls for calls in map(self.calls, steps) if calls is not None] for steps in request["output"]]
        played = []
        for steps in turns:
            results, instances = [], {}
            for calls in steps:
                result, instances = self.run(
                    calls,
                    entry["initial_config"],
                    entry["involved_classes"],
                    "judged",
                    entry["id"],
                    long_context="long_context" in category or "composite" in category,
                    is_evaL_run=True,
                )
                results.append(result)
            played.append({"steps": results, "state": pack(instances, self.classes)})
        return {"turns": played}

    def judge(self, request: dict[str, Any]) -> dict[str, Any]:
        """The verdict of the official checker, which is given what was played where it would execute the model's calls.

        A step is what executing it gave: its results, and the backends as they were after the turn.
        """
        entry, gold = request["entry"], request["gold"]
        turns = []
        for turn in request["turns"]:
            instances = unpack(turn["state"], self.classes)
            turns.append([(results, instances) for results in turn["steps"]])

        def run(*, func_call_list: Any, model_name: str, **rest: Any) -> Any:
            if model_name.endswith("_ground_truth"):
                return self.run(func_call_list=func_call_list, model_name=model_name, **rest)
            return func_call_list

        self.checker.execute_multi_turn_func_call = run
        found = self.checker.multi_turn_checker(turns, gold, entry, entry["id"].rsplit("_", 1)[0], "judged")
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


def pack(value: Any, classes: dict[str, type]) -> list[list[Any]]:
    """A state as JSON: a list of nodes, the first one the value, that refer to each other by number.

    Plain values and the public attributes of instances of `classes`, in any graph; of anything else only that it is
    there. No pickle: whoever writes it may be hostile.
    """
    names = {class_: name for name, class_ in classes.items()}
    nodes: list[list[Any]] = []
    seen: dict[int, int] = {}

    def place(value: Any) -> int:
        if id(value) in seen:
            return seen[id(value)]
        number = seen[id(value)] = len(nodes)
        kind, node = type(value), list[Any]()
        nodes.append(node)
        if value is None or kind in (bool, int, float, str):
            node += ("value", value)
        elif kind in (list, tuple, set):
            node += (kind.__name__, [place(item) for item in value])
        elif kind is dict:
            node += ("dict", [(place(key), place(item)) for key, item in value.items()])
        elif kind in names:
            public = {key: item for key, item in vars(value).items() if not key.startswith("_")}
            node += (names[kind], {key: place(item) for key, item in public.items()})
        else:
            node.append("other")
        return number

    place(value)
    return nodes


def unpack(nodes: list[list[Any]], classes: dict[str, type]) -> Any:
    """The value again; what is no plain value and of no class is equal to nothing."""
    made: dict[int, Any] = {}

    def make(number: int) -> Any:
        if number in made:
            return made[number]
        kind, *rest = nodes[number]
        if kind == "value":
            made[number] = rest[0]
        elif kind == "list":
            made[number] = []
            made[number].extend(map(make, rest[0]))
        elif kind == "dict":
            made[number] = {}
            made[number].update((make(key), make(item)) for key, item in rest[0])
        elif kind in ("tuple", "set"):
            made[number] = (tuple if kind == "tuple" else set)(map(make, rest[0]))
        elif kind == "other":
            made[number] = object()
        else:
            made[number] = object.__new__(classes[kind])
            vars(made[number]).update((key, make(item)) for key, item in rest[0].items())
        return made[number]

    return make(0)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """The audit hook: an error for what a call of a simulated backend has no need of."""
    if event == "open":
        # Of a text itself, and of nothing that says it is one.
        path = arguments[0]
        refused = bool(arguments[2] & _WRITING) or type(path) is not str or not path.endswith(_CODE)
    else:
        refused = event.startswith(_REFUSED) and event not in _READ_ONLY
    if refused:
        raise PermissionError(f"{event} is not open to calls")


def _work(official: Official, request: dict[str, Any], writer: int, limits: Limits) -> NoReturn:
    """In the fork: answer into the pipe `writer` and end."""
    try:
        # Before any model output is looked at: no channel of this process, and none of other requests, is left.
        os.dup2(0, 2)
        os.dup2(writer, 3)
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
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
            work = {"play": official.play, "judge": official.judge, "execute": official.execute}
            answer = json.dumps(work[request["op"]](request))
        except MemoryError:
            answer = _failed("memory", f"the calls want more than {limits.megabytes} MB")
        except Exception as error:
            answer = _failed("uncheckable", f"the official code raises {error!r:.200}")
        except BaseException as error:
            answer = _failed("crashed", f"the calls raise {type(error).__name__}")
        _send(3, answer.encode())
    finally:
        os._exit(0)


def _failed(kind: str, detail: str) -> str:
    return json.dumps({"failed": kind, "detail": detail})


def _send(place: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(place, left) :]


def _take(place: int, size: int) -> bytes:
    """Exactly so many bytes, and none that follow them; fewer at the end."""
    data = bytearray()
    while len(data) < size and (piece := os.read(place, size - len(data))):
        data += piece
    return bytes(data)


def attend(official: Official, request: dict[str, Any], limits: Limits) -> bytes:
    """The answer to one request, by a fork that is killed where it passes the limits. It is not read here."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        _work(official, request, writer, limits)
    os.close(writer)
    deadline = time.monotonic() + limits.seconds
    data = bytearray()
    late = False
    while not late and len(data) <= _MOST:
        left = deadline - time.monotonic()
        late = left <= 0 or not select.select([reader], [], [], left)[0]
        if not late:
            piece = os.read(reader, 2**16)
            if not piece:
                break
            data += piece
    os.close(reader)
    if late or len(data) > _MOST:
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    code = os.waitstatus_to_exitcode(status)
    if late:
        return _failed("timeout", f"the calls took longer than {limits.seconds} s").encode()
    if code == -signal.SIGXCPU:
        return _failed("timeout", f"the calls took more than {limits.cpu} s of CPU").encode()
    if len(data) > _MOST:
        return _failed("memory", f"the calls give more than {_MOST} bytes").encode()
    if not data:
        return _failed("crashed", f"the calls ended their process ({code})").encode()
    return bytes(data).partition(b"\n")[0]


def _reply(official: Official, size: int, requests: int, answers: int, limits: Limits) -> None:
    answer = attend(official, json.loads(_take(requests, size)), limits)
    # Until now the token was in the pipe, in no memory that the fork could see.
    _send(answers, _take(requests, _TOKEN) + b" " + answer + b"\n")


def main() -> None:
    limits = Limits(*(int(value) for value in sys.argv[1:4]))
    requests, answers = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)  # neither the official code nor a call reads requests or writes answers
    os.dup2(nowhere, 1)
    official = Official()
    _send(answers, json.dumps({"ready": importlib.metadata.version("bfcl-eval")}).encode() + b"\n")
    while head := _take(requests, _HEAD):
        _reply(official, int(head), requests, answers, limits)


if __name__ == "__main__":
    main()
