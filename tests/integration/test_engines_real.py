"""vLLM and transformers as engines: the same answers, the same scores, the same draws whatever else is running."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from random_models import make_random_model

from toolace.config import EngineConfig, ModelConfig
from toolace.engines import Engine, Generate, Generated, open_engine, write_canary
from toolace.engines.canary import check_weights
from toolace.errors import EngineError
from toolace.rollouts.program import Sampling

pytestmark = pytest.mark.engine
pytest.importorskip("vllm", reason="needs an engine: make install")

STOP = (5, 17, 30, 31, 32, 33)


def settings(folder: Path, kind: str, **changes) -> tuple[ModelConfig, EngineConfig]:
    engine = EngineConfig(**{"kind": kind, "kv_cache_gib": 0.1, "max_num_seqs": 32, **changes})
    return ModelConfig(path=str(folder), max_model_len=128, dtype="float32"), engine


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_random_model(tmp_path_factory.mktemp("model"))
    write_canary(folder, [[10, 20, 30, 40], [7, 8]], max_tokens=8)
    return folder


@pytest.fixture(scope="module")
def vllm(folder: Path) -> Iterator[Engine]:
    engine = open_engine(*settings(folder, "vllm"), threads=1)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def hf(folder: Path) -> Engine:
    return open_engine(*settings(folder, "hf"), threads=1)


def run(engine: Engine, requests: Sequence[Generate]) -> dict[str, Generated]:
    for request in requests:
        engine.submit(request)
    found = {}
    while engine.pending:
        found.update({answer.id: answer for answer in engine.step()})
    assert found.keys() == {request.id for request in requests}
    return found


@pytest.fixture(scope="module")
def prompts() -> list[tuple[int, ...]]:
    rng = random.Random(0)
    shared = [rng.randrange(2, 860) for _ in range(40)]  # longer than a KV block, so that the prefix cache has work
    own = [tuple(rng.randrange(2, 860) for _ in range(rng.randrange(3, 60))) for _ in range(12)]
    return own + [(*shared, *prompt[:20]) for prompt in own]


def greedy(prompts: Sequence[tuple[int, ...]], **changes) -> list[Generate]:
    sampling = Sampling(max_tokens=16)
    return [Generate(f"g{i}", prompt, sampling, stop_token_ids=STOP, **changes) for i, prompt in enumerate(prompts)]


def test_both_engines_prove_their_weights(vllm: Engine, hf: Engine, folder: Path):
    assert vllm.identity.verified == hf.identity.verified == "canary"
    assert vllm.identity.fingerprint == hf.identity.fingerprint
    assert vllm.identity.path == str(folder)


def test_greedy_answers_and_their_log_probabilities_agree(vllm: Engine, hf: Engine, prompts):
    ours, reference = run(vllm, greedy(prompts)), run(hf, greedy(prompts))
    finishes = set()
    for key, answer in ours.items():
        assert (answer.token_ids, answer.finish) == (reference[key].token_ids, reference[key].finish)
        assert answer.generated_tokens == reference[key].generated_tokens
        assert answer.logprob == pytest.approx(reference[key].logprob, abs=1e-3)
        finishes.add(answer.finish)
        assert answer.generated_tokens == len(answer.token_ids) + (answer.finish == "stop")
    assert finishes == {"stop", "length"}


def test_a_score_is_the_sum_over_the_same_tokens_generated(vllm: Engine, hf: Engine, prompts):
    answers = run(vllm, greedy(prompts))
    cut = {key: answer for key, answer in answers.items() if answer.finish == "length"}
    scores = [Generate(k, prompts[int(k[1:])], Sampling(), score_ids=a.token_ids) for k, a in cut.items()]
    for engine in (vllm, hf):
        for key, score in run(engine, scores).items():
            assert score.finish == "score"
            assert score.logprob == pytest.approx(cut[key].logprob, abs=1e-3)
    other = Generate("other", prompts[0], Sampling(), score_ids=tuple(reversed(range(10, 20))))
    ours, reference = run(vllm, [other])["other"].logprob, run(hf, [other])["other"].logprob
    assert ours == pytest.approx(reference, abs=1e-3)


def test_a_seeded_draw_is_the_same_whatever_else_is_running(vllm: Engine, prompts):
    sampling = Sampling(temperature=1.0, max_tokens=16)
    draws = [
        Generate(f"{i}-{draw}", prompt, sampling, seed=1000 * i + draw, stop_token_ids=STOP)
        for i, prompt in enumerate(prompts)
        for draw in range(4)
    ]
    together = run(vllm, draws)
    alone = {}
    for request in draws[::9]:
        alone |= run(vllm, [request])
    mixed = run(vllm, [*greedy(prompts[:6]), *reversed(draws[::9])])
    for key, answer in alone.items():
        assert answer.token_ids == together[key].token_ids == mixed[key].token_ids
    assert together["0-0"].token_ids != together["0-1"].token_ids


def test_hf_draws_depend_on_the_seed_alone(hf: Engine, prompts):
    draws = [Generate(str(seed), prompts[0], Sampling(1.0, max_tokens=8), seed) for seed in (1, 2, 3)]
    first = run(hf, draws)
    again = run(hf, draws[::-1])
    assert {k: a.token_ids for k, a in first.items()} == {k: a.token_ids for k, a in again.items()}
    assert len({a.token_ids for a in first.values()}) == 3


def test_hf_takes_nothing_from_the_models_own_generation_config(hf: Engine, folder: Path, tmp_path: Path, prompts):
    """A request without stop tokens goes past the model's end of text, as a canary does."""
    own = tmp_path / "own"
    shutil.copytree(folder, own)
    request = Generate("r", prompts[0], Sampling(max_tokens=8))
    answer = run(hf, [request])["r"].token_ids
    (own / "generation_config.json").write_text(
        json.dumps({"eos_token_id": answer[0], "repetition_penalty": 5.0, "suppress_tokens": list(answer)})
    )
    engine = open_engine(*settings(own, "hf"), threads=1)
    found = run(engine, [request])["r"]
    assert (found.token_ids, found.finish) == (answer, "length")


