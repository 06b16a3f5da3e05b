"""Rows of a rollout for a report: many are looked at, few are parsed."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from typing import Any

from toolace.data.shards import read_index
from toolace.rollouts.outputs import load
from toolace.storage import Store

Row = tuple[str, str | None, dict[str, Any] | None]


def read_rows(store: Store, wanted: Container[str] | None = None) -> Iterator[Row]:
    """(id, error, record) of every row of a finished rollout, or of the `wanted` ids only.

    A failed row has an error and no record. One shard is in memory at a time. Raises a `ToolaceError` where a shard is
    absent or damaged.
    """
    for shard in read_index(store).shards:
        table, _ = load(store, shard)
        columns = (table.column(name).to_pylist() for name in ("id", "error", "record"))
        for sample_id, error, record in zip(*columns, strict=True):
            if wanted is None or sample_id in wanted:
                yield sample_id, error, None if record is None else json.loads(record)
