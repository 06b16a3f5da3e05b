"""From trained parameters to a plain Hugging Face directory that stock transformers and vLLM load."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toolace.engines.canary import write_canary
from toolace.engines.models import resolve_model
from toolace.errors import TrainingError
from toolace.storage import Store
from toolace.training.engine import Weights, add_adapters, load_base
from toolace.training.files import published
from toolace.training.spec import TrainSpec

MODEL = "model"


def export_model(spec: TrainSpec, weights: Weights, out: Store, prompts: Sequence[Sequence[int]]) -> str:
    """Publish `out/model`: merged weights, config, tokenizer, chat template, generation config, canary; and for LoRA
    the adapter beside them in `adapter/`. Returns its place.

    One process does it, from a fresh copy of the base model in memory: merging into partitioned weights would be
    wrong. `prompts`: token ids of real prompts for the canary. Nothing is visible when it fails.
    Raises `TrainingError`.
    """
    with published(out, MODEL) as folder:
        write_model(spec, weights, folder)
        write_canary(folder, prompts)
    return out.at(MODEL)


def write_model(spec: TrainSpec, weights: Weights, folder: Path) -> None:
    """Write the model directory, without the canary."""
    import torch
    from transformers import AutoTokenizer

    model = add_adapters(spec, load_base(spec))
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    if trainable != weights.keys():
        odd = sorted(trainable ^ weights.keys())
        raise TrainingError(
            f"trained weights do not fit {spec.model}: {len(odd)} parameters differ, such as {odd[0]}. The base model "
            "changed during the training"
        )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in weights:
                got, wanted = tuple(weights[name].shape), tuple(parameter.shape)
                if got != wanted:
                    raise TrainingError(f"trained {name} has shape {got}, the model wants {wanted}")
                parameter.copy_(weights[name])
    if spec.settings.method == "lora":
        for config in model.peft_config.values():
            config.base_model_name_or_path = spec.model  # not where this node keeps its copy
        model.save_pretrained(str(folder / "adapter"))
        model = model.merge_and_unload()
    model.config.use_cache = True
    model.save_pretrained(str(folder))
    tokenizer = AutoTokenizer.from_pretrained(resolve_model(spec.model))
    if spec.chat_template is not None:
        tokenizer.chat_template = spec.chat_template
    tokenizer.save_pretrained(str(folder))
    _keep_tokenizer_file(resolve_model(spec.model), folder)


def _keep_tokenizer_file(base: str, folder: Path) -> None:
    """Put the base's own `tokenizer.json` back: a round of training must not change how text is cut into tokens."""
    source: Any = Path(base) / "tokenizer.json"
    if source.is_file():
        shutil.copyfile(source, folder / "tokenizer.json")