@pytest.mark.parametrize("kind", ["vllm", "hf"])
def test_a_prompt_beyond_the_context_is_refused(request, kind: str):
    engine: Engine = request.getfixturevalue(kind)
    with pytest.raises(EngineError, match="needs a context of 129, the engine has 128"):
        engine.submit(Generate("long", tuple(range(2, 130)), Sampling()))
    answer = run(engine, [Generate("just", tuple(range(2, 125)), Sampling(max_tokens=50))])["just"]
    assert (answer.finish, len(answer.token_ids)) == ("length", 5)


def test_an_aborted_request_never_finishes(vllm: Engine, prompts):
    first, second = greedy(prompts[:2])
    vllm.submit(first)
    vllm.submit(second)
    vllm.step()
    vllm.abort(first.id)
    found = []
    while vllm.pending:
        found += vllm.step()
    assert [answer.id for answer in found] == [second.id]


@pytest.mark.parametrize("kind", ["vllm", "hf"])
def test_other_weights_are_refused(folder: Path, tmp_path: Path, kind: str):
    other = make_random_model(tmp_path / "other", seed=1)
    shutil.copy(folder / "canary.json", other / "canary.json")
    with pytest.raises(EngineError, match="does not serve the weights of") as caught:
        open_engine(*settings(other, kind), threads=1)
    assert str(other) in str(caught.value) and "recorded" in str(caught.value)
    (other / "canary.json").unlink()
    engine = open_engine(*settings(other, kind), threads=1)
    assert engine.identity.verified == "weights"
    with pytest.raises(EngineError, match=r"proj\.weight holds"):
        engine.apply(lambda model: check_weights(model, folder))
    engine.close()


def test_an_unusable_model_is_named(tmp_path: Path):
    (tmp_path / "config.json").write_text('{"model_type": "qwen2", "max_position_embeddings": 64}')
    for kind in ("vllm", "hf"):
        with pytest.raises(EngineError, match=str(tmp_path)):
            open_engine(*settings(tmp_path, kind), threads=1)
