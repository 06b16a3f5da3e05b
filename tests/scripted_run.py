"""A run as a process of its own, to be killed: real Ray and rollouts, a scripted engine, rehearsed training.

python tests/scripted_run.py evolve|rounds ROOT [WATCH [SETTING ...]]

WATCH is a file with a pickled `moments.Watch`: the moments at which the driver, or an actor, dies; `-` for none. With
RAY_ADDRESS set the run is on that cluster, with an actor on each of two nodes. Settings are more of them, such as
`cluster.address`.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pyarrow.fs as pafs
from evolve_runs import rehearse_training, small
from moments import Watch
from report_runs import chance
from rollout_fakes import ByteCodec

from toolace.calls import render_calls
from toolace.calls.definitions import render_definitions
from toolace.calls.schema import Sample
from toolace.config import Config
from toolace.data.synthetic import generate
from toolace.engines import Generate, Script
from toolace.errors import ToolaceError
from toolace.evolution.subtasks import GENERATION_INSTRUCTION, first_query
from toolace.rollouts.actor import RolloutJob
from toolace.rollouts.dataset import run_rollouts
from toolace.rounds import rolling, train_stage
from toolace.rounds.driver import run_rounds
from toolace.rounds.evolve import run_evolve
from toolace.storage import Store

MethodName = Literal["evolve", "rounds"]
SEED, ROWS = 3, 60
OWN = (
    "engine.kind=scripted", "rollout.rows_in_flight=4", "model.max_model_len=8192", "evaluate.splits=[test]",
    f"data.train.rows={ROWS}", f"data.train.seed={SEED}", "evolve.tools_tokens=4000",
    "rounds.max_rounds=2", "rounds.stop_when_selection_stalls=false", "probe.k=4", "refine.max_rounds=2",
)  # fmt: skip
ON_NODES = ("rollout.min_actors=2", "rollout.max_actors=2", "rollout.cpus_per_actor=1.5")


@cache
def known() -> dict[str, Sample]:
    """The samples by their query: of training, and the test's of `small`."""
    samples = [*generate(ROWS, SEED, profile="house"), *generate(12, 5, profile="house", split="test")]
    return {first_query(sample) or "": sample for sample in samples}


def say(request: Generate) -> tuple[int, ...]:
    """Tools for a query, mostly; a call over tools, mostly the right one; otherwise a word."""
    asked = bytes(request.prompt).decode()
    query = asked.removeprefix(GENERATION_INSTRUCTION.format(query=""))
    sample = known().get(query)
    luck, text = chance(asked, request.seed), "no"
    if sample is not None and query != asked:
        tools = [tool.model_copy(update={"description": tool.description or tool.name}) for tool in sample.chat.tools]
        text = render_definitions(tools) if chance(query) < 0.7 else "[]"
    elif sample is not None:
        text = render_calls(sample.reference.calls) if luck < 0.8 and sample.reference.calls else "None fits."
    return tuple(text.encode())


SCRIPT = Script(say)
"""Workers find it by its name: this module is another there."""


def settings(method: MethodName, root: str, *more: str) -> Config:
    """Settings of the run: a few rows, every kind of stage."""
    return small(Path("."), *OWN, f"root={root}", *(("rounds.plain_sft=false",) if method == "rounds" else ()), *more)


@contextmanager
def rehearsed(watch: Watch | None) -> Iterator[None]:
    """Within it, runs ask the script and only rehearse training; actors are watched."""
    real, train = rolling.run_rollouts, train_stage._train

    def scripted(jobs: Sequence[RolloutJob], **options: Any) -> Any:
        jobs = [watch.job(job) for job in jobs] if watch is not None else jobs
        return run_rollouts(jobs, **{**options, "script": "scripted_run:SCRIPT", "make_codec": ByteCodec})

    rolling.run_rollouts, train_stage._train = scripted, rehearse_training
    try:
        yield
    finally:
        rolling.run_rollouts, train_stage._train = real, train


def run(method: MethodName, root: str, watch: Watch | None = None, *more: str) -> dict[str, Any]:
    """The run; needs no Ray of its own where one is there."""
    config = settings(method, root, *more)
    with rehearsed(watch), watch.driving() if watch is not None else nullcontext():
        return run_evolve(config) if method == "evolve" else run_rounds(config)


def outcome(root: str) -> dict[str, Any]:
    """All that a finished run has left, by path: equal for runs that differ in place and time only.

    Not what tells of its starts, and not what processes left under another name when they died, which nobody reads.
    """
    store = Store(f"{root}/small")
    fs, base = store._open()
    infos = fs.get_file_info(pafs.FileSelector(base, recursive=True))
    paths = [info.path.removeprefix(f"{base}/") for info in infos if info.type == pafs.FileType.File]
    return {path: _content(store, path) for path in sorted(paths) if not path.endswith(".tmp")}


def _content(store: Store, path: str) -> Any:
    if path in ("events.jsonl", "run.json", "config.yaml", "report.html") or path.endswith("README.md"):
        return None
    if path.endswith(".parquet"):
        return store.read_table(path).to_pylist()
    text = store.read(path).decode().replace(store.uri, "RUN")
    return _timeless(json.loads(text)) if path.endswith(".json") else text


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(one) for key, one in value.items() if not key.endswith("seconds")}
    return [_timeless(one) for one in value] if isinstance(value, list) else value


if __name__ == "__main__":
    name, place, *watched = sys.argv[1:4]
    try:
        run(
            name,  # type: ignore[arg-type]
            place,
            pickle.loads(Path(watched[0]).read_bytes()) if watched and watched[0] != "-" else None,
            *(ON_NODES if "RAY_ADDRESS" in os.environ else ()),
            *sys.argv[4:],
        )
    except ToolaceError as error:
        sys.exit(f"error: {error}")
