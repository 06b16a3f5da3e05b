"""Environment variables that something in the image reads: a slip in a name is otherwise silent."""

from __future__ import annotations

import ast
import importlib.util
import mmap
import re
from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from k8s.check import known_variables as known
from k8s.check import library_variables as library
from k8s.check.image import ROOT

_GIVEN = re.compile(r"(?:POD|NODE|CONTAINER)_[A-Z_]+|KUBERNETES_[A-Z_]+|[A-Z_]+_SERVICE_(?:HOST|PORT)|KUBERAY_[A-Z_]+")
"""Names that manifests give to what the cluster tells of a pod."""


def unknown(name: str, *, ours: bool, own: frozenset[str] = frozenset()) -> str | None:
    """Why a variable has no reader; None where it has one. In images of others only Ray's names are looked at.

    `own`: names that commands beside it expand.
    """
    if name in own:
        return None
    if name.startswith("RAY_"):
        if name in ray_variables() or _BUILT.fullmatch(name) or not _has_binaries():
            return None
        return f"Ray reads no variable {name}{_near(name, ray_variables())}"
    if not ours or _GIVEN.fullmatch(name):
        return None
    for prefix, (reader, names) in _FAMILIES.items():
        if name.startswith(prefix):
            there = names()
            return None if there is None or name in there else f"{reader} reads no variable {name}{_near(name, there)}"
    anywhere = known.SYSTEM | known.HUGGING_FACE | library.SHELLS | library.LIBRARIES
    if name in anywhere:
        return None
    others = anywhere | known.AWS | known.NCCL | known.OMP | _named_in(ROOT / "toolace")
    return f"nothing in the image is known to read {name}{_near(name, others)}"


def _near(name: str, names: frozenset[str]) -> str:
    found = get_close_matches(name, [one for one in names if not one.endswith("_")], 1, 0.8)
    begun = [one for one in names if one.startswith(f"{name}_")]
    return f": did you mean {(found or begun)[0]}?" if found or len(begun) == 1 else ""


@cache
def _named_in(place: Path, prefixes: str = "RAY|TOOLACE", *, quoted: bool = False) -> frozenset[str]:
    """Names with one of the prefixes (a pattern) in a source file, or in all those of a folder; only whole strings."""
    names: set[str] = set()
    name = rf"(?:{prefixes})_[A-Za-z0-9_]+"
    pattern = rf"(?<=[\"']){name}(?=[\"'])" if quoted else rf"\b{name}"
    for file in [place] if place.is_file() else place.rglob("*.py"):
        if "thirdparty_files" not in file.parts:
            names.update(re.findall(pattern, file.read_text("utf-8", "replace")))
    return frozenset(names)


@cache
def _package(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _source(package: str, written: frozenset[str], prefix: str, file: str = "") -> Callable[[], frozenset[str] | None]:
    """Names that a package's source has, or one file of it; where the package is not here, those that are written."""

    def names() -> frozenset[str] | None:
        found = _package(package)
        if found is None:
            return written or None
        return written | _named_in(found / file if file else found, prefix, quoted=True)

    return names


_HUB = _source("huggingface_hub", known.HUGGING_FACE, "HF|HUGGINGFACE|HUGGING_FACE", "constants.py")
_TORCH = _source("torch", known.TORCH | library.TORCH, "TORCH[A-Z]*|PYTORCH")


def _tqdm() -> frozenset[str] | None:
    """tqdm takes each parameter of a bar from a variable; some of its modules read others."""
    found = _package("tqdm")
    if found is None:
        return None
    tree = ast.parse((found / "std.py").read_text("utf-8"))
    bars = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "tqdm"]
    starts = [node for bar in bars for node in bar.body if getattr(node, "name", "") == "__init__"]
    fields = [one.arg for node in starts if isinstance(node, ast.FunctionDef) for one in node.args.args[1:]]
    names = frozenset(f"TQDM_{name}" for field in fields for name in (field, field.upper()))
    return names | _named_in(found, "TQDM", quoted=True) if names else None


