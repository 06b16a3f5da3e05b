"""Finding and reading files: JSON, JSON Lines and parquet, on disk, `s3://`, `gs://` and `hf://`.

Local JSON needs nothing but the standard library; everything else imports pyarrow when it is touched.
"""

from __future__ import annotations

import glob
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any

from toolace.data.records import RowError, parse_json, shorten
from toolace.errors import DataError
from toolace.filesystems import open_filesystem as bounded_filesystem

SUFFIXES = (".json", ".jsonl", ".ndjson", ".parquet")
"""What a directory is searched for, in any case."""
MAX_LINE = 64 * 2**20
"""Longest line of a JSON Lines file, bytes: a longer one is no dialogue."""
MAX_DOCUMENT = 2 * 2**30
"""Largest JSON document that is read whole, bytes."""
LOOK_LINES = 100
"""Lines that are looked at for a row where a file begins like none."""
PARQUET_BATCH = 256
"""Rows of a parquet file in memory at a time."""

_STRUCTURE = re.compile(r'"(?:[^"\\]|\\.)*+"|["\[\]{},]', re.DOTALL)
"""Whole texts, and the marks outside of them that tell where an item of a list ends."""
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://")
_OPTIONS = re.compile(r"(.*?)(\?\w+=[^/]*)?", re.DOTALL)
"""`s3://bucket/key?region=eu-west-1`: options at the end of a URI, not a wildcard."""


@dataclass(frozen=True)
class DataFile:
    """One file. `path` is for messages and opening; `name`, free of the folders above, goes into sample ids."""

    path: str
    name: str
    size: int
    filesystem: Any = None
    """A pyarrow filesystem; None: the local disk without pyarrow."""

    def open(self) -> IO[bytes]:
        """The bytes, seekable."""
        try:
            if self.filesystem is None:
                return open(self.path, "rb")
            return io.BufferedReader(self.filesystem.open_input_file(self.path))
        except Exception as error:  # remote filesystems raise errors of their own HTTP clients
            if self.filesystem is None and not isinstance(error, OSError):
                raise
            raise DataError(f"{self.path} cannot be opened: {error}. Check the path and your rights to it") from None


def find_files(location: str | os.PathLike[str], filesystem: Any = None) -> list[DataFile]:
    """The files at a path, glob, directory or URI, sorted by path.

    In directories and globs, what begins with `_` or `.` is left out, unless the glob says so, and in directories what
    does not end in one of `SUFFIXES`, in any case. Empty files are left out.

    `filesystem` is a pyarrow filesystem to look in; unset: the one that the URI names, else the local disk.
    Raises `DataError` when there is no file, or all of them are empty.
    """
    return _look(os.fspath(location), filesystem)[0]


def count_left_out(location: str | os.PathLike[str], filesystem: Any = None) -> int:
    """How many files at a location `find_files` leaves out."""
    return _look(os.fspath(location), filesystem)[1]


def _look(location: str, filesystem: Any) -> tuple[list[DataFile], int]:
    """The files at a location that are read, and how many are not."""
    if filesystem is None and (scheme := _SCHEME.match(location)):
        filesystem, path = open_filesystem(location, scheme.group(1))
    else:
        path = location
    seen, base, pattern = _find_local(path) if filesystem is None else _find_remote(filesystem, path, location)
    found = sorted((path, size) for path, size in seen if base is None or _is_wanted(path, base, pattern))
    if not found:
        kinds = ", ".join(SUFFIXES)
        aside = f" ({len(seen)} with other names)" if seen else ""
        raise DataError(
            f"no data file at {location}{aside}. Give a file, a glob or a directory that holds files of the kinds "
            f"{kinds}, whose names do not begin with _ or ."
        )
    full = [(path, size) for path, size in found if size > 0]
    if not full:
        raise DataError(f"{location} is empty (0 bytes). Give a file with at least one row")
    top = os.path.commonpath([str(PurePosixPath(path).parent) for path, _ in found])
    return [DataFile(path, _below(path, top), size, filesystem) for path, size in full], len(seen) - len(full)


