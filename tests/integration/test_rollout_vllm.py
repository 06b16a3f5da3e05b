"""Two jobs through Ray Data on a real vLLM engine give the records of the same programs driven in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
from random_models import make_random_model
from rollout_fakes import make_samples, put_samples

from toolace.config import EngineConfig, ModelConfig, RolloutConfig
from toolace.engines import open_engine
from toolace.rollouts.actor import open_codec
from toolace.rollouts.dataset import RolloutJob, read_records, run_rollouts
from toolace.rollouts.program import Program, Request, Sampling, ask, draw_seed
from toolace.rollouts.worker import RolloutWorker

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("ray_local")]
pytest.importorskip("vllm", reason="needs an engine: make install")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory):
    """The two programs, in a form that workers load from here (they cannot import a test module)."""

    def greedy_and_score(sample) -> Program[dict]:
        answer = yield from ask(Request(sample.chat, Sampling(max_tokens=12)))
        (score,) = yield (Request(sample.chat, score=answer.text),)
        return {"text": answer.text, "logprob": round(answer.logprob or 0, 3), "score": round(score.logprob or 0, 3)}

    def draws(sample) -> Program[dict]:
        sampling = Sampling(temperature=1.0, max_tokens=12)
        answers = yield tuple(Request(sample.chat, sampling, draw_seed(1, sample.id, i)) for i in range(3))
        return {"texts": [answer.text for answer in answers]}

    return greedy_and_score, draws


def test_two_jobs_on_vllm(tmp_path: Path, programs):
    folder = make_random_model(tmp_path / "model")
    model = ModelConfig(path=str(folder), template="tiny_pythonic", max_model_len=384, dtype="float32")
    engine = EngineConfig(kv_cache_gib=0.1, max_num_seqs=16)
    names = ("dev", "probe")
    jobs = [
        RolloutJob(
            name, put_samples(tmp_path / name, 14, shard_rows=4, prefix=name), program, str(tmp_path / "o" / name)
        )
        for name, program in zip(names, programs, strict=True)
    ]
    rollout = RolloutConfig(rows_in_flight=6, shard_rows=4, threads_per_actor=1, no_progress_s=120)
    counts = run_rollouts(jobs, model=model, engine=engine, rollout=rollout)
    opened = open_engine(model, engine, threads=1)
    try:
        worker = RolloutWorker(opened, open_codec(model), rows_in_flight=3)
        for name, program in zip(names, programs, strict=True):
            samples = list(make_samples(14, name))
            alone = {done.key: done.record for done in worker.run((s.id, program(s)) for s in samples)}
            found = list(read_records(str(tmp_path / "o" / name)))
            assert found == [{"id": sample.id, **(alone[sample.id] or {})} for sample in samples]
            assert counts[name].models == [opened.identity.fingerprint]
            assert counts[name].generated_tokens > 14
    finally:
        opened.close()
    assert len({tuple(row["texts"]) for row in read_records(jobs[1].out)}) > 10
