"""Random models with sharp distributions, for engines: near-ties would make equal greedy answers a matter of luck."""

from __future__ import annotations

import shutil
from pathlib import Path

TOKENIZER = Path(__file__).resolve().parent / "fixtures" / "tokenizers" / "tiny"


def make_random_model(folder: Path, seed: int = 0) -> Path:
    """A random two-layer Qwen2 with the tests' tokenizer, on disk."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = Qwen2Config(
            vocab_size=896,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            initializer_range=0.2,
            eos_token_id=864,
            bos_token_id=None,
        )
        Qwen2ForCausalLM(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(TOKENIZER / name, folder / name)
    return folder
