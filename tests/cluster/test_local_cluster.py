"""`cluster/local.sh`: what it prints, what it refuses, and that it ends its own processes only."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from cluster_runs import ROOT, call

sys.path.insert(0, str(ROOT / "cluster"))

from local_cluster import LONGEST_DIR, MADE, MARK, TRIES, ClusterProblem, HeadEnded, LocalCluster, Node, free_ports

SLEEP = "import subprocess, sys, time; subprocess.Popen(['sleep', '600']); time.sleep(600)"


def test_status_and_down_without_a_cluster(tmp_path: Path) -> None:
    env = {"TOOLACE_CLUSTER_DIR": str(tmp_path / "c"), "PYTHON": sys.executable}
    assert "no cluster in" in call(["cluster/local.sh", "status"], env, code=1)
    assert call(["cluster/local.sh", "down"], env) == ""
    long = tmp_path / ("x" * LONGEST_DIR)
    assert "too long for the sockets" in call(["cluster/local.sh", "up"], {"TOOLACE_CLUSTER_DIR": str(long)}, code=1)


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory whose path leaves room for sockets below it."""
    with tempfile.TemporaryDirectory(prefix="tc-", dir="/tmp") as place:
        yield Path(place)


def test_a_directory_that_is_not_a_clusters_is_left_alone(short: Path) -> None:
    """Whatever its files are called: only the marker that `up` writes tells that they are a cluster's."""
    place = short / "hf"
    env = {"TOOLACE_CLUSTER_DIR": str(place), "PYTHON": sys.executable}
    place.mkdir()
    assert call(["cluster/local.sh", "down"], env) == "" and place.is_dir()
    for name in ("token", "state.json"):
        (place / name).write_text("secret")
        assert "no cluster in" in call(["cluster/local.sh", "status"], env, code=1)
        for command in ("down", "up"):
            said = call(["cluster/local.sh", command], env, code=1)
            assert "is no directory of a cluster" in said and name in said and "TOOLACE_CLUSTER_DIR" in said, said
            assert (place / name).read_text() == "secret"


def test_down_deletes_what_up_made_and_nothing_else(tmp_path: Path) -> None:
    cluster = LocalCluster(tmp_path)
    cluster.note(MADE, "token", "state.json", "n0")
    cluster.note("n0", "head.log")
    assert (tmp_path / MADE).read_text().split() == [MADE, "token", "state.json", "n0", "head.log"]
    (tmp_path / "n0" / "session_1").mkdir(parents=True)
    (tmp_path / "token").touch()
    (tmp_path / "notes").write_text("mine")
    env = {"TOOLACE_CLUSTER_DIR": str(tmp_path), "PYTHON": sys.executable}
    assert "stays, with files that are not the cluster's: notes" in call(["cluster/local.sh", "down"], env)
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]
    (tmp_path / MADE).write_text(f"{MADE}\n../{tmp_path.name}\n..\n.\n")
    assert LocalCluster(tmp_path).down() == ["notes"]


def test_ports_are_different() -> None:
    assert len(set(free_ports(20))) == 20


@pytest.fixture
def node() -> Node:
    """A process that leads a session, as `ray start --block` does, and has started another."""
    import os

    process = subprocess.Popen(
        [sys.executable, "-c", SLEEP], start_new_session=True, env={**os.environ, MARK: "worker-1-abc"}
    )
    return Node("worker-1", process.pid, psutil.Process(process.pid).create_time(), "worker-1-abc")


def test_a_node_is_ended_with_all_that_it_started_and_nothing_else(node: Node) -> None:
    import os

    other = subprocess.Popen(["sleep", "600"], start_new_session=True)
    # A job's entrypoint: a session of its own, but the node's mark.
    job = subprocess.Popen(["sleep", "600"], start_new_session=True, env={**os.environ, MARK: "worker-1-abc"})
    try:
        while len(node.processes()) < 3:
            assert node.running()
        node.kill()
        assert not node.processes() and not node.running()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
        job.wait()


