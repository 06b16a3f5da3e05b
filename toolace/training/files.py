"""Whole directories between this machine and a store: libraries such as DeepSpeed write local files only."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toolace.errors import StorageError
from toolace.filesystems import open_filesystem, patiently
from toolace.storage import Store


@contextmanager
def writable(store: Store, name: str) -> Iterator[Path]:
    """A local directory whose files are in `store/name` afterwards; several processes may fill it together."""
    if store.local is not None:
        place = store.local / name
        with _reported("write", store, name):
            place.mkdir(parents=True, exist_ok=True)
            yield place
        return
    with tempfile.TemporaryDirectory(prefix="toolace-") as folder, _reported("write", store, name):
        yield Path(folder)
        _copy(folder, _uri(store, name))


@contextmanager
def readable(store: Store, name: str) -> Iterator[Path]:
    """A local directory with the files of `store/name`, for reading only."""
    if store.local is not None:
        with _reported("read", store, name):
            yield store.local / name
        return
    with tempfile.TemporaryDirectory(prefix="toolace-") as folder, _reported("read", store, name):
        _copy(_uri(store, name), folder)
        yield Path(folder)


@contextmanager
def published(store: Store, name: str) -> Iterator[Path]:
    """A local directory that appears as `store/name` in one step when the block ends without an error.

    Replaces what is there; what a killed process left half written goes. On object stores the files appear one by one;
    what reads them must wait for a marker that the caller writes afterwards.
    """
    if store.local is None:
        with tempfile.TemporaryDirectory(prefix="toolace-") as folder, _reported("write", store, name):
            yield Path(folder)
            store.delete(name)
            _copy(folder, _uri(store, name))
        return
    partial = store.local / f".{name}.{uuid.uuid4().hex[:8]}.tmp"
    for left in store.local.glob(f".{name}.*.tmp"):
        shutil.rmtree(left, ignore_errors=True)
    try:
        with _reported("write", store, name):
            partial.mkdir(parents=True)
            yield partial
            store.delete(name)
            partial.rename(store.local / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _uri(store: Store, name: str) -> str:
    return store.at(name) if name else store.uri


def _copy(source: str, target: str) -> None:
    import pyarrow.fs as pafs

    from_fs, from_path = open_filesystem(source)
    to_fs, to_path = open_filesystem(target)
    if isinstance(to_fs, pafs.LocalFileSystem):
        to_fs.create_dir(to_path)  # Object stores have no directories to make.
    patiently(lambda: pafs.copy_files(from_path, to_path, source_filesystem=from_fs, destination_filesystem=to_fs))


@contextmanager
def _reported(doing: str, store: Store, name: str) -> Iterator[None]:
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(
            f"cannot {doing} {_uri(store, name)}: {error}. Free some space or check the place, then run the same "
            "command again"
        ) from error
