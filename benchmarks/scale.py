"""Does the driver stay small? 10,000 and 1,000,000 rows through Ray Data, the worker and the shards, without a model.

    python benchmarks/scale.py
    python benchmarks/scale.py --probe --nodes 4

Answers come from the scripted engine and prompts from a codec of one token a byte, so what is measured is this
project's own work: shards, programs, records, publishing, counting. With `--probe` the program is the one that probes a
round's pool (`toolace.probing` with its defaults), else two draws of which the second depends on the first. With
`--nodes` the actors are on nodes of their own, an actor on each, in a cluster like `cluster/local.sh up` makes. The
driver runs in a process of its own; its memory is the peak of its resident set. Rows/s leave the start of the actors
out. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from toolace.calls.schema import Call, Chat, Message, Sample, Tool
from toolace.config import EngineConfig, ModelConfig, ProbeConfig, RolloutConfig, SelectConfig
from toolace.engines.base import Generate
from toolace.probing import probe
from toolace.rollouts.program import Program, Request, Sampling, ask

ROOT = Path(__file__).resolve().parent.parent
PROBE = partial(probe, config=ProbeConfig(), select=SelectConfig(), format="pythonic", run_seed=1)


class ByteCodec:
    """One token a byte; the prompt is the last user turn."""

    stop_token_ids = (0,)

    def prompt(self, chat: Chat) -> Sequence[int]:
        return chat.messages[-1].content.encode()

    def answer_ids(self, text: str) -> Sequence[int]:
        return [*text.encode(), 0]

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(ids).decode()


def answer(request: Generate) -> Sequence[int]:
    """A call that repeats the end of the prompt."""
    return b"[find(text='" + bytes(request.prompt[-12:]) + b"')]"


def two_draws(sample: Sample) -> Program[dict[str, Any]]:
    """A draw, and another one that depends on it."""
    first = yield from ask(Request(sample.chat, Sampling(temperature=1.0, max_tokens=64), seed=1))
    second = yield from ask(Request(sample.chat, Sampling(temperature=1.0, max_tokens=64), seed=len(first.text)))
    return {"answers": [first.text, second.text], "tokens": first.tokens + second.tokens}


def samples(rows: int) -> Iterator[Sample]:
    """Rows of about the size of a short tool-calling sample."""
    tool = Tool(
        name="find",
        description="Finds documents that contain a text",
        parameters={"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    )
    for i in range(rows):
        text = f"Please look through all the documents for number {i}"
        reference = Message(role="assistant", calls=(Call(name="find", arguments={"text": text[-12:]}),))
        yield Sample(
            id=f"row-{i}",
            chat=Chat(tools=(tool,), messages=(Message(role="user", content=text),)),
            reference=reference,
        )


def write(folder: Path, rows: int, shard_rows: int) -> None:
    """Put the samples on disk, in a process of its own."""
    from toolace.data.shards import write_shards
    from toolace.storage import Store

    write_shards(samples(rows), Store(str(folder / "samples")), shard_rows)


def drive(folder: Path, rows: int, shard_rows: int, actors: int, nodes: int, probing: bool) -> dict[str, float]:
    """Run the rollout as a driver does; its peak memory in MB and its rows/s."""
    import resource

    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    import ray

    from toolace.rollouts.dataset import Progress, RolloutJob, run_rollouts

    def told(progress: Progress) -> None:
        if progress.counts.shards % 400 == 0:
            print(f"  {progress.counts.rows} rows, {progress.rows_per_s:.0f} rows/s", file=sys.stderr, flush=True)

    if nodes:
        ray.init(address=os.environ["RAY_ADDRESS"])
    else:
        ray.init(address="local", num_cpus=4, include_dashboard=False, object_store_memory=200 * 2**20)
    rollout = RolloutConfig(min_actors=actors, max_actors=actors, shard_rows=shard_rows)
    (counts,) = run_rollouts(
        [RolloutJob("scale", str(folder / "samples"), PROBE if probing else two_draws, str(folder / "records"))],
        model=ModelConfig(),
        engine=EngineConfig(kind="scripted"),
        rollout=rollout,
        script=answer,
        make_codec=ByteCodec,
        on_progress=told,
    ).values()
    assert counts.rows == rows and counts.failed == 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    ray.shutdown()
    return {"driver_rss_mb": round(peak, 1), "rows_per_s": round(rows / counts.seconds, 1)}


@contextmanager
def cluster(nodes: int, actors: int) -> Iterator[dict[str, str]]:
    """A cluster of so many nodes beside its head, with room for the actors and no more; variables for its drivers."""
    if not nodes:
        yield {}
        return
    sys.path.insert(0, str(ROOT / "cluster"))
    from local_cluster import LocalCluster

    with tempfile.TemporaryDirectory(prefix="tc-", dir="/tmp", ignore_cleanup_errors=True) as place:
        made = LocalCluster(Path(place) / "c")
        try:
            made.up(nodes, -(-actors // nodes))  # an actor takes one CPU
            yield made.environment
        finally:
            made.down()


def measure(rows: int, options: argparse.Namespace) -> dict[str, float]:
    """One size: write and drive, each in a fresh process."""
    actors = options.actors or options.nodes or 1
    with tempfile.TemporaryDirectory(dir=options.dir) as folder, cluster(options.nodes, actors) as env:
        step = [sys.executable, __file__, "--folder", folder, "--rows", str(rows), "--actors", str(actors)]
        step += ["--shard-rows", str(options.shard_rows), "--nodes", str(options.nodes)]
        step += ["--probe"] if options.probe else []
        subprocess.run([*step, "--step", "write"], check=True)
        done = subprocess.run([*step, "--step", "drive"], check=True, stdout=subprocess.PIPE, env={**os.environ, **env})
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        print(f"{rows} rows: {found}", flush=True)
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=int, default=10_000, help="rows of the small run")
    parser.add_argument("--large", type=int, default=1_000_000, help="rows of the large run")
    parser.add_argument("--shard-rows", type=int, default=256, help="rows of a shard")
    parser.add_argument("--probe", action="store_true", help="run the program that probes a pool")
    parser.add_argument("--nodes", type=int, default=0, help="nodes on this machine; 0: all in one Ray without others")
    parser.add_argument("--actors", type=int, help="actors, each with a scripted engine (one, or one a node)")
    parser.add_argument("--dir", default=None, help="where temporary files go (about 300 MB a million rows)")
    parser.add_argument("--step", choices=["write", "drive"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step == "write":
        write(options.folder, options.rows, options.shard_rows)
    elif options.step == "drive":
        found = drive(options.folder, options.rows, options.shard_rows, options.actors, options.nodes, options.probe)
        print(json.dumps(found))
    else:
        small, large = measure(options.small, options), measure(options.large, options)
        result = {
            "driver_rss_mb_10k": small["driver_rss_mb"],
            "driver_rss_mb_1m": large["driver_rss_mb"],
            "rows_per_s_10k": small["rows_per_s"],
            "rows_per_s_1m": large["rows_per_s"],
            "rows_small": options.small,
            "rows_large": options.large,
            "nodes": options.nodes,
        }
        print(json.dumps(result))


if __name__ == "__main__":
    main()
