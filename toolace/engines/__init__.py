"""Inference engines: token ids in, token ids out. `open_engine` starts the one that the settings ask for."""

from toolace.engines.base import Engine, Generate, Generated, ModelIdentity
from toolace.engines.canary import write_canary
from toolace.engines.door import open_engine
from toolace.engines.models import fingerprint, resolve_model
from toolace.engines.scripted import Script, ScriptedEngine

__all__ = [
    "Engine",
    "Generate",
    "Generated",
    "ModelIdentity",
    "Script",
    "ScriptedEngine",
    "fingerprint",
    "open_engine",
    "resolve_model",
    "write_canary",
]
