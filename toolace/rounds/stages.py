"""The stages of a round. Each is a function from settings and finished stages to one more finished stage.

A stage that is done is not done again, one that was interrupted goes on, and one that was made from other settings is
refused (see `toolace.storage.Stage`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from toolace.calls.schema import Sample
from toolace.corpus import CorpusRow, direct_row, write_corpus
from toolace.data.shards import read_index, read_samples
from toolace.errors import StorageError
from toolace.evaluation.metrics import ScoreTally
from toolace.evaluation.program import EvaluationRecord, evaluate_sample
from toolace.probing import ProbeRecord, probe
from toolace.refinement.corpus import plan_corpus
from toolace.rollouts.dataset import read_records
from toolace.rounds.context import ModelRef, Run
from toolace.rounds.rolling import Rollout, roll
from toolace.selection import labels, select
from toolace.storage import Stage, Store, digest

PROBE_SEEDS = 1_000_003
"""Rounds draw with seeds run_seed * PROBE_SEEDS + round, so that no two rounds of a run share their draws."""


def evaluation_stage(run: Run, model: ModelRef, split: str, data_key: str) -> Stage:
    """Where a model's evaluation on a split is."""
    return run.stage(
        f"{model.name}/eval-{split}",
        {
            "model": model.key,
            "data": data_key,
            "inference": run.inference_key,
            "refine": run.config.refine.model_dump(),
            "fixed_rounds": run.config.evaluate.fixed_rounds,
            "margins": run.config.evaluate.margins,
        },
    )


def probe_stage(run: Run, model: ModelRef, number: int, data_key: str) -> Stage:
    """Where the probe of round `number` is."""
    return run.stage(
        f"round-{number}/probe",
        {
            "model": model.key,
            "data": data_key,
            "inference": run.inference_key,
            "probe": run.config.probe.model_dump(),
            "select": run.config.select.model_dump(),
            "seed": run.config.seed,
        },
    )


def roll_out(
    run: Run, model: ModelRef, data: Stage, *, evaluate: bool, probe_round: int | None = None
) -> dict[str, dict[str, Any]]:
    """Evaluate a model and probe with it for the next round, both on one start of the engine.

    Returns the counts of the probe stage under `probe` and the scores of each split under its name.
    """
    config = run.config
    planned = evaluations(run, model, data) if evaluate else {}
    if probe_round is not None:
        probing = partial(
            probe,
            config=config.probe,
            select=config.select,
            format=config.model.format,
            run_seed=config.seed * PROBE_SEEDS + probe_round,
        )
        stage = probe_stage(run, model, probe_round, data.key)
        planned["probe"] = Rollout(stage, data.store.at("train"), probing, _probe_line, count_probe, _add_draws)
    return roll(run, model, planned, _title)


def evaluations(run: Run, model: ModelRef, data: Stage) -> dict[str, Rollout]:
    """A model's evaluation on each split that is asked for and has samples, by the split."""
    config = run.config
    evaluation = partial(
        evaluate_sample,
        refine_config=config.refine,
        format=config.model.format,
        fixed_rounds=tuple(config.evaluate.fixed_rounds),
        margins=tuple(config.evaluate.margins),
    )
    planned: dict[str, Rollout] = {}
    for split in config.evaluate.splits:
        if read_index(data.store.sub(split)).rows:
            stage = evaluation_stage(run, model, split, data.key)
            line = partial(_evaluation_line, split)
            planned[split] = Rollout(stage, data.store.at(split), evaluation, line, add=_add_scores)
    return planned


def select_place(run: Run, number: int, probed: Stage, previous: Stage | None) -> Stage:
    """Where the selection of a round is."""
    return run.stage(
        f"round-{number}/select",
        {
            "probe": probed.key,
            "previous": previous.key if previous else None,
            "select": run.config.select.model_dump(),
        },
    )


def select_stage(run: Run, number: int, probed: Stage, previous: Stage | None) -> tuple[Stage, dict[str, Any]]:
    """Select the samples of a round from its probe; `previous` is the last round's probe, for the transitions."""
    stage = select_place(run, number, probed, previous)
    counts = stage.done()
    if counts is None:
        with run.timed(f"round {number}: select", stage):
            before = labels(probe_records(previous), run.config.select) if previous else None
            errors = sum(1 for record in read_records(probed.store.uri) if record.get("error"))
            selection = select(probe_records(probed), run.config.select, before, errors=errors)
            stage.store.write_json("selected.json", list(selection.ids))
            counts = stage.publish(
                {
                    "selected": len(selection.ids),
                    "ids": digest(list(selection.ids)),
                    "probed": selection.probed,
                    "labels": selection.counts,
                    "transitions": selection.transitions,
                }
            )
        run.progress.end(f"{counts['selected']} of {counts['probed']} samples ({_pairs(counts['labels'])})")
    return stage, run.remember(stage, counts)


