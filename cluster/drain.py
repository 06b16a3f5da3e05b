"""Empty this node before it goes: python cluster/drain.py --deadline 690

A pod's preStop hook. Ray is told that the node will be gone, Serve starts its replicas elsewhere, and those here finish
the requests that they have; this command ends when no replica is left on the node, or at the deadline. It never fails:
the pod goes all the same.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

POLL_S = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deadline", type=int, required=True, help="seconds until the node is gone")
    deadline = parser.parse_args().deadline
    begun = time.monotonic()
    try:
        node, address = this_node()
        drain(node, address, deadline)
        while time.monotonic() - begun < deadline and (left := replicas(node)):
            print(f"drain: {left} Serve actors left on this node", flush=True)
            time.sleep(POLL_S)
    except Exception as error:  # a cluster that is gone already has nothing to drain
        print(f"drain: given up: {type(error).__name__}: {error}", file=sys.stderr)


def this_node() -> tuple[str, str]:
    """The id of the node that this process is on, and the address of its cluster."""
    import ray

    ray.init(address="auto", logging_level="ERROR", log_to_driver=False)
    context = ray.get_runtime_context()
    return context.get_node_id(), context.gcs_address


def drain(node: str, address: str, deadline: int) -> None:
    """Tell Ray that the node goes: nothing new is placed there, and Serve moves what it has."""
    words = ["--node-id", node, "--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "the pod ends"]
    command = ["ray", "drain-node", "--address", address, *words, "--deadline-remaining-seconds", str(deadline)]
    subprocess.run(command, check=True, timeout=60)


def replicas(node: str) -> int:
    """Serve replicas alive on the node."""
    from ray.util.state import list_actors

    alive = list_actors(filters=[("node_id", "=", node), ("state", "=", "ALIVE")], limit=1000)
    return sum(actor.class_name.startswith("ServeReplica") for actor in alive)


if __name__ == "__main__":
    main()
