"""Settings of a tiny base model's recipe. Pure pydantic: parsed without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from toolace.config import MAX_SEED, Section
from toolace.errors import ConfigError
from toolace.setting_errors import describe_errors
from toolace.settings_file import parse_yaml, read_settings


class TinyBaseConfig(Section):
    """How a tiny base model is made: architecture, corpus, optimiser, length of the run."""

    name: str = Field("tiny_base", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    output: str | None = None
    """Directory of the exported checkpoint; unset: in the cache, under name and hash of the recipe."""
    work: str | None = None
    """Directory of the tokenizer, the resumable state and the log; unset: beside the checkpoint, until it is done."""
    seed: int = Field(7, ge=0, le=MAX_SEED - 1)

    architecture: Literal["llama", "stablelm"] = "llama"
    """llama: RMSNorm and rotary positions over whole heads. stablelm: LayerNorm and positions over half of each head.
    Both have biases on queries, keys and values, a gated feed-forward and one matrix for embedding and output."""

    vocabulary: int = Field(2048, ge=512)
    tokenizer_rows: int = Field(24_000, ge=10)
    """Rows of the `base` profile that the tokenizer is trained on; a third as many of the `demo` profile on top."""
    layers: int = Field(4, ge=1)
    width: int = Field(256, ge=128, multiple_of=32)
    heads: int = Field(8, ge=4)
    intermediate: int = Field(704, ge=64)
    max_positions: int = Field(1024, ge=256)

    steps: int = Field(9000, ge=1)
    max_minutes: float | None = Field(None, gt=0)
    """With a limit, the schedule follows whichever is further along: steps or minutes."""
    batch_tokens: int = Field(4096, ge=512)
    """Tokens of a batch, padding included."""
    matrix_lr: float = Field(0.02, gt=0)
    """Muon on the matrices."""
    lr: float = Field(3e-3, gt=0)
    """AdamW on embeddings, norms and biases."""
    warmup: float = Field(0.02, ge=0, lt=1)
    average: float = Field(0.995, ge=0, lt=1)
    """Decay of the running average of the weights, which is what is evaluated and exported."""
    compiled: bool = True
    """Compile the layers on a CPU (a few seconds for each length of batch; needs a C++ compiler)."""
    threads: int = Field(2, ge=1)

    easy_until: float = Field(0.3, ge=0, le=1)
    """The share of `base-easy` rows falls from 1 to 0 over this part of the run."""
    check_share: float = Field(0.4, ge=0, le=1)
    """Share of rows that go on with a check-and-correct exercise."""
    check_wrong: float = Field(0.5, ge=0, le=1)
    """Share of those exercises whose draft is wrong."""
    define_share: float = Field(0.0, ge=0, lt=1)
    """Share of rows about tools whose definition can be written from what is said (profile `base-documented`): a third
    each of the definition of a described tool, the tools for a query, and calls."""

    evaluate_minutes: float = Field(4.0, gt=0)
    evaluate_rows: int = Field(200, ge=1)

    @model_validator(mode="after")
    def validate_heads(self) -> TinyBaseConfig:
        if self.width % (4 * self.heads):
            raise ValueError(
                f"width {self.width} with {self.heads} heads: give a width that is a multiple of 4 x heads"
            )
        return self


def load_tiny_base_config(path: str | Path, overrides: list[str] | None = None) -> TinyBaseConfig:
    """The settings of a YAML file, with `key=value` overrides on top.

    Raises:
        ConfigError: unreadable file, unknown key or value out of bounds.
    """
    data = read_settings(path)
    for item in overrides or []:
        key, separator, value = item.partition("=")
        if not separator:
            raise ConfigError(f"override {item!r} has no '=': write key=value")
        data[key] = parse_yaml(value, f"the value of {item!r}")
    try:
        return TinyBaseConfig.model_validate(data)
    except ValidationError as error:
        told = describe_errors(error, TinyBaseConfig, overrides or ())
        raise ConfigError(f"bad settings of the tiny base model in {path}:\n{told}") from None
