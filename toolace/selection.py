"""Rules over probe records: which samples suit the model's present ability, why, and how that changed since last round.

Labels are made from the counts of a record under the present rule, so a rule or a band may be changed after probing
wherever the draws that were made decide the label (always after `probe.mode` full). Selection takes the samples whose
label is `solved` (rule `solved`) or `inside` (rule `band`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict

from toolace.config import SelectConfig
from toolace.errors import RolloutError
from toolace.probing import Label, ProbeRecord, decided

SELECTED: frozenset[Label] = frozenset({"solved", "inside"})
"""Labels that are selected."""

ABSENT = "absent"
"""In `Selection.transitions`: a sample that has no label in one of the two rounds (new, gone, or failed)."""


class Selection(BaseModel):
    """The selected samples of a round.

    `ids` are in the order of the records. `counts` has every label with its number of samples, and `error` for rows
    that failed; they add up to `probed`. `transitions[old][new]` counts samples by their label in the previous round
    and in this one; empty in the first round.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ids: tuple[str, ...]
    probed: int
    counts: dict[str, int]
    transitions: dict[str, dict[str, int]]


def select(
    records: Iterable[ProbeRecord], config: SelectConfig, previous: Mapping[str, str] | None = None, *, errors: int = 0
) -> Selection:
    """Select from probe records in one pass; only ids stay in memory.

    `previous` maps sample ids to their labels of the round before (see `labels`). `errors` is the number of rows that
    have no record because they failed. Raises `RolloutError` when nothing is selected, when a sample comes twice, or
    when a probe stopped, under another rule, before this one's label was decided.
    """
    ids: dict[str, None] = {}
    counts: Counter[str] = Counter()
    moves: Counter[tuple[str, str]] = Counter()
    for record in records:
        label = label_under(config, record)
        counts[label] += 1
        if previous is not None:
            moves[previous.get(record.id, ABSENT), label] += 1
        if label in SELECTED:
            if record.id in ids:
                raise RolloutError(f"sample {record.id} has two probe records. Delete the probe stage and run it again")
            ids[record.id] = None
    if errors:
        counts["error"] = errors
    probed = sum(counts.values())
    if not ids:
        raise RolloutError(_nothing(config, probed, counts))
    transitions: dict[str, dict[str, int]] = {}
    for old, total in sorted(Counter((previous or {}).values()).items()):
        kept = sum(number for (label, _), number in moves.items() if label == old)
        if total > kept:
            moves[old, ABSENT] += total - kept
    for (old, new), number in sorted(moves.items()):
        transitions.setdefault(old, {})[new] = number
    return Selection(ids=tuple(ids), probed=probed, counts=dict(sorted(counts.items())), transitions=transitions)


def label_under(config: SelectConfig, record: ProbeRecord) -> Label:
    """The label of a record under a rule. Raises `RolloutError` where the draws that were made do not decide it."""
    label = decided(config, record.k, record.c, record.n)
    if label is None:
        rule = f"select.rule {config.rule}"
        if config.rule == "band":
            rule += f" with select.low {config.low:g} and select.high {config.high:g}"
        raise RolloutError(
            f"sample {record.id} was probed under another rule: the probe stopped after {record.n} of {record.k} draws "
            f"({record.c} right, {record.label}), which leaves its label under {rule} open. Set select.* back to what "
            "they were, or probe again under these settings (with probe.mode full, records serve every rule)"
        )
    return label


def labels(records: Iterable[ProbeRecord], config: SelectConfig) -> dict[str, str]:
    """The labels by sample id under a rule: what the next round's `select` takes as `previous`."""
    return {record.id: label_under(config, record) for record in records}


def stalled(current: int, previous: int | None) -> bool:
    """The paper's stop rule: |S_t| no longer grows. Takes the sizes of two selections; None: no round before."""
    return previous is not None and current <= previous


def _nothing(config: SelectConfig, probed: int, counts: Mapping[str, int]) -> str:
    """The message for an empty selection."""
    if not probed:
        return "nothing selected: there are no probe records. Check that the training split has samples"
    by_reason = ", ".join(f"{number} {label}" for label, number in sorted(counts.items()))
    if counts.get("error") == probed:
        way_out = "every row failed: read the errors in the probe stage's records"
    elif config.rule == "solved":
        way_out = (
            "the model solves no sample: train it on some rows first (rounds.bootstrap_rows), check that model.format "
            "is the format it writes, or draw more often (probe.k)"
        )
    else:
        way_out = (
            f"no pass rate lies between select.low {config.low:g} and select.high {config.high:g}: widen the band, "
            "draw more often (probe.k), or use select.rule solved"
        )
    return f"nothing selected from {probed} probed samples ({by_reason}): {way_out}"
