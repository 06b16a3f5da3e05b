"""From settings to a Ray Serve application: engine replicas of `ray.serve.llm` behind the refining ingress."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from toolace.config import ModelConfig
from toolace.engines.door import context_length
from toolace.engines.models import SPEECH, fingerprint, resolve_model
from toolace.engines.vllm import engine_options
from toolace.errors import ServingError
from toolace.rendering import Renderer
from toolace.serving.config import ServeConfig, validate_serve_config
from toolace.serving.models import choose_model
from toolace.serving.scaling import autoscaling
from toolace.settings_file import apply_override, put_setting
from toolace.stack import INSTALL, broken
from toolace.threads import sharing

APP_NAME = "toolace"
_PLACES = ("model.path", "auth.keys_file")
"""Flat arguments that are paths: as they are, not read as YAML like the others."""
TOOL_PARSERS = {"pythonic": "pythonic", "hermes": "hermes", "llama3_json": "llama3_json"}
"""vLLM's parser for each of our formats, used where a request is not refined."""


def serve_config(args: Mapping[str, Any]) -> ServeConfig:
    """Settings from the `args` of a Serve YAML: nested, or flat as `serve run app:build model.path=DIR` gives them."""
    data: dict[str, Any] = {}
    for key, value in args.items():
        if key in _PLACES:
            put_setting(data, key, value, key)
        elif "." in key:
            apply_override(data, f"{key}={value}")
        else:
            data[key] = value
    return validate_serve_config(data, "the application's args")


def model_name(config: ServeConfig) -> str:
    """The name in `/v1/models`: as set, or made from the model's path."""
    return config.model_id or choose_model(config.model.path, config.model).name


def served_version(config: ServeConfig) -> str:
    """What says which weights answered: name, label and the fingerprint of the model's files."""
    name = "/".join(part for part in (model_name(config), config.label) if part)
    return f"{name}@{(config.fingerprint or model_fingerprint(config.model))[:12]}"


def model_fingerprint(model: ModelConfig) -> str:
    """The fingerprint of a model's files as they are now; of its address for one in object storage."""
    return fingerprint(model.path if "://" in model.path else resolve_model(model.path), SPEECH)


def engine_arguments(config: ServeConfig, version: str) -> dict[str, Any]:
    """Arguments of vLLM's engine and of its OpenAI layer, the same as offline wherever answers depend on them."""
    model, gpu = config.model, config.replicas.gpus > 0
    context = min(model.max_model_len, _own_context(model.path))
    arguments: dict[str, Any] = {
        **engine_options(config.engine, max_model_len=context, gpu=gpu),
        "dtype": model.dtype if model.dtype != "auto" else ("bfloat16" if gpu else "float32"),
        "enable_auto_tool_choice": True,
        "tool_call_parser": TOOL_PARSERS[model.format],
        # Where JSON is asked for, free white space and keys that the schema does not name let a small model write
        # blanks and inventions to the limit.
        "structured_outputs_config": {
            "backend": "guidance",
            "disable_any_whitespace": True,
            "disable_additional_properties": True,
        },
        "enable_prompt_tokens_details": True,
        # Greedy unless a request says otherwise, as in evaluation; the stop rule compares answers.
        "override_generation_config": {"temperature": 0.0},
        "fingerprint_mode": "custom",
        "fingerprint_value": version,
    }
    if model.template is not None:
        renderer = Renderer.from_pretrained(resolve_model(model.path), format=model.format, template=model.template)
        arguments["chat_template"] = renderer.template
    if config.drafting == "ngram":
        arguments["speculative_config"] = {
            "method": "ngram",
            "num_speculative_tokens": 16,
            "prompt_lookup_min": 2,
            "prompt_lookup_max": 4,
        }
    return arguments


def llm_config(config: ServeConfig) -> Any:
    """The `ray.serve.llm.LLMConfig` of the engine replicas."""
    from ray.serve.llm import LLMConfig

    replicas, gpu = config.replicas, config.replicas.gpus > 0
    path = config.model.path
    # The engine's warnings about a grammar quote the schema that the client sent, and the tokens of the answer.
    level = os.environ.get("VLLM_LOGGING_LEVEL") or ("WARNING" if config.log_content else "ERROR")
    environment = {"VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": level, "LLGUIDANCE_LOG_LEVEL": "0"}
    if not gpu:
        environment["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
        environment |= sharing()
        environment["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS") or str(max(1, int(replicas.cpus)))
        if config.engine.enforce_eager is not False:
            environment["TORCHDYNAMO_DISABLE"] = "1"
    bundle: dict[str, float] = {"CPU": replicas.cpus}
    if gpu:
        bundle["GPU"] = replicas.gpus
    return LLMConfig(
        model_loading_config={
            "model_id": model_name(config),
            "model_source": path if "://" in path else resolve_model(path),
        },
        engine_kwargs=engine_arguments(config, served_version(config)),
        accelerator_type=replicas.accelerator_type if gpu else None,
        accelerator_config=None if gpu else {"kind": "cpu"},
        placement_group_config={"bundle_per_worker": bundle},
        deployment_config={
            "max_ongoing_requests": replicas.max_ongoing_requests,
            "max_queued_requests": replicas.max_queued_requests,
            "autoscaling_config": autoscaling(replicas),
            "graceful_shutdown_timeout_s": replicas.drain_s,
            "max_surge_percent": 100,
            "ray_actor_options": {"num_cpus": 0},
        },
        runtime_env={"env_vars": environment},
        log_engine_metrics=False,
    )


def build(config: ServeConfig) -> Any:
    """The Serve application.

    Raises:
        ServingError: no keys and an address that others can reach; vLLM is not installed.
        EngineError: there is no model at the path.
    """
    from toolace.serving.auth import require_safe

    require_safe(config)
    try:
        from ray.serve.llm import build_llm_deployment
    except ImportError as error:
        raise ServingError(
            f"ray.serve.llm cannot be imported ({error}): it needs vLLM. To install it: {INSTALL}"
        ) from None
    except RuntimeError as error:  # torch refuses operators of a torchvision that was built for another one
        raise ServingError(broken(error)) from error
    from toolace.serving.engine import EngineServer
    from toolace.serving.ingress import bind_ingress

    engine = llm_config(config)
    return bind_ingress(config, engine, build_llm_deployment(engine, deployment_cls=EngineServer))


def build_app(args: dict[str, Any]) -> Any:
    """The builder that `serve run serve_apps.refine:build_app`, a Serve YAML and RayService import."""
    return build(serve_config(args))


def _own_context(path: str) -> int:
    """The model's own context length in tokens; no bound for one in object storage, whose engine reads it itself."""
    return sys.maxsize if "://" in path else context_length(resolve_model(path))