def test_a_process_that_got_the_number_of_a_node_is_not_the_node(node: Node) -> None:
    older = Node(node.name, node.pid, node.born - 3600, "another mark")
    assert not older.running()
    assert not older.processes()
    older.kill()
    assert node.running()
    node.kill()


def test_state_is_kept(tmp_path: Path, node: Node) -> None:
    import json
    from dataclasses import asdict

    state = {"ports": {"gcs": 1, "dashboard": 2, "client": 3, "agent": 4}, "nodes": [asdict(node)]}
    (tmp_path / "state.json").write_text(json.dumps(state))
    (tmp_path / "token").touch()
    LocalCluster(tmp_path).note(MADE, "token", "state.json")
    env = {"TOOLACE_CLUSTER_DIR": str(tmp_path), "PYTHON": sys.executable}
    said = call(["cluster/local.sh", "status"], env)
    assert f"# worker-1: running (process {node.pid})" in said
    assert "export RAY_ADDRESS=127.0.0.1:1\nexport RAY_API_SERVER_ADDRESS=http://127.0.0.1:2\n" in said
    assert f"export RAY_AUTH_MODE=token\nexport RAY_AUTH_TOKEN_PATH={tmp_path}/token\n" in said
    assert "is up already" in call(["cluster/local.sh", "up"], env, code=1)
    call(["cluster/local.sh", "down"], env)
    assert not LocalCluster(tmp_path).nodes and not node.running() and not tmp_path.exists()


class Frail(LocalCluster):
    """Nodes that are processes without Ray; the first `lost` heads end when the second worker starts, the first `late`
    ones when it is known."""

    lost = late = 0

    def _start(self, name: str, options: Sequence[str], agent_port: int, env: dict[str, str] | None) -> None:
        self._check_wanted(name)
        process = subprocess.Popen(["sleep", "600"], start_new_session=True)
        self.nodes.append(Node(name, process.pid, psutil.Process(process.pid).create_time(), f"mark of {name}"))
        if name == "worker-2" and self.lost:
            self.lost -= 1
            self.nodes[0].kill()

    def known(self) -> set[str]:
        marks = {node.mark for node in self.nodes} if self.nodes[0].running() else set()
        if "mark of worker-2" in marks and self.late:
            self.late -= 1
            self.nodes[0].kill()
        return marks


def alive() -> list[psutil.Process]:
    """Living processes that this one has started."""
    return [process for process in psutil.Process().children() if process.status() != psutil.STATUS_ZOMBIE]


def test_a_head_that_ends_while_workers_start_is_started_again_with_all_nodes(short: Path) -> None:
    """On a busy machine Ray ends a head that is up: without one no worker would ever be."""
    before = len(alive())
    cluster = Frail(short / "c")
    cluster.lost = cluster.late = 2
    cluster.up(2, 2)
    assert len(alive()) == before + 3, "nothing is left of the clusters whose head ended"
    assert [node.name for node in cluster.nodes if node.running()] == ["head", "worker-1", "worker-2"]
    cluster.nodes[0].kill()
    with pytest.raises(HeadEnded, match="while worker-3 was started"):
        cluster.add("worker-3", 2)
    cluster.down()
    cluster.lost = 100
    with pytest.raises(HeadEnded, match="while worker-2 was started"):
        cluster.up(2, 2)
    assert cluster.lost == 100 - TRIES and not cluster.nodes and len(alive()) == before


def test_down_in_another_terminal_ends_an_up_that_waits(short: Path) -> None:
    """Nodes that end then are not started again."""

    class Waiting(Frail):
        def known(self) -> set[str]:
            if len(self.nodes) > 1:
                other = LocalCluster(self.place)
                other.nodes = self.nodes[:1]  # it has read the state before the worker was there
                other.down()
            return super().known()

    before = len(alive())
    cluster = Waiting(short / "c")
    with pytest.raises(ClusterProblem, match=r"down` ended the cluster in \S+ before \S+ was started"):
        cluster.up(2, 2)
    assert not cluster.nodes and not cluster.place.exists()
    assert len(alive()) == before
