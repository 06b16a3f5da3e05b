"""What came out of a comparison: means over seeds, spread, intervals; everything that its table and page show."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolace.data.shards import read_samples
from toolace.rollouts.dataset import read_records
from toolace.rounds.compare_interval import bootstrap_interval, paired_differences
from toolace.rounds.compare_plan import Comparison, PlannedRun
from toolace.rounds.evolve_summary import IRRELEVANCE, TASK_SCORES
from toolace.rounds.summary import read_summary
from toolace.storage import DONE, Store

SPLITS = ("test", "dev")
"""Splits in the order in which the outcome prefers them."""
PLAIN_SFT = "plain_sft"
FIRST = ("base", "bootstrap", "adaption", "decomposed", PLAIN_SFT)
"""Models that are no rounds, in the order in which they are shown."""
COUNTED = ("queries", "accepted", "errors", "draws", "draws_full", "judged")
SHARES = ("accepted_right", "call_diversity", "tool_diversity")
SUB_TASKS = (*TASK_SCORES, IRRELEVANCE)
WAY_FIELDS = ("accuracy", "mean_calls", "mean_tokens", "repairs", "regressions")
Row = tuple[int, str]
"""A seed and the id of a row of the split."""


@dataclass(frozen=True)
class RunOutcome:
    """What one finished run says about the model that its arm scores. `right` and `refined`: whether the direct and
    the refined answer to a row were right, by row."""

    run: PlannedRun
    model: str
    split: str
    scores: dict[str, Any]
    right: dict[Row, bool]
    refined: dict[Row, bool]
    stopped: str
    rounds: int
    target_tokens: int | None
    path: list[dict[str, Any]]
    probes: list[dict[str, Any]]
    evolution: list[dict[str, Any]]
    """The rounds of evolution that lead to the model, as in the summary."""


def read_outcome(run: PlannedRun) -> RunOutcome:
    """The outcome of a finished run. Raises `ToolaceError` where its records cannot be read."""
    store = Store(run.config.run_dir)
    summary = read_summary(store)
    entries = _entries(summary)
    model = _scored(run, list(entries))
    split = next(s for s in SPLITS if store.exists(f"{model}/eval-{s}/{DONE}"))
    right: dict[Row, bool] = {}
    refined: dict[Row, bool] = {}
    for record in read_records(store.at(f"{model}/eval-{split}")):
        arms = {} if record.get("error") else record["arms"]
        right[run.seed, record["id"]] = bool(arms) and arms["direct"]["correct"]
        refined[run.seed, record["id"]] = bool(arms) and arms["adaptive"]["correct"]
    steps = [
        {"model": name, "direct": entries[name][split]["direct"], "adaptive": entries[name][split]["adaptive"]}
        for name in _path(list(entries), model)
    ]
    reached = int(model[6:]) if model.startswith("round-") else 0
    return RunOutcome(
        run=run,
        model=model,
        split=split,
        scores=entries[model][split],
        right=right,
        refined=refined,
        stopped=summary["stopped"],
        rounds=len(summary["rounds"]),
        target_tokens=entries[model].get("train", {}).get("target_tokens"),
        path=steps,
        probes=[_probe(store, number) for number in range(1, reached + 1)],
        evolution=summary["rounds"][: int(model[7:])] if model.startswith("evolve-") else [],
    )


def build_comparison(
    comparison: Comparison,
    outcomes: Iterable[RunOutcome],
    failed: Mapping[str, str],
    stages: Mapping[str, int],
) -> dict[str, Any]:
    """The content of `comparison.json`; arms of which no run has finished are left out."""
    by_key: dict[str, list[RunOutcome]] = {}
    for outcome in outcomes:
        by_key.setdefault(outcome.run.key, []).append(outcome)
    arms = {}
    for key, runs in by_key.items():
        reference = by_key.get(f"{comparison.reference}/{runs[0].run.pool}/{runs[0].run.model}", [])
        arms[key] = _arm(runs, reference)
    return {
        "name": comparison.name,
        "reference": comparison.reference,
        "stages": dict(stages),
        "failed": dict(failed),
        "arms": arms,
    }


def _arm(runs: Sequence[RunOutcome], reference: Sequence[RunOutcome]) -> dict[str, Any]:
    first = runs[0]
    scores = [run.scores for run in runs]
    differences = paired_differences(_rows(runs, "right"), _rows(reference, "right"))
    refined = paired_differences(_rows(runs, "refined"), _rows(reference, "refined"))
    return {
        "arm": first.run.arm,
        "pool": first.run.pool,
        "model": first.run.model,
        "seeds": [run.run.seed for run in runs],
        "split": first.split,
        "n": round(mean([one["n"] for one in scores])),
        **{name: mean([one[name] for one in scores]) for name in ("direct", "adaptive", "mean_calls", "mean_tokens")},
        **{name: mean([one[name] for one in scores]) for name in ("repairs", "regressions", "errors")},
        "spread": {name: spread([one[name] for one in scores]) for name in ("direct", "adaptive")},
        "difference": mean(differences) if differences else None,
        "interval": _listed(bootstrap_interval(differences)),
        "difference_adaptive": mean(refined) if refined else None,
        "interval_adaptive": _listed(bootstrap_interval(refined)),
        "pairs": len(differences),
        "target_tokens": mean([run.target_tokens for run in runs if run.target_tokens is not None] or [0]),
        "by_seed": [
            {
                "seed": run.run.seed,
                "run": run.run.config.name,
                "model": run.model,
                "rounds": run.rounds,
                "stopped": run.stopped,
                **{name: run.scores[name] for name in ("direct", "adaptive", "mean_calls", "repairs", "regressions")},
            }
            for run in runs
        ],
        "ways": {
            way: {field: mean([one["arms"][way][field] for one in scores]) for field in WAY_FIELDS}
            for way in first.scores["arms"]
            if all(way in one["arms"] for one in scores)
        },
        "by_round": _by_round(runs),
        "probes": _probes(runs),
        "evolution": _evolution(runs),
        "sub_tasks": {name: _mean_known([one.get(name) for one in scores]) for name in SUB_TASKS},
    }


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean."""
    return math.fsum(values) / len(values)


