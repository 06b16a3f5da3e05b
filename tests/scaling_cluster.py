"""Clusters for the tests of scaling: one whose nodes come and go, one whose nodes have an address each.

Nodes come and go by Ray's own autoscaler. `ray.cluster_utils.AutoscalingCluster` would start and end with
`ray stop --force`, which ends every Ray of the machine, and keeps to fixed ports. Here the same head (fake multi-node
provider, autoscaler v2) is a node of `LocalCluster`: its ports, directory and token are its own, and only its own
processes are ended. The provider starts nodes as children of the head's monitor; they carry the head's mark.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluster_runs import ROOT

sys.path.insert(0, str(ROOT / "cluster"))

from local_cluster import LocalCluster

HEAD = "f" * 51 + "00000"
"""The id of the head, by which the fake provider knows it; it numbers its nodes from there."""
HEAD_TYPE = "ray.head.default"
COMMANDS = (
    "initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray",
)  # fmt: skip
IDLE_S = 8
MOST = 3


class ScalingCluster(LocalCluster):
    """A head without CPUs; nodes of two CPUs come when something waits for them, and go when they are idle."""

    def up_empty(self) -> None:
        env = {
            "RAY_FAKE_CLUSTER": "1",
            "RAY_enable_autoscaler_v2": "1",
            "RAY_CLOUD_INSTANCE_ID": HEAD,
            "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD,
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            "RAY_worker_niceness": "0",
        }
        self.up(0, 0, env)

    def head_options(self) -> list[str]:
        config: dict[str, Any] = {
            "cluster_name": "scaling",
            "max_workers": MOST,
            "provider": {
                # Its name is "fake_multinode", whose defaults are in a file that Ray's wheels leave out.
                "type": "external",
                "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
                "gcs_address": f"127.0.0.1:{self.ports['gcs']}",
                "head_node_id": HEAD,
                "launch_multiple": True,
                "disable_node_updaters": True,
            },
            # There is nothing to set up, but the autoscaler asks what.
            **{f"{kind}_commands": [] for kind in COMMANDS},
            "file_mounts": {},
            "cluster_synced_files": [],
            "head_node_type": HEAD_TYPE,
            "available_node_types": {
                HEAD_TYPE: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
                "worker": {
                    "resources": {"CPU": 2, "object_store_memory": 100 * 2**20},
                    "node_config": {},
                    "min_workers": 0,
                    "max_workers": MOST,
                    "idle_timeout_s": IDLE_S,
                },
            },
        }
        path = self.place / "autoscaling.json"
        self.note(path.name)
        path.write_text(json.dumps(config))
        return [f"--autoscaling-config={path}"]

    def is_empty(self) -> bool:
        """Whether the head answers, and knows itself alone."""
        return [node["node_id"] for node in self.alive()] == [HEAD]


class Machines(LocalCluster):
    """Nodes with an address each, as machines have: Ray Train counts local ranks by address. Linux has 127.0.0.0/8."""

    def address_of(self, number: int) -> str:
        return f"127.0.0.{number + 1}"


@contextmanager
def short_lived(kind: type[LocalCluster]) -> Iterator[Any]:
    """A cluster that is not up yet; at the end of the block nothing of it is left."""
    place = Path(tempfile.mkdtemp(prefix="tc-", dir="/tmp"))  # short, for the sockets below it
    cluster = kind(place / "c")
    try:
        yield cluster
    finally:
        nodes = list(cluster.nodes)
        cluster.down()
        assert not [process for node in nodes for process in node.processes()], "down ends all that up started"
        shutil.rmtree(place, ignore_errors=True)


def presence(place: Path) -> list[dict[str, Any]]:
    """What those who took part left."""
    return [json.loads(file.read_text()) for file in sorted(place.glob("*.json"))]
