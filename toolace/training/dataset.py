"""The corpus as token ids: rendered once, then read by every worker straight from a flat file."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from toolace.calls.schema import Chat, Message
from toolace.corpus import CorpusRow
from toolace.errors import TemplateError, TrainingError
from toolace.storage import Store

TOKENS, ROWS, COUNTS = "tokens.npy", "rows.parquet", "tokens.json"


class Example(Protocol):
    """A rendered row: token ids, of which those from `target_start` on carry loss."""

    @property
    def input_ids(self) -> Any: ...
    @property
    def target_start(self) -> int: ...


Render = Callable[[Chat, Message], Example]
"""`Renderer.example`."""


def tokenise(rows: Iterable[CorpusRow], render: Render, tokens: Store, *, max_length: int) -> dict[str, int]:
    """Render all rows once and publish them in `tokens`; does nothing where that is already done.

    Rows longer than `max_length` tokens are left out and counted. Returns the counts: rows, kept, too_long, tokens,
    target_tokens, longest. Raises `TrainingError` when no row is left or two rows share an id, `TemplateError` with
    the id of a row that cannot be rendered.
    """
    if tokens.exists(COUNTS):
        found: dict[str, int] = _published(tokens)["counts"]
        return found
    ids: list[str] = []
    kinds: list[str] = []
    parts: list[npt.NDArray[np.int32]] = []
    starts: list[int] = []
    total = longest = 0
    for row in rows:
        total += 1
        try:
            example = render(row.chat, row.target)
        except TemplateError as error:
            raise TemplateError(f"corpus row {row.id}: {error}") from error
        size = len(example.input_ids)
        longest = max(longest, size)
        if size > max_length:
            continue
        if not 0 < example.target_start < size:
            raise TrainingError(f"corpus row {row.id} has its target at {example.target_start} of {size} tokens")
        ids.append(row.id)
        kinds.append(row.kind)
        parts.append(np.asarray(example.input_ids, dtype=np.int32))
        starts.append(example.target_start)
    if not ids:
        raise TrainingError(
            f"no row left to train on: {total} in the corpus, {total} longer than max_length={max_length} "
            f"(the longest has {longest} tokens). Raise train.max_length or check the corpus stage"
        )
    if len(set(ids)) != len(ids):
        raise TrainingError(f"the corpus has {len(ids) - len(set(ids))} rows whose id is not unique")
    lengths = np.array([len(part) for part in parts], dtype=np.int64)
    counts = {
        "rows": total,
        "kept": len(ids),
        "too_long": total - len(ids),
        "tokens": int(lengths.sum()),
        "target_tokens": int(lengths.sum() - sum(starts)),
        "longest": longest,
    }
    flat = np.concatenate(parts)
    buffer = io.BytesIO()
    np.save(buffer, flat)
    tokens.write(TOKENS, buffer.getvalue())
    import pyarrow as pa

    starts_column = np.array(starts, dtype=np.int64)
    columns = {"id": ids, "kind": kinds, "length": lengths, "target_start": starts_column}
    tokens.write_table(ROWS, pa.table(columns))
    tokens.write_json(COUNTS, {"counts": counts, "digest": _digest(flat, starts_column)})
    return counts


def _published(tokens: Store) -> dict[str, Any]:
    found = tokens.read_json(COUNTS)
    if not isinstance(found, dict) or not isinstance(found.get("counts"), dict) or "digest" not in found:
        raise _damaged(tokens, f"{COUNTS} holds {str(found)[:80]}")
    return found


def _damaged(tokens: Store, why: object) -> TrainingError:
    # All of it is made from the corpus in one go: a part alone is of no use.
    return TrainingError(
        f"the tokenised corpus {tokens.uri} is damaged ({why}). Delete that directory and run the same command again"
    )


def _digest(flat: npt.NDArray[np.int32], starts: npt.NDArray[np.int64]) -> str:
    state = hashlib.sha256(np.ascontiguousarray(flat).data)
    state.update(starts.tobytes())
    return state.hexdigest()[:16]


@dataclass(frozen=True)
class TokenTable:
    """All rows as token ids. `flat` holds them end to end, memory-mapped where the place is a local path.

    `kinds` say what each row teaches. lengths, targets and starts (all int64, one entry a row): tokens, target tokens,
    index of the first target token.
    `digest` is a short hash of all tokens and starts.
    """

    ids: list[str]
    kinds: list[str]
    flat: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    digest: str

    @classmethod
    def open(cls, tokens: Store) -> TokenTable:
        """Read what `tokenise` published."""
        if not tokens.exists(COUNTS):
            raise TrainingError(f"no tokenised corpus in {tokens.uri}. Run toolace.training.dataset.tokenise first")
        try:
            table = tokens.read_table(ROWS)
            lengths = table.column("length").to_numpy().astype(np.int64)
            offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
            if tokens.local is not None:
                flat = np.load(Path(tokens.local) / TOKENS, mmap_mode="r")
            else:
                flat = np.load(io.BytesIO(tokens.read(TOKENS)))
            starts = table.column("target_start").to_numpy().astype(np.int64)
            digest = str(_published(tokens)["digest"])
            if flat.dtype != np.int32 or len(flat) != offsets[-1] or _digest(flat, starts) != digest:
                raise ValueError(f"{len(flat)} tokens that are not the ones that were written")
            ids, kinds = table.column("id").to_pylist(), table.column("kind").to_pylist()
        except TrainingError:
            raise
        except Exception as error:  # numpy raises whatever a damaged header leads to
            raise _damaged(tokens, error) from None
        return cls(ids, kinds, flat, offsets, lengths, starts, digest)

    @cached_property
    def taught(self) -> tuple[str, ...]:
        """The kinds that the table has, sorted: the same on every worker."""
        return tuple(sorted(set(self.kinds)))

    @cached_property
    def codes(self) -> npt.NDArray[np.int64]:
        """The kind of every row as its place in `taught`."""
        places = {kind: place for place, kind in enumerate(self.taught)}
        return np.array([places[kind] for kind in self.kinds], dtype=np.int64)

    @property
    def targets(self) -> npt.NDArray[np.int64]:
        """Target tokens of every row."""
        return self.lengths - self.starts

    def row(self, index: int) -> npt.NDArray[np.int32]:
        """The token ids of one row."""
        return self.flat[self.offsets[index] : self.offsets[index + 1]]