def _is_wanted(path: str, base: str, pattern: str) -> bool:
    """Whether a file below `base` is data by its name. `pattern` is the rest of a glob; empty for a directory.

    As Hadoop and pyarrow do: `_SUCCESS`, `_temporary/` and `.part.crc` stand beside data and are none.
    """
    parts = path.lstrip("/").removeprefix(base.strip("/")).strip("/").split("/")
    named = {part[0] for part in pattern.split("/") if part}
    if any(part[0] in "._" and part[0] not in named for part in parts):
        return False
    return bool(pattern) or parts[-1].lower().endswith(SUFFIXES)


def open_filesystem(uri: str, scheme: str) -> tuple[Any, str]:
    """The pyarrow filesystem that a URI names, and the path in it. Raises `DataError`."""
    from pyarrow import fs

    try:
        if scheme == "hf":
            from huggingface_hub import HfFileSystem

            return fs.PyFileSystem(fs.FSSpecHandler(HfFileSystem())), uri.removeprefix("hf://")
        plain, options = _OPTIONS.fullmatch(uri).groups("")  # type: ignore[union-attr]  # matches any text
        base, wild, rest = _split_glob(plain)
        filesystem, path = bounded_filesystem(base + options)
        return filesystem, f"{path.rstrip('/')}/{wild}{rest}" if wild else path
    except (OSError, ValueError, NotImplementedError) as error:
        raise DataError(
            f"{uri} cannot be opened: {error}. Use a local path, s3://bucket/key, gs://bucket/key or "
            "hf://datasets/owner/name/file"
        ) from None


def read_rows(file: DataFile) -> Iterator[tuple[int, Any]]:
    """The rows of a file with their number from 1; a row that is not JSON comes as a `RowError`.

    The kind of file is seen from its first bytes, not from its suffix: many `.json` files hold JSON Lines.
    Raises `DataError` where the file as a whole cannot be read.
    """
    try:
        with file.open() as stream:
            yield from _read(file, stream)
    except OSError as error:
        raise DataError(f"{file.path} cannot be read: {error}. Check the path and your rights to it") from None


def _read(file: DataFile, stream: IO[bytes]) -> Iterator[tuple[int, Any]]:
    head = stream.read(4096)
    stream.seek(0)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(b"PAR1"):
        yield from _read_parquet(file)
    elif head.startswith((b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"BZh")):
        raise DataError(f"{file.path} is compressed. Decompress it first, then give the JSON or parquet file")
    elif not start and file.size <= len(head):
        raise DataError(f"{file.path} holds only blank space. Give a file with at least one row")
    elif start.startswith(b"[") and not _is_lines(stream):
        yield from _read_document(file, stream)
    else:
        if not start.startswith((b"{", b"[")):
            _require_rows(file, stream, head)
        yield from _read_lines(file, stream)


def _is_lines(stream: IO[bytes]) -> bool:
    """Whether what begins with a bracket is a bad first line of JSON Lines, and not a list of rows."""
    first, second = stream.readline(MAX_LINE + 1), stream.readline(MAX_LINE + 1)
    stream.seek(0)
    return not first.rstrip().endswith((b"[", b",")) and isinstance(_row(second), dict)


def _require_rows(file: DataFile, stream: IO[bytes], head: bytes) -> None:
    """Refuse a file that begins like no JSON, unless one of its first lines is a row."""
    for _ in range(LOOK_LINES):
        line = stream.readline(MAX_LINE + 1)
        if isinstance(_row(line), dict):
            stream.seek(0)
            return
    _check_text(head, file)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    raise DataError(
        f"{file.path} is neither JSON, JSON Lines nor parquet: it begins with {shorten(bytes(start[:40]), 60)}."
        " Convert it to one of these"
    )


def _row(line: bytes) -> Any:
    """The JSON value of a line; None where it is none."""
    try:
        return parse_json(line.decode("utf-8"))
    except ValueError:
        return None