_FAMILIES: dict[str, tuple[str, Callable[[], frozenset[str] | None]]] = {
    **dict.fromkeys(
        ("OTEL_", "GRPC_", "grpc_", "UCX_", "PIP_", "LC_", "SENTRY_", "NVSHMEM_"), ("a library", lambda: None)
    ),
    "TOOLACE_": ("toolace", lambda: _named_in(ROOT / "toolace")),
    "VLLM_": ("vLLM", _source("vllm", frozenset(), "VLLM")),
    "LLGUIDANCE_": ("llguidance", lambda: frozenset({"LLGUIDANCE_LOG_LEVEL"})),
    "HF_": ("Hugging Face's hub", _HUB),
    "HUGGING": ("Hugging Face's hub", _HUB),
    "TRANSFORMERS_": ("transformers", _source("transformers", known.HUGGING_FACE, "TRANSFORMERS")),
    "ACCELERATE_": ("accelerate", _source("accelerate", frozenset(), "ACCELERATE")),
    "RAYON_": ("tokenizers", lambda: known.RAYON),
    "PROMETHEUS_": ("Prometheus' client", _source("prometheus_client", known.PROMETHEUS, "PROMETHEUS|prometheus")),
    "ARROW_": ("Arrow", lambda: known.ARROW),
    "AWS_": ("the AWS client", lambda: known.AWS),
    "AZURE_": ("Azure's client", lambda: known.AZURE),
    "GOOGLE_": ("Google's client", lambda: known.GOOGLE),
    "WANDB_": ("wandb", _source("wandb", known.WANDB, "WANDB", "env.py")),
    "MLFLOW_": ("MLflow", lambda: known.MLFLOW),
    "NCCL_": ("NCCL", lambda: known.NCCL),
    "CUBLAS": ("cuBLAS", lambda: known.CUBLAS),
    "FLASHINFER_": ("FlashInfer", _source("flashinfer", frozenset(), "FLASHINFER")),
    "CUDA_": ("CUDA", lambda: known.CUDA),
    "NVIDIA_": ("NVIDIA's container runtime", lambda: known.NVIDIA),
    "TORCH": ("torch", _TORCH),
    "PYTORCH": ("torch", _TORCH),
    "OMP_": ("OpenMP", lambda: known.OMP),
    "GOMP_": ("OpenMP", lambda: known.GOMP),
    "KMP_": ("Intel's OpenMP", lambda: known.KMP),
    "MKL_": ("MKL", lambda: known.MKL | library.MKL),
    **dict.fromkeys(("ONEDNN_", "DNNL_", "MKLDNN_"), ("oneDNN", lambda: library.ONEDNN)),
    "KINETO_": ("torch's profiler", lambda: library.KINETO),
    "GLOO_": ("Gloo", lambda: library.GLOO),
    "OPENBLAS_": ("OpenBLAS", lambda: library.OPENBLAS),
    "NUMBA_": ("numba", _source("numba", library.NUMBA, "NUMBA", "core/config.py")),
    "CUDNN_": ("cuDNN", lambda: library.CUDNN),
    "TQDM_": ("tqdm", _tqdm),
    "TRITON_": ("Triton", _source("triton", known.TRITON, "TRITON", "knobs.py")),
    "MALLOC_": ("the C library", lambda: known.MALLOC),
    "DEEPSPEED_": ("DeepSpeed", _source("deepspeed", frozenset(), "DEEPSPEED")),
    "DS_": ("DeepSpeed", _source("deepspeed", known.DEEPSPEED, "DS")),
    "FI_": ("libfabric", lambda: known.FABRIC),
    "PYTHON": ("Python", lambda: known.PYTHON),
}
"""Who reads names that begin so, and which there are."""


_BINARIES = ("core/src/ray/raylet/raylet", "_raylet.so")
_BUILT = re.compile(
    r"RAY_RUNTIME_ENV_[A-Z_]+_CACHE_SIZE_GB|RAY_[A-Z_]+_(?:VALGRIND|VALGRIND_PROFILER|PERFTOOLS_PROFILER|TMUX|GDB)"
)
"""Names that Ray makes of a plugin's or a process's name."""


@cache
def ray_variables() -> frozenset[str]:
    """Every `RAY_...` in the sources of the installed Ray and in its binaries; what is only the beginning of names,
    as in `RAY_SERVE_`, is none."""
    package = _package("ray")
    if package is None:
        return frozenset()
    named = _named_in(package).union(*(_named_in_binary(package / name) for name in _BINARIES))
    return frozenset(name for name in named if not name.endswith("_"))


def _has_binaries() -> bool:
    """Whether Ray's programs are here: most settings of its core are named in them alone."""
    package = _package("ray")
    return package is not None and (package / _BINARIES[0]).is_file()


def _named_in_binary(file: Path) -> frozenset[str]:
    """Every `RAY_...` that is a whole string in a binary, which ends with a zero: each setting of Ray's core is there
    with its prefix. Its bare name is there too, but beside other words, such as `timeout`."""
    if not file.is_file():
        return frozenset()
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return frozenset(name.decode() for name in re.findall(rb"RAY_[A-Za-z0-9_]+(?=\0)", data))
