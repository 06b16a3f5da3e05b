"""`steps.jsonl`: one line an optimizer step, exact over restarts; and the same curves for TensorBoard."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from statistics import mean
from types import TracebackType
from typing import Any, TextIO

from toolace.errors import StorageError
from toolace.storage import Store

STEPS = "steps.jsonl"
CURVES = ("loss", "lr", "grad_norm", "target_tokens_per_s")
BY_KIND = "loss_by_kind"
FLUSH_S = 10.0
"""How often the log is replaced on object stores, which cannot append, seconds."""

Record = dict[str, Any]
"""step (0-based), of (steps in all), loss (mean over the step's target tokens, nats), loss_by_kind (the same over the
target tokens of each kind of row in the step), lr, grad_norm (before clipping), rows, rows_key (sum of the CRC-32 of
the ids of the rows consumed, hexadecimal), tokens, target_tokens, padded_tokens, seconds, target_tokens_per_s."""


class StepLog:
    """The step log of rank 0. Opening it at `start` cuts off the lines of steps that will be done again."""

    def __init__(self, out: Store, start: int) -> None:
        self._out = out
        self._lines = [line for line in _lines(out) if json.loads(line)["step"] < start]
        if len(self._lines) != start:
            raise StorageError(
                f"{out.at(STEPS)} has {len(self._lines)} steps before the checkpoint at step {start}. It was cut or "
                f"edited; delete {out.at('checkpoints')} to train from the start"
            )
        out.write(STEPS, "".join(f"{line}\n" for line in self._lines).encode())
        self._stream: TextIO | None = None
        if out.local is not None:
            self._stream = (out.local / STEPS).open("a", encoding="utf-8")
        self._flushed = time.monotonic()
        self._board = _board(out, start)

    def __enter__(self) -> StepLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()
        if self._stream is not None:
            self._stream.close()
        if self._board is not None:
            self._board.close()

    def write(self, record: Mapping[str, Any]) -> None:
        """Add one step. Raises `StorageError` when the disk is full."""
        line = json.dumps(record)
        try:
            if self._stream is not None:
                self._stream.write(line + "\n")
                self._stream.flush()
        except OSError as error:
            raise StorageError(f"cannot write {self._out.at(STEPS)}: {error}. Free some space, run again") from None
        self._lines.append(line)
        if self._stream is None and time.monotonic() - self._flushed > FLUSH_S:
            self.flush()
        if self._board is not None:
            for name, value in curves(record).items():
                self._board.add_scalar(f"train/{name}", value, record["step"])

    def flush(self) -> None:
        """Make all steps so far visible (object stores: replace the file)."""
        if self._stream is None:
            self._out.write(STEPS, "".join(f"{line}\n" for line in self._lines).encode())
        self._flushed = time.monotonic()

    def records(self) -> list[Record]:
        """All steps so far, in order."""
        return [json.loads(line) for line in self._lines]


def curves(record: Mapping[str, Any]) -> dict[str, float]:
    """What is drawn over the steps, by name; losses by kind are `loss_by_kind/direct` and so on."""
    found = {name: float(record[name]) for name in CURVES if name in record}
    return found | {f"{BY_KIND}/{kind}": loss for kind, loss in record.get(BY_KIND, {}).items()}


def tenth_by_kind(records: Sequence[Record]) -> dict[str, float]:
    """The mean loss by kind over the first tenth (one at the least) of the steps that had rows of the kind."""
    losses: dict[str, list[float]] = {}
    for record in records:
        for kind, loss in record.get(BY_KIND, {}).items():
            losses.setdefault(kind, []).append(loss)
    return {kind: mean(found[: max(1, len(found) // 10)]) for kind, found in sorted(losses.items())}


def read_steps(out: Store) -> list[Record]:
    """The step log of a run as far as it is written; empty where there is none."""
    return [json.loads(line) for line in _lines(out)]


def _lines(out: Store) -> list[str]:
    if not out.exists(STEPS):
        return []
    lines = out.read(STEPS).decode().split("\n")
    return [line for line in lines[:-1] if line]  # The last piece is empty, or half a line of a killed writer.


def _board(out: Store, start: int) -> Any:
    """A TensorBoard writer into `tensorboard/`, where the run is on a file system; None elsewhere."""
    if out.local is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(log_dir=str(out.local / "tensorboard"), purge_step=start)
