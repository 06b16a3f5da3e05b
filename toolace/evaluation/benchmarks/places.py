"""Where verdicts go: files, pipes, devices and what this process has open, never over what they are made from."""

from __future__ import annotations

import os
import re
from pathlib import Path

from toolace.errors import ConfigError, StorageError
from toolace.storage import Store

_DESCRIPTORS = ("/proc/self/fd", "/proc/thread-self/fd", "/dev/fd")
"""Folders in which what this process has open lies, each thing by its number."""
_LINKS = 40
"""More links in a row than these the system does not follow."""


def check_place(verdicts: Path, predictions: Path, folder: Path) -> None:
    """Raises `ConfigError` where verdicts would go over the predictions or among the files of the benchmark, and for a
    place that cannot be, such as a link to itself."""
    if Path(os.path.realpath(verdicts)).is_relative_to(os.path.realpath(folder)):
        raise ConfigError(f"{verdicts} is in the data folder {folder}: nothing is written there. Give another file")
    try:
        links = verdicts.stat().st_nlink
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"no verdicts can be written to {verdicts}: {error.strerror}. Give another place") from None
    inputs = [predictions]
    if links > 1:  # a file of the benchmark may have another name elsewhere
        inputs += folder.rglob("*")
    if taken := next((path for path in inputs if _same(path, verdicts)), None):
        raise ConfigError(f"{verdicts} is the input {taken}: verdicts would destroy it. Give another file")


def write_to(place: Path, data: bytes) -> None:
    """A file as a whole or not at all, behind a link too. What is a pipe or a device gets the bytes and stays what it
    is, and so does what this process has open, such as `/dev/stderr`, where it stands. Raises `StorageError`."""
    descriptor = _descriptor(place)
    if descriptor is None and not _is_of_processes(place) and (place.is_file() or not place.exists()):
        target = Path(os.path.realpath(place))
        Store(str(target.parent)).write(target.name, data)
        return
    try:
        # Opened anew, a file behind a descriptor would be written from its start, over what is there.
        with open(place if descriptor is None else os.dup(descriptor), "wb") as stream:
            stream.write(data)
    except OSError as error:
        raise StorageError(f"the verdicts cannot be written to {place}: {error}. Give another place") from None


def _descriptor(place: Path) -> int | None:
    """The number that a name such as `/dev/stdout`, `/dev/fd/3`, or a link to one, stands for; else None."""
    own = {os.path.realpath(folder) for folder in _DESCRIPTORS}
    for _ in range(_LINKS):
        folder = os.path.realpath(place.parent)
        if folder in own and re.fullmatch("[0-9]{1,9}", place.name):
            return int(place.name)
        if not place.is_symlink():
            break
        place = Path(folder, os.readlink(place))
    return None


def _is_of_processes(place: Path) -> bool:
    """Whether it is something that another process has open, which is a link in name only."""
    return Path(os.path.realpath(place.parent)).is_relative_to("/proc")


def _same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:  # not there, or not to be seen
        return False
