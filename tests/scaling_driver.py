"""A driver of its own on the cluster that the environment names: python tests/scaling_driver.py load|stages PLACE

`load` runs `two_turns` over PLACE/samples with one to three actors, into PLACE/out-1 and, once PLACE/again exists, into
PLACE/out-2. `stages` follows a round through its changes of hands: sixteen actors with a GPU each, then eight training
workers with a GPU each, then nine actors, which have no room beside workers that stay. Whoever takes part leaves a file
that says where it is.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from rollout_fakes import SCRIPTED, ByteCodec, shout, small_rollout, two_turns

from toolace.config import ClusterConfig, TrainConfig
from toolace.engines import Generate
from toolace.rollouts.dataset import RolloutJob, run_rollouts
from toolace.rounds.cluster import cluster
from toolace.training import launch
from toolace.training.spec import TrainSpec

PATIENCE_S = 500.0
"""What a hang costs at the most."""


def come(place: str, **more: Any) -> None:
    """Leave a file that says where this process is; whole from the moment on that it has its name."""
    import ray

    context = ray.get_runtime_context()
    found = {"pid": os.getpid(), "node": context.get_node_id(), "gpus": context.get_accelerator_ids().get("GPU", [])}
    file = Path(place, f"{found['node']}-{os.getpid()}.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.with_suffix(".tmp").write_text(json.dumps({**found, **more}))
    file.with_suffix(".tmp").rename(file)


class Gather:
    """Answers as `shout`, but after `free` answers only once `count` processes have been asked something."""

    def __init__(self, place: str, count: int, *, free: int = 0) -> None:
        self.place, self.count, self.free = place, count, free
        self.asked = 0
        self.gathered = False

    def __call__(self, request: Generate) -> tuple[int, ...]:
        if not self.asked:
            come(self.place)
        self.asked += 1
        while self.asked > self.free and not self.gathered:
            self.gathered = len(list(Path(self.place).glob("*.json"))) >= self.count
            time.sleep(0 if self.gathered else 0.2)
        return shout(request)


def load(place: Path) -> None:
    # Two CPUs a node: one actor on each.
    settings = small_rollout(min_actors=1, max_actors=3, cpus_per_actor=1.5, no_progress_s=PATIENCE_S)
    for number in (1, 2):
        job = RolloutJob("a", str(place / "samples"), two_turns, str(place / f"out-{number}"))
        # The first actor is free for some shards, from which Ray Data learns how much work there is.
        script = Gather(str(place / f"actors-{number}"), 3, free=30)
        run_rollouts([job], rollout=settings, script=script, make_codec=ByteCodec, **SCRIPTED)
        (place / f"done-{number}").touch()
        while number == 1 and not (place / "again").exists():
            time.sleep(0.2)


def rehearse(config: dict[str, Any]) -> None:
    """In place of the training loop: join the group as it does, and say where and as whom."""
    import ray.train
    import torch
    import torch.distributed as dist

    from toolace.training.engine import start_worker, stop_worker

    spec = TrainSpec.model_validate(config["spec"])
    worker = start_worker(spec)
    everyone = torch.tensor([worker.rank])
    dist.all_reduce(everyone)  # all are there, and hear each other
    context = ray.train.get_context()
    come(
        spec.out,
        rank=worker.rank,
        size=worker.world_size,
        sum_of_ranks=int(everyone),
        local_rank=context.get_local_rank(),
        visible=os.environ["CUDA_VISIBLE_DEVICES"].split(","),
    )
    stop_worker(worker)


def stages(place: Path) -> None:
    def roll(name: str, actors: int) -> None:
        settings = small_rollout(
            min_actors=actors,
            max_actors=actors,
            gpus_per_actor=1,
            rows_in_flight=2,
            shard_rows=2,
            no_progress_s=PATIENCE_S,
        )
        job = RolloutJob(name, str(place / "samples"), two_turns, str(place / f"{name}-out"))
        script = Gather(str(place / name), actors)
        run_rollouts([job], rollout=settings, script=script, make_codec=ByteCodec, **SCRIPTED)

    roll("probe", 16)
    launch._worker = rehearse  # type: ignore[assignment]
    training = TrainConfig(
        workers=8, gpus_per_worker=1, cpus_per_worker=1, threads_per_worker=1, no_progress_s=PATIENCE_S
    )
    # The GPUs are made up: they are counted and placed, and the group talks over gloo.
    launch._fit(TrainSpec(model="none", tokens="none", out=str(place / "train"), settings=training, device="cpu"))
    roll("evaluate", 9)


if __name__ == "__main__":
    with cluster(ClusterConfig(address="auto")):
        {"load": load, "stages": stages}[sys.argv[1]](Path(sys.argv[2]))
