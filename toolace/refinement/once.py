"""Refining one chat in this process, without Ray: the command line and notebooks."""

from __future__ import annotations

from toolace.calls.schema import Chat
from toolace.config import Config
from toolace.engines.door import open_engine
from toolace.engines.models import resolve_model
from toolace.errors import RolloutError
from toolace.refinement.program import Refined, refine
from toolace.rendering import Renderer
from toolace.rollouts.program import Program
from toolace.rollouts.worker import RolloutWorker


def refine_once(chat: Chat, config: Config) -> Refined:
    """Start an engine, refine one chat, and close it again. Raises `RolloutError` with what went wrong."""
    model = config.model
    renderer = Renderer.from_pretrained(resolve_model(model.path), format=model.format, template=model.template)
    found: list[Refined] = []

    def program() -> Program[dict[str, object]]:
        found.append((yield from refine(chat, config=config.refine, format=model.format)))
        return {}

    engine = open_engine(model, config.engine, threads=config.rollout.threads_per_actor)
    try:
        for row in RolloutWorker(engine, renderer, rows_in_flight=1).run([("query", program())]):
            if row.error is not None:
                raise RolloutError(f"the query cannot be answered: {row.error}")
    finally:
        engine.close()
    return found[0]
