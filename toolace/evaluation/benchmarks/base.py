"""What a benchmark is here: rows from a folder in its official layout, a verdict on raw model text, and scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from toolace.calls.formats import CallFormat
from toolace.calls.schema import Chat, Message, Tool

Output = str | Sequence[Sequence[str]]
"""Raw model text; for multi-turn rows a list of steps (texts) for each turn."""

Execute = Callable[[Mapping[str, Any], Sequence[str]], list[str] | None]
"""Executes calls on simulated backends: from a dialogue's `entry` and the model's raw texts so far, all that had calls,
to the results of the last one, a text for each call; None where it has no readable calls. It keeps no state: the same
texts give the same results. Raises `RolloutError` where the calls end it, hang or want too much memory. Picklable.
"""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What follows the first turn of a row whose calls are executed.

    `turns` are the messages of the turns after the first, `held` the tools that appear with a turn (counted from 0),
    `entry` what the backends start from.
    """

    turns: tuple[tuple[Message, ...], ...]
    entry: Mapping[str, Any]
    held: Mapping[int, tuple[Tool, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BenchmarkRow:
    """One row of a benchmark.

    `chat` is what the model is asked. `problem` says why a row cannot be scored (its files are faulty): it is counted
    in the denominator as wrong, and named. `not_asked` says why a row is not put to a model here: its rules are not
    offered. `raw` and `gold` are the official entry and its answer, as in the files. With a `dialogue` the row goes on
    after the first answer.
    """

    id: str
    category: str
    chat: Chat
    raw: Mapping[str, Any]
    gold: Any
    problem: str | None = None
    not_asked: str | None = None
    dialogue: Dialogue | None = None


@dataclass(frozen=True, slots=True)
class RowVerdict:
    """A judged row. `error` is None where correct, else the benchmark's own error kind (`bad_row` for faulty files).

    `parts` are counts for scores that are not per row, such as true positives of argument names.
    """

    id: str
    category: str
    correct: bool
    error: str | None = None
    detail: str = ""
    parts: Mapping[str, float] | None = None


class Benchmark(Protocol):
    """One benchmark. `judge` never raises for any text; `scores` may take verdicts of a part of the rows."""

    name: str

    def load(self, folder: Path) -> list[BenchmarkRow]:
        """All rows of the categories whose files are in `folder`, in file order.

        Raises `DataError` naming the folder and the files looked for where there are none.
        """
        ...

    def judge(self, row: BenchmarkRow, output: Output) -> RowVerdict:
        """The verdict on raw model text."""
        ...

    def scored_text(self, row: BenchmarkRow, text: str, format: CallFormat) -> str:
        """The text to judge for what a model said in its own call format; the same text where the rules read it."""
        ...

    def backends(self, format: CallFormat) -> Execute | None:
        """What executes the calls of rows with a dialogue, for a model of that format; None where no row has one."""
        ...

    def left_out(self, folder: Path, verdicts: Sequence[RowVerdict], sizes: Mapping[str, int]) -> list[str]:
        """What was not run, in sentences for people: files of the benchmark that are not read, scores without parts."""
        ...

    def scores(self, verdicts: Iterable[RowVerdict], sizes: Mapping[str, int]) -> dict[str, float | None]:
        """Scores 0..1 by name. `sizes` are the rows of each category at hand; a score whose categories are not all
        complete is None: a partial run never gives a full score."""
        ...
