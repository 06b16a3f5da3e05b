"""The endpoint with the settings that make a round cheaper: n-gram drafting, reading a draft, and the accept margin."""

from __future__ import annotations

import asyncio
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from serving_endpoint import ask, body_of, calls_of, demo_samples, running_endpoint, told
from serving_offline import evaluate

from toolace.calls import parse_answer
from toolace.config import RefineConfig
from toolace.errors import ServingError
from toolace.serving.app import llm_config
from toolace.serving.config import load_serve_config

pytestmark = [pytest.mark.late(6), pytest.mark.engine, pytest.mark.timeout(1200)]
pytest.importorskip("vllm", reason="needs an engine: make install")


def test_cheaper_rounds_give_the_answers_of_evaluation() -> None:
    config = RefineConfig(max_rounds=5, max_tokens=160, accept_margin=0.5)
    samples = demo_samples(40)
    chosen = ("drafting=ngram", "refinement.check=prompt", "refinement.accept_margin=0.5", "engine.max_num_seqs=16")
    offline = evaluate(samples, config)
    settings = [part for one in chosen for part in ("--set", one)]
    with (
        running_endpoint("--model", "builtin:tiny_base", *settings) as endpoint,
        endpoint.client() as client,
        ThreadPoolExecutor(8) as pool,
    ):
        bodies = [{**body_of(sample), "max_tokens": config.max_tokens} for sample in samples]
        answers = list(pool.map(lambda body: ask(client, body, return_rounds=True), bodies))
    assert {"unchanged", "margin"} <= {told(answer)["stopped"] for answer in answers}
    for sample, answer in zip(samples, answers, strict=True):
        expected, found, message = offline[sample.id], told(answer), answer.choices[0].message
        assert (found["rounds"], found["stopped"]) == (expected.rounds, expected.stopped), sample.id
        written = parse_answer(expected.text, "pythonic")
        assert calls_of(message) == [(call.name, call.arguments) for call in written.calls], sample.id
        assert (message.content or "") == written.text, sample.id
        # A round that changes nothing is read, and no round that changes something.
        read = [step["checked"] for step in found["steps"]]
        assert read == [False] * (len(read) - 1) + [found["stopped"] == "unchanged"], sample.id


def test_a_replica_does_not_start_on_files_that_were_changed(tmp_path: Path, tiny_base: Path) -> None:
    from toolace.serving.engine import EngineServer

    model = Path(shutil.copytree(tiny_base, tmp_path / "model"))
    server = object.__new__(EngineServer)
    server._llm_config = llm_config(load_serve_config(None, [f"model.path={model}"]))
    with (model / "config.json").open("a") as config:
        config.write(" ")
    with pytest.raises(ServingError, match=r"the files of .*/model have changed since \S+@\w+ was put in place"):
        asyncio.run(server.start())


@pytest.mark.parametrize(
    ("source", "prepared"),
    [
        ("/models/own", False),
        ("owner/model", False),
        ("s3://b/model", True),
        ("gs://b/m", True),
        ("abfss://b@a", True),
    ],
)
def test_nodes_are_prepared_only_for_what_must_be_downloaded(
    source: str, prepared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.llm._internal.serve.engines.vllm.vllm_engine import VLLMEngine

    from toolace.serving.engine import TokenizingEngine

    async def start(self: Any) -> None:
        started.append(self.llm_config.get_or_create_callback().ctx.run_init_node)

    started: list[bool] = []
    monkeypatch.setattr(VLLMEngine, "start", start)
    engine = object.__new__(TokenizingEngine)
    context = SimpleNamespace(run_init_node=True)
    engine.llm_config = SimpleNamespace(
        model_loading_config=SimpleNamespace(model_source=source),
        get_or_create_callback=lambda: SimpleNamespace(ctx=context),
    )
    engine._oai_serving_tokenization = "there"
    asyncio.run(engine.start())
    assert started == [prepared]
