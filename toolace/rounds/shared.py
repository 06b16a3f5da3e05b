"""Finished stages that several runs share: made once, taken by every run whose stage is made from the same.

A directory with one entry a stage, named by a hash of the stage's key and of the settings that the key leaves out:

    <identity>/manifest.json    the stage's name and key; size and SHA-256 of every file
    <identity>/stage/           the files of the finished stage, `done.json` among them

Entries and the stages taken from them appear in one step (a directory is filled elsewhere and renamed), and only
finished stages ever come here. Files are hard links where the filesystem has them: an entry costs no space, and what a
run writes later replaces its own link (files are published by renaming). Every file is verified before it is taken; a
stage whose files have changed is made anew.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from toolace.errors import StorageError
from toolace.storage import DONE, Stage, Store, digest

MANIFEST = "manifest.json"
TAKEN = "shared.json"
"""In a stage's directory: it was taken from another run."""
_FILES = "stage"
_CHUNK = 1 << 20


class SharedStages:
    """The shared stages below a local or mounted directory. Several processes may give the same stage."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def sweep(self) -> None:
        """Delete what a process that was killed has left."""
        for left in self.place.glob(".*.tmp"):
            shutil.rmtree(left, ignore_errors=True)

    def holds(self, identity: str) -> bool:
        """Whether there is an entry, intact or not."""
        return (self.place / identity / MANIFEST).is_file()

    def give(self, stage: Stage, identity: str) -> None:
        """Put a finished stage here, in place of an earlier entry. Raises `StorageError`."""
        source = _local(stage)
        temporary = self._temporary()
        try:
            (source / TAKEN).unlink(missing_ok=True)
            files: dict[str, list[Any]] = {}
            for file in sorted(source.rglob("*")):
                name = file.relative_to(source).as_posix()
                if file.is_file() and not (file.name.startswith(".") and file.name.endswith(".tmp")):
                    _link(file, temporary / _FILES / name)
                    files[name] = [file.stat().st_size, _sha256(file)]
            if DONE not in files:
                raise StorageError(f"stage {stage.name} in {stage.store.uri} is not finished and cannot be shared")
            manifest = {"name": stage.name, "key": stage.key, "files": files}
            (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
            _rename(temporary, self.place / identity)
        except OSError as error:
            raise _failed("share", stage, error) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def take(self, stage: Stage, identity: str) -> bool:
        """Bring the entry into a stage's directory, in place of what was begun there.

        False where there is none, or where its files are not what they were. Raises `StorageError`.
        """
        entry = self.place / identity
        if not self.holds(identity):
            return False
        temporary = self._temporary()
        try:
            manifest = json.loads((entry / MANIFEST).read_text(encoding="utf-8"))
            if manifest["key"] != stage.key:
                return False
            for name, (size, sha) in manifest["files"].items():
                file = entry / _FILES / name
                if not file.is_file() or file.stat().st_size != size or _sha256(file) != sha:
                    return False
                _link(file, temporary / name)
            (temporary / TAKEN).write_text(json.dumps({"identity": identity}), encoding="utf-8")
            target = _local(stage)
            target.parent.mkdir(parents=True, exist_ok=True)
            _rename(temporary, target)
        except (ValueError, KeyError, TypeError):  # a damaged manifest
            return False
        except OSError as error:
            raise _failed("take over", stage, error) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return True

    def _temporary(self) -> Path:
        self.place.mkdir(parents=True, exist_ok=True)
        temporary = self.place / f".{uuid.uuid4().hex[:12]}.tmp"
        temporary.mkdir()
        return temporary


class SharedStage(Stage):
    """A stage that looks among the shared ones before there is work to do, and goes there when it is done."""

    def __init__(
        self,
        run: Store,
        name: str,
        made_from: Mapping[str, Any],
        shared: SharedStages,
        scope: str,
        on_taken: Callable[[Stage], None] | None = None,
    ) -> None:
        super().__init__(run, name, made_from)
        self.identity = identity_of(self, scope)
        self._shared = shared
        self._on_taken = on_taken

    def done(self) -> dict[str, Any] | None:
        """As of a stage; one that another run has made is taken over first."""
        found = super().done()
        if found is None and self._shared.take(self, self.identity):
            found = super().done()
            if self._on_taken is not None:
                self._on_taken(self)
        elif found is not None and not self._shared.holds(self.identity):
            self._shared.give(self, self.identity)  # a driver was killed after it had published this stage
        return found

    def publish(self, counts: Mapping[str, Any]) -> dict[str, Any]:
        """As of a stage, and share it."""
        published = super().publish(counts)
        self._shared.give(self, self.identity)
        return published


def identity_of(stage: Stage, scope: str) -> str:
    """The name of a stage among the shared ones; `scope`: a hash of settings that the stage's key leaves out."""
    return digest({"stage": stage.key, "scope": scope})


def _local(stage: Stage) -> Path:
    if stage.store.local is None:
        raise StorageError(f"stages are shared on local and mounted places only, not in {stage.store.uri}")
    return stage.store.local


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # no hard links here, or too many of this file
        shutil.copyfile(source, target)


def _rename(source: Path, target: Path) -> None:
    """Give a filled directory its name; what is there goes first, also what another process has just put there."""
    while True:
        try:
            source.rename(target)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        old = source.with_name(f".{uuid.uuid4().hex[:12]}.tmp")
        with suppress(FileNotFoundError):
            target.rename(old)
        shutil.rmtree(old, ignore_errors=True)


def _sha256(file: Path) -> str:
    state = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()


def _failed(doing: str, stage: Stage, error: OSError) -> StorageError:
    if isinstance(error, StorageError):
        return error
    return StorageError(
        f"cannot {doing} stage {stage.name} of {stage.store.uri}: {error}. To go on, free space or mend the place, and "
        "run the same command again"
    )
