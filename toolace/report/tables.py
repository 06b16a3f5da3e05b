"""The tables of a report: plain cells, made from the facts of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from toolace.corpus import RowKind
from toolace.data.records import REASONS
from toolace.report.charts import percent
from toolace.report.examples import label_names
from toolace.report.facts import ModelFacts, RunFacts, arm_order, costs, label_of
from toolace.training.steplog import tenth_by_kind

Z_95 = 1.959964


@dataclass(frozen=True)
class Table:
    """A table for the page. The first `text` columns hold words and are left-aligned; the others hold numbers."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    text: int = 1
    note: str = ""


def headline(facts: RunFacts) -> Table | None:
    """The outcome of every model on the headline split."""
    split = facts.split
    models = [model for model in facts.models if split in model.evaluations or model.train or model.corpus]
    if not models:
        return None
    margins = list(dict.fromkeys(arm for m in models for arm in _arms(m, split) if arm.startswith("margin_")))
    rows = []
    for model in models:
        scores = model.evaluations.get(split)
        made = [_int(model.corpus.get("direct")), _pairs(model), _int(model.train.get("target_tokens"))]
        if scores is None:
            rows.append([model.label, "not evaluated yet", *[""] * (5 + len(margins)), *made])
            continue
        arms = scores["arms"]
        # Accuracy first: on a narrow screen the rest is reached by scrolling.
        cells = [model.label, percent(scores["direct"]), percent(scores["adaptive"])]
        cells += [percent(arms[name]["accuracy"]) if name in arms else "" for name in margins]
        cells += [f"{scores['repairs']:,}", f"{scores['regressions']:,}"]
        rows.append([*cells, f"{scores['mean_calls']:.2f}", f"{scores['mean_tokens']:.1f}", *made])
    n = next((m.evaluations[split]["n"] for m in models if split in m.evaluations), None)
    failed = {m.label: m.evaluations[split]["errors"] for m in models if split in m.evaluations}
    note = (
        "Accuracy is the share of rows whose calls match the reference, greedy decoding. Refined: adaptive "
        "self-refinement; margin x: the same, but a changed answer is taken only when the model prefers it by more "
        "than x nats. Repairs are wrong directly and right refined, regressions the other way round. Calls and tokens: "
        "generations and generated tokens a query, refined."
    )
    if any(failed.values()):
        note += " Failed rows count as wrong: " + ", ".join(f"{name}: {bad:,}" for name, bad in failed.items() if bad)
    return Table(
        f"{split.capitalize()} split" + (f", {n:,} rows" if n else ""),
        ["model", "direct", "refined"]
        + [_arm(name) for name in margins]
        + ["repairs", "regressions", "calls", "tokens", "rows trained on", "keep + fix pairs", "target tokens"],
        rows,
        note=note,
    )


def ways(facts: RunFacts) -> list[Table]:
    """Every way of answering, a table a split."""
    found = []
    for split in ("test", "dev"):
        rows = []
        for model in facts.models:
            scores = model.evaluations.get(split)
            if scores is None:
                continue
            for name in arm_order(scores["arms"]):
                arm = scores["arms"][name]
                low, high = wilson(arm["accuracy"], scores["n"])
                rows.append(
                    [
                        model.label,
                        _arm(name),
                        percent(arm["accuracy"]),
                        f"{100 * low:.1f} to {100 * high:.1f} %",
                        f"{arm['repairs']:,}",
                        f"{arm['regressions']:,}",
                        f"{arm['mean_calls']:.2f}",
                        f"{arm['mean_tokens']:.1f}",
                        f"{arm['mean_prompt_tokens']:,.1f}",
                        f"{arm['mean_scored']:.2f}",
                    ]
                )
        if rows:
            found.append(
                Table(
                    f"{split.capitalize()} split",
                    [
                        "model",
                        "way",
                        "accuracy",
                        "95 % interval",
                        "repairs",
                        "regressions",
                        "calls",
                        "tokens",
                        "tokens read",
                        "drafts scored",
                    ],
                    rows,
                    text=2,
                    note="Interval: Wilson score interval of the accuracy, over rows of this split only; it knows "
                    "nothing of other seeds. Calls, tokens, tokens read and drafts scored are means over the rows that "
                    "were answered.",
                )
            )
    return found


def kinds(facts: RunFacts) -> Table | None:
    """Direct and refined accuracy by kind of sample."""
    split = facts.split
    models = [model for model in facts.models if split in model.evaluations]
    names = sorted({kind for model in models for kind in model.evaluations[split]["by_kind"]})
    if not names:
        return None
    rows = []
    for name in names:
        found = [model.evaluations[split]["by_kind"].get(name) for model in models]
        cells = [f"{100 * one['direct']:.1f} → {percent(one['adaptive'])}" if one else "" for one in found]
        rows.append([name or "not known", f"{next(one['n'] for one in found if one):,}", *cells])
    return Table(
        f"{split.capitalize()} split: direct → refined accuracy by kind",
        ["kind", "rows", *(model.label for model in models)],
        rows,
    )


