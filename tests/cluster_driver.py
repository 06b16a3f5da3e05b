"""A driver of its own on the cluster that the environment names: python tests/cluster_driver.py rollout|train PLACE
[WATCH]

`rollout` runs `two_turns` over PLACE/samples into PLACE/out on one actor of each node. `train` runs the spec in
PLACE/spec.json; WATCH is a file with a pickled `moments.Watch` for its workers, which train below it in
`round-1/train`.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

from moments import WatchedWorker
from rollout_fakes import SCRIPTED, ByteCodec, shout, small_rollout, two_turns

from toolace.config import ClusterConfig
from toolace.errors import ToolaceError
from toolace.rollouts.dataset import RolloutJob, run_rollouts
from toolace.rounds.cluster import cluster
from toolace.storage import Store
from toolace.training import launch
from toolace.training.spec import TrainSpec


def rollout(place: Store) -> None:
    job = RolloutJob("a", place.at("samples"), two_turns, place.at("out"))
    actors = small_rollout(min_actors=2, max_actors=2, cpus_per_actor=1.5)  # two CPUs a node: one on each
    counts = run_rollouts([job], rollout=actors, script=shout, make_codec=ByteCodec, **SCRIPTED)
    print(counts["a"].rows, "rows")


def train(place: Store) -> None:
    print(launch.run_training(TrainSpec.model_validate_json(place.read("spec.json"))).steps, "steps")


if __name__ == "__main__":
    if len(sys.argv) > 3:
        launch._worker = WatchedWorker(pickle.loads(Path(sys.argv[3]).read_bytes()), "round-1/train")  # type: ignore[assignment]
    with cluster(ClusterConfig(address="auto")):
        try:
            {"rollout": rollout, "train": train}[sys.argv[1]](Store(sys.argv[2]))
        except ToolaceError as error:
            sys.exit(f"error: {error}")
