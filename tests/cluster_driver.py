"""A driver of its own on the cluster that the environment names: python tests/cluster_driver.py rollout|train PLACE

`rollout` runs `two_turns` over PLACE/samples into PLACE/out on one actor of each node; with HOLD=FILE one actor writes
its process number there at question 31, and waits for its end. `train` runs the spec in PLACE/spec.json.
"""

from __future__ import annotations

import os
import sys
import time

from rollout_fakes import SCRIPTED, ByteCodec, shout, small_rollout, two_turns

from toolace.config import ClusterConfig
from toolace.engines import Generate
from toolace.errors import ToolaceError
from toolace.rollouts.dataset import RolloutJob, run_rollouts
from toolace.rounds.cluster import cluster
from toolace.storage import Store
from toolace.training.launch import run_training
from toolace.training.spec import TrainSpec


class HoldOnce:
    """Answers as `shout`; the first process that is asked a given question writes its number to a file, and waits."""

    def __init__(self, flag: str, at: str) -> None:
        self.flag, self.at = flag, at

    def __call__(self, request: Generate) -> tuple[int, ...]:
        if bytes(request.prompt).decode() == self.at:
            try:
                with open(self.flag, "x") as stream:
                    stream.write(str(os.getpid()))
            except FileExistsError:
                pass
            else:
                time.sleep(600)
        return shout(request)


def rollout(place: Store) -> None:
    hold = os.environ.get("HOLD")
    script = HoldOnce(hold, "question 31") if hold else shout
    job = RolloutJob("a", place.at("samples"), two_turns, place.at("out"))
    actors = small_rollout(min_actors=2, max_actors=2, cpus_per_actor=1.5)  # two CPUs a node: one on each
    counts = run_rollouts([job], rollout=actors, script=script, make_codec=ByteCodec, **SCRIPTED)
    print(counts["a"].rows, "rows")


def train(place: Store) -> None:
    print(run_training(TrainSpec.model_validate_json(place.read("spec.json"))).steps, "steps")


if __name__ == "__main__":
    with cluster(ClusterConfig(address="auto")):
        try:
            {"rollout": rollout, "train": train}[sys.argv[1]](Store(sys.argv[2]))
        except ToolaceError as error:
            sys.exit(f"error: {error}")
