"""Samples on disk: a directory of parquet shards and an index, written and read as streams.

`part-00000.parquet` and so on have the columns of `toolace.data.storing`.
`index.json` is written last: a directory without it is not finished.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from toolace.calls.schema import Sample
from toolace.data.storing import COLUMNS, from_row, to_row
from toolace.errors import DataError
from toolace.storage import Store

INDEX = "index.json"


@dataclass(frozen=True, slots=True)
class ShardInfo:
    """One shard of samples: its number, its rows, and a digest of their ids in order."""

    number: int
    rows: int
    ids: str

    @property
    def file(self) -> str:
        return part_name(self.number)


@dataclass(frozen=True, slots=True)
class ShardIndex:
    """All shards of a directory of samples."""

    rows: int
    shards: tuple[ShardInfo, ...]


def part_name(number: int) -> str:
    """File name of a shard."""
    return f"part-{number:05d}.parquet"


def digest_ids(ids: Iterable[str]) -> str:
    """Short digest of ids in order: shows whether two files hold the same rows."""
    state = hashlib.blake2b(digest_size=8)
    for row in ids:
        state.update(row.encode() + b"\x00")
    return state.hexdigest()


def write_shards(samples: Iterable[Sample], store: Store, shard_rows: int) -> ShardIndex:
    """Write samples as shards of `shard_rows` rows, holding no more than one shard in memory.

    Raises `DataError` when two samples have the same id: results are published by id.
    """
    import pyarrow as pa

    stream = iter(samples)
    shards: list[ShardInfo] = []
    # 8 bytes a row; two of a million ids have the same 64-bit hash once in ten million runs.
    hashes = array("Q")
    while rows := list(islice(stream, shard_rows)):
        hashes.extend(int.from_bytes(hashlib.blake2b(row.id.encode(), digest_size=8).digest(), "big") for row in rows)
        info = ShardInfo(len(shards), len(rows), digest_ids(row.id for row in rows))
        schema = pa.schema([(name, pa.string()) for name in COLUMNS])
        store.write_table(info.file, pa.Table.from_pylist([to_row(row) for row in rows], schema=schema))
        shards.append(info)
    _refuse_duplicates(hashes, store, shards)
    index = ShardIndex(len(hashes), tuple(shards))
    store.write_json(INDEX, {"rows": index.rows, "shards": [[shard.rows, shard.ids] for shard in shards]})
    return index


def read_index(store: Store) -> ShardIndex:
    """The index of a directory of shards."""
    if not store.exists(INDEX):
        raise DataError(f"no samples at {store.uri}: there is no {INDEX}. Run the stage that writes them first")
    found = store.read_json(INDEX)
    try:
        shards = tuple(ShardInfo(i, int(rows), str(ids)) for i, (rows, ids) in enumerate(found["shards"]))
        index = ShardIndex(int(found["rows"]), shards)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{store.at(INDEX)} is damaged ({error!r}). {store.remake(INDEX)}") from None
    if index.rows != sum(shard.rows for shard in shards):
        raise DataError(
            f"{store.at(INDEX)} says {index.rows} rows, its shards have {sum(s.rows for s in shards)}. "
            f"{store.remake(INDEX)}"
        )
    return index


def read_shard(store: Store, shard: ShardInfo) -> list[Sample]:
    """The samples of one shard. Raises `StorageError` when the file is damaged, `DataError` when it holds others."""
    table = store.read_table(shard.file)
    try:
        samples = [from_row(row) for row in table.to_pylist()]
    except (KeyError, ValueError) as error:
        raise DataError(f"{store.at(shard.file)} holds no samples: {error}. {store.remake(shard.file)}") from None
    if len(samples) != shard.rows or digest_ids(sample.id for sample in samples) != shard.ids:
        raise DataError(
            f"{store.at(shard.file)} does not hold the {shard.rows} rows that {INDEX} names. {store.remake(shard.file)}"
        )
    return samples


def read_samples(store: Store) -> Iterator[Sample]:
    """All samples of a directory, in order, one shard in memory at a time."""
    for shard in read_index(store).shards:
        yield from read_shard(store, shard)


def _refuse_duplicates(hashes: array[int], store: Store, shards: Sequence[ShardInfo]) -> None:
    import numpy as np

    values = np.frombuffer(hashes, dtype=np.uint64) if len(hashes) else np.empty(0, np.uint64)
    if len(np.unique(values)) == len(values):
        return
    seen: set[str] = set()
    for shard in shards:
        for row in store.read_table(shard.file).column("id").to_pylist():
            if row in seen:
                raise DataError(f"two samples have the id {row!r}. Give every sample an id of its own")
            seen.add(row)
