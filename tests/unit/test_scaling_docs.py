"""Numbers of docs/scaling.md: those marked as the estimate's own are what it prints, and the tables are what
their formulas give."""

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


def room(size: ModelSize, gpu_gb: int, parts: int) -> tuple[str, str]:
    """What an engine's GPU has for the cache, GiB, and how many sequences of 1,500 tokens that are."""
    left = 0.9 * gpu_gb * 1e9 / 2**30 - size.parameters * 2 / parts / 2**30 - 2
    fits = int(left * 2**30 / (size.kv_values * 2 / parts * 1500))
    return f"{left:.1f} GiB", str(fits) if fits > 0 else "none"


def test_the_rooms_of_engines_are_counted_alike(sizes: dict[str, ModelSize], text: str) -> None:
    gpus = (("L40S", 48), ("A100, H100 80GB", 80))
    rows = [(gpu, *room(sizes["8b"], gigabytes, 1)) for gpu, gigabytes in gpus]
    rows += [(str(parts), *room(sizes["70b"], 80, parts)) for parts in (2, 4, 8)]
    for row in rows:
        assert f"| {' | '.join(row)} |" in text, row


def test_costs_are_what_hours_and_prices_give(sizes: dict[str, ModelSize], text: str) -> None:
    """By the page's formulas: training at 40 % of a GPU's speed, probing of 11,300 rows by 8 draws of 80 tokens."""
    cases = [
        ("8b", "8 H100", 989, 2000, 8, 3.0),
        ("8b", "8 A100 80GB, g = 1,200 (assumed)", 312, 1200, 8, 1.8),
        ("70b", "32 H100", 989, 100, 32, 3.0),
        ("70b", "16 H200, g as on H100", 989, 100, 16, 4.0),
    ]
    for name, gpus, speed, generated, count, price in cases:
        factor, tokens, minutes, run = (6, 51e6, 5, "8B, LoRA") if name == "8b" else (8, 34e6, 10, "70B, all, ZeRO-3")
        training = factor * sizes[name].parameters * tokens / (0.4 * speed * 1e12) / 3600
        probing = 11_300 * 8 * 80 / generated / 3600
        work, waiting = 4 * (training + probing), 4 * 3 * minutes / 60 * count
        if speed == 989:
            assert f"| {training:.1f} | 7.2 M tokens | {probing:.1f} GPU-hours" in text, (training, probing)
        row = f"| {run} | {gpus} | {work:.0f} | {waiting:.0f} | ${price:.2f} | ${price * (work + waiting):,.0f} |"
        assert row in text, row
