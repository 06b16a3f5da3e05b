"""Environment variables that something in the image reads: a slip in a name is otherwise silent."""

from __future__ import annotations

import importlib.util
import mmap
import re
from functools import cache
from pathlib import Path

from k8s.check.image import ROOT

_KNOWN = re.compile(
    r"AWS_[A-Z0-9_]+|GOOGLE_[A-Z_]+|HF_[A-Z_]+|HUGGING_FACE_[A-Z_]+|WANDB_[A-Z_]+|MLFLOW_[A-Z_]+|NCCL_[A-Z0-9_]+|"
    r"CUDA_[A-Z_]+|NVIDIA_[A-Z_]+|TORCH[A-Z_]*|OMP_[A-Z_]+|MKL_[A-Z_]+|TRITON_[A-Z_]+|TOKENIZERS_PARALLELISM|"
    r"DS_[A-Z_]+|FI_[A-Z_]+|PYTHON[A-Z]+|HOME|PATH|TMPDIR|TZ|LANG|LC_ALL|LD_[A-Z_]+|[A-Za-z]+_(?:proxy|PROXY)|"
    r"POD_[A-Z_]+|NODE_[A-Z_]+|NAMESPACE|REDIS_(?:PASSWORD|USERNAME)|KUBERAY_[A-Z_]+"
)
"""Variables of other programs, which are no business of the image's packages alone."""


def unknown(name: str, *, ours: bool) -> str | None:
    """Why a variable has no reader; None where it has one. In images of others only Ray's names are looked at."""
    if name.startswith("RAY_"):
        return None if name in ray_variables() or _in_binaries(name) else f"Ray reads no variable {name}"
    if not ours:
        return None
    if name.startswith("TOOLACE_"):
        return None if name in _named_in(ROOT / "toolace") else f"toolace reads no variable {name}"
    if name.startswith(("VLLM_", "LLGUIDANCE_")):
        package = _package("vllm")
        known = package is None or name.startswith("LLGUIDANCE_") or name in _named_in(package)
        return None if known else f"vLLM reads no variable {name}"
    return None if _KNOWN.fullmatch(name) else f"nothing in the image is known to read {name}"


@cache
def ray_variables() -> frozenset[str]:
    """Every `RAY_...` in the sources of the installed Ray."""
    package = _package("ray")
    return _named_in(package) if package else frozenset()


@cache
def _named_in(folder: Path) -> frozenset[str]:
    names: set[str] = set()
    for file in folder.rglob("*.py"):
        if "thirdparty_files" not in file.parts:
            names.update(re.findall(r"\b(?:RAY|TOOLACE|VLLM)_[A-Za-z0-9_]+", file.read_text("utf-8", "replace")))
    return frozenset(names)


@cache
def _in_binaries(name: str) -> bool:
    """Whether Ray's raylet has the setting: its variables are RAY_ and the setting's name."""
    package = _package("ray")
    file = package / "core" / "src" / "ray" / "raylet" / "raylet" if package else None
    if file is None or not file.is_file():
        return True
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(b"\0" + name.removeprefix("RAY_").encode() + b"\0") >= 0 or data.find(name.encode()) >= 0


def _package(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None
