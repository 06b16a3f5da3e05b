"""Samples on disk: parquet with plain columns to filter by, and chat and reference as JSON."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from toolace.calls.schema import Chat, Message, Sample, stored_json
from toolace.errors import DataError

COLUMNS = ("id", "kind", "group", "source", "chat", "reference")
"""All are strings; `chat` and `reference` are JSON with empty fields left out."""
ROWS_PER_GROUP = 1024
"""Rows of a row group: the least that is read for a range."""
ROWS_PER_FILE = 64 * ROWS_PER_GROUP
_FORMAT = {b"toolace.samples": b"1"}


def to_row(sample: Sample) -> dict[str, str]:
    """A sample as a row of strings."""
    return {
        "id": sample.id,
        "kind": sample.kind,
        "group": sample.group,
        "source": sample.source,
        "chat": stored_json(sample.chat.model_dump(exclude_defaults=True)),
        "reference": stored_json(sample.reference.model_dump(exclude_defaults=True)),
    }


def from_row(row: dict[str, Any]) -> Sample:
    """The sample of a row. Raises pydantic's `ValidationError`."""
    chat, reference = Chat.model_validate_json(row["chat"]), Message.model_validate_json(row["reference"])
    plain = {key: row[key] for key in ("id", "kind", "group", "source")}
    return Sample(chat=chat, reference=reference, **plain)


def write_samples(samples: Iterable[Sample], path: str | os.PathLike[str]) -> int:
    """Write samples to a `.parquet` file, or to `part-00000.parquet`, ... in a directory; returns their number.

    Streams: one row group is in memory at a time. A file appears whole under its name or not at all.
    Raises `DataError` when there is nothing to write or the disk refuses.
    """
    target = Path(path)
    stream = iter(samples)
    total = 0
    try:
        if target.suffix == ".parquet":
            target.parent.mkdir(parents=True, exist_ok=True)
            total = _write_file(stream, target)
        else:
            target.mkdir(parents=True, exist_ok=True)
            for part in itertools.count():
                first = next(stream, None)
                if first is None:
                    break
                chunk = itertools.chain([first], itertools.islice(stream, ROWS_PER_FILE - 1))
                total += _write_file(chunk, target / f"part-{part:05d}.parquet")
    except OSError as error:
        raise DataError(f"samples cannot be written to {target}: {error}. Free space or choose another place") from None
    if not total:
        raise DataError(f"no samples to write to {target}. See `toolace data check` for what became of the rows")
    return total


def read_samples(path: str | os.PathLike[str], start: int = 0, stop: int | None = None) -> Iterator[Sample]:
    """Samples number `start` to `stop` (not included; None: the end) of a file or of a directory's files by name.

    Only the row groups of the range are read. Raises `DataError` for a missing, foreign or damaged file.
    """
    import pyarrow
    from pyarrow import parquet

    offset = 0
    for file in _files(Path(path)):
        try:
            with parquet.ParquetFile(file, page_checksum_verification=True) as table:
                missing = set(COLUMNS) - set(table.schema_arrow.names)
                if missing:
                    raise DataError(
                        f"{file} holds no samples: the columns {', '.join(sorted(missing))} are missing. Convert "
                        "other formats by toolace.data.load_samples and write_samples"
                    )
                for group in range(table.num_row_groups):
                    rows = table.metadata.row_group(group).num_rows
                    low, high = max(start - offset, 0), rows if stop is None else min(stop - offset, rows)
                    if low < high:
                        chunk = table.read_row_group(group, columns=list(COLUMNS)).slice(low, high - low)
                        yield from (from_row(row) for row in chunk.to_pylist())
                    offset += rows
                    if stop is not None and offset >= stop:
                        return
        except (pyarrow.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{file} is damaged: {_first_line(error)}. Delete it and make it again") from None


def count_samples(path: str | os.PathLike[str]) -> int:
    """Number of samples, from the files' footers alone. Raises `DataError`."""
    import pyarrow
    from pyarrow import parquet

    total = 0
    for file in _files(Path(path)):
        try:
            total += parquet.read_metadata(file).num_rows
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"{file} is damaged: {_first_line(error)}. Delete it and make it again") from None
    return total


def _write_file(samples: Iterable[Sample], target: Path) -> int:
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema([(name, pyarrow.string()) for name in COLUMNS], metadata=_FORMAT)
    stream = iter(samples)
    partial = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    total = 0
    try:
        with parquet.ParquetWriter(partial, schema, compression="zstd", write_page_checksum=True) as writer:
            while rows := [to_row(sample) for sample in itertools.islice(stream, ROWS_PER_GROUP)]:
                writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
                total += len(rows)
        if total:
            os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return total


def _files(path: Path) -> list[Path]:
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path] if path.exists() else []
    if not files:
        raise DataError(f"no samples at {path}. Give a parquet file or a directory of them, as write_samples makes")
    return files


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