def _read_lines(file: DataFile, stream: IO[bytes]) -> Iterator[tuple[int, Any]]:
    number = good = 0
    first = ""
    while line := stream.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            raise DataError(
                f"{file.path}, line {number}: longer than {MAX_LINE // 2**20} MiB. JSON Lines has one row a line; "
                "if the file is one JSON document, make it a list of rows"
            )
        if not line.strip():
            continue
        text = ""
        try:
            if b"\0" in line:
                raise RowError("bad_text: the line holds NUL bytes")
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            row = parse_json(text)
        except (RowError, UnicodeDecodeError) as error:
            bad = error if isinstance(error, RowError) else RowError(f"bad_text: {_not_utf8(line, error)}")
            first = first or bad.detail
            yield number, bad
            continue
        except ValueError as error:
            if number == 1 and text == "{":
                raise DataError(
                    f"{file.path} holds one JSON object spread over lines, not rows. Give a JSON list of rows, or "
                    "JSON Lines with one row a line"
                ) from None
            bad = RowError(f"bad_json: {error}; the line begins with {shorten(text[:80])}")
            first = first or bad.detail
            yield number, bad
            continue
        good += 1
        yield number, row
    if not good:
        raise DataError(
            f"{file.path}: none of its {number} lines is JSON (the first: {first}). Give JSON, JSON Lines or parquet"
        )


def _read_document(file: DataFile, stream: IO[bytes]) -> Iterator[tuple[int, Any]]:
    if file.size > MAX_DOCUMENT:
        raise DataError(
            f"{file.path} is one JSON document of {file.size / 2**30:.1f} GiB. Convert it to JSON Lines or parquet, "
            "which are read in pieces"
        )
    data = stream.read()
    _check_text(data, file)
    try:
        rows = parse_json(data)
    except ValueError as error:
        items = split_list(data.decode("utf-8-sig"))
        if items is None:
            raise DataError(f"{file.path} is not whole JSON: {error}. Download or write it again") from None
        rows = [_row_or_error(item) for item in items]
        if not any(isinstance(row, dict) for row in rows):
            raise DataError(f"{file.path}: none of its {len(rows)} items is a row (the first: {error})") from None
    if not rows:
        raise DataError(f"{file.path} is an empty list. Give a file with at least one row")
    yield from enumerate(rows, 1)


