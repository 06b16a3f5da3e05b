"""Numbers of docs/scaling.md that are marked as the estimate's own are what it prints."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from toolace.config import Config, load_config
from toolace.engines.size import ModelSize, measure_model
from toolace.rounds.memory import engine_memory, training_memory

ROOT = Path(__file__).resolve().parents[2]
SHAPES = {"8b": (32, 32, 4096, 14336), "70b": (80, 64, 8192, 28672)}


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelSize]:
    """Llama 3.1 by the numbers of its config.json."""
    found = {}
    for name, (layers, heads, hidden, inner) in SHAPES.items():
        folder = tmp_path_factory.mktemp(name)
        config = {"num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": 8}
        config |= {"hidden_size": hidden, "intermediate_size": inner, "vocab_size": 128256}
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        (folder / "pytorch_model.bin").touch()
        found[name] = measure_model(str(folder))
    return found


@pytest.fixture(scope="module")
def text() -> str:
    return re.sub(r"\s+", " ", (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8"))


def trained(config: Config, size: ModelSize, workers: int, stage: int) -> str:
    train = config.train.model_copy(update={"workers": workers, "zero_stage": stage})
    return training_memory(train, size).removeprefix("a training worker: ").partition(";")[0]


def test_the_quoted_estimates_are_what_is_printed(sizes: dict[str, ModelSize], text: str) -> None:
    lora = load_config(ROOT / "configs" / "llama31-8b-lora-zero2.yaml")
    full = load_config(ROOT / "configs" / "qwen25-7b-full-zero3.yaml")
    quoted = [trained(lora, sizes["8b"], workers, 2) for workers in (1, 8)]
    quoted += [trained(full, sizes["70b"], workers, 3) for workers in (16, 24, 32, 64)]
    quoted.append(trained(lora, sizes["70b"], 8, 3))
    engines = [(lora, sizes["8b"])]
    for parts in (2, 4, 8):
        engine = lora.engine.model_copy(update={"tensor_parallel": parts})
        engines.append((lora.model_copy(update={"engine": engine}), sizes["70b"]))
    quoted += [engine_memory(config, size).partition(": ")[2].rpartition(", ")[0] for config, size in engines]
    for estimate in quoted:
        assert f"`{estimate}`" in text, estimate
    for size in sizes.values():
        assert f"{size.parameters:,} parameters, {size.kv_values:,} numbers" in text
