"""An evolve run as a process of its own, to be killed: real Ray and rollouts, a scripted engine, rehearsed training.

python tests/evolve_process.py ROOT
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

from evolve_runs import rehearse_training, small
from report_runs import chance
from rollout_fakes import ByteCodec

from toolace.calls import render_calls
from toolace.calls.definitions import render_definitions
from toolace.calls.schema import Sample
from toolace.data.synthetic import generate
from toolace.engines import Generate, Script
from toolace.evolution.subtasks import GENERATION_INSTRUCTION, first_query
from toolace.rollouts.dataset import run_rollouts
from toolace.rounds import rolling, train_stage
from toolace.rounds.evolve import run_evolve

SEED, ROWS = 3, 60


@cache
def known() -> dict[str, Sample]:
    """The training samples by their query."""
    return {first_query(sample) or "": sample for sample in generate(ROWS, SEED, profile="house")}


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


SCRIPT = Script(say, step_seconds=0.005)
"""Slow enough to be killed in between. Workers find it by its name: this module is another there."""


def settings(root: Path) -> Any:
    own = ("engine.kind=scripted", "rollout.rows_in_flight=4", "model.max_model_len=8192", "evaluate.splits=[test]")
    return small(root, f"data.train.rows={ROWS}", f"data.train.seed={SEED}", "evolve.tools_tokens=4000", *own)


def main(root: Path) -> None:
    def scripted(*args: Any, **options: Any) -> Any:
        return run_rollouts(*args, **{**options, "script": "evolve_process:SCRIPT", "make_codec": ByteCodec})

    rolling.run_rollouts = scripted
    train_stage._train = rehearse_training
    run_evolve(settings(root))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
