"""Records on disk: one parquet file a shard of samples, which holds its own counts and detects its own damage.

Columns: id, error (null where the row has a record), record (JSON text, null where the row has an error). The counts
are in the file's metadata, the file has a checksum and is published whole: a shard is done or absent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from toolace.calls.schema import stored_json
from toolace.data.shards import INDEX, ShardIndex, ShardInfo, digest_ids
from toolace.errors import StorageError
from toolace.storage import Store

if TYPE_CHECKING:
    import pyarrow as pa

_COUNTS = b"toolace.counts"
_EXAMPLES = 3


@dataclass(slots=True)
class Counts:
    """What became of rows and what it cost; adds up over shards.

    `errors` counts rows without a record by reason, `examples` shows a few of them. `counted` holds the sums that the
    job's own `count` function asks for. `models` are the fingerprints of the weights that answered.
    """

    rows: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    requests: int = 0
    generated_tokens: int = 0
    prompt_tokens: int = 0
    counted: dict[str, float] = field(default_factory=dict)
    models: list[str] = field(default_factory=list)
    shards: int = 0
    seconds: float = 0.0
    """From the first row's start to the last shard's publication, of what this run did itself; 0 if it did nothing."""
    startup_seconds: float = 0.0
    """From the call to the first row's start: actors, imports, weights, canary."""

    @property
    def failed(self) -> int:
        """Rows that ended in an error."""
        return sum(self.errors.values())

    def add(self, other: Counts) -> None:
        """Add the counts of other rows (times are not added: shards overlap)."""
        self.rows += other.rows
        self.requests += other.requests
        self.generated_tokens += other.generated_tokens
        self.prompt_tokens += other.prompt_tokens
        self.shards += other.shards
        for reason, rows in other.errors.items():
            self.errors[reason] = self.errors.get(reason, 0) + rows
        for name, value in other.counted.items():
            self.counted[name] = self.counted.get(name, 0) + value
        self.examples = [*self.examples, *other.examples][:_EXAMPLES]
        self.models = sorted({*self.models, *other.models})

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `done.json` and reports."""
        return asdict(self)


def reason_of(error: str) -> str:
    """The kind of an error: its text without the numbers, so that rows that failed alike count together."""
    return re.sub(r"\d+", "#", error)[:100]


def make_table(results: Mapping[str, str | None], errors: Mapping[str, str], counts: Counts) -> pa.Table:
    """The table of a shard: `results` are JSON records by id in the order of the samples, None where in `errors`."""
    import pyarrow as pa

    table = pa.table(
        {"id": list(results), "error": [errors.get(key) for key in results], "record": list(results.values())},
        schema=pa.schema([("id", pa.string()), ("error", pa.string()), ("record", pa.string())]),
    )
    return table.replace_schema_metadata({_COUNTS: json.dumps(counts.as_dict())})


def publish(store: Store, shard: ShardInfo, table: pa.Table) -> None:
    """Write a shard's records so that they are there whole or not at all."""
    store.write_table(shard.file, table)


def load(store: Store, shard: ShardInfo) -> tuple[pa.Table, Counts]:
    """A shard's records and counts. Raises `StorageError` where they are absent, damaged or of other samples."""
    table = store.read_table(shard.file)
    try:
        counts = Counts(**json.loads((table.schema.metadata or {})[_COUNTS]))
        ids = table.column("id").to_pylist()
        whole = (
            table.num_rows == shard.rows == counts.rows
            and digest_ids(ids) == shard.ids
            and counts.failed == table.num_rows - table.column("error").null_count
            and table.column("error").null_count == table.num_rows - table.column("record").null_count
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StorageError(f"{store.at(shard.file)} is damaged ({error!r}). {store.remake(shard.file)}") from None
    if not whole:
        raise StorageError(
            f"{store.at(shard.file)} does not hold the records of its {shard.rows} samples. {store.remake(shard.file)}"
        )
    return table, counts


def read_records(out: str, index: ShardIndex | None = None) -> Iterator[dict[str, Any]]:
    """All records of a finished rollout, in the order of the samples, one shard in memory at a time.

    A row that failed is `{"id": ..., "error": "..."}`; the others are `{"id": ..., **record}`.
    Raises `StorageError` where a shard is absent or damaged.
    """
    from toolace.data.shards import read_index

    store = Store(out)
    for shard in (index or read_index(store)).shards:
        table, _ = load(store, shard)
        for row_id, error, record in zip(*(table.column(i).to_pylist() for i in range(3)), strict=True):
            yield {"id": row_id, "error": error} if record is None else {"id": row_id, **json.loads(record)}


def record_text(record: Any) -> str:
    """A record as JSON text. Raises `TypeError` or `ValueError` for what is not a JSON object."""
    if not isinstance(record, dict):
        raise TypeError(f"a program returned {type(record).__name__}, not a dict")
    return stored_json(record)


def copy_index(samples: Store, out: Store) -> None:
    """Put the samples' index beside their records, so that the records can be read on their own."""
    out.write(INDEX, samples.read(INDEX))
