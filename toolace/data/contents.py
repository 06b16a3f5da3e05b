"""What is in files, in short: shows whether data that was read once is still the same, without reading it as data."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from toolace.data.files import DataFile, find_files
from toolace.errors import DataError

WHOLE_BYTES = 256 * 2**20
"""Local files up to this size are read whole, which takes a fraction of a second."""
SAMPLES = 16
SAMPLE_BYTES = 64 * 2**10
"""Of larger ones the size, the time of change and so many evenly spaced pieces of so many bytes."""


def describe_contents(location: str, filesystem: Any = None) -> dict[str, str]:
    """The files at a location as `find_files` finds them, by name, each with its size and what tells its content.

    That is a digest of the bytes for a local file, with the time of change for a large one (see `WHOLE_BYTES`), and
    the entity tag or the time of change in object storage. Raises `DataError` where there is nothing to read.
    """
    return {file.name: f"{file.size:,} bytes, {_content(file)}" for file in find_files(location, filesystem)}


def _content(file: DataFile) -> str:
    if file.filesystem is not None:
        return _remote(file)
    try:
        with open(file.path, "rb") as stream:
            if file.size <= WHOLE_BYTES:
                return f"sha256 {hashlib.file_digest(stream, 'sha256').hexdigest()[:16]}"
            state = hashlib.sha256()
            for number in range(SAMPLES):
                stream.seek((file.size - SAMPLE_BYTES) * number // (SAMPLES - 1))
                state.update(stream.read(SAMPLE_BYTES))
            changed = os.fstat(stream.fileno()).st_mtime_ns
            return f"changed at {changed / 1e9:.3f} s, sha256 of {SAMPLES} pieces {state.hexdigest()[:16]}"
    except OSError as error:
        raise DataError(f"{file.path} cannot be read: {error}. Check the path and your rights to it") from None


def _remote(file: DataFile) -> str:
    from pyarrow import fs

    try:
        if isinstance(file.filesystem, fs.PyFileSystem) and isinstance(file.filesystem.handler, fs.FSSpecHandler):
            info = file.filesystem.handler.fs.info(file.path)
            for name in ("ETag", "etag", "blob_id"):  # S3 and others; the Hugging Face hub
                if info.get(name):
                    return f"tag {info[name]}"
        (found,) = file.filesystem.get_file_info([file.path])
    except Exception as error:  # remote filesystems raise errors of their own HTTP clients
        raise DataError(f"{file.path} cannot be looked at: {error}. Check the address and your rights to it") from None
    return f"changed at {found.mtime_ns / 1e9:.3f} s" if found.mtime_ns is not None else "time of change unknown"