def mistakes(facts: RunFacts) -> Table | None:
    """Wrong direct and refined answers by kind of mistake."""
    split = facts.split
    models = [model for model in facts.models if split in model.evaluations]
    arms = [(m, m.evaluations[split]["arms"]) for m in models]
    names = sorted({kind for _, found in arms for arm in ("direct", "adaptive") for kind in found[arm]["mistakes"]})
    if not names:
        return None
    rows = [
        [
            name,
            *(
                f"{a['direct']['mistakes'].get(name, 0):,} → {a['adaptive']['mistakes'].get(name, 0):,}"
                for _, a in arms
            ),
        ]
        for name in names
    ]
    return Table(
        f"{split.capitalize()} split: wrong answers by kind of mistake, direct → refined",
        ["mistake", *(model.label for model in models)],
        rows,
    )


def stops(facts: RunFacts) -> Table | None:
    """Why adaptive refinement ended."""
    split = facts.split
    models = [model for model in facts.models if split in model.evaluations]
    found = [model.evaluations[split]["arms"]["adaptive"]["stopped"] for model in models]
    names = sorted({name for one in found for name in one})
    if not names:
        return None
    return Table(
        f"{split.capitalize()} split: why refinement ended",
        ["reason", *(model.label for model in models)],
        [[name.replace("_", " "), *(f"{one.get(name, 0):,}" for one in found)] for name in names],
    )


def transitions(facts: RunFacts) -> list[Table]:
    """Classes of samples in one round (rows) and in the next (columns)."""
    found = []
    for number in facts.rounds:
        moves: Mapping[str, Mapping[str, int]] = facts.stages.get(f"round-{number}/select", {}).get("transitions", {})
        if moves:
            columns = label_names({new for row in moves.values() for new in row})
            found.append(
                Table(
                    f"Class transitions, round {number - 1} → round {number}",
                    [f"round {number - 1} ↓   round {number} →", *columns],
                    [[old, *(f"{moves[old].get(new, 0):,}" for new in columns)] for old in label_names(moves)],
                )
            )
    return found


def drafts(facts: RunFacts) -> Table | None:
    """What became of the drafts of each round."""
    corpora = [model for model in facts.models if "drafts" in model.corpus]
    names = list(dict.fromkeys(name for model in corpora for name in model.corpus["drafts"]))
    rows = [[name.replace("_", " "), *(f"{m.corpus['drafts'].get(name, 0):,}" for m in corpora)] for name in names]
    rows = [row for row in rows if any(cell != "0" for cell in row[1:])]
    if not rows:
        return None
    return Table("Refinement drafts by what became of them", ["fate", *(m.label for m in corpora)], rows)


def probes(facts: RunFacts) -> Table | None:
    """What probing and selecting found in each round."""
    rows = []
    for number in facts.rounds:
        probe = facts.stages.get(f"round-{number}/probe", {})
        select = facts.stages.get(f"round-{number}/select", {})
        draws, full = probe.get("draws"), probe.get("draws_full")
        saved = percent(1 - draws / full) if draws is not None and full else ""
        rows.append(
            [
                f"round {number}",
                _int(probe.get("rows", select.get("probed"))),
                _int(probe.get("solved")),
                _int(select.get("selected")),
                _int(draws),
                _int(full),
                saved,
            ]
        )
    if not rows:
        return None
    return Table(
        "Probing and selection",
        ["", "probed", "with a right draw", "selected", "draws made", "draws of a full probe", "saved"],
        rows,
    )


def training(facts: RunFacts) -> Table | None:
    """What each training did, and its loss by what a row teaches."""
    trained = [model for model in facts.models if model.train or model.steps]
    ends = {model.name: _losses_by_kind(model) for model in trained}
    taught = [kind for kind in get_args(RowKind) if any(kind in found for found in ends.values())]
    rows = []
    for model in trained:
        train, steps = model.train, model.steps
        tokens = train.get("target_tokens", sum(step["target_tokens"] for step in steps))
        seconds = train.get("seconds", sum(step["seconds"] for step in steps))
        first = steps[0]["loss"] if steps else train.get("first_loss")
        final = steps[-1]["loss"] if steps else train.get("last_loss")
        rows.append(
            [
                model.label + ("" if train else " (unfinished)"),
                _int(train.get("steps", len(steps))),
                _int(train.get("corpus", {}).get("too_long")),
                _int(tokens),
                _loss(first),
                _loss(final),
                *(ends[model.name].get(kind, "") for kind in taught),
                duration(seconds),
            ]
        )
    if not rows:
        return None
    note = "Loss: nats a target token, of the first and the last step's batch."
    if taught:
        note += " By what a row teaches: means over the first and the last tenth of the steps that had such rows."
    return Table(
        "Trainings",
        ["model", "steps", "rows left out as too long", "target tokens", "first loss", "last loss"]
        + [f"{kind} rows" for kind in taught]
        + ["time"],
        rows,
        note=note,
    )


