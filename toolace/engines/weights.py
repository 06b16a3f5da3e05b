"""Whether a model's weight files are all there and whole, from their headers: an engine takes a minute to find out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

from toolace.errors import EngineError

INDEX = "model.safetensors.index.json"
ENDS = (".safetensors", ".bin", ".pt", ".gguf")
"""Ends of the names of files that hold weights."""


def check_weight_files(folder: str | Path) -> None:
    """Refuse a model directory whose weights are missing or cut short; a hub name passes.

    Of safetensors files the header is read and the size compared, of others only whether they are empty. Raises
    `EngineError` naming the file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return
    files = sorted(file for file in folder.iterdir() if file.name.endswith(ENDS) and file.is_file())
    missing = sorted(_indexed(folder) - {file.name for file in files})
    if missing:
        _refuse(folder, f"{len(missing)} of the files that {INDEX} names are missing ({', '.join(missing[:3])})")
    if not files:
        _refuse(folder, f"there is no file that ends in {' or '.join(ENDS)}")
    for file in files:
        size = file.stat().st_size
        wanted = _safetensors_size(file) if file.suffix == ".safetensors" else max(1, size)
        if size != wanted:
            _refuse(folder, f"{file.name} has {size} bytes, its header tells of {wanted}")


def _indexed(folder: Path) -> set[str]:
    """The files that the index of a model in several files names."""
    try:
        return {str(name) for name in json.loads((folder / INDEX).read_bytes())["weight_map"].values()}
    except FileNotFoundError:
        return set()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        _refuse(folder, f"{INDEX} cannot be read ({error!r})")


def _safetensors_size(file: Path) -> int:
    """Bytes that a safetensors file must have: 8, the header's length, the header, and the last tensor's end."""
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= file.stat().st_size - 8:
                _refuse(file.parent, f"{file.name} is cut short or no safetensors file: its header is not whole")
            header = json.loads(stream.read(length))
        ends = [int(tensor["data_offsets"][1]) for name, tensor in header.items() if name != "__metadata__"]
        return 8 + length + max(ends, default=0)
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        _refuse(file.parent, f"the header of {file.name} cannot be read ({error!r})")


def _refuse(folder: Path, why: str) -> NoReturn:
    way_out = "Copy or download the model again"
    if (done := folder.parent / "done.json").is_file():  # a stage of a run made it
        way_out = f"Delete {done} and run the same command again: the training is done anew"
    raise EngineError(f"the weights of {folder} are not whole: {why}. {way_out}")
