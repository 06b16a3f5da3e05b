"""What `cluster/local.sh` does: several Ray nodes on one machine, each a `ray start` process in a session of its own.

Every port is a free one, chosen at the start and kept in `state.json`; token authentication is on, with a token of the
cluster's own. A node is ended by ending its own processes, so other clusters of the machine stay as they are.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

START_S = 240.0
"""A cluster is up within half a minute; a busy machine may take many times that."""
TRIES = 6
"""Starts of a node that ends at its start."""
END_S = 20.0
"""Seconds that a node's processes have to end by themselves."""
LONGEST_DIR = 36
"""Characters of the state directory: UNIX sockets in `n0/session_.../sockets` below it have 107 in all."""
STORE_MB = 100
"""Object store of a node, MiB."""
MARK = "TOOLACE_CLUSTER_NODE"
"""Environment variable that all processes of a node inherit, and are known by."""
ENDING = "ending"
"""File that `down` puts beside the others before it ends nodes: an `up` in another terminal starts none any more."""
MADE = ".toolace-cluster"
"""File by which a directory is known as a cluster's: the names in it of all that `up` made, a line each."""


class ClusterProblem(Exception):
    """What cannot be done, and the way out."""


class HeadEnded(ClusterProblem):
    """The head has ended, so that no other node can be up."""


