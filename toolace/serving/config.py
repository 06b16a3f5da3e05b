"""Settings of the endpoint, for `toolace serve`, the Serve YAML's `args` and RayService. Pure pydantic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from toolace.config import EngineConfig, ModelConfig, Section, settings_origin
from toolace.errors import ConfigError
from toolace.setting_errors import describe_errors
from toolace.settings_file import apply_override, put_setting, read_settings

Mode = Literal["adaptive", "fixed", "off"]
Check = Literal["generate", "prompt"]


class RefinementSettings(Section):
    """What a request gets that does not say, and the most that it may ask for."""

    mode: Mode = "adaptive"
    max_rounds: int = Field(5, ge=0)
    """Refinement rounds at the most (`adaptive`), or exactly (`fixed`)."""
    max_rounds_cap: int = Field(10, ge=0)
    """A request that asks for more is refused."""
    deadline_ms: int | None = Field(None, ge=1)
    """Time for the whole request, milliseconds; unset: the cap."""
    deadline_cap_ms: int = Field(600_000, ge=1)
    accept_margin: float = Field(0.0, ge=0)
    """As `refine.accept_margin` of a run: 0 is the paper's rule, above it a changed answer must be preferred by so
    many nats."""
    check: Check = "generate"
    """How a round finds out that the answer stays. `generate`: write it again. `prompt`: first read the draft in one
    prompt pass, and write only where a token of it is not the model's first choice. The answers are the same; which is
    faster depends on prompt length and load, since the reading does not use the prefix cache."""
    refine_text: bool = True
    """Also check first answers without a call, as evaluation does; off: they end with `no_call` after one pass."""

    @model_validator(mode="after")
    def validate_caps(self) -> RefinementSettings:
        if self.max_rounds > self.max_rounds_cap:
            raise ValueError(f"refinement.max_rounds ({self.max_rounds}) is above max_rounds_cap")
        if self.deadline_ms is not None and self.deadline_ms > self.deadline_cap_ms:
            raise ValueError(f"refinement.deadline_ms ({self.deadline_ms}) is above deadline_cap_ms")
        return self


class ReplicaSettings(Section):
    """Engine replicas: how many, and how much each takes. The library's own defaults switch both limits off."""

    min_replicas: int = Field(1, ge=0)
    max_replicas: int = Field(1, ge=1)
    target_ongoing_requests: float = Field(16, gt=0)
    """Requests in flight a replica that autoscaling aims at."""
    max_ongoing_requests: int = Field(64, ge=1)
    """Requests in flight a replica takes; more wait at the ingress."""
    max_queued_requests: int = Field(256, ge=0)
    """Requests that wait at one ingress replica; more are refused with 429 and Retry-After."""
    target_queued_prefill_tokens: int | None = Field(None, ge=1)
    """Scale up also when more prompt tokens a replica than this wait for their first token: long prompts fill an engine
    that few requests seem to leave idle. Unset: by requests only."""
    upscale_delay_s: float = Field(10, ge=0)
    downscale_delay_s: float = Field(300, ge=0)
    cpus: float = Field(1, gt=0)
    """Logical CPUs of one engine."""
    gpus: float = Field(0, ge=0)
    accelerator_type: str | None = None
    """Such as `H100`; unset: any."""
    drain_s: float = Field(660, gt=0)
    """Time that a replica has to finish its requests when it goes; above the longest stream."""

    @model_validator(mode="after")
    def validate_replicas(self) -> ReplicaSettings:
        if self.max_replicas < self.min_replicas:
            raise ValueError(f"replicas.max_replicas ({self.max_replicas}) is below min_replicas")
        return self


