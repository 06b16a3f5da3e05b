"""What evaluation makes of samples: the program and the engine of an offline run, in this process."""

from __future__ import annotations

from typing import Any

from toolace.calls.schema import Sample
from toolace.config import EngineConfig, ModelConfig, RefineConfig
from toolace.engines import open_engine
from toolace.refinement.program import Refined, refine
from toolace.rollouts.actor import open_codec
from toolace.rollouts.program import Program
from toolace.rollouts.worker import RolloutWorker


def evaluate(samples: list[Sample], config: RefineConfig, sequences: int = 16) -> dict[str, Refined]:
    """Refine all samples with the shipped model, by sample id."""
    model = ModelConfig(path="builtin:tiny_base", max_model_len=1024)
    found: dict[str, Refined] = {}

    def program(sample: Sample) -> Program[dict[str, Any]]:
        found[sample.id] = yield from refine(sample.chat, config=config, format=model.format)
        return {}

    engine = open_engine(model, EngineConfig(max_num_seqs=sequences, kv_cache_gib=0.5), threads=1)
    try:
        worker = RolloutWorker(engine, open_codec(model), rows_in_flight=sequences)
        for row in worker.run((sample.id, program(sample)) for sample in samples):
            assert row.error is None, row.error
    finally:
        engine.close()
    return found
