"""Run directories on any filesystem: local or mounted paths, `s3://`, `gs://`. Nothing partial is ever published.

A file becomes visible whole or not at all: locally it is written under a temporary name, flushed and renamed; object
stores replace an object in one step. A stage is published by writing its `done.json` last (see `Stage`). Storage that
fails for a moment is tried again (`toolace.filesystems`).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolace.calls.schema import canonical_json
from toolace.errors import StorageError
from toolace.filesystems import open_filesystem, patiently
from toolace.tables import from_parquet, to_parquet

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.fs as pafs

DONE = "done.json"
BEGUN = "begun.json"
_OF_RUN = ("run.json", "summary.json")
"""Files of a run that are no stage's, and that its own command writes."""
_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK)
"""What a filesystem without hard links answers."""


class Store:
    """A directory somewhere. Paths given to the methods are relative to it, with forward slashes.

    Picklable: workers on other nodes open the same place. Raises `StorageError` with the place and the cause.
    """

    def __init__(self, uri: str) -> None:
        scheme, separator, place = uri.partition("://")
        if separator and not place.strip("/"):
            raise StorageError(f"storage {uri!r} names no bucket or directory. Use a path, s3://bucket/... or gs://...")
        self.uri = f"{scheme}://{place.rstrip('/')}" if separator else os.path.abspath(uri)
        self._opened: tuple[pafs.FileSystem, str] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"uri": self.uri, "_opened": None}

    def __repr__(self) -> str:
        return f"Store({self.uri!r})"

    @property
    def local(self) -> Path | None:
        """The directory as a path where it is on this machine (or mounted), else None."""
        return None if "://" in self.uri else Path(self.uri)

    def sub(self, path: str) -> Store:
        """A directory below this one."""
        return Store(self.at(path))

    def at(self, path: str) -> str:
        """The full URI of a path below this directory."""
        return f"{self.uri}/{path}"

    def _open(self) -> tuple[pafs.FileSystem, str]:
        if self._opened is None:
            try:
                self._opened = open_filesystem(self.uri)
            except Exception as error:  # pyarrow raises several unrelated types here
                raise StorageError(
                    f"cannot open storage {self.uri}: {error}. Use a path, s3://bucket/... or gs://..."
                ) from None
        return self._opened

    def _path(self, path: str) -> tuple[pafs.FileSystem, str]:
        fs, base = self._open()
        return fs, f"{base}/{path}" if path else base

    def exists(self, path: str = "") -> bool:
        """Whether a file or directory is there."""
        import pyarrow.fs as pafs

        fs, full = self._path(path)
        try:
            return bool(patiently(lambda: fs.get_file_info(full)).type != pafs.FileType.NotFound)
        except OSError as error:
            raise self._failed("look at", path, error) from None

    def read(self, path: str) -> bytes:
        """The bytes of a file."""
        fs, full = self._path(path)

        def work() -> bytes:
            with fs.open_input_file(full) as stream:
                return bytes(stream.read())

        try:
            return patiently(work)
        except FileNotFoundError:
            raise StorageError(
                f"no such file: {self.at(path)}. If it belongs to a finished stage, delete that stage's {DONE} and run "
                "the command that made it again: what is missing is made anew"
            ) from None
        except OSError as error:
            raise self._failed("read", path, error) from None

    def write(self, path: str, data: bytes) -> None:
        """Write a file so that it is there whole or not at all. One that was there keeps who may read it."""
        fs, full = self._path(path)

        def work() -> None:
            if self.local is not None:
                with _temporary(Path(full), data, _mode(full)) as temporary:
                    temporary.replace(full)
            else:
                _put(fs, full, data)

        try:
            patiently(work)
        except OSError as error:
            raise self._failed("write", path, error) from None

    def list(self, path: str = "") -> list[str]:
        """Names of the files directly below a directory, sorted; temporary files are left out. Empty if absent."""
        import pyarrow.fs as pafs

        fs, full = self._path(path)
        try:
            infos = patiently(lambda: fs.get_file_info(pafs.FileSelector(full, allow_not_found=True)))
        except OSError as error:
            raise self._failed("list", path, error) from None
        return sorted(i.base_name for i in infos if i.type == pafs.FileType.File and not i.base_name.endswith(".tmp"))

    def holds_only(self, *names: str) -> bool:
        """Whether no other files than these lie directly in this place or below it; temporary files do not count."""
        import pyarrow.fs as pafs

        fs, full = self._path("")
        try:
            infos = patiently(lambda: fs.get_file_info(pafs.FileSelector(full, recursive=True, allow_not_found=True)))
        except OSError as error:
            raise self._failed("list", "", error) from None
        files = (i.base_name for i in infos if i.type == pafs.FileType.File and not i.base_name.endswith(".tmp"))
        return all(name in names for name in files)

    def sweep(self, path: str = "") -> None:
        """Delete what killed writers left directly below a directory: temporary files, on local and mounted places."""
        if self.local is not None:
            for file in (self.local / path).glob(".*.tmp"):
                file.unlink(missing_ok=True)

    def delete(self, path: str) -> None:
        """Delete a file or a directory with all below it; nothing happens where there is none."""
        import pyarrow.fs as pafs

        fs, full = self._path(path)

        def work() -> None:
            kind = fs.get_file_info(full).type
            if kind == pafs.FileType.Directory:
                fs.delete_dir(full)
            elif kind == pafs.FileType.File:
                fs.delete_file(full)

        try:
            patiently(work)
        except OSError as error:
            raise self._failed("delete", path, error) from None

    def create_new(self, path: str, data: bytes) -> bool:
        """Create a file only if it is not there; False if it is. On local and mounted filesystems it appears whole.

        On object stores looking and writing are two steps: of two writers at the same moment both may get True, and
        the last one's data stays. `data` must differ between writers.
        """
        import pyarrow.fs as pafs

        fs, full = self._path(path)
        tried = False

        def work() -> bool:
            nonlocal tried
            if fs.get_file_info(full).type != pafs.FileType.NotFound:
                return tried and self.read(path) == data  # written by a try whose answer was lost
            tried = True
            _put(fs, full, data)
            return True

        try:
            if self.local is None:
                return patiently(work)
            with _temporary(Path(full), data) as temporary:
                _link(temporary, full, data)
            return True
        except FileExistsError:
            return False
        except OSError as error:
            raise self._failed("create", path, error) from None

    def delete_if(self, path: str, right: Callable[[bytes], bool]) -> bool:
        """Delete a file if what it holds is `right`; False where it is not, or where there is none.

        On local and mounted places the file gets a name of its own before it is looked at, so that no other file is
        deleted than the one that was seen; a wrong one is put back. On object stores these are two steps.
        """
        if self.local is None:
            if not self.exists(path) or not right(self.read(path)):
                return False
            self.delete(path)
            return True
        place = self.local / path
        aside = place.with_name(f".{place.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            place.rename(aside)
            data = aside.read_bytes()
            if right(data):
                aside.unlink()
                return True
            with suppress(FileExistsError):  # another writer has made one of its own meanwhile
                _link(aside, str(place), data)
            aside.unlink()
            return False
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._failed("delete", path, error) from None

    def age(self, path: str) -> float:
        """Seconds since a file was last written; 0 where the place does not tell."""
        fs, full = self._path(path)
        try:
            written = patiently(lambda: fs.get_file_info(full)).mtime_ns
        except OSError as error:
            raise self._failed("look at", path, error) from None
        return time.time() - written / 1e9 if written else 0.0

    def remake(self, path: str) -> str:
        """How a damaged file comes to be made anew: what to delete, with its place."""
        place = self.at(path)
        for _ in range(3):
            place = place.rpartition("/")[0]
            if Store(place).exists(DONE):
                return f"Delete {place}/{DONE}, which marks the stage as done, and run the command that made it again"
        if path in _OF_RUN:
            return (
                "Delete it and start the run again, which goes on from what is finished and writes it anew: `toolace "
                f"run --config {self.at('config.yaml')}`, or `toolace evolve` where that began the run"
            )
        return f"Delete {self.at(path)} and run the command that made it again"

    def read_json(self, path: str) -> Any:
        """A JSON file."""
        data = self.read(path)
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise StorageError(f"{self.at(path)} is damaged ({error}). {self.remake(path)}") from None

    def write_json(self, path: str, value: Any) -> None:
        """A JSON file, indented, published whole."""
        self.write(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())

    def read_table(self, path: str) -> pa.Table:
        """A parquet file. Raises `StorageError` where any byte is not the one that `write_table` wrote."""
        data = self.read(path)
        try:
            return from_parquet(data)
        except ValueError as error:
            raise StorageError(f"{self.at(path)} is damaged: {error}. {self.remake(path)}") from None

    def write_table(self, path: str, table: pa.Table) -> None:
        """A parquet file (see `toolace.tables`), published whole."""
        self.write(path, to_parquet(table))

    def _failed(self, doing: str, path: str, error: OSError) -> StorageError:
        hint = "free some space" if error.errno == errno.ENOSPC else "check the place and the access to it"
        return StorageError(
            f"cannot {doing} {self.at(path)}: {error}. To go on, {hint}, then run the same command again"
        )


def _put(fs: pafs.FileSystem, full: str, data: bytes) -> None:
    with fs.open_output_stream(full) as stream:
        stream.write(data)


def _mode(path: str) -> int | None:
    """The permissions of a file; None where there is none, or they cannot be seen."""
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except OSError:
        return None


@contextmanager
def _temporary(target: Path, data: bytes, mode: int | None = None) -> Iterator[Path]:
    """A whole and flushed file beside the target, gone afterwards; its permissions are `mode`, else the usual ones."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("wb") as stream:
            if mode is not None:
                with suppress(OSError):  # a filesystem that has no permissions
                    os.fchmod(stream.fileno(), mode)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _link(source: Path, target: str, data: bytes) -> None:
    """Give a whole file its final name unless that is taken. Raises `FileExistsError`."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with open(target, "xb") as stream:  # such a filesystem has no whole-or-nothing that also refuses
            try:
                stream.write(data)
                stream.flush()
            except OSError:
                os.unlink(target)
                raise


def digest(value: Any) -> str:
    """Short hash of a JSON value: equal values, equal hash (16 hex digits)."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]


class StageMismatch(StorageError):
    """A stage was begun or done with other settings or inputs. `changes`: the lines that differ."""

    def __init__(self, message: str, changes: list[str]) -> None:
        super().__init__(message)
        self.changes = changes


class Stage:
    """One stage's place in a run: files, then `done.json` with counts and the hash of what it was made from.

    `made_from` is everything that the stage's output depends on: its settings and the `key`s of the stages it reads.
    A stage that was done with other inputs, or was begun with others and has made a file, is refused with the
    difference shown.
    """

    def __init__(self, run: Store, name: str, made_from: Mapping[str, Any]) -> None:
        self.name = name
        self.store = run.sub(name)
        self.made_from: dict[str, Any] = json.loads(json.dumps(made_from))
        self.key = digest({"stage": name, **self.made_from})

    def done(self) -> dict[str, Any] | None:
        """The counts of the finished stage, or None when there is work to do. Remembers what the stage is made from."""
        counts, begun = self._found()
        if counts is None and not begun:
            self.store.write_json(BEGUN, {"key": self.key, "made_from": self.made_from})
        return counts

    def look(self) -> dict[str, Any] | None:
        """As `done`, but nothing is written."""
        return self._found()[0]

    def _found(self) -> tuple[dict[str, Any] | None, bool]:
        """The counts of the finished stage, and whether it was begun from the same."""
        for marker in (DONE, BEGUN):
            if self.store.exists(marker):
                found = self.store.read_json(marker)
                if not isinstance(found, dict) or "key" not in found or (marker == DONE and "counts" not in found):
                    raise StorageError(
                        f"{self.store.at(marker)} is damaged (it holds {str(found)[:80]}). Delete it and run the same "
                        "command again"
                    )
                if found["key"] != self.key and marker == BEGUN and self.store.holds_only(BEGUN):
                    break  # begun, and nothing made: there is nothing that other settings could be mixed with
                if found["key"] != self.key:
                    changes = difference(found.get("made_from", {}), self.made_from)
                    shown = "\n".join(f"  {line}" for line in changes)
                    raise StageMismatch(
                        f"stage {self.name} in {self.store.uri} was made from other settings or inputs:\n{shown}\n"
                        "Take another run name (or --out), restore the settings, or delete that directory to make it "
                        "anew",
                        changes,
                    )
                return (found["counts"] if marker == DONE else None), True
        return None, False

    def publish(self, counts: Mapping[str, Any]) -> dict[str, Any]:
        """Mark the stage as done. All its files must be written by now."""
        self.store.write_json(DONE, {"key": self.key, "counts": dict(counts), "made_from": self.made_from})
        return dict(counts)


def difference(old: Any, new: Any, path: str = "") -> list[str]:
    """Lines `a.b: old -> new` for all that differs between two JSON values."""
    if isinstance(old, dict) and isinstance(new, dict):
        lines = []
        for key in sorted(old.keys() | new.keys()):
            lines += difference(old.get(key), new.get(key), f"{path}.{key}" if path else key)
        return lines
    return [] if old == new else [f"{path}: {old!r} -> {new!r}"]
