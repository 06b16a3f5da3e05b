"""The sentences of a report: where the run stands, what it was made with, and its outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolace.report.charts import percent
from toolace.report.facts import RunFacts, label_of

STOPPED = {
    "selection_stalled": "the selection no longer grew",
    "plateau": "the accuracy on the dev split no longer grew",
    "max_rounds": "all rounds that were asked for are done",
    "acceptance": "the last round's model had a smaller share of its queries accepted than the one before",
    "dev": "the accuracy on the dev split fell",
    "nothing_accepted": "the next round accepted no query",
}
"""Why a run stopped, by the name in its summary."""


def status(facts: RunFacts) -> str:
    """Where the run stands."""
    if facts.summary is not None:
        stopped = str(facts.summary.get("stopped", ""))
        rounds = len(facts.summary.get("rounds", []))
        return f"Finished after {rounds} {_plural('round', rounds)}: {STOPPED.get(stopped, stopped)}."
    work = ", ".join(facts.begun)
    done = len(facts.stages)
    return f"Not finished: {done} {_plural('stage', done)} done" + (f", at work or stopped: {work}." if work else ".")


def about(facts: RunFacts) -> list[tuple[str, str]]:
    """What the run was made with, as names and texts."""
    config = facts.config
    model = config.get("model", {})
    source = config.get("data", {}).get("train", {})
    counts = facts.stages.get("data", {})
    split = ", ".join(
        f"{counts[name]:,} {name}" for name in ("train", "dev", "test") if isinstance(counts.get(name), int)
    )
    last = facts.attempts[-1] if facts.attempts else {}
    found = [
        ("base model", model.get("path", "")),
        ("call format", model.get("format", "")),
        ("data", f"{source.get('path') or source.get('type', '')}{': ' + split if split else ''}"),
        *(_evolution(config) if facts.evolves else _rounds(config)),
        ("engine", config.get("engine", {}).get("kind", "")),
        ("seed", str(config.get("seed", ""))),
        ("toolace", f"{last.get('toolace', '')} at {(last.get('revision') or 'unknown revision')[:12]}"),
        (
            "started",
            f"{facts.attempts[0].get('time', '')}, {len(facts.attempts)} {_plural('start', len(facts.attempts))}"
            if facts.attempts
            else "",
        ),
    ]
    return [(name, text) for name, text in found if text]


def _rounds(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    probe, rule, train = (config.get(key, {}) for key in ("probe", "select", "train"))
    band = f" ({rule.get('low', 0):g}, {rule.get('high', 1):g})" if rule.get("rule") == "band" else ""
    probing = f"{probe.get('k', '?')} draws a sample, {probe.get('mode', '')} mode, rule {rule.get('rule', '?')}{band}"
    return [
        ("probing", probing),
        ("training", f"{train.get('method', '?')}, from {config.get('rounds', {}).get('start', '?')}"),
    ]


def _evolution(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    evolve, train = config.get("evolve", {}), config.get("train", {})
    learnt = [*(kind for kind in ("adaption", "generation") if evolve.get(kind)), "invocation"]
    most = "" if evolve.get("mode") == "full" else "at most "
    found = [("sub-tasks", f"{', '.join(learnt)}, from {100 * (1 - evolve.get('held_out', 0)):.0f} % of the samples")]
    if evolve.get("rounds"):
        votes = (
            f"{most}{evolve.get('votes', '?')} votes a query, accepted from {100 * evolve.get('accept_share', 0):.0f} %"
        )
        rules = "rules on" if evolve.get("rules") else "rules off"
        found.append(("evolution", f"{votes}, {rules}, {evolve.get('replay', 0):g} replayed for each accepted row"))
    return [*found, ("training", f"{train.get('method', '?')}, from {evolve.get('start', '?')}")]


def points(facts: RunFacts) -> list[str]:
    """The outcome in sentences."""
    split, last = facts.split, facts.last
    if last is None or split not in last.evaluations:
        return _evolved(facts)
    scores = last.evaluations[split]
    found = [
        f"{label_of(last.name).capitalize()} answers {percent(scores['direct'])} of {scores['n']:,} {split} rows "
        f"directly and {percent(scores['adaptive'])} with refinement, at {scores['mean_calls']:.2f} calls a query: "
        f"{scores['repairs']:,} repaired, {scores['regressions']:,} regressed."
    ]
    others = {"base": "The base", "plain_sft": "Plain SFT on all rows with about as many target tokens"}
    if facts.evolves:
        others = {"base": "The base", "decomposed": "The model of stage 2, before evolution,"}
    for name, text in others.items():
        other = facts.model(name)
        if other is not None and other is not last and split in other.evaluations:
            them = other.evaluations[split]
            found.append(
                f"{text} answers {percent(them['direct'])} directly and {percent(them['adaptive'])} with refinement: "
                f"{label_of(last.name)} is {_gap(scores['direct'] - them['direct'])} directly and "
                f"{_gap(scores['adaptive'] - them['adaptive'])} refined."
            )
    return found + _evolved(facts)


def _evolved(facts: RunFacts) -> list[str]:
    """What the rounds of evolution accepted, and whether the model fools itself."""
    rounds = facts.evolutions
    if not rounds:
        return []
    told = ", ".join(f"{m.evolved['accepted']:,} of {m.evolved['queries']:,} in {m.label}" for m in rounds)
    made, full = (sum(m.evolved[name] for m in rounds) for name in ("draws", "draws_full"))
    found = [f"Accepted queries: {told}."]
    if full:
        found.append(f"The votes took {made:,} draws, {percent(made / full)} of the {full:,} of a full vote.")
    right = [m.evolved.get("accepted_right") for m in rounds]
    diversity = [m.evolved.get("call_diversity") for m in rounds]
    if None not in (right[0], right[-1], diversity[0], diversity[-1]):
        found.append(
            f"Of the accepted answers {_path(right)} match the hidden reference, and call diversity is "
            f"{_path(diversity)}: a vote over tools that the model wrote itself can agree on a mistake."
        )
    return found


def _path(shares: Sequence[float | None]) -> str:
    return " → ".join("none" if share is None else percent(share) for share in shares)


def _gap(difference: float) -> str:
    points = round(100 * difference, 1)
    return "level with it" if points == 0 else f"{abs(points):.1f} points {'above' if points > 0 else 'below'} it"


def _plural(noun: str, number: int) -> str:
    return noun if number == 1 else noun + "s"
