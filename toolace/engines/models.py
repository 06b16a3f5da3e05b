"""Where a model's files are: shipped, local, in object storage, or a hub name. And what weights they hold."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from toolace.errors import EngineError
from toolace.filesystems import open_filesystem, patiently

ASSETS = Path(__file__).resolve().parent.parent / "assets"
BUILTIN = "builtin:"

_WHOLE_BYTES = 64 << 20
_SAMPLES = 16
_SAMPLE_BYTES = 64 << 10


def resolve_model(path: str) -> str:
    """The local directory of a model, or the hub name unchanged.

    `builtin:NAME` is a checkpoint shipped in the package. `s3://` and `gs://` directories are copied once to a cache on
    this node (`TOOLACE_CACHE`, default `~/.cache/toolace`) and appear there whole or not at all.
    Raises `EngineError` for a path that holds no model.
    """
    if path.startswith(BUILTIN):
        folder = ASSETS / path.removeprefix(BUILTIN)
        if not (folder / "config.json").is_file():
            found = sorted(p.parent.name for p in ASSETS.glob("*/config.json"))
            raise EngineError(f"no shipped model {path!r}. There is: {', '.join(BUILTIN + n for n in found) or 'none'}")
        return str(folder)
    if "://" in path:
        return str(_cached(path))
    if (Path(path) / "config.json").is_file():
        return os.path.abspath(path)
    if looks_local(path):
        raise EngineError(
            f"no model at {path}: there is no config.json. Give a Hugging Face model directory, a hub name "
            "such as Qwen/Qwen2.5-7B-Instruct, or builtin:tiny_base"
        )
    return path


def looks_local(place: str) -> bool:
    """Whether a path means a place in a file system; a hub name is `org/name` or `name`, with nothing there.

    `runs/...`, where runs are unless said otherwise, and what is below a directory that is here mean no organisation.
    """
    if "://" in place or os.path.exists(place) or place.startswith((".", "/", "~")) or place.count("/") > 1:
        return True
    parent = place.rpartition("/")[0]
    return parent == "runs" or bool(parent and os.path.isdir(parent))


def cache_root() -> Path:
    """Where this node keeps what can be fetched or made again: `TOOLACE_CACHE`, default `~/.cache/toolace`."""
    return Path(os.environ.get("TOOLACE_CACHE") or Path.home() / ".cache" / "toolace")


SPEECH = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")
"""Files that decide what a model's weights are asked, and how its answers are read."""


def fingerprint(path: str, also: Sequence[str] = ()) -> str:
    """Hash of a model directory's weight files and config (16 hex digits), and of the files `also` where they are; of
    the name alone for a hub name.

    Files up to 64 MiB are read whole, of larger ones the size and 16 evenly spaced pieces of 64 KiB.
    """
    folder = Path(path)
    state = hashlib.sha256()
    if not folder.is_dir():
        state.update(path.encode())
        return state.hexdigest()[:16]
    named = [folder / name for name in ("config.json", *also)]
    for file in sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin"), *named]):
        if not file.is_file():
            continue
        size = file.stat().st_size
        state.update(f"{file.name}\x00{size}\x00".encode())
        with file.open("rb") as stream:
            if size <= _WHOLE_BYTES:
                state.update(stream.read())
            else:
                for i in range(_SAMPLES):
                    stream.seek((size - _SAMPLE_BYTES) * i // (_SAMPLES - 1))
                    state.update(stream.read(_SAMPLE_BYTES))
    return state.hexdigest()[:16]


def _cached(uri: str) -> Path:
    """Copy a model directory from object storage to this node, once for each state of its files.

    Processes of a node that want the same model wait for the one that copies it.
    """
    try:
        fs, base = open_filesystem(uri.rstrip("/"))
        files = patiently(lambda: _listed(fs, base))
    except Exception as error:  # pyarrow raises several unrelated types here
        raise EngineError(f"cannot read the model directory {uri}: {error}. Check the address and the access") from None
    if "config.json" not in {name.rpartition("/")[2] for name in files}:
        raise EngineError(f"no model at {uri}: there is no config.json among its {len(files)} files")
    root = cache_root() / "models"
    target = root / hashlib.sha256(json.dumps([uri, files]).encode()).hexdigest()[:24]
    if target.is_dir():
        return target
    partial = root / f".{target.name}.tmp"
    try:
        root.mkdir(parents=True, exist_ok=True)
        with (root / f".{target.name}.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # given back by the system where a process dies
            if not target.is_dir():
                shutil.rmtree(partial, ignore_errors=True)  # what such a process left
                for name in files:
                    (partial / name).parent.mkdir(parents=True, exist_ok=True)
                    patiently(_copier(fs, f"{base}/{name}", partial / name))
                if patiently(lambda: _listed(fs, base)) != files:
                    raise EngineError(f"the model {uri} was changed while it was copied. Run the same command again")
                partial.rename(target)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise EngineError(f"cannot copy the model {uri} to {target}: {error}. Set TOOLACE_CACHE elsewhere") from None
    return target


def _listed(fs: Any, base: str) -> dict[str, tuple[int, int | None]]:
    """Files below a directory of a filesystem, by their path in it: size and time of change, nanoseconds.

    Without the model's card, which a run writes anew with each evaluation: it is no other model for that.
    """
    import pyarrow.fs as pafs

    infos = fs.get_file_info(pafs.FileSelector(base, recursive=True, allow_not_found=True))
    found = {os.path.relpath(i.path, base): (i.size, i.mtime_ns) for i in infos if i.type == pafs.FileType.File}
    return dict(sorted((name, what) for name, what in found.items() if name != "README.md"))


def _copier(fs: Any, source: str, target: Path) -> Callable[[], None]:
    def work() -> None:
        with fs.open_input_stream(source) as stream, target.open("wb") as sink:
            shutil.copyfileobj(stream, sink, 8 << 20)

    return work