def _losses_by_kind(model: ModelFacts) -> dict[str, str]:
    """First and last losses of a training by kind of row, from its steps as far as there are any."""
    first = tenth_by_kind(model.steps) or model.train.get("first_loss_by_kind", {})
    last = tenth_by_kind(model.steps[::-1]) or model.train.get("last_loss_by_kind", {})
    return {kind: f"{_loss(first[kind])} → {_loss(loss)}" for kind, loss in last.items() if kind in first}


def data(facts: RunFacts) -> list[Table]:
    """Rows read, samples, quarantine."""
    counts = facts.stages.get("data")
    if counts is None:
        return []
    found = [
        Table(
            "Samples",
            ["", "number"],
            [
                ["rows read", _int(counts.get("rows"))],
                ["rows without a target", _int(sum(counts.get("skipped", {}).values()))],
                ["quarantined", _int(sum(counts.get("quarantined", {}).values()))],
                ["samples made", _int(counts.get("samples"))],
                *([f"of them in {split}", _int(counts.get(split))] for split in ("train", "dev", "test")),
            ],
        )
    ]
    bad = counts.get("quarantined", {})
    if bad:
        rows = sorted(bad.items(), key=lambda item: (-item[1], item[0]))
        found.append(
            Table(
                "Quarantined rows by reason",
                ["reason", "what it means", "rows"],
                [[name, REASONS.get(name, ""), f"{number:,}"] for name, number in rows],
                text=2,
            )
        )
    return found


def cost(facts: RunFacts) -> Table | None:
    """Time, draws and tokens by group of stages."""
    found = costs(facts)
    if not found:
        return None
    rows = [
        [
            ", ".join(label_of(name) for name in one.stages),
            str(one.attempts),
            _int(one.draws),
            _int(one.generated),
            _int(one.read),
            _int(one.trained),
            duration(one.seconds),
        ]
        for one in found
    ]
    totals = [
        sum(value or 0 for value in column)
        for column in zip(*((o.draws, o.generated, o.read, o.trained) for o in found), strict=True)
    ]
    rows.append(["all", "", *(_int(total) for total in totals), duration(sum(one.seconds or 0 for one in found))])
    return Table(
        "Cost by stage",
        ["stages that ran together", "starts", "draws", "tokens generated", "tokens read", "target tokens", "time"],
        rows,
        note="Wall clock of the driver, starts of engines included, failed attempts too; a driver that was killed "
        "leaves no end, so the time that it lost is not here.",
    )


def stage_states(facts: RunFacts) -> Table:
    """Which stages are done."""
    rows = [[name, "done"] for name in facts.stages] + [[name, "begun, not done"] for name in facts.begun]
    return Table("Stages", ["stage", "state"], rows, text=2)


def starts(facts: RunFacts) -> Table | None:
    """Every start of the driver."""
    ends: dict[int, str] = {}
    current = 0
    for event in facts.events:
        if event.get("event") == "run_begun":
            current = int(event.get("attempt", current + 1))
        elif event.get("event") == "run_stopped":
            ends[current] = f"stopped: {event.get('error', '')}"
        elif event.get("event") == "run_done":
            ends[current] = "finished"
    if facts.attempts and facts.summary is not None and not facts.begun:
        # The driver writes its report when all is done, before the event of its end.
        ends.setdefault(facts.attempts[-1].get("number", 0), "finished")
    rows = [
        [
            str(a.get("number", "")),
            a.get("time", ""),
            str(a.get("toolace", "")),
            a.get("revision") or "unknown",
            "; ".join(a.get("changed", [])) or "nothing",
            ends.get(a.get("number", 0), "no end recorded"),
        ]
        for a in facts.attempts
    ]
    if not rows:
        return None
    return Table("Starts", ["start", "time", "toolace", "code revision", "settings changed", "end"], rows, text=6)


def versions(facts: RunFacts) -> Table | None:
    """Package versions of the last start."""
    if not facts.attempts:
        return None
    attempt = facts.attempts[-1]
    found = {"toolace": attempt.get("toolace", ""), "python": attempt.get("python", ""), **attempt.get("versions", {})}
    return Table("Versions at the last start", ["package", "version"], [[k, str(v)] for k, v in found.items()], text=2)


def wilson(share: float, n: int) -> tuple[float, float]:
    """95 % Wilson score interval of a share among n rows (Wilson 1927)."""
    if n == 0:
        return 0.0, 1.0
    z2 = Z_95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def duration(seconds: float | None) -> str:
    """Seconds as a person says it: 12.3 s, 4 min 05 s, 2 h 03 min."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _arms(model: ModelFacts, split: str) -> list[str]:
    return arm_order(model.evaluations.get(split, {}).get("arms", {}))


def _arm(name: str) -> str:
    return "refined" if name == "adaptive" else name.replace("_", " ")


def _pairs(model: ModelFacts) -> str:
    corpus = model.corpus
    return f"{corpus['keep']:,} + {corpus['fix']:,}" if "keep" in corpus and "fix" in corpus else ""


def _int(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else ""


def _loss(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, (int, float)) else ""
