"""Files in any known format → samples, with every row accounted for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from toolace.calls.schema import Sample
from toolace.data.dialogue import check_tools, content_hash, samples_of
from toolace.data.files import DataFile, find_files, read_rows
from toolace.data.records import BadRow, GoodRow, Loaded, RowError, RowResult, SkippedRow, Targets, parse_json, shorten
from toolace.data.sources import SOURCES, detect
from toolace.data.splits import assign_groups
from toolace.errors import DataError

Format = Literal["auto", "toolace", "openai", "xlam", "glaive", "toolrl", "seal_tools", "api_bank", "samples"]

FORMATS: tuple[str, ...] = (*SOURCES, "samples")
DETECT_ROWS = 100
"""Rows of a file that are looked at to find its format."""


@dataclass(frozen=True)
class RawRow:
    """A row as the file has it: number from 1 (the line number in JSON Lines) and value."""

    path: str
    row: int
    value: Any


def load_samples(
    path: str | os.PathLike[str],
    *,
    format: Format = "auto",
    limit: int | None = None,
    targets: Targets = "all",
    filesystem: Any = None,
) -> Loaded:
    """Read files into samples.

    Args:
        path: a file, glob, directory, `s3://`, `gs://` or `hf://datasets/...` location.
        format: the row format; `auto` finds it for each file from its first rows.
        limit: read only the first rows, over all files.
        targets: which assistant turns become samples: every one, or those with calls.
        filesystem: a pyarrow filesystem to find `path` in.

    Samples get a `group`, the same for samples that share a tool, also through others. Raises `DataError` when a
    file cannot be read, is in no known format, or when no row gives a sample; the message has counts by reason.
    """
    loaded = Loaded()
    for result in iter_samples(path, format=format, limit=limit, targets=targets, filesystem=filesystem):
        loaded.add(result)
    if not loaded.samples:
        raise DataError(f"no usable row in {os.fspath(path)}: {describe_loss(loaded)}. {_way_out(loaded)}")
    loaded.samples = assign_groups(loaded.samples)
    return loaded


def iter_samples(
    path: str | os.PathLike[str],
    *,
    format: Format = "auto",
    limit: int | None = None,
    targets: Targets = "all",
    filesystem: Any = None,
) -> Iterator[RowResult]:
    """Like `load_samples`, a row at a time and in the order of the files: for data that memory does not hold.

    Every row gives one `GoodRow`, `BadRow` or `SkippedRow`. `Sample.group` is empty, as it needs all samples.
    """
    if format != "auto" and format not in FORMATS:
        raise DataError(f"unknown format {format!r}. Use auto, {', '.join(FORMATS)}")
    if targets not in ("all", "calls"):
        raise DataError(f"unknown targets {targets!r}. Use all or calls")
    left = limit
    own_ids: set[str] = set()
    for file in find_files(path, filesystem):
        if left is not None and left <= 0:
            return
        for result in _convert_file(file, format, left, targets):
            if left is not None:
                left -= 1
            if isinstance(result, GoodRow) and result.format == "samples":
                # Ids made here differ by file and row; those of our own files come from the file and may repeat.
                result = _first_of_its_id(result, own_ids)
            yield result


def iter_rows(path: str | os.PathLike[str], *, filesystem: Any = None) -> Iterator[RawRow | BadRow]:
    """The rows of files as they are; a line that is not JSON comes as a `BadRow`."""
    for file in find_files(path, filesystem):
        for number, value in read_rows(file):
            if isinstance(value, RowError):
                yield BadRow(number, value.reason, value.detail, file.path)
            else:
                yield RawRow(file.path, number, value)


def _first_of_its_id(result: GoodRow, seen: set[str]) -> RowResult:
    (sample,) = result.samples
    if sample.id in seen:
        return BadRow(result.row, "duplicate_id", f"the id {sample.id!r} was seen before", result.path)
    seen.add(sample.id)
    return result


def describe_loss(loaded: Loaded) -> str:
    """`3 of 5 rows quarantined (bad_json 2, unknown_tool 1), 2 without a target (no_call_turn 2)`."""
    parts = [f"{len(loaded.quarantined)} of {loaded.rows} rows quarantined{_counts(loaded.reasons())}"]
    if loaded.skipped:
        parts.append(f"{len(loaded.skipped)} without a target{_counts(loaded.skips())}")
    return ", ".join(parts)


def _counts(reasons: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{reason} {count}' for reason, count in reasons.items())})" if reasons else ""


def _way_out(loaded: Loaded) -> str:
    if loaded.quarantined:
        first = loaded.quarantined[0]
        return f"The first: row {first.row}, {first.detail}. See `toolace data check` and docs/data-format.md"
    return "Use targets=all, or give data with assistant turns"


def _convert_file(file: DataFile, format: str, limit: int | None, targets: Targets) -> Iterator[RowResult]:
    rows = read_rows(file)
    head: list[tuple[int, Any]] = []
    if format == "auto":
        # Look no further than needed: a big file is not held in memory.
        found = None
        for number, value in rows:
            head.append((number, value))
            found = detect_row(value)
            if found or len(head) == DETECT_ROWS:
                break
        if found is None:
            raise DataError(_unknown_format(file, [value for _, value in head]))
        format = found
    done = 0
    for source in (head, rows):
        for number, value in source:
            if limit is not None and done >= limit:
                return
            done += 1
            yield convert_row(file, format, number, value, targets)


def detect_row(value: Any) -> str | None:
    """The format of a row, None where it is in none. Never raises, whatever it holds."""
    if isinstance(value, Mapping) and isinstance(value.get("chat"), str) and isinstance(value.get("reference"), str):
        return "samples"
    try:
        return detect(value)
    except (RecursionError, ValueError):  # values that Python itself cannot show: this row tells nothing
        return None


def _unknown_format(file: DataFile, values: list[Any]) -> str:
    rows = [value for value in values if not isinstance(value, RowError)]
    if not rows:
        return f"{file.path}: none of the first {len(values)} rows is JSON. Give JSON, JSON Lines or parquet"
    keys = ", ".join(map(str, list(rows[0])[:12])) if isinstance(rows[0], Mapping) else f"no keys: {shorten(rows[0])}"
    tried = "\n".join(f"  {name}: {source.NEEDS}" for name, source in SOURCES.items())
    return (
        f"{file.path}: rows are in no known format; the first has the keys {keys}. Tried:\n{tried}\n"
        "  samples: this package's parquet\nConvert the rows to one of these, or name the format for a reason by row"
    )


def convert_row(file: DataFile, format: str, number: int, value: Any, targets: Targets) -> RowResult:
    """One row as samples, or why not. Never raises for a row, whatever it holds."""
    try:
        if isinstance(value, RowError):
            raise value
        if not isinstance(value, Mapping):
            raise RowError(f"bad_row: the row is {shorten(value)}, not an object")
        if format == "samples":
            samples = _own_sample(value, targets)
            assistant = True
        else:
            dialogue = SOURCES[format].convert(value)
            assistant = any(turn.role == "assistant" for turn in dialogue.turns)
            samples = samples_of(dialogue, name=file.name, row=number, targets=targets)
    except (RecursionError, ValueError, TypeError, OverflowError) as error:
        reason, detail = _why(error)
        # A detail goes to files and terminals, which hold no half of a surrogate pair.
        return BadRow(number, reason, detail.encode(errors="backslashreplace").decode(), file.path)
    if not samples:
        return SkippedRow(number, "no_call_turn" if assistant else "no_assistant_turn", file.path)
    return GoodRow(number, samples, file.path, format)


def _why(error: Exception) -> tuple[str, str]:
    """Reason and detail of what went wrong with a row."""
    if isinstance(error, RowError):
        return error.reason, error.detail
    if isinstance(error, RecursionError):
        return "bad_row", "nested too deeply to read"
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        where = f"{'.'.join(map(str, first['loc']))} of a {error.title.lower()}"
        if first["type"] == "string_unicode":
            return "bad_text", f"half of a surrogate pair in the {where}"
        return "bad_row", f"the {where}: {first['msg']}"
    if isinstance(error, UnicodeEncodeError):
        return "bad_text", f"half of a surrogate pair, {error.object[error.start : error.end]!r}"
    # Parquet has dates and decimals, Python text has integers of any length.
    return "bad_value", f"a value that JSON cannot hold: {error}"


def _own_sample(row: Mapping[str, Any], targets: Targets) -> tuple[Sample, ...]:
    """A row of our own parquet, which keeps its id."""
    try:
        fields = {key: row.get(key, "") for key in ("id", "kind", "group", "source")}
        chat, reference = parse_json(str(row.get("chat", ""))), parse_json(str(row.get("reference", "")))
        sample = Sample.model_validate({**fields, "chat": chat, "reference": reference})
    except ValidationError as error:
        reason, detail = _why(error)
        raise RowError(f"{reason}: not a sample: {detail}") from None
    except ValueError as error:
        raise RowError(f"bad_json: chat or reference: {error}") from None
    check_tools(sample.chat.tools)
    for tool in sample.chat.tools:  # other formats are brought into this form
        properties, required = tool.parameters.get("properties", {}), tool.parameters.get("required", [])
        if not isinstance(properties, Mapping) or not all(isinstance(part, Mapping) for part in properties.values()):
            raise RowError(f"bad_tools: the properties of {tool.name!r} are {shorten(properties)}, no schema each")
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            raise RowError(f"bad_tools: what {tool.name!r} requires is {shorten(required)}, no list of names")
    content_hash(sample.chat, sample.reference)
    "".join(fields.values()).encode()
    return (sample,) if targets == "all" or sample.reference.calls else ()