class AuthSettings(Section):
    """Bearer keys. With none configured the endpoint only starts on a loopback address, or with `open: true`."""

    keys_file: str | None = None
    """Written by `toolace keys add`: one `name: sha256` a line; read again when it changes."""
    keys_env: str = "TOOLACE_API_KEYS"
    """Environment variable with `name=key` pairs, separated by commas."""
    hashed_keys: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = Field(default_factory=dict)
    """Keys by name as SHA-256, beside the file's. `toolace serve` puts those of its environment here, so that they hold
    in every process of the cluster."""
    open: bool = False
    """Serve without keys; on an address that others can reach only when this is set."""
    open_paths: tuple[str, ...] = ("/health", "/metrics", "/", "/playground", "/playground/*")
    """Paths that need no key; a trailing `*` matches what begins so."""


class LimitSettings(Section):
    """Limits of a request and of a key."""

    max_body_bytes: int = Field(2_000_000, ge=1)
    requests_per_minute: float | None = Field(None, gt=0)
    """For each key (each address without keys): a token bucket that holds `burst` requests."""
    burst: int = Field(20, ge=1)
    concurrent_requests: int | None = Field(None, ge=1)
    """Requests of one key in flight at one ingress replica."""
    answers: int = Field(128, ge=1)
    """Answers that one request may ask for: `n`, in text completions times the number of prompts."""


class Served(Section):
    """A model that was served, for rolling back."""

    model: ModelConfig
    label: str = ""
    fingerprint: str | None = None


class ServeConfig(Section):
    """All settings of the endpoint."""

    model: ModelConfig = ModelConfig()
    model_id: str | None = None
    """Name in `/v1/models` and in requests; stays when another model is promoted. Unset: made from the path."""
    label: str = ""
    """Which version of the model this is, such as `round-2`; answers say it."""
    fingerprint: str | None = None
    """Hash of the model's files when it was put in place; replicas that find other files do not start. Written by
    `toolace serve` and `toolace promote`; unset: whatever the files are."""
    previous: tuple[Served, ...] = ()
    """Models served before, the newest last; kept by `toolace promote`."""
    engine: EngineConfig = EngineConfig(max_num_seqs=64)
    drafting: Literal["none", "ngram"] = "none"
    """`ngram`: vLLM drafts from the prompt, which makes repeating an answer cheap."""
    refinement: RefinementSettings = RefinementSettings()
    replicas: ReplicaSettings = ReplicaSettings()
    ingress_replicas: int = Field(1, ge=1)
    ingress_concurrency: int = Field(512, ge=1)
    """Requests in flight at one ingress replica."""
    auth: AuthSettings = AuthSettings()
    limits: LimitSettings = LimitSettings()
    allowed_origins: tuple[str, ...] = ("*",)
    """Origins whose pages may read answers (CORS), such as `https://app.example.com`; `*`: all."""
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    log_content: bool = False
    """Write messages and answers into the request log; off: sizes only."""
    playground: bool = True

    @property
    def served(self) -> Served:
        """The present model as an entry of `previous`."""
        return Served(model=self.model, label=self.label, fingerprint=self.fingerprint)


def load_serve_config(
    path: str | Path | None = None, overrides: Sequence[str] = (), values: Mapping[str, Any] | None = None
) -> ServeConfig:
    """Read a YAML file and apply `a.b=c` overrides (values are YAML), then `values`, which are taken as they are.

    Raises `ConfigError` naming key and value.
    """
    data = read_settings(path, "serving config") if path is not None else {}
    for override in overrides:
        apply_override(data, override)
    for key, value in (values or {}).items():
        put_setting(data, key, value, key)
    return validate_serve_config(data, settings_origin(path, overrides), overrides)


def validate_serve_config(data: dict[str, Any], origin: str, overrides: Sequence[str] = ()) -> ServeConfig:
    """Build a `ServeConfig` from plain data; the error message names `origin`, and the wrong ones of `overrides`."""
    try:
        return ServeConfig.model_validate(data)
    except ValidationError as error:
        told = describe_errors(error, ServeConfig, overrides)
        raise ConfigError(f"bad serving settings in {origin}:\n{told}") from None
