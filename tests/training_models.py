"""A tiny random model and a small tokenised corpus for training tests."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolace.calls.schema import Chat, Message
from toolace.config import TrainConfig
from toolace.corpus import ROUND_KINDS, CorpusRow
from toolace.storage import Store
from toolace.training.dataset import tokenise
from toolace.training.spec import TrainSpec

TOKENIZER = Path(__file__).resolve().parent / "fixtures" / "tokenizers" / "tiny"
VOCABULARY = 896


@dataclass(frozen=True)
class Example:
    input_ids: list[int]
    target_start: int


def make_model(folder: Path, *, hidden: int = 32, layers: int = 2, vocabulary: int = VOCABULARY, seed: int = 0) -> Path:
    """A random Qwen2 with a tokenizer, on disk."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 32,
        num_key_value_heads=1,
        max_position_embeddings=512,
        tie_word_embeddings=True,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (TOKENIZER / name).is_file():
            shutil.copy(TOKENIZER / name, folder / name)
    return folder


def make_tokens(folder: Path, rows: int = 40, *, longest: int = 60, seed: int = 0) -> Path:
    """Rows of random prompts whose target repeats the prompt's first tokens: learnable in a few steps."""
    rng = np.random.default_rng(seed)
    examples: dict[str, Example] = {}
    for number in range(rows):
        prompt = rng.integers(5, 100, int(rng.integers(10, longest - 8))).tolist()
        target = prompt[: int(rng.integers(2, 8))]
        examples[f"row-{number}"] = Example(prompt + target, len(prompt))
    message = Message(role="assistant", content="unused")
    chats = (
        CorpusRow(
            id=row_id,
            sample_id=row_id,
            kind=ROUND_KINDS[number % len(ROUND_KINDS)],
            chat=Chat(messages=(Message(role="user", content=row_id),)),
            target=message,
        )
        for number, row_id in enumerate(examples)
    )
    tokenise(chats, lambda chat, _: examples[chat.messages[0].content], Store(str(folder)), max_length=longest)
    return folder


def make_spec(model: Path, tokens: Path, out: Path, **settings: Any) -> TrainSpec:
    """A spec with settings for tiny models."""
    base: dict[str, Any] = {
        "method": "full",
        "precision": "fp32",
        "zero_stage": 0,
        "epochs": 2,
        "global_batch": 8,
        "token_budget": 128,
        "lr": 3e-3,
        "threads_per_worker": 1,
        "checkpoint_steps": 1000,
    }
    return TrainSpec(model=str(model), tokens=str(tokens), out=str(out), settings=TrainConfig(**{**base, **settings}))
