"""Training rows, and the parquet files that a corpus stage leaves for training.

A corpus directory holds one or more parquet files with the columns `id`, `sample_id`, `kind`, `chat` and `target` (the
last two as JSON of `toolace.calls` types).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from toolace.calls.schema import Chat, Message, Sample, stored_json
from toolace.errors import DataError
from toolace.storage import Store

RowKind = Literal["direct", "keep", "fix", "adaption", "generation", "invocation"]
"""What a row teaches: to answer; to keep or to mend a draft (ToolACE-R); the sub-tasks of ToolACE-DEV."""
ROUND_KINDS: tuple[RowKind, ...] = ("direct", "keep", "fix")
SUBTASKS: tuple[RowKind, ...] = ("adaption", "generation", "invocation")
CORPUS_COLUMNS = ("id", "sample_id", "kind", "chat", "target")
SHARD_ROWS = 5000


class CorpusRow(BaseModel):
    """A training row: the loss is on `target`, as the reply to `chat`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    sample_id: str
    kind: RowKind
    chat: Chat
    target: Message


def direct_row(sample: Sample) -> CorpusRow:
    """The plain fine-tuning row of a sample."""
    return CorpusRow(
        id=f"{sample.id}/direct", sample_id=sample.id, kind="direct", chat=sample.chat, target=sample.reference
    )


def rank(seed: int, row_id: str) -> int:
    """A fixed pseudo-random place among rows, 64 bits: a function of seed and id alone, never of order."""
    return int.from_bytes(hashlib.blake2b(f"{seed}\x00{row_id}".encode(), digest_size=8).digest(), "big")


def in_share(seed: int, row_id: str, share: float) -> bool:
    """Whether a row is among a pseudo-random share (0..1) of all rows. A larger share holds every smaller one."""
    return rank(seed, row_id) < share * 2**64


def write_corpus(rows: Iterable[CorpusRow], store: Store, kinds: Sequence[RowKind] = ROUND_KINDS) -> dict[str, int]:
    """Write corpus rows as parquet; returns the number of rows of each of `kinds`, which the rows must be of."""
    import pyarrow as pa

    counts: dict[str, int] = dict.fromkeys(kinds, 0)
    batch: list[dict[str, str]] = []
    part = 0

    def flush() -> None:
        nonlocal part
        store.write_table(f"part-{part:05d}.parquet", pa.Table.from_pylist(batch))
        part += 1
        batch.clear()

    for row in rows:
        counts[row.kind] += 1
        batch.append(
            {
                "id": row.id,
                "sample_id": row.sample_id,
                "kind": row.kind,
                "chat": stored_json(row.chat.model_dump(exclude_defaults=True)),
                "target": stored_json(row.target.model_dump(exclude_defaults=True)),
            }
        )
        if len(batch) == SHARD_ROWS:
            flush()
    if batch:
        flush()
    return counts


def read_corpus(corpus: Store) -> Iterator[CorpusRow]:
    """Rows of a corpus directory in file order. Raises `DataError` naming the file and the row."""
    names = [name for name in corpus.list() if name.endswith(".parquet")]
    if not names:
        raise DataError(f"no corpus in {corpus.uri}: it holds no parquet file. Run the corpus stage first")
    for name in names:
        table = corpus.read_table(name)
        missing = [column for column in CORPUS_COLUMNS if column not in table.column_names]
        if missing:
            raise DataError(
                f"{corpus.at(name)} is not a training corpus: it lacks {', '.join(missing)} "
                f"(has {', '.join(table.column_names)})"
            )
        columns = (table.column(column).to_pylist() for column in CORPUS_COLUMNS)
        for number, (row_id, sample_id, kind, chat, target) in enumerate(zip(*columns, strict=True)):
            try:
                yield CorpusRow(
                    id=row_id,
                    sample_id=sample_id,
                    kind=kind,
                    chat=Chat.model_validate_json(chat),
                    target=Message.model_validate_json(target),
                )
            except (ValueError, TypeError) as error:
                raise DataError(f"{corpus.at(name)}, row {number} ({row_id}): {error}") from None
