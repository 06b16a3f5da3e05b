"""Tables as parquet files that notice every changed byte.

The footer of a file holds, under `toolace.seal`, the SHA-256 of all its other bytes: pages have checksums of their own
in parquet, but their headers and the footer, which say how pages are read, have none.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

_KEY = "toolace.seal"
_BLANK = "sha256:" + "0" * 64
_VALUE = re.compile(rb"sha256:([0-9a-f]{64})")


def to_parquet(table: pa.Table) -> bytes:
    """The bytes of a sealed parquet file (zstd)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, compression="zstd", write_page_checksum=True) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({_KEY: _BLANK})
    data = bytearray(sink.getvalue())
    start, end = _place(data) or (0, 0)
    data[start:end] = _digest_but(data, start, end)
    return bytes(data)


def from_parquet(data: bytes) -> pa.Table:
    """The table of a parquet file. Raises `ValueError` where any byte is not the one that `to_parquet` wrote.

    Files of other writers are read too; of these only the checksums of pages are verified, where they have some.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = _place(data)
    if place is not None and data[slice(*place)] != _digest_but(data, *place):
        raise ValueError("its checksum is of other bytes")
    try:
        table = pq.read_table(pa.BufferReader(data), page_checksum_verification=True)
    except (pa.ArrowException, OSError, KeyError, TypeError) as error:  # what pyarrow raises depends on the place
        raise ValueError(str(error)) from None
    metadata = {key: value for key, value in (table.schema.metadata or {}).items() if key != _KEY.encode()}
    return table.replace_schema_metadata(metadata or None)


def _place(data: bytes | bytearray) -> tuple[int, int] | None:
    """Where a file holds its checksum, None where it has none; `(0, 0)`, which never fits, where it is broken."""
    key = data.rfind(_KEY.encode())
    if key < 0:
        return None
    found = _VALUE.search(data, key)
    return found.span(1) if found else (0, 0)


def _digest_but(data: bytes | bytearray, start: int, end: int) -> bytes:
    """SHA-256 (hex) of all bytes but those from `start` to `end`."""
    view = memoryview(data)
    state = hashlib.sha256(view[:start])
    state.update(view[end:])
    return state.hexdigest().encode()
