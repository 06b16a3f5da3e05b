"""A tiny base model, trained from scratch on the synthetic corpus and exported as a plain Hugging Face directory."""

from __future__ import annotations

import fcntl
import json
import math
import os
import random
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerFast

from toolace.data.synthetic import generate
from toolace.data.synthetic_tools import Split
from toolace.errors import TrainingError
from toolace.processor import native_bf16
from toolace.training.scratch_cache import cached_base, checkpoint_folder, recipe_hash, work_folder
from toolace.training.scratch_config import TinyBaseConfig
from toolace.training.scratch_data import Batch, Corpus, exercise, train_tokenizer
from toolace.training.scratch_measure import by_kind, exact, measure
from toolace.training.scratch_model import Forward, build_model, exported

SPLITS: tuple[Split, ...] = ("train", "test")


class Trainer:
    """Model, optimisers and position of one run; `save` and `load` make it resumable."""

    def __init__(self, config: TinyBaseConfig, tokenizer: PreTrainedTokenizerFast) -> None:
        self.config = config
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.autocast = self.device == "cuda" or native_bf16()
        self.model = build_model(config, tokenizer).to(self.device)
        self.forward = Forward(self.model, config.compiled and self.device == "cpu")
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
        batch = batch.to(self.device)
        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.autocast):
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
        state = torch.load(path, map_location=self.device)
        self.model.load_state_dict(state["model"])
        self.average = [average.detach() for average in state["average"]]
        for (optimiser, _), saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step, self.tokens, self.seconds, self.corpus.chunk, self.corpus.rows = state["position"]

    def averaged(self) -> PreTrainedModel:
        """A copy of the model with the averaged weights."""
        copy: PreTrainedModel = type(self.model)(self.model.config).to(self.device)
        with torch.no_grad():
            for target, source in zip(copy.parameters(), self.average, strict=True):
                target.copy_(source)
        return copy


def export(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, path: Path, recipe: dict[str, Any]) -> None:
    """Write weights (bfloat16), tokenizer, template, generation config and the recipe as a Hugging Face directory."""
    path.mkdir(parents=True, exist_ok=True)
    written = exported(model)
    written.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, do_sample=False
    )
    written.to(torch.bfloat16).save_pretrained(path)
    tokenizer.save_pretrained(path)
    described = json.loads((path / "tokenizer_config.json").read_text(encoding="utf-8"))
    for how_it_was_loaded in ("is_local", "local_files_only"):
        described.pop(how_it_was_loaded, None)
    (path / "tokenizer_config.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    (path / "recipe.json").write_text(json.dumps(recipe, indent=2) + "\n", encoding="utf-8")


def train_base(config: TinyBaseConfig, command: str = "") -> dict[str, Any]:
    """Train, export and return the recipe: settings, amounts and accuracies. Goes on where an earlier run stopped.

    Without `output` the model goes to the cache, and one that is there is returned as it is. `command` is what the
    recipe says that it was made with. Raises `TrainingError` where another process trains the same base.
    """
    if (recipe := _trained(config)) is not None:
        return recipe
    work, target = work_folder(config), checkpoint_folder(config)
    with _alone(work, config.name):
        recipe, model, tokenizer = _train(config, work)
        recipe = {"command": command, "hash": recipe_hash(config), **recipe}
        if config.output is not None:
            export(model, tokenizer, target, recipe)
        else:  # whole or not at all
            partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
            export(model, tokenizer, partial, recipe)
            shutil.rmtree(target, ignore_errors=True)
            partial.rename(target)
            shutil.rmtree(work)
    print(f"{config.name}: {target}\n{json.dumps(recipe)}", flush=True)
    return recipe


def _trained(config: TinyBaseConfig) -> dict[str, Any] | None:
    """What a base that is in the cache was made of."""
    found = cached_base(config) if config.output is None else None
    if found is None:
        return None
    print(f"{config.name} is trained already: {found}", flush=True)
    recipe: dict[str, Any] = json.loads((found / "recipe.json").read_text(encoding="utf-8"))
    return recipe


@contextmanager
def _alone(work: Path, name: str) -> Iterator[None]:
    """Hold the work folder; the lock goes with the process, however it ends."""
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainingError(f"another process trains {name} in {work}: wait for it, or give another work") from None
        yield


def _train(config: TinyBaseConfig, work: Path) -> tuple[dict[str, Any], PreTrainedModel, PreTrainedTokenizerFast]:
    torch.set_num_threads(config.threads)
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
    log.close()
    return recipe, model, tokenizer