def _row_or_error(text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError as error:
        return RowError(f"bad_json: {error}; the item begins with {shorten(text[:80])}")


def split_list(text: str) -> list[str] | None:
    """The items of a JSON list as text, by brackets and quotes alone; None where the list is not whole.

    So that one item that cannot be read (a NaN, a number or a nesting that Python refuses) costs no other.
    """
    items: list[str] = []
    depth, start = 0, 0
    for found in _STRUCTURE.finditer(text):
        mark = found.group()
        if mark[0] == '"':
            if len(mark) == 1:
                return None  # a text without an end
        elif mark in "[{":
            depth += 1
            if depth == 1:
                if mark == "{" or text[: found.start()].strip():
                    return None
                start = found.end()
        elif mark in "]}":
            depth -= 1
            if depth == 0:
                items.append(text[start : found.start()].strip())
                return None if text[found.end() :].strip() else items
        elif depth == 1:
            items.append(text[start : found.start()].strip())
            start = found.end()
    return None


def _read_parquet(file: DataFile) -> Iterator[tuple[int, Any]]:
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        with parquet.ParquetFile(file.path, filesystem=file.filesystem, page_checksum_verification=True) as table:
            if table.metadata.num_rows == 0:
                raise DataError(f"{file.path} has 0 rows. Give a file with at least one row")
            for batch in table.iter_batches(batch_size=PARQUET_BATCH):
                for row in _python_rows(batch):
                    number += 1
                    yield number, row
    except (pyarrow.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{file.path} is damaged parquet (after row {number}): {error}. Download or write it again"
        ) from None


def _python_rows(batch: Any) -> Iterator[Any]:
    """The rows of a batch; one with a value that Python cannot hold (a date, text that is not UTF-8) as `RowError`."""
    try:
        yield from [_without_none(row) for row in batch.to_pylist(maps_as_pydicts="lossy")]
        return
    except (ValueError, OverflowError):
        if batch.num_rows == 1:
            yield _unreadable(batch)
            return
    for index in range(batch.num_rows):
        yield from _python_rows(batch.slice(index, 1))


def _unreadable(row: Any) -> RowError:
    """What is wrong with a batch of one row."""
    for name, column in zip(row.schema.names, row.columns, strict=True):
        try:
            column.to_pylist(maps_as_pydicts="lossy")
        except UnicodeDecodeError:
            return RowError(f"bad_text: the column {name!r} is not UTF-8")
        except (ValueError, OverflowError) as error:
            return RowError(f"bad_value: the column {name!r} cannot be read: {error}")
    return RowError("bad_value: the row cannot be read")


def _without_none(value: Any) -> Any:
    """A parquet struct has every key in every row, None where the row had none: take those away again."""
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value


def _check_text(data: bytes, file: DataFile) -> None:
    """Refuse what is not UTF-8 text. A chunk's last bytes may be the begin of a character."""
    if b"\0" in data:
        raise DataError(f"{file.path}: holds NUL bytes, so it is no text. Give JSON, JSON Lines or parquet")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        if len(data) == 4096 and error.end == len(data) and len(data) - error.start < 4:
            return
        raise DataError(f"{file.path}: {_not_utf8(data, error)}. Convert it, such as by iconv -t utf-8") from None


def _not_utf8(data: bytes, error: UnicodeDecodeError) -> str:
    return f"not UTF-8 (byte 0x{data[error.start]:02x} at {error.start})"


_Seen = tuple[list[tuple[str, int]], str | None, str]
"""Path and size of the files at a location, the folder that they are below (None: one file that is named), and the
rest of a glob."""


def _find_local(location: str) -> _Seen:
    base: str | None = location
    pattern = ""
    if os.path.isdir(location):
        paths = [os.path.join(folder, name) for folder, _, names in os.walk(location) for name in names]
    elif os.path.exists(location):
        paths, base = [location], None
    else:
        base, wild, rest = _split_glob(location)
        pattern = wild + rest
        found = glob.glob(location, recursive=True, include_hidden=True)
        paths = [path for path in found if os.path.isfile(path)]
    try:
        return [(path, os.stat(path).st_size) for path in paths], base, pattern
    except OSError as error:
        raise DataError(f"{location} cannot be read: {error}. Check the path and your rights to it") from None


def _find_remote(filesystem: Any, path: str, location: str) -> _Seen:
    from pyarrow import fs

    base, wild, rest = _split_glob(path)
    try:
        if not wild:
            (info,) = filesystem.get_file_info([path])
            if info.type == fs.FileType.NotFound:
                return [], None, ""
            if info.type == fs.FileType.File:
                return [(info.path, info.size or 0)], None, ""
        selector = fs.FileSelector(base.rstrip("/") if wild else path.rstrip("/"), recursive=True, allow_not_found=True)
        infos = [info for info in filesystem.get_file_info(selector) if info.type == fs.FileType.File]
    except Exception as error:  # remote filesystems raise errors of their own HTTP clients
        raise DataError(f"{location} cannot be listed: {error}. Check the address and your rights to it") from None
    if wild:
        pattern = _glob_pattern(path.lstrip("/"))
        infos = [info for info in infos if pattern.fullmatch(info.path.lstrip("/"))]
    return [(info.path, info.size or 0) for info in infos], base, wild + rest


def _split_glob(path: str) -> tuple[str, str, str]:
    """(folder before the first wildcard, the part with it, the rest); the last two empty where there is none."""
    parts = path.split("/")
    for index, part in enumerate(parts):
        if any(mark in part for mark in "*?["):
            return "/".join(parts[:index]), part, "".join(f"/{p}" for p in parts[index + 1 :])
    return path, "", ""


def _glob_pattern(path: str) -> re.Pattern[str]:
    """`*` and `?` stop at slashes, `**/` spans folders, as in the shell."""
    out = []
    for token in re.findall(r"\*\*/?|\*|\?|\[[^\]]+\]|[^*?\[]+|\[", path):
        if token.startswith("**"):
            out.append("(?:.*/)?" if token.endswith("/") else ".*")
        elif token in "*?":
            out.append("[^/]*" if token == "*" else "[^/]")
        elif token.startswith("[") and len(token) > 1:
            out.append(f"[^{token[2:]}" if token[1] == "!" else token)
        else:
            out.append(re.escape(token))
    return re.compile("".join(out))


def _below(path: str, top: str) -> str:
    """The path below `top`, so that ids do not depend on where the data lies."""
    return str(PurePosixPath(path).relative_to(top)) if top else path
