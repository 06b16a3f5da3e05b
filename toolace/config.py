"""Every setting of a run: pydantic, with bounds, unknown keys refused. Imports nothing heavy.

Layers, later ones win: defaults here < YAML file < `--set a.b=c`. The doc of a setting is the string below it.
Defaults marked (ours) are this project's choice where the papers are silent; see docs/method.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from toolace.errors import ConfigError
from toolace.processor import native_bf16
from toolace.setting_errors import describe_errors
from toolace.settings_file import apply_override, put_setting, read_settings

_NUMBERS = (int, float, int | None, float | None)
MAX_SEED = 2**32 - 1
"""Largest seed that all libraries take (numpy's is the least); a comparison gives sources ten times it."""
CallFormat = Literal["pythonic", "hermes", "llama3_json"]


class Section(BaseModel):
    """A group of settings: immutable; unknown keys, infinities and NaN refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def refuse_booleans_as_numbers(cls, data: Any) -> Any:
        """`true` for a number is a slip, not a 1."""
        for name, value in data.items() if isinstance(data, dict) else ():
            field = cls.model_fields.get(name)
            if isinstance(value, bool) and field is not None and field.annotation in _NUMBERS:
                raise ValueError(f"{name} must be a number, not {str(value).lower()}")
        return data


class ModelConfig(Section):
    """The base model and how to talk to it."""

    path: str = "builtin:tiny_base"
    """A Hugging Face directory, a hub name, or `builtin:NAME`: a checkpoint shipped in the package, `tiny_base` or
    `tiny_base_documented` (for `toolace evolve`)."""
    format: CallFormat = "pythonic"
    """How the model writes tool calls."""
    template: str | None = None
    """A project chat template by name or a path to a jinja file; unset: the model's own."""
    dtype: Literal["float32", "bfloat16", "auto"] = "auto"
    """Precision of inference; `auto`: bfloat16 on GPU, float32 on CPU."""
    max_model_len: int = Field(2048, ge=64)
    """Context length in tokens."""


class SyntheticSource(Section):
    """Generated samples: needs no download; tools are disjoint between the splits."""

    type: Literal["synthetic"] = "synthetic"
    rows: int = Field(2000, ge=1, le=10**9)
    seed: int = Field(1, ge=0, le=2**63 - 1)
    profile: str = "house"
    """The mix of kinds and phrasings."""
    wrong_share: float = Field(0.0, ge=0, le=1)
    """Share of references that are made wrong on purpose, to study noise."""


class FileSource(Section):
    """Samples from files in one of the formats that `toolace.data` reads."""

    type: Literal["files"] = "files"
    path: str
    """A path, glob, `s3://`, `gs://` or `hf://` location."""
    format: Literal["auto", "toolace", "openai", "xlam", "glaive", "toolrl", "seal_tools", "api_bank", "samples"] = (
        "auto"
    )
    limit: int | None = Field(None, ge=1)
    """Use only the first rows."""
    targets: Literal["calls", "all"] = "all"
    """Which assistant turns become samples: those with calls, or every one."""


def _named(source: Any) -> Any:
    """A source without `type` is a file source when it has a path, else a synthetic one."""
    if isinstance(source, dict) and "type" not in source:
        return {"type": "files" if "path" in source else "synthetic", **source}
    return source


Source = Annotated[SyntheticSource | FileSource, Field(discriminator="type"), BeforeValidator(_named)]


class DataConfig(Section):
    """Where samples come from. Unset dev and test are split off the training source by tool group."""

    train: Source = SyntheticSource()
    dev: Source | None = None
    test: Source | None = None
    dev_share: float = Field(0.1, ge=0, lt=0.5)
    test_share: float = Field(0.1, ge=0, lt=0.5)
    split_by: Literal["tools", "reference"] = "tools"
    """What must not be in two splits: any tool offered, or only the tools that references call."""
    max_bad_share: float = Field(0.5, ge=0, le=1)
    """Refuse a source when more than this share of its rows is quarantined."""


class EngineConfig(Section):
    """The inference engine."""

    kind: Literal["vllm", "hf", "scripted"] = "vllm"
    tensor_parallel: int = Field(1, ge=1)
    max_num_seqs: int = Field(256, ge=1)
    """Sequences that one engine decodes at the same time."""
    kv_cache_gib: float = Field(1.0, gt=0)
    """KV cache of a CPU engine, GiB."""
    gpu_memory_utilization: float = Field(0.9, gt=0, le=1)
    enforce_eager: bool | None = None
    """Skip graph capture and compilation; unset: true on CPU, false on GPU."""
    prefix_caching: bool = True
    block_size: int | None = Field(None, ge=16, multiple_of=16)
    """Tokens of a KV cache block, the unit in which prefixes are shared; unset: 32 on CPU (the engine's own 128 is
    longer than many prompts), the engine's choice on GPU."""
    canary: bool = True
    """Prove at start that the weights loaded are the ones asked for."""


class RolloutConfig(Section):
    """How programs run over a dataset on Ray Data."""

    min_actors: int = Field(1, ge=1)
    max_actors: int = Field(1, ge=1)
    """The actor pool grows from min to max while there is work waiting."""
    cpus_per_actor: float = Field(1, ge=0)
    gpus_per_actor: float = Field(0, ge=0)
    threads_per_actor: int | None = Field(None, ge=1)
    """OMP threads of a CPU engine; unset: all cores of the machine divided by max_actors."""
    rows_in_flight: int = Field(512, ge=1)
    """Rows that one actor has open at the same time."""
    shard_rows: int = Field(256, ge=1)
    """Rows of a shard: the unit of publishing and of resuming."""
    max_error_share: float = Field(0.01, ge=0, le=1)
    """Fail the stage when more than this share of rows ended in an error."""
    no_progress_s: float = Field(600, gt=0)
    """Fail the stage when no shard has finished for this long, seconds."""

    @model_validator(mode="after")
    def validate_actors(self) -> RolloutConfig:
        if self.max_actors < self.min_actors:
            raise ValueError(f"rollout.max_actors ({self.max_actors}) is below rollout.min_actors ({self.min_actors})")
        return self


class ProbeConfig(Section):
    """Model-aware probing: k answers a sample, judged against the reference (pass@k)."""

    k: int = Field(8, ge=1)
    """Draws a sample (ours)."""
    mode: Literal["exact", "full"] = "exact"
    """`full`: all k draws; `exact`: stop as soon as the remaining draws cannot change the label."""
    temperature: float = Field(1.0, gt=0)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(256, ge=1)
    draft_draws: int = Field(2, ge=0)
    """Refinement drafts come from the first draws, in both modes."""

    @model_validator(mode="after")
    def validate_drafts(self) -> ProbeConfig:
        if self.draft_draws > self.k:
            raise ValueError(f"probe.draft_draws ({self.draft_draws}) is above probe.k ({self.k})")
        return self


class SelectConfig(Section):
    """Which samples suit the model's present ability."""

    rule: Literal["solved", "band"] = "solved"
    """`solved`: at least one of k draws matches; `band`: low < pass rate < high or equal, see low and high."""
    low: float = Field(0.0, ge=0, le=1)
    high: float = Field(1.0, ge=0, le=1)
    """`band` keeps low < c/k < high: (0, 1) drops never- and always-solved samples."""


class CorpusConfig(Section):
    """The training corpus of a round: direct rows and the self-refinement corpus (ours where not said)."""

    refinement: bool = True
    """Add refinement rows at all."""
    keep_pairs: bool = True
    """Add pairs whose draft is already right: they teach the model to leave a good call alone (paper)."""
    max_keep: int = Field(1, ge=0)
    """Keep pairs a sample at the most."""
    max_fix: int = Field(1, ge=0)
    """Fix pairs a sample at the most."""
    min_fix_share: float = Field(0.0, ge=0, le=1)
    """Floor of the share of fix pairs among refinement rows, reached by dropping keep pairs."""
    fix_from_unsolved: bool = False
    """Also make fix pairs of samples that were not selected (their reference is the target)."""


class LoraConfig(Section):
    """Low-rank adapters (defaults: the ToolACE-8B settings of the papers' group)."""

    rank: int = Field(16, ge=1)
    alpha: float = Field(32, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: Annotated[str, Field(min_length=1)] | Annotated[list[str], Field(min_length=1)] = "all-linear"


class TrainConfig(Section):
    """Supervised fine-tuning with DeepSpeed in Ray Train."""

    method: Literal["lora", "full"] = "lora"
    lora: LoraConfig = LoraConfig()
    epochs: float = Field(3.0, gt=0, le=10_000)
    target_tokens: int | None = Field(None, ge=1)
    """Stop after this many target tokens instead of after `epochs`."""
    lr: float = Field(1e-4, gt=0)
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_ratio: float = Field(0.1, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    grad_clip: float = Field(1.0, gt=0)
    global_batch: int = Field(48, ge=1)
    """Rows an optimizer step, over all workers."""
    token_budget: int = Field(8192, ge=64)
    """Tokens, padding included, of one micro-batch on one worker; a longer row goes alone."""
    max_length: int = Field(2048, ge=16)
    """Longer rows are left out and counted."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """`auto`: bf16 on GPUs and on processors that compute it themselves; fp32 on others, where bf16 takes many times
    as long. Looked up where the training is started: name the precision where workers have another processor."""
    zero_stage: Literal[0, 1, 2, 3] = 2
    gradient_checkpointing: bool = False
    workers: int = Field(1, ge=1)
    cpus_per_worker: float = Field(1, gt=0)
    gpus_per_worker: float = Field(0, ge=0)
    threads_per_worker: int | None = Field(None, ge=1)
    """CPU threads of one worker; unset: all cores divided by workers."""
    checkpoint_steps: int = Field(200, ge=1)
    """Optimizer steps between checkpoints."""
    keep_checkpoints: int = Field(1, ge=1)
    max_failures: int = Field(3, ge=-1)
    """Worker-group restarts before the stage fails; -1: no limit."""
    no_progress_s: float = Field(1800, gt=0)
    """Restart the worker group when it has not taken a step, saved a checkpoint, loaded or exported the model for this
    long, seconds; also the time that it may wait for its CPUs and GPUs."""

    def settled(self) -> TrainConfig:
        """The same with the precision that `auto` stands for."""
        if self.precision != "auto":
            return self
        native = self.gpus_per_worker > 0 or native_bf16()
        return self.model_copy(update={"precision": "bf16" if native else "fp32"})


class RefineConfig(Section):
    """Adaptive self-refinement at inference."""

    max_rounds: int = Field(5, ge=0, le=1000)
    """Refinement rounds at the most (ours)."""
    accept_margin: float = Field(0.0, ge=0)
    """Take a changed answer only when the refine pass prefers it to the draft by more than this summed
    log-probability, nats. 0 is the paper's rule: always take it."""
    max_tokens: int = Field(256, ge=1)


class EvaluateConfig(Section):
    """Evaluation on the dev and test splits."""

    splits: list[Literal["dev", "test"]] = Field(["dev", "test"], min_length=1, max_length=2)
    fixed_rounds: list[Annotated[int, Field(ge=1)]] = [1, 2, 3]
    """Also score these fixed numbers of refinement rounds."""
    margins: list[Annotated[float, Field(gt=0)]] = [1.0]
    """Also score adaptive refinement with these accept margins in place of refine.accept_margin, nats."""


class RoundsConfig(Section):
    """The rounds of ToolACE-R."""

    max_rounds: int = Field(3, ge=1, le=1000)
    start: Literal["base", "previous"] = "base"
    """What each round's training starts from (ours: the base)."""
    bootstrap_rows: int = Field(0, ge=0)
    """Plain SFT on this many random rows before the first probe, for a base that does not yet emit the format."""
    stop_when_selection_stalls: bool = True
    """Stop when the selected set no longer grows (paper)."""
    plateau: float | None = None
    """For `band`: stop when dev accuracy gained less than this over the last round."""
    plain_sft: bool = True
    """Also train the baseline: plain SFT on the whole pool with the number of target tokens that the last round's
    model has seen since the base."""
    promote: str = Field("none", pattern=r"^(none|local|https?://.+)$")
    """Put the last model, of rounds or of evolution, behind a running endpoint: `local`, or the address of its
    cluster's dashboard."""


class MixConfig(Section):
    """How much of each sub-task's rows stage 2 of ToolACE-DEV trains on, by hash of seed and row (ours: all)."""

    generation: float = Field(1.0, ge=0, le=1)
    invocation: float = Field(1.0, gt=0, le=1)


class EvolveConfig(Section):
    """ToolACE-DEV: the three stages, and the rounds of self-evolution (ours where not said)."""

    adaption: bool = True
    """Stage 1: learn to write the full definition of a tool from its description (paper)."""
    generation: bool = True
    """In stage 2 also learn to generate candidate tools for a query (paper). Evolution needs it."""
    mix: MixConfig = MixConfig()
    held_out: float = Field(0.5, gt=0, lt=1)
    """Share of the training samples, by hash of seed and first query, that are kept for evolution with tools and
    answers hidden."""
    rounds: int = Field(3, ge=0, le=1000)
    """Rounds of self-evolution (paper: three)."""
    votes: int = Field(8, ge=1)
    """Calls sampled over the candidate tools of a query."""
    mode: Literal["exact", "full"] = "exact"
    """`full`: all votes; `exact`: stop as soon as the remaining votes cannot change the outcome."""
    accept_share: float = Field(0.5, gt=0, le=1)
    """Votes that the majority must have, as a share of all; ties are dropped."""
    temperature: float = Field(0.8, ge=0)
    top_k: int = Field(50, ge=0)
    """Top-k sampling (paper); 0: no limit."""
    top_p: float = Field(1.0, gt=0, le=1)
    tools_temperature: float = Field(0.0, ge=0)
    """Temperature of the candidate tools; 0: greedy."""
    tools_tokens: int = Field(512, ge=16)
    """Tokens of the candidate tools of a query at the most; longer ones are dropped."""
    call_tokens: int = Field(256, ge=1)
    max_tools: int = Field(8, ge=1)
    """More candidate tools than this are dropped."""
    rules: bool = True
    """Drop tools and calls that break a rule (paper); off: only what cannot be read."""
    replay: float = Field(1.0, ge=0)
    """Rows of stage 2 beside the accepted rows of a round, as a share of these."""
    epochs: float = Field(1.0, gt=0, le=10_000)
    """Epochs of a round's training."""
    start: Literal["previous", "base"] = "previous"
    """What each stage's and round's training starts from."""
    stop: Literal["none", "acceptance", "dev"] = "none"
    """Stop when a round accepts a smaller share of its queries than the one before, or scores lower on dev."""

    @model_validator(mode="after")
    def validate_rounds(self) -> EvolveConfig:
        if self.rounds and not (self.generation and self.mix.generation):
            missing = "evolve.mix.generation above 0" if self.generation else "evolve.generation"
            raise ValueError(
                f"evolve.rounds ({self.rounds}) needs {missing}: evolution asks the model for candidate tools. Set "
                f"evolve.rounds=0, or {'a share of generation rows' if self.generation else 'evolve.generation=true'}"
            )
        return self


class ClusterConfig(Section):
    """The Ray cluster that the driver talks to."""

    address: str | None = None
    """`auto` or host:port joins a cluster; unset starts a local one (inside a submitted job Ray's own address wins)."""
    num_cpus: int | None = Field(None, ge=1)
    """Logical CPUs of a local cluster; at least four are declared, so that stages cannot block each other."""
    object_store_mb: int = Field(200, ge=80)
    """Object store of a local cluster, MiB."""


class MlflowConfig(Section):
    """Follow the run on an MLflow tracking server."""

    uri: str = Field(min_length=1)
    """The tracking server, such as `https://mlflow.example`. Credentials stay out of it: MLflow reads them from
    MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."""
    experiment: str = Field("toolace", min_length=1)

    @field_validator("uri")
    @classmethod
    def validate_uri(cls, uri: str) -> str:
        """Settings are written into the run directory and its report, where no password belongs."""
        if "@" in uri.partition("://")[2].partition("/")[0]:
            raise PydanticCustomError(
                "credentials",
                "credentials in the address would be written into the run. Leave them out, and set "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the environment",
            )
        return uri


class WandbConfig(Section):
    """Follow the run on Weights & Biases. The key comes from `wandb login` or WANDB_API_KEY."""

    project: str = Field("toolace", min_length=1)
    entity: str | None = None
    """The team or user; unset: the account's own."""
    mode: Literal["online", "offline"] = "online"
    """`offline` writes into the run directory, for `wandb sync` to send later."""


class TrackingConfig(Section):
    """Experiment trackers beside TensorBoard, which is always written. Both are off unless their section is given."""

    mlflow: MlflowConfig | None = None
    wandb: WandbConfig | None = None


class Config(Section):
    """All settings of a run."""

    name: str = Field("run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    root: str = "runs"
    """Where run directories live: a local or mounted path, `s3://...` or `gs://...`."""
    seed: int = Field(0, ge=0, le=MAX_SEED)
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    cluster: ClusterConfig = ClusterConfig()
    engine: EngineConfig = EngineConfig()
    rollout: RolloutConfig = RolloutConfig()
    probe: ProbeConfig = ProbeConfig()
    select: SelectConfig = SelectConfig()
    corpus: CorpusConfig = CorpusConfig()
    train: TrainConfig = TrainConfig()
    refine: RefineConfig = RefineConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    rounds: RoundsConfig = RoundsConfig()
    evolve: EvolveConfig = EvolveConfig()
    tracking: TrackingConfig = TrackingConfig()

    @model_validator(mode="after")
    def validate_band(self) -> Config:
        if self.select.rule == "band" and self.select.low >= self.select.high:
            raise ValueError(f"select.low ({self.select.low}) must be below select.high ({self.select.high})")
        return self

    @model_validator(mode="after")
    def validate_splits(self) -> Config:
        if len(set(self.evaluate.splits)) < len(self.evaluate.splits):
            raise ValueError(f"evaluate.splits names {self.evaluate.splits[0]} twice")
        if self.evolve.stop == "dev" and "dev" not in self.evaluate.splits:
            raise ValueError("evolve.stop dev needs the dev split among evaluate.splits")
        return self

    @property
    def run_dir(self) -> str:
        """The run directory: root/name."""
        return f"{os.path.expanduser(self.root).rstrip('/')}/{self.name}"


def load_config(
    path: str | Path | None = None, overrides: Sequence[str] = (), values: Mapping[str, Any] | None = None
) -> Config:
    """Read a YAML file and apply `a.b=c` overrides (values are YAML), then `values`: {"a.b": c}, taken as they are.

    Raises `ConfigError` naming the key, the value and what is allowed.
    """
    data = read_settings(path) if path is not None else {}
    for override in overrides:
        apply_override(data, override)
    for key, value in (values or {}).items():
        put_setting(data, key, value, key)
    return validate_config(data, settings_origin(path, overrides), overrides)


def validate_config(data: dict[str, Any], origin: str, overrides: Sequence[str] = ()) -> Config:
    """Build a `Config` from plain data; the error message names `origin`, and those of `overrides` that are wrong."""
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        told = describe_errors(error, Config, overrides)
        raise ConfigError(f"bad settings in {origin}:\n{told}\nSee `toolace config` for all.") from None


def settings_origin(path: str | Path | None, overrides: Sequence[str]) -> str:
    """What a message calls the settings of a file and of a command line."""
    if path is None:
        return "the command line"
    return f"{path} and the command line" if overrides else str(path)


def dump_config(config: Config) -> str:
    """The resolved settings as YAML; loads back to the same `Config`."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
