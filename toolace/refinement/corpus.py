"""The training corpus of a round: direct rows, and keep and fix pairs made of the model's own probe answers.

    direct   (T, H)                          -> reference
    fix      (T, H, wrong draft, refine)     -> reference
    keep     (T, H, right draft, refine)     -> the draft itself, letter by letter as it was shown

A keep pair teaches the model to leave a good call alone (ToolACE-R), so its target is the draft's own text, even where
that is written otherwise than the reference: another order of arguments, or another refusal. Drafts are distinct
answers from the first `probe.draft_draws` draws, in draw order, so they do not depend on when probing stopped.

Two passes, for data of any size: `plan_corpus` reads the probe records and decides what to drop; `CorpusPlan.rows` then
makes the rows of one sample, in any order and on any worker.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from toolace.calls.schema import Sample
from toolace.config import CorpusConfig
from toolace.corpus import CorpusRow, direct_row, rank
from toolace.errors import RolloutError
from toolace.probing import ProbedAnswer, ProbeRecord
from toolace.rendering import refine_turn

DraftFate = Literal[
    "keep",
    "fix",
    "refinement_off",
    "not_selected",
    "same_text",
    "keep_off",
    "keep_truncated",
    "keep_cap",
    "keep_share",
    "fix_cap",
]
"""What can become of a draft: a pair of that kind, or left out because refinement rows or keep pairs are switched off,
its sample was not selected, it differs from an earlier draft in outer white space only, it was cut off at the token
limit, its sample has enough pairs of the kind, or keep pairs had to give way to `min_fix_share`."""


@dataclass(frozen=True)
class CorpusPlan:
    """Which rows a round's corpus has.

    `counts` has the number of rows by kind under `direct`, `keep` and `fix`. `drafts` has the number of drafts by fate
    (see `DraftFate`); they add up to all drafts of the records. `keep_below` is the bound on the hash of a keep
    pair, exclusive; None: all are kept.
    """

    config: CorpusConfig
    selected: frozenset[str]
    seed: int
    keep_below: int | None
    counts: Mapping[str, int]
    drafts: Mapping[str, int]

    def rows(self, sample: Sample, record: ProbeRecord) -> list[CorpusRow]:
        """The corpus rows of one sample: its direct row first, then its pairs in draw order."""
        if record.id != sample.id:
            raise RolloutError(f"sample {sample.id} was joined with the probe record of {record.id}")
        rows = [direct_row(sample)] if sample.id in self.selected else []
        for answer, fate in _fates(record, sample.id in self.selected, self.config):
            row_id = _pair_id(sample.id, answer)
            chat = refine_turn(sample.chat, answer.text)
            if fate == "fix":
                target = sample.reference
            elif fate == "keep" and (self.keep_below is None or rank(self.seed, row_id) < self.keep_below):
                target = chat.messages[len(sample.chat.messages)]  # the draft as the model is shown it
            else:
                continue
            rows.append(CorpusRow(id=row_id, sample_id=sample.id, kind=fate, chat=chat, target=target))
        return rows


def plan_corpus(
    records: Iterable[ProbeRecord], selected: Iterable[str], config: CorpusConfig, *, seed: int
) -> CorpusPlan:
    """Plan the corpus of the selected samples.

    Keeps in memory the selected ids and 64 bits a keep pair. Which keep pairs give way to `min_fix_share` depends on
    the seed and their ids alone. Without a single fix pair a floor above 0 drops all keep pairs. Raises `RolloutError`
    for a selected sample that has no record.
    """
    chosen = frozenset(selected)
    drafts: Counter[str] = Counter()
    ranks: list[int] = []
    met = 0
    for record in records:
        met += record.id in chosen
        for answer, fate in _fates(record, record.id in chosen, config):
            drafts[fate] += 1
            if fate == "keep":
                ranks.append(rank(seed, _pair_id(record.id, answer)))
    if met != len(chosen):
        raise RolloutError(
            f"{len(chosen)} samples are selected, but {met} of the probe records belong to them: selection and probe "
            "records are not of the same round. Run the select stage again"
        )
    keep_below: int | None = None
    room = _keep_room(drafts["fix"], len(ranks), config.min_fix_share)
    if room < len(ranks):
        keep_below = sorted(ranks)[room]
        kept = sum(rank < keep_below for rank in ranks)
        drafts["keep_share"] = len(ranks) - kept
        drafts["keep"] = kept
    fates = {fate: drafts[fate] for fate in get_args(DraftFate)}
    counts = {"direct": len(chosen), "keep": fates["keep"], "fix": fates["fix"]}
    return CorpusPlan(config, chosen, seed, keep_below, counts, fates)


def _fates(record: ProbeRecord, selected: bool, config: CorpusConfig) -> Iterator[tuple[ProbedAnswer, DraftFate]]:
    """Each draft of a record with what becomes of it, before the floor on the fix share."""
    keep = fix = 0
    texts: set[str] = set()
    for answer in record.drafts:
        fate: DraftFate
        text = answer.text.strip()
        if not config.refinement:
            fate = "refinement_off"
        elif not selected and (answer.correct or not config.fix_from_unsolved):
            fate = "not_selected"
        elif text in texts:
            fate = "same_text"
        elif not answer.correct:
            fate = "fix" if fix < config.max_fix else "fix_cap"
        elif not config.keep_pairs:
            fate = "keep_off"
        elif answer.truncated:
            fate = "keep_truncated"
        else:
            fate = "keep" if keep < config.max_keep else "keep_cap"
        keep += fate == "keep"
        fix += fate == "fix"
        texts.add(text)
        yield answer, fate


def _keep_room(fix: int, keep: int, min_fix_share: float) -> int:
    """The most of `keep` keep pairs beside `fix` fix pairs such that fix / (fix + keep) >= min_fix_share."""
    slack = 1e-9  # rounding must not cost a pair where the share is met exactly
    if fix + slack >= min_fix_share * (fix + keep):
        return keep
    return int(fix * (1 - min_fix_share) / min_fix_share + slack)


def _pair_id(sample_id: str, answer: ProbedAnswer) -> str:
    return f"{sample_id}/draft{answer.draw}"
