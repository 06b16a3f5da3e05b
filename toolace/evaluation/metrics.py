"""Scores from evaluation records, in one pass and in a memory that does not grow with their number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from toolace.errors import RolloutError
from toolace.evaluation.program import ADAPTIVE, DIRECT, EvaluationRecord


class ArmScores(BaseModel):
    """One way of answering: accuracy over all rows (0..1), answers repaired (wrong directly, right here) and regressed
    (right directly, wrong here), and means over the rows that were answered. `scored` are passes that only scored a
    draft. `stopped` counts rows by why refinement ended, `mistakes` the wrong answers by kind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    accuracy: float
    repairs: int
    regressions: int
    mean_calls: float
    mean_scored: float
    mean_tokens: float
    mean_prompt_tokens: float
    stopped: dict[str, int]
    mistakes: dict[str, int]


class KindScores(BaseModel):
    """Samples of one kind: their number, and accuracies 0..1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int
    direct: float
    adaptive: float


class Scores(BaseModel):
    """Scores of one model on one split.

    `n` counts all rows, `errors` those that failed; a failed row counts as wrong in every accuracy. `direct` and
    `adaptive` are exact-match accuracies, 0..1; `mean_calls`, `mean_tokens`, `repairs` and `regressions` are those of
    the adaptive arm. `arms` has the same and more for every arm.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int
    errors: int
    direct: float
    adaptive: float
    mean_calls: float
    mean_tokens: float
    repairs: int
    regressions: int
    arms: dict[str, ArmScores]
    by_kind: dict[str, KindScores]


class ScoreTally:
    """Adds up records; tallies of parts of a split merge to that of the whole."""

    def __init__(self) -> None:
        self.rows = 0
        self.errors = 0
        self._sums: dict[str, Counter[str]] = {}
        self._stopped: dict[str, Counter[str]] = {}
        self._mistakes: dict[str, Counter[str]] = {}
        self._kinds: dict[str, Counter[str]] = {}

    def add(self, record: EvaluationRecord) -> None:
        """Count one evaluated sample."""
        if self._sums and record.arms.keys() != self._sums.keys():
            raise RolloutError(
                f"evaluation record {record.id} has the arms {sorted(record.arms)}, those before it "
                f"{sorted(self._sums)}: they come from different settings. Run the evaluation again"
            )
        self.rows += 1
        direct = record.arms[DIRECT].correct
        for name, arm in record.arms.items():
            self._sums.setdefault(name, Counter()).update(
                correct=arm.correct,
                repairs=arm.correct and not direct,
                regressions=direct and not arm.correct,
                calls=arm.model_calls,
                scored=arm.scored,
                tokens=arm.tokens,
                prompt_tokens=arm.prompt_tokens,
            )
            self._stopped.setdefault(name, Counter())[arm.stopped] += 1
            if not arm.correct:
                self._mistakes.setdefault(name, Counter())[arm.error or "unnamed"] += 1
        self._kinds.setdefault(record.kind, Counter()).update(
            n=1, direct=direct, adaptive=record.arms[ADAPTIVE].correct
        )

    def add_error(self, kind: str = "") -> None:
        """Count a sample whose row failed, under its kind if that is known."""
        self.errors += 1
        self._kinds.setdefault(kind, Counter())["n"] += 1

    def merge(self, other: ScoreTally) -> None:
        """Add what another tally has counted."""
        if self._sums and other._sums and self._sums.keys() != other._sums.keys():
            raise RolloutError(
                f"tallies with the arms {sorted(self._sums)} and {sorted(other._sums)} cannot merge: they come from "
                "different settings. Run the evaluation again"
            )
        self.rows += other.rows
        self.errors += other.errors
        for mine, theirs in (
            (self._sums, other._sums),
            (self._stopped, other._stopped),
            (self._mistakes, other._mistakes),
            (self._kinds, other._kinds),
        ):
            for name, counter in theirs.items():
                mine.setdefault(name, Counter()).update(counter)

    def scores(self) -> Scores:
        """The scores so far; raises `RolloutError` when no row was answered."""
        if not self.rows:
            raise RolloutError(
                f"nothing to score: of {self.errors} evaluated rows none was answered. "
                + ("Read the errors in the evaluation's records" if self.errors else "Check that the split has samples")
            )
        n = self.rows + self.errors
        arms = {name: self._arm(name, n) for name in self._sums}
        adaptive = arms[ADAPTIVE]
        return Scores(
            n=n,
            errors=self.errors,
            direct=arms[DIRECT].accuracy,
            adaptive=adaptive.accuracy,
            mean_calls=adaptive.mean_calls,
            mean_tokens=adaptive.mean_tokens,
            repairs=adaptive.repairs,
            regressions=adaptive.regressions,
            arms=arms,
            by_kind={
                kind: KindScores(n=c["n"], direct=c["direct"] / c["n"], adaptive=c["adaptive"] / c["n"])
                for kind, c in sorted(self._kinds.items())
            },
        )

    def _arm(self, name: str, n: int) -> ArmScores:
        sums = self._sums[name]
        return ArmScores(
            accuracy=sums["correct"] / n,
            repairs=sums["repairs"],
            regressions=sums["regressions"],
            mean_calls=sums["calls"] / self.rows,
            mean_scored=sums["scored"] / self.rows,
            mean_tokens=sums["tokens"] / self.rows,
            mean_prompt_tokens=sums["prompt_tokens"] / self.rows,
            stopped=dict(sorted(self._stopped[name].items())),
            mistakes=dict(sorted(self._mistakes.get(name, Counter[str]()).items())),
        )


def score(records: Iterable[EvaluationRecord], *, errors: int = 0) -> Scores:
    """Score records in one pass; `errors` rows more have failed and count as wrong."""
    tally = ScoreTally()
    for record in records:
        tally.add(record)
    for _ in range(errors):
        tally.add_error()
    return tally.scores()
