"""How good the tiny base model is, by kind: greedy, at one draw, within several, and as a checker of drafts.

`python -m toolace.training.scratch_measure DIR [ROWS]` measures an exported checkpoint and writes the figures into
its `recipe.json`.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from toolace.calls.schema import Sample
from toolace.data.synthetic import generate
from toolace.data.synthetic_damage import answer_text
from toolace.data.synthetic_tools import Split
from toolace.training.scratch_data import Renderer, exercise

DRAWS = 8
MAX_TOKENS = 96


def answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: list[str],
    draws: int = 0,
    max_tokens: int = MAX_TOKENS,
) -> list[list[str]]:
    """Answers to each prompt: the greedy one, or `draws` at temperature 1 (from torch's generator)."""
    found: list[list[str]] = [[] for _ in prompts]
    encoded = [e.ids for e in tokenizer.backend_tokenizer.encode_batch(prompts)]
    order = sorted(range(len(prompts)), key=lambda i: len(encoded[i]))
    model.eval()
    for begin in range(0, len(order), 64):
        rows = order[begin : begin + 64]
        length = max(len(encoded[i]) for i in rows)
        ids = torch.full((len(rows), length), tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for j, i in enumerate(rows):
            ids[j, length - len(encoded[i]) :] = torch.tensor(encoded[i])
            mask[j, length - len(encoded[i]) :] = 1
        options: dict[str, Any] = {"do_sample": False}
        if draws:
            options = {"do_sample": True, "temperature": 1.0, "top_p": 1.0, "top_k": 0, "num_return_sequences": draws}
        with torch.inference_mode():
            out = model.generate(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                max_new_tokens=max_tokens,
                **options,
            )
        texts = tokenizer.batch_decode(out[:, length:], skip_special_tokens=True)
        for j, i in enumerate(rows):
            found[i] = texts[j * max(1, draws) : (j + 1) * max(1, draws)]
    return found


def by_kind(samples: list[Sample], values: list[float]) -> dict[str, float]:
    """Means over all samples and over those of each kind."""
    groups: dict[str, list[float]] = {"all": values}
    for sample, value in zip(samples, values, strict=True):
        groups.setdefault(sample.kind, []).append(value)
    return {kind: round(sum(group) / len(group), 3) for kind, group in sorted(groups.items())}


def exact(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, samples: list[Sample], draws: int = 0
) -> list[float]:
    """For each sample the share of its answers that equal the reference's text."""
    renderer = Renderer()
    found = answers(model, tokenizer, [renderer.prompt(s.chat) for s in samples], draws)
    return [
        sum(a == answer_text(s.reference) for a in texts) / len(texts) for s, texts in zip(samples, found, strict=True)
    ]


def measure(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, rows: int, split: Split, seed: int = 4242
) -> dict[str, Any]:
    """Exact match on `rows` demo samples of a split, by kind; the last two figures are check-and-correct exercises:
    how often a right draft is repeated and a damaged one put right."""
    torch.manual_seed(seed)
    samples = list(generate(rows, seed, profile="demo", split=split))
    drawn = exact(model, tokenizer, samples, DRAWS)
    rng = random.Random(seed)
    kept, fixed = (exact(model, tokenizer, [exercise(s, rng, wrong) for s in samples], 0) for wrong in (0.0, 1.0))
    return {
        "rows": rows,
        "greedy": by_kind(samples, exact(model, tokenizer, samples)),
        "one_draw": by_kind(samples, drawn),
        f"within_{DRAWS}": by_kind(samples, [float(share > 0) for share in drawn]),
        "right_draft_repeated": round(sum(kept) / rows, 3),
        "damaged_draft_put_right": round(sum(fixed) / rows, 3),
    }


def main() -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path, rows = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 400
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    recipe = json.loads((path / "recipe.json").read_text(encoding="utf-8"))
    recipe["measured"] = {f"demo_{split}": measure(model, tokenizer, rows, split) for split in ("train", "test")}
    (path / "recipe.json").write_text(json.dumps(recipe, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(recipe["measured"], indent=2))


if __name__ == "__main__":
    main()