@dataclass(frozen=True)
class Node:
    """A node: the process of `ray start --block`, its start (seconds since 1970), and the value of `MARK`."""

    name: str
    pid: int
    born: float
    mark: str

    def processes(self) -> list[psutil.Process]:
        """The node's living processes: those of its session, those with its mark, and all that these have started.

        One of the three is not enough: jobs get sessions of their own, workers write their title over their
        environment, and processes whose parent is dead have another one.
        """
        session = self._process() is not None or not psutil.pid_exists(self.pid)  # else its number was given again
        living: dict[int, psutil.Process] = {}
        parents: dict[int, int] = {}
        found: set[int] = set()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                living[process.pid], parents[process.pid] = process, process.ppid()
                mine = session and os.getsid(process.pid) == self.pid
                if mine or process.environ().get(MARK) == self.mark:
                    found.add(process.pid)
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return [living[pid] for pid in sorted(found - {os.getpid()})]

    def running(self) -> bool:
        """Whether its `ray start` lives."""
        with contextlib.suppress(psutil.Error):
            process = self._process()
            return process is not None and process.status() != psutil.STATUS_ZOMBIE
        return False

    def _process(self) -> psutil.Process | None:
        """`ray start`, living or not yet taken note of; None where it is gone."""
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self.pid)
            return process if abs(process.create_time() - self.born) < 1 else None
        return None

    def end(self) -> None:
        """End its processes, with time to do so by themselves."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.terminate()
        end = time.monotonic() + END_S
        while time.monotonic() < end and self.processes():  # those that nobody waits for do not count
            time.sleep(0.2)
        self.kill()

    def kill(self) -> None:
        """End its processes at once, as a machine that loses its power."""
        while processes := self.processes():  # one that is ending may have started another
            for process in processes:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            time.sleep(0.1)


class LocalCluster:
    """The cluster whose state is in a directory. `environment` is what a client needs to use it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.nodes: list[Node] = []
        self.ports: dict[str, int] = {}
        if (place / MADE).is_file() and (place / "state.json").is_file():
            state = json.loads((place / "state.json").read_text(encoding="utf-8"))
            self.nodes = [Node(**node) for node in state["nodes"]]
            self.ports = state["ports"]

    @property
    def token_path(self) -> Path:
        return self.place / "token"

    @property
    def dashboard(self) -> str:
        """Where jobs are submitted."""
        return f"http://127.0.0.1:{self.ports['dashboard']}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables for `ray job submit`, `toolace submit`, `ray status` and drivers."""
        return {
            "RAY_ADDRESS": f"127.0.0.1:{self.ports['gcs']}",
            "RAY_API_SERVER_ADDRESS": self.dashboard,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.token_path),
        }

    def up(self, workers: int, cpus: int, env: dict[str, str] | None = None, *, gpus: int = 0) -> None:
        """Start a head without CPUs, and workers. Processes get this process's environment, and `env`.

        `gpus` of each worker are made up: Ray counts and places them, whether the machine has any or not.
        """
        if any(node.running() for node in self.nodes):
            raise ClusterProblem(f"the cluster in {self.place} is up already. End it first: cluster/local.sh down")
        if len(str(self.place)) > LONGEST_DIR:
            raise ClusterProblem(
                f"{self.place} is longer than {LONGEST_DIR} characters, too long for the sockets below it. Set "
                "TOOLACE_CLUSTER_DIR to a short path, such as /tmp/tc"
            )
        self.down()
        if self.place.is_dir() and any(self.place.iterdir()):
            raise ClusterProblem(f"{self.place} holds {self._others()}. Set TOOLACE_CLUSTER_DIR to another place")
        self.place.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.note(MADE, "token", "state.json")
        self.token_path.touch(mode=0o600)
        self.token_path.write_text(secrets.token_hex(32), encoding="ascii")
        try:
            for tries_left in reversed(range(TRIES)):
                try:
                    self._until_up(lambda: self._start_head(env))
                    for number in range(workers):
                        self.add(f"worker-{number + 1}", cpus, env, gpus=gpus)
                    self._need_head()
                    break
                except HeadEnded:
                    if not tries_left:
                        raise
                    self._end_nodes()
        except BaseException:
            said = self._said()
            self._end_nodes()
            self.down(keep_logs=True)
            if said:
                print(said, file=sys.stderr)
            raise

    def add(self, name: str, cpus: int, env: dict[str, str] | None = None, *, gpus: int = 0) -> None:
        """Start one more worker, and wait until the head knows it."""
        options = [f"--address=127.0.0.1:{self.ports['gcs']}", f"--num-cpus={cpus}", f"--num-gpus={gpus}"]
        self._until_up(lambda: self._start(name, options, free_ports(1)[0], env))

    def node(self, name: str) -> Node:
        """A node by its name."""
        return next(node for node in self.nodes if node.name == name)

    def known(self) -> set[str]:
        """Marks of the nodes that the head knows as alive; empty where it does not answer yet."""
        return {node["node_name"] for node in self.alive()}

    def alive(self) -> list[dict[str, Any]]:
        """The nodes that the head knows as alive, as its API tells them; none where it does not answer yet."""
        request = urllib.request.Request(f"{self.dashboard}/api/v0/nodes?limit=1000")
        try:
            request.add_header("Authorization", f"Bearer {self.token_path.read_text(encoding='ascii')}")
            with urllib.request.urlopen(request, timeout=10) as answer:
                nodes = json.load(answer)["data"]["result"]["result"]
        except (OSError, ValueError, KeyError, TypeError):
            return []
        return [node for node in nodes if node["state"] == "ALIVE"]

    def down(self, *, keep_logs: bool = False) -> list[str]:
        """End what `up` started, workers first, and delete what it made; names of other files there, which stay.

        Raises `ClusterProblem` for a directory with files that no `up` has made.
        """
        if not self.place.is_dir():
            return []
        if not (self.place / MADE).is_file():
            if any(self.place.iterdir()):
                raise ClusterProblem(
                    f"{self.place} is no directory of a cluster and holds {self._others()}. Set TOOLACE_CLUSTER_DIR to "
                    "the cluster's place"
                )
            return []
        self.note(ENDING)
        (self.place / ENDING).touch()
        self._end_nodes()
        if keep_logs:
            (self.place / "state.json").unlink(missing_ok=True)
            (self.place / ENDING).unlink(missing_ok=True)
            return []
        for name in reversed(self._made()):  # the marker last: what is cut off here can be done again
            path = self.place / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        left = sorted(path.name for path in self.place.iterdir())
        if not left:
            self.place.rmdir()
        return left

    def _end_nodes(self) -> None:
        for node in reversed(self.nodes):
            node.end()
        self.nodes = []

    def note(self, *names: str) -> None:
        """Names of files or directories that belong to the cluster, and go with it."""
        with (self.place / MADE).open("a", encoding="utf-8") as marker:
            marker.writelines(f"{name}\n" for name in names if name not in self._made())

    def _made(self) -> list[str]:
        names = (self.place / MADE).read_text(encoding="utf-8").splitlines()
        return [name for name in names if name not in ("", ".", "..") and "/" not in name]

    def _others(self) -> str:
        names = sorted(path.name for path in self.place.iterdir())
        return f"files that are not its own ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"

    def _start(self, name: str, options: Sequence[str], agent_port: int, env: dict[str, str] | None) -> None:
        self._check_wanted(name)
        mark = f"{name}-{secrets.token_hex(8)}"
        # A directory for each node, as on machines of their own: they unpack jobs' files over each other's otherwise.
        temp = self.place / f"n{len(self.nodes)}"
        self.note(temp.name, f"{name}.log")
        shutil.rmtree(temp, ignore_errors=True)
        command = [
            sys.executable, "-m", "ray.scripts.scripts", "start", *options,
            f"--node-ip-address={self.address_of(len(self.nodes))}", f"--node-name={mark}", f"--temp-dir={temp}",
            f"--object-store-memory={STORE_MB * 2**20}", f"--dashboard-agent-listen-port={agent_port}",
            "--min-worker-port=0", "--max-worker-port=0", "--disable-usage-stats", "--block",
        ]  # fmt: skip
        kept = {key: value for key, value in os.environ.items() if key not in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")}
        kept |= {**(env or {}), MARK: mark, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.token_path)}
        kept.pop("RAY_AUTH_TOKEN", None)
        # Entrypoints of jobs look `python` up on the path of the node.
        kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
        with (self.place / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command, env=kept, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.nodes.append(Node(name, process.pid, psutil.Process(process.pid).create_time(), mark))
        state: dict[str, Any] = {"ports": self.ports, "nodes": [asdict(node) for node in self.nodes]}
        (self.place / "state.json").write_text(json.dumps(state, indent=2), encoding="utf-8")

    def _check_wanted(self, name: str) -> None:
        """Raises `ClusterProblem` where `down` is at work on the cluster, or was."""
        if (self.place / ENDING).exists() or not (self.place / MADE).exists():
            raise ClusterProblem(f"`cluster/local.sh down` ended the cluster in {self.place} before {name} was started")

    def _until_up(self, start: Callable[[], None]) -> None:
        """Start a node and wait until the head knows it; start it again where it ends before.

        Ray gives a node 30 s, which a busy machine may not keep, and a port may be taken before the node opens it.
        """
        for tries_left in reversed(range(TRIES)):
            start()
            node = self.nodes[-1]
            end = time.monotonic() + START_S
            while node.running():
                if node.mark in self.known():
                    return
                self._check_wanted(node.name)
                if node is not self.nodes[0]:
                    self._need_head()
                if time.monotonic() > end:
                    raise ClusterProblem(f"{node.name} is not up after {START_S:g} s. Logs are in {self.place}")
                time.sleep(0.5)
            if node is not self.nodes[0]:
                self._need_head()
            if not tries_left:
                raise ClusterProblem(f"{node.name} ended at its start. Its log is above; {self.place} has more")
            node.kill()  # what `ray start` left behind
            self.nodes.pop()

    def _need_head(self) -> None:
        """Raises `HeadEnded`.

        On a busy machine a head ends when it is known already: Ray's client server gives it 30 s, counted from before
        its dashboard starts.
        """
        if not self.nodes[0].running():
            raise HeadEnded(f"the head ended while {self.nodes[-1].name} was started. Logs are in {self.place}")

    def _start_head(self, env: dict[str, str] | None) -> None:
        names = ("gcs", "dashboard", "client", "agent")
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        self._start("head", ["--head", f"--port={self.ports['gcs']}", "--num-cpus=0", "--num-gpus=0",
                             "--include-dashboard=true", "--dashboard-host=127.0.0.1",
                             f"--dashboard-port={self.ports['dashboard']}",
                             f"--ray-client-server-port={self.ports['client']}", *self.head_options()],
                    self.ports["agent"], env)  # fmt: skip

    def address_of(self, number: int) -> str:
        """The address of a node: one for all, so that it works wherever there is a loopback."""
        return "127.0.0.1"

    def head_options(self) -> list[str]:
        """More options of the head's `ray start`, for clusters of another kind; `ports` are known."""
        return []

    def _said(self) -> str:
        """The end of the logs of nodes that ended."""
        logs = [self.place / f"{node.name}.log" for node in self.nodes if not node.running()]
        return "\n".join(log.read_text(encoding="utf-8", errors="replace")[-3000:] for log in logs if log.is_file())


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that are free now, different from each other."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def default_place() -> Path:
    return Path(os.environ.get("TOOLACE_CLUSTER_DIR") or f"/tmp/toolace-cluster-{os.getuid()}")


def show(cluster: LocalCluster) -> None:
    """The exports on stdout, so that `eval "$(cluster/local.sh status)"` works; all else as comments."""
    for node in cluster.nodes:
        print(f"# {node.name}: {'running' if node.running() else 'dead'} (process {node.pid})")
    print(f"# dashboard {cluster.dashboard}, logs in {cluster.place}")
    for name, value in cluster.environment.items():
        print(f"export {name}={value}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="cluster/local.sh", description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start it, and print what to export to use it")
    up.add_argument("--workers", type=int, default=2, help="worker nodes (2)")
    up.add_argument("--cpus", type=int, default=2, help="logical CPUs of each worker (2)")
    up.add_argument("--gpus", type=int, default=0, help="logical GPUs of each worker, to rehearse placement (0)")
    commands.add_parser("status", help="nodes and exports; exit code 1 where one is not running")
    commands.add_parser("down", help="end what `up` started")
    options = parser.parse_args(arguments)
    cluster = LocalCluster(default_place())
    try:
        if options.command == "up":
            cluster.up(options.workers, options.cpus, gpus=options.gpus)
            show(cluster)
        elif options.command == "down":
            if left := cluster.down():
                print(
                    f"{cluster.place} stays, with files that are not the cluster's: {', '.join(left)}", file=sys.stderr
                )
        elif not cluster.nodes:
            print(f"no cluster in {cluster.place}. Start one: cluster/local.sh up", file=sys.stderr)
            return 1
        else:
            show(cluster)
            return 0 if all(node.running() for node in cluster.nodes) else 1
    except ClusterProblem as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
