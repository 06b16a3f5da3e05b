"""Storage of this process that fails as often as it is told to."""

from __future__ import annotations

from typing import Any

import pyarrow.fs as pafs
from fsspec.implementations.memory import MemoryFileSystem

from toolace.storage import Store

THROTTLED = "AWS Error SLOW_DOWN during PutObject operation: Please reduce your request rate."
FORBIDDEN = "AWS Error ACCESS_DENIED during PutObject operation: Access Denied."


class FaultyFiles(pafs.FSSpecHandler):  # type: ignore[misc]
    """Files in memory. The next `left` requests fail with `error`; with `late`, the next writes after they are done."""

    def __init__(self) -> None:
        files = MemoryFileSystem(skip_instance_cache=True)
        files.store, files.pseudo_dirs = {}, [""]  # of this one alone
        super().__init__(files)
        self.left, self.late, self.asked = 0, False, 0
        self.error = OSError(THROTTLED)

    def _fail(self) -> None:
        self.asked += 1
        if self.left:
            self.left -= 1
            raise self.error

    def get_file_info(self, paths: Any) -> Any:
        if not self.late:
            self._fail()
        return super().get_file_info(paths)

    def get_file_info_selector(self, selector: Any) -> Any:
        self._fail()
        return super().get_file_info_selector(selector)

    def delete_file(self, path: str) -> Any:
        self._fail()
        return super().delete_file(path)

    def open_input_file(self, path: str) -> Any:
        if not self.late:
            self._fail()
        return super().open_input_file(path)

    def open_output_stream(self, path: str, metadata: Any) -> Any:
        if not self.late:
            self._fail()
            return super().open_output_stream(path, metadata)
        stream = self.fs.open(path, "wb")
        close, fail = stream.close, self._fail

        def close_late() -> None:
            close()
            stream.close = close
            fail()

        stream.close = close_late
        from pyarrow import PythonFile

        return PythonFile(stream, mode="w")


def faulty_store() -> tuple[Store, FaultyFiles]:
    """A store on a bucket whose files are in memory, and the filesystem to tell when to fail."""
    files = FaultyFiles()
    store = Store("s3://bucket/run")
    store._opened = (pafs.PyFileSystem(files), "/bucket/run")
    return store, files
