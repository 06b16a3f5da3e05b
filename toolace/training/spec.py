"""What a training run is told, and what it gives back. Plain data, JSON in and out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from toolace.config import TrainConfig
from toolace.storage import digest


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TrainSpec(_Frozen):
    """One training run. Places are local or mounted paths, `s3://` or `gs://`; workers on all nodes must reach them.

    model: the Hugging Face directory (or hub name) to start from. tokens: the directory that
    `toolace.training.dataset.tokenise` wrote. out: the run's own directory, see `toolace.training.launch`.
    """

    model: str
    tokens: str
    out: str
    settings: Annotated[TrainConfig, AfterValidator(TrainConfig.settled)] = Field(
        default_factory=lambda: TrainConfig().settled()
    )
    """Their precision is settled here, so that all workers, and those that resume, have the same."""
    seed: int = 0
    chat_template: str | None = None
    """Template text to export with the tokenizer; unset: the model's own."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto`: cuda when `gpus_per_worker` > 0, else cpu."""

    @property
    def kind(self) -> Literal["cpu", "cuda"]:
        """The device that workers use."""
        if self.device != "auto":
            return self.device
        return "cuda" if self.settings.gpus_per_worker > 0 else "cpu"

    def made_from(self) -> dict[str, Any]:
        """All that the resulting weights depend on, places aside. Batch layout and resources change rounding only."""
        neutral = {
            "token_budget", "workers", "cpus_per_worker", "gpus_per_worker", "threads_per_worker", "checkpoint_steps",
            "keep_checkpoints", "max_failures", "no_progress_s", "max_length", "gradient_checkpointing",
        }  # fmt: skip
        # Validated anew, so that a default 32 and a 32.0 that came through JSON are the same.
        settings = TrainConfig.model_validate(self.settings.model_dump()).model_dump(mode="json", exclude=neutral)
        return {"model": self.model, "seed": self.seed, "settings": settings}

    @property
    def key(self) -> str:
        """Short hash of `made_from`."""
        return digest(self.made_from())


class TrainResult(_Frozen):
    """What a finished run did. `model` is the exported Hugging Face directory.

    `seconds` counts from the first step to the export, resumes included; `padding_share` is the share of computed
    tokens that are padding. `first_loss` and `last_loss` are those of one step; by kind of row (see
    `toolace.corpus.RowKind`) they are means over the first and the last tenth of the steps that had rows of the kind.
    All in nats a target token.
    """

    model: str
    steps: int
    rows: int
    epochs: float
    target_tokens: int
    tokens: int
    padding_share: float
    first_loss: float
    last_loss: float
    first_loss_by_kind: dict[str, float] = {}
    last_loss_by_kind: dict[str, float] = {}
    seconds: float
    workers: int
    precision: str = ""
    key: str = ""