def _mean_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def spread(values: Sequence[float]) -> float | None:
    """The standard deviation of a sample (n - 1); None for fewer than two values."""
    if len(values) < 2:
        return None
    middle = mean(values)
    return math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (len(values) - 1))


def _listed(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else list(interval)


def _rows(runs: Sequence[RunOutcome], what: str) -> dict[Any, bool]:
    return {row: right for run in runs for row, right in getattr(run, what).items()}


def _entries(summary: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What a summary says about each model: scores by split, and `train`; in the order in which models are made."""
    found = {name: summary[name] for name in ("base", "bootstrap") if name in summary}
    for stage in summary.get("stages", ()):
        found[stage["name"]] = {**stage["scores"], "train": stage["train"]}
    series = "evolve" if "stages" in summary else "round"
    found |= {f"{series}-{entry['round']}": entry for entry in summary["rounds"]}
    return found | {name: summary[name] for name in (PLAIN_SFT,) if name in summary}


def _scored(run: PlannedRun, made: list[str]) -> str:
    """The model that an arm scores, of those that its run has made."""
    if run.scored in made:
        return run.scored
    return [name for name in made if name != PLAIN_SFT][-1]  # the last, also where a run stopped before the one named


def _path(made: list[str], model: str) -> list[str]:
    """The models that lead to one, itself included."""
    return ["base", model] if model == PLAIN_SFT else made[: made.index(model) + 1]


def _probe(store: Store, number: int) -> dict[str, Any]:
    """What a round's probe and selection found: samples by class, by right draws, moves, and wrong references."""
    from toolace.report.plots import pass_counts

    counts = store.read_json(f"round-{number}/select/{DONE}")["counts"]
    k, whole, stopped = pass_counts(store.sub(f"round-{number}/probe"))
    found: dict[str, Any] = {
        "round": number,
        "selected": counts["selected"],
        "probed": counts["probed"],
        "labels": counts["labels"],
        "transitions": counts["transitions"],
        "k": k,
        "right_draws": {str(c): whole[c] for c in sorted(whole)},
        "stopped_early": dict(sorted(stopped.items())),
    }
    samples = {sample.id: ":wrong:" in sample.source for sample in read_samples(store.sub("data/train"))}
    if any(samples.values()):
        chosen = [samples[one] for one in store.read_json(f"round-{number}/select/selected.json")]
        corpus = store.sub(f"round-{number}/corpus")
        rows = [
            samples[one]
            for file in corpus.list()
            if file.endswith(".parquet")
            for one in corpus.read_table(file).column("sample_id").to_pylist()
        ]
        found["wrong_references"] = {
            "pool": mean(list(samples.values())),
            "selected": mean(chosen),
            "corpus": mean(rows) if rows else 0.0,
        }
    return found


def _by_round(runs: Sequence[RunOutcome]) -> list[dict[str, Any]]:
    """Means over the seeds whose run has that model."""
    names = list(dict.fromkeys(step["model"] for run in runs for step in run.path))
    found = []
    for name in sorted(names, key=lambda name: (_place(name), name)):
        steps = [step for run in runs for step in run.path if step["model"] == name]
        entry: dict[str, Any] = {"model": name, "seeds": len(steps)}
        found.append(entry | {field: mean([step[field] for step in steps]) for field in ("direct", "adaptive")})
    return found


def _place(model: str) -> int:
    series, _, number = model.rpartition("-")
    return int(number) if series else FIRST.index(model) - len(FIRST)


def _evolution(runs: Sequence[RunOutcome]) -> list[dict[str, Any]]:
    """Sums over seeds of what each round of evolution counted; shares as means over the seeds that have them."""
    found = []
    for number in sorted({entry["round"] for run in runs for entry in run.evolution}):
        rounds = [entry for run in runs for entry in run.evolution if entry["round"] == number]
        entry: dict[str, Any] = {"round": number, "seeds": len(rounds)}
        entry |= {name: sum(one[name] for one in rounds) for name in COUNTED}
        entry["rejected"] = _sum(one["rejected"] for one in rounds)
        for name in SHARES:
            values = [one[name] for one in rounds if one[name] is not None]
            entry[name] = mean(values) if values else None
        found.append(entry)
    return found


def _probes(runs: Sequence[RunOutcome]) -> list[dict[str, Any]]:
    """Sums over seeds of what each round's probe counted; wrong references as means."""
    found = []
    for number in sorted({probe["round"] for run in runs for probe in run.probes}):
        probes = [probe for run in runs for probe in run.probes if probe["round"] == number]
        entry: dict[str, Any] = {"round": number, "seeds": len(probes), "k": max(probe["k"] for probe in probes)}
        entry |= {name: sum(probe[name] for probe in probes) for name in ("selected", "probed")}
        for name in ("labels", "right_draws", "stopped_early"):
            entry[name] = _sum(probe[name] for probe in probes)
        moves: dict[str, list[Mapping[str, int]]] = {}
        for probe in probes:
            for old, row in probe["transitions"].items():
                moves.setdefault(old, []).append(row)
        entry["transitions"] = {old: _sum(rows) for old, rows in moves.items()}
        wrong = [probe["wrong_references"] for probe in probes if "wrong_references" in probe]
        if wrong:
            entry["wrong_references"] = {name: mean([one[name] for one in wrong]) for name in wrong[0]}
        found.append(entry)
    return found


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(total)
