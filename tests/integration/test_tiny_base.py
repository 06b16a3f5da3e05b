"""The shipped tiny base models: load in stock transformers, know the format, and leave room to learn."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from toolace.calls import parse_calls
from toolace.calls.definitions import parse_definitions
from toolace.data.synthetic import generate
from toolace.engines.models import resolve_model
from toolace.errors import ParseError
from toolace.evolution.rules import tool_fault
from toolace.evolution.subtasks import adaption_rows

pytestmark = pytest.mark.engine

BASES = ("tiny_base", "tiny_base_documented")


@pytest.mark.parametrize("base", BASES)
def test_it_answers_in_stock_transformers(base: str) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from toolace.training.scratch_data import Renderer
    from toolace.training.scratch_measure import answers

    folder = resolve_model(f"builtin:{base}")
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    renderer = Renderer()
    samples = [s for s in generate(300, 31, profile="base-easy") if s.kind in ("single", "multiple")][:60]
    found = answers(model.float(), tokenizer, [renderer.prompt(s.chat) for s in samples])
    parsed = right = 0
    for sample, (answer,) in zip(samples, found, strict=True):
        try:
            right += parse_calls(answer) == list(sample.reference.calls)
            parsed += 1
        except ParseError:
            continue
    assert parsed >= 50, "most answers are calls in the pythonic format"
    assert right >= 30, "easy requests are mostly understood"


def test_one_of_them_writes_definitions_of_tools() -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from toolace.training.scratch_data import Renderer
    from toolace.training.scratch_measure import answers

    folder = resolve_model("builtin:tiny_base_documented")
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    asked = list(adaption_rows(generate(60, 31, profile="documented", split="test"), Counter()))[:24]
    renderer, valid = Renderer(), 0
    for (answer,) in answers(model.float(), tokenizer, [renderer.prompt(row.chat) for row in asked], max_tokens=320):
        try:
            valid += tool_fault(parse_definitions(answer), 1) is None
        except ParseError:
            continue
    assert len(asked) == 24 and valid >= 18


@pytest.mark.parametrize("base", BASES)
def test_it_is_small_and_says_how_it_was_made(base: str) -> None:
    tiny_base = Path(resolve_model(f"builtin:{base}"))
    recipe = json.loads((tiny_base / "recipe.json").read_text(encoding="utf-8"))
    assert recipe["settings"]["seed"] == 7 and recipe["tokens"] > 0
    measured = recipe["measured"]["demo_train"]
    assert 0.20 <= measured["one_draw"]["all"] <= 0.60
    assert 0.40 <= measured["within_8"]["all"] <= 0.85
    assert 3e6 <= recipe["parameters"] <= 10e6
    assert sum(f.stat().st_size for f in tiny_base.glob("*.safetensors")) <= 20 * 2**20


def test_it_does_not_know_every_answer_of_the_demo(tiny_base: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from toolace.training.scratch_measure import exact

    tokenizer, model = AutoTokenizer.from_pretrained(tiny_base), AutoModelForCausalLM.from_pretrained(tiny_base)
    samples = list(generate(80, 32, profile="demo", split="dev"))
    assert 0.15 < sum(exact(model.float(), tokenizer, samples)) / len(samples) < 0.85


def test_vllm_knows_the_architectures_of_all_recipes() -> None:
    from vllm.model_executor.models.registry import ModelRegistry

    assert {"LlamaForCausalLM", "StableLmForCausalLM"} <= set(ModelRegistry.get_supported_archs())
