"""The tiny base model, trained from scratch on the synthetic corpus and exported as a plain Hugging Face directory."""

from __future__ import annotations

import json
import math
import os
import random
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import (
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from toolace.data.synthetic import generate
from toolace.data.synthetic_tools import Split
from toolace.errors import TrainingError
from toolace.training.scratch_config import TinyBaseConfig
from toolace.training.scratch_data import Batch, Corpus, exercise, train_tokenizer
from toolace.training.scratch_measure import by_kind, exact, measure

SPLITS: tuple[Split, ...] = ("train", "test")


def build_model(config: TinyBaseConfig, tokenizer: PreTrainedTokenizerFast) -> Qwen2ForCausalLM:
    """A Qwen2 model with fresh weights: output projections zero, three heads of layer 0 looking a fixed step back."""
    torch.manual_seed(config.seed)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=config.width,
            intermediate_size=config.intermediate,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.heads,
            max_position_embeddings=config.max_positions,
            tie_word_embeddings=True,
            use_cache=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                parameter.zero_()
            elif parameter.ndim == 2:
                parameter.normal_(std=0.03)
        for head, offset in enumerate((1, 2, 3)):
            _look_back(model, head, offset)
    return model


def _look_back(model: Qwen2ForCausalLM, head: int, offset: int, strength: float = 6.0) -> None:
    """Make a head of layer 0 start out attending `offset` tokens back, which copying is built on.

    The biases of queries and keys meet in the attention logit as a function of distance alone (rotary positions), so
    phases that cancel at `offset` put its peak there. Only the fast rotations are used: the slow ones see no distance.
    """
    attention = model.model.layers[0].self_attn
    size = attention.head_dim
    base = head * size
    for f in range(size // 2):
        angle = 10000.0 ** (-2 * f / size)
        if angle < 0.09:
            break
        attention.k_proj.bias[base + f] = strength
        attention.q_proj.bias[base + f] = strength * math.cos(angle * offset)
        attention.q_proj.bias[base + f + size // 2] = -strength * math.sin(angle * offset)


def _layer(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, heads: int, *w: torch.Tensor) -> torch.Tensor:
    """One Qwen2 layer, written out so that it compiles to few passes over memory; attention runs in float32."""
    norm, q_w, q_b, k_w, k_b, v_w, v_b, o_w, norm2, gate, up, down = w
    rows, length, width = x.shape
    h = functional.rms_norm(x, (width,), norm, 1e-6)

    def split(t: torch.Tensor) -> torch.Tensor:
        return t.float().view(rows, length, heads, -1).transpose(1, 2)

    def rotate(t: torch.Tensor) -> torch.Tensor:
        a, b = t.chunk(2, -1)
        return t * cos + torch.cat((-b, a), -1) * sin

    q, k = (rotate(split(functional.linear(h, m, b))) for m, b in ((q_w, q_b), (k_w, k_b)))
    v = split(functional.linear(h, v_w, v_b))
    mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    x = x + functional.linear(mixed.transpose(1, 2).reshape(rows, length, width), o_w)
    h = functional.rms_norm(x, (width,), norm2, 1e-6)
    return x + functional.linear(functional.silu(functional.linear(h, gate)) * functional.linear(h, up), down)


class Forward:
    """The model's forward pass to the last hidden states, twice as fast as the library's on a CPU, same result."""

    def __init__(self, model: Qwen2ForCausalLM, compiled: bool) -> None:
        self.model = model
        torch._dynamo.config.cache_size_limit = 64
        self.layer = torch.compile(_layer, dynamic=False) if compiled else _layer
        config = model.config
        size = config.hidden_size // config.num_attention_heads
        angles = torch.arange(config.max_position_embeddings)[:, None] * 10000.0 ** (-torch.arange(0, size, 2) / size)
        self.cos, self.sin = (torch.cat((f, f), -1) for f in (angles.cos(), angles.sin()))

    def __call__(self, ids: torch.Tensor) -> torch.Tensor:
        body, heads = self.model.model, self.model.config.num_attention_heads
        x = body.embed_tokens(ids)
        cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        for block in body.layers:
            a, m = block.self_attn, block.mlp
            weights = (
                *(block.input_layernorm.weight, a.q_proj.weight, a.q_proj.bias, a.k_proj.weight, a.k_proj.bias),
                *(a.v_proj.weight, a.v_proj.bias, a.o_proj.weight, block.post_attention_layernorm.weight),
                *(m.gate_proj.weight, m.up_proj.weight, m.down_proj.weight),
            )
            x = self.layer(x, cos, sin, heads, *weights)
        return functional.rms_norm(x, (x.shape[-1],), body.norm.weight, 1e-6)


class Trainer:
    """Model, optimisers and position of one run; `save` and `load` make it resumable."""

    def __init__(self, config: TinyBaseConfig, tokenizer: PreTrainedTokenizerFast) -> None:
        self.config = config
        self.model = build_model(config, tokenizer)
        self.forward = Forward(self.model, config.compiled)
        self.corpus = Corpus(config, tokenizer)
        self.average = [p.detach().clone() for p in self.model.parameters()]
        named = list(self.model.named_parameters())
        matrices = [p for n, p in named if p.ndim == 2 and "embed" not in n]
        others = [p for n, p in named if not (p.ndim == 2 and "embed" not in n)]
        self.optimisers = [
            (torch.optim.Muon(matrices, lr=config.matrix_lr, weight_decay=0.01), config.matrix_lr),
            (torch.optim.AdamW(others, lr=config.lr, betas=(0.9, 0.97), weight_decay=0.0), config.lr),
        ]
        self.step = self.tokens = 0
        self.seconds = 0.0

    @property
    def progress(self) -> float:
        """How far along the run is, 0..1."""
        by_time = self.seconds / 60 / self.config.max_minutes if self.config.max_minutes else 0.0
        return min(1.0, max(self.step / self.config.steps, by_time))

    def train_step(self, batch: Batch) -> float:
        """One update; returns the mean loss over the answers' tokens (nats)."""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = self.forward(batch.ids)
            logits = self.model.lm_head(hidden.flatten(0, 1)[batch.places])
        loss = functional.cross_entropy(logits.float(), batch.targets)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        warm, progress = self.config.warmup, self.progress
        scale = progress / warm if progress < warm else 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm)))
        for optimiser, lr in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = lr * max(scale, 1e-3)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.step += 1
        self.tokens += batch.ids.numel()
        decay = min(self.config.average, self.step / (self.step + 20))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, list(self.model.parameters()), 1 - decay)
        return float(loss.detach())

    def save(self, path: Path) -> None:
        """Write the resumable state, replacing an older one only when it is complete."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average,
            "optimisers": [o.state_dict() for o, _ in self.optimisers],
            "position": [self.step, self.tokens, self.seconds, self.corpus.chunk, self.corpus.rows],
        }
        temporary = path.with_suffix(".tmp")
        torch.save(state, temporary)
        os.replace(temporary, path)

    def load(self, path: Path) -> None:
        """Go on from a saved state, at the chunk of rows after the one that was under way."""
        state = torch.load(path)
        self.model.load_state_dict(state["model"])
        self.average = [average.detach() for average in state["average"]]
        for (optimiser, _), saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step, self.tokens, self.seconds, self.corpus.chunk, self.corpus.rows = state["position"]

    def averaged(self) -> Qwen2ForCausalLM:
        """A copy of the model with the averaged weights."""
        copy = Qwen2ForCausalLM(self.model.config)
        with torch.no_grad():
            for target, source in zip(copy.parameters(), self.average, strict=True):
                target.copy_(source)
        return copy


def as_llama(model: Qwen2ForCausalLM) -> LlamaForCausalLM:
    """The same function as a Llama model (with biases, that of the output projection zero).

    Loaders take a tokenizer for a Qwen2 model to be Qwen2's own and split text as that one does, whatever its files
    say; for a Llama model they take the files' word.
    """
    old = model.config
    llama = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=old.vocab_size,
            hidden_size=old.hidden_size,
            intermediate_size=old.intermediate_size,
            num_hidden_layers=old.num_hidden_layers,
            num_attention_heads=old.num_attention_heads,
            num_key_value_heads=old.num_key_value_heads,
            max_position_embeddings=old.max_position_embeddings,
            rms_norm_eps=old.rms_norm_eps,
            rope_parameters=old.rope_parameters,
            attention_bias=True,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=old.eos_token_id,
            pad_token_id=old.pad_token_id,
        )
    )
    missing, unexpected = llama.load_state_dict(model.state_dict(), strict=False)
    if unexpected or any(not name.endswith("o_proj.bias") for name in missing):
        raise TrainingError(f"cannot export the model as Llama: missing {missing}, unexpected {unexpected}")
    with torch.no_grad():
        for block in llama.model.layers:
            block.self_attn.o_proj.bias.zero_()
    return llama


def export(model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, path: Path, recipe: dict[str, Any]) -> None:
    """Write weights (bfloat16), tokenizer, template, generation config and the recipe as a Hugging Face directory."""
    path.mkdir(parents=True, exist_ok=True)
    llama = as_llama(model)
    llama.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, do_sample=False
    )
    llama.to(torch.bfloat16).save_pretrained(path)
    tokenizer.save_pretrained(path)
    described = json.loads((path / "tokenizer_config.json").read_text(encoding="utf-8"))
    for how_it_was_loaded in ("is_local", "local_files_only"):
        described.pop(how_it_was_loaded, None)
    (path / "tokenizer_config.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    (path / "recipe.json").write_text(json.dumps(recipe, indent=2) + "\n", encoding="utf-8")


def train_base(config: TinyBaseConfig) -> dict[str, Any]:
    """Train, export and return the recipe: settings, amounts and accuracies. Goes on where an earlier run stopped."""
    torch.set_num_threads(config.threads)
    work = Path(config.work)
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "tokenizer").exists():
        train_tokenizer(config).save_pretrained(work / "tokenizer")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(work / "tokenizer")
    trainer = Trainer(config, tokenizer)
    if (work / "state.pt").exists():
        trainer.load(work / "state.pt")
    log = (work / "log.jsonl").open("a", encoding="utf-8")
    started, spent, evaluated, losses = time.monotonic(), trainer.seconds, trainer.seconds, [0.0]

    def report(**values: Any) -> None:
        line = json.dumps({"step": trainer.step, "minutes": round(trainer.seconds / 60, 2), **values})
        print(line, flush=True)
        log.write(line + "\n")
        log.flush()

    while trainer.progress < 1:
        for batch in trainer.corpus.batches(trainer.progress):
            losses.append(trainer.train_step(batch))
            trainer.seconds = spent + time.monotonic() - started
            if trainer.step % 50 == 0:
                report(loss=round(sum(losses[-50:]) / len(losses[-50:]), 4), tokens=trainer.tokens)
            if trainer.seconds - evaluated > 60 * config.evaluate_minutes:
                trainer.save(work / "state.pt")
                model = trainer.averaged()
                rows = config.evaluate_rows
                samples = list(generate(rows, 99, profile="demo", split="dev"))
                again = [exercise(s, random.Random(s.id), 0.0) for s in samples[: rows // 2]]
                repeated = sum(exact(model, tokenizer, again)) / len(again)
                report(demo=by_kind(samples, exact(model, tokenizer, samples)), right_draft_repeated=round(repeated, 3))
                evaluated = trainer.seconds = spent + time.monotonic() - started
            if trainer.progress >= 1:
                break
    model = trainer.averaged()
    recipe = {
        "command": "python ray_jobs/train_base.py --config configs/tiny_base.yaml",
        "settings": config.model_dump(exclude={"output", "work"}),
        "steps": trainer.step,
        "tokens": trainer.tokens,
        "rows": trainer.corpus.rows,
        "minutes": round(trainer.seconds / 60, 1),
        "parameters": sum(p.numel() for p in model.parameters()),
        "loss": round(sum(losses[-200:]) / len(losses[-200:]), 4),
        "measured": {f"demo_{split}": measure(model, tokenizer, 2 * config.evaluate_rows, split) for split in SPLITS},
    }
    trainer.save(work / "state.pt")
    export(model, tokenizer, Path(config.output), recipe)
    report(**recipe)
    return recipe
