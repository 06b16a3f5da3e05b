"""What would stop a run later, looked at before any of its stages begins."""

from __future__ import annotations

import os

from toolace.config import Config, ModelConfig
from toolace.engines.models import resolve_model
from toolace.errors import ConfigError


def check_speech(model: ModelConfig, *, fetch: bool = True) -> None:
    """Refuse a model without a tokenizer, or with a chat template that is missing or unfit for tool calls.

    Without `fetch` only models on this machine are looked at. Raises `TemplateError`, or `EngineError` where there is
    no model.
    """
    if not fetch and "://" in model.path:
        return
    folder = resolve_model(model.path)
    if not fetch and not os.path.isdir(folder):
        return
    from toolace.rendering import Renderer

    Renderer.from_pretrained(folder, format=model.format, template=model.template)


def check_actors(config: Config) -> None:
    """Refuse rollout actors that no node of a cluster of this machine can hold: they would be waited for in vain.

    A cluster that was joined is not looked at, for its autoscaler may bring such a node. Raises `ConfigError`.
    """
    import ray

    if config.cluster.address is not None or "RAY_ADDRESS" in os.environ or not ray.is_initialized():
        return
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    rollout = config.rollout
    asked = {"CPU": rollout.cpus_per_actor, "GPU": rollout.gpus_per_actor}
    if any(all(node.get(name, 0) >= wanted for name, wanted in asked.items()) for node in nodes):
        return
    most = {name: max((node.get(name, 0) for node in nodes), default=0) for name in asked}
    raise ConfigError(
        f"an actor that asks for rollout.cpus_per_actor={rollout.cpus_per_actor:g} and rollout.gpus_per_actor="
        f"{rollout.gpus_per_actor:g} fits nowhere: the cluster on this machine has {most['CPU']:g} CPUs and "
        f"{most['GPU']:g} GPUs. Lower them, or raise cluster.num_cpus (CPUs here are a number to share out, not cores)"
    )