def _chosen(selected: Stage) -> list[str]:
    """Ids of the selected samples. Raises `StorageError` when they are not those that were published."""
    ids: list[str] = selected.store.read_json("selected.json")
    counts = selected.done() or {}
    if not isinstance(ids, list) or len(ids) != counts.get("selected") or counts.get("ids", digest(ids)) != digest(ids):
        raise StorageError(
            f"{selected.store.at('selected.json')} was changed after it was published with {counts.get('selected')} "
            f"ids. Delete {selected.store.uri} and run the same command again"
        )
    return ids


def corpus_place(run: Run, number: int, selected: Stage) -> Stage:
    """Where the training corpus of a round is."""
    return run.stage(
        f"round-{number}/corpus",
        {"select": selected.key, "corpus": run.config.corpus.model_dump(), "seed": run.config.seed},
    )


def corpus_stage(run: Run, number: int, data: Stage, probed: Stage, selected: Stage) -> tuple[Stage, dict[str, Any]]:
    """Write a round's training corpus: direct rows and refinement pairs."""
    stage = corpus_place(run, number, selected)
    counts = stage.done()
    if counts is None:
        with run.timed(f"round {number}: corpus", stage):
            plan = plan_corpus(
                probe_records(probed),
                _chosen(selected),
                run.config.corpus,
                seed=run.config.seed,
            )

            def rows() -> Iterator[CorpusRow]:
                records = {record.id: record for record in probe_records(probed)}
                for sample in train_samples(data):
                    record = records.get(sample.id)
                    if record is not None:
                        yield from plan.rows(sample, record)

            written = write_corpus(rows(), stage.store)
            if written != plan.counts:
                raise StorageError(
                    f"the corpus of round {number} was planned as {plan.counts}, but written as {written}"
                )
            counts = stage.publish({**written, "drafts": dict(plan.drafts)})
        run.progress.end(f"{counts['direct']} direct, {counts['keep']} keep, {counts['fix']} fix rows")
    return stage, run.remember(stage, counts)


def plain_corpus_place(run: Run, name: str, data: Stage, limit: int | None) -> Stage:
    """Where a corpus of direct rows only is."""
    return run.stage(f"{name}/corpus", {"data": data.key, "limit": limit, "seed": run.config.seed})


def plain_corpus_stage(run: Run, name: str, data: Stage, limit: int | None) -> tuple[Stage, dict[str, Any]]:
    """Write a corpus of direct rows only: all samples, or `limit` of them at random (by hash of seed and id)."""
    stage = plain_corpus_place(run, name, data, limit)
    counts = stage.done()
    if counts is None:
        with run.timed(f"{name}: corpus", stage):
            chosen = None if limit is None else set(_slice(data, limit, run.config.seed))
            rows = (direct_row(sample) for sample in train_samples(data) if chosen is None or sample.id in chosen)
            counts = stage.publish(write_corpus(rows, stage.store))
        run.progress.end(f"{counts['direct']} direct rows")
    return stage, run.remember(stage, counts)


def probe_records(stage: Stage) -> Iterator[ProbeRecord]:
    """The records of a probe, failed rows left out."""
    for record in read_records(stage.store.uri):
        if not record.get("error"):
            yield ProbeRecord.model_validate(record)


def train_samples(data: Stage) -> Iterator[Sample]:
    """The training pool in shard order."""
    return read_samples(data.store.sub("train"))


def _slice(data: Stage, limit: int, seed: int) -> list[str]:
    from toolace.rollouts.program import draw_seed

    ids = [sample.id for sample in train_samples(data)]
    return sorted(ids, key=lambda sample_id: (draw_seed(seed, sample_id, -1), sample_id))[:limit]


def scores_of(records: Store) -> dict[str, Any]:
    """Scores from the records of an evaluation."""
    tally = ScoreTally()
    for record in read_records(records.uri):
        if record.get("error"):
            tally.add_error()
        else:
            tally.add(EvaluationRecord.model_validate(record))
    return tally.scores().model_dump()


def count_probe(record: dict[str, Any]) -> dict[str, float]:
    """What a probe record adds to the counts: draws made, draws that `full` makes, samples solved."""
    return {"draws": record["n"], "draws_full": record["k"], "solved": float(record["c"] > 0)}


def _add_draws(counts: dict[str, Any], records: Store) -> dict[str, Any]:
    return {key: int(counts["counted"].get(key, 0)) for key in ("draws", "draws_full", "solved")}


def _add_scores(counts: dict[str, Any], records: Store) -> dict[str, Any]:
    return {"scores": scores_of(records)}


def _title(names: Sequence[str]) -> str:
    splits = [name for name in names if name != "probe"]
    what = [f"evaluate on {' and '.join(splits)}"] if splits else []
    return ", ".join([*what, *(["probe"] if "probe" in names else [])])


def _probe_line(counts: dict[str, Any]) -> str:
    saved = 1 - counts["draws"] / max(1, counts["draws_full"])
    return f"probe {counts['rows']} rows, {counts['solved']} solved, {saved:.0%} of the draws saved"


def _evaluation_line(split: str, counts: dict[str, Any]) -> str:
    scores = counts["scores"]
    return f"{split} {scores['direct']:.1%} direct, {scores['adaptive']:.1%} refined"


def _pairs(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.items())
