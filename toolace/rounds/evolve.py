"""The other job: tool learning decomposed into sub-tasks, and evolution on the model's own data (ToolACE-DEV).

data -> base: evaluate
stage 1, adaption: description -> definition             train, evaluate
stage 2, decomposed: query -> tools, (query, tools) -> calls, jointly                     train, evaluate and evolve
stage 3, round t: accepted queries and a replay of stage 2 -> train -> evaluate and evolve for t + 1
"""

from __future__ import annotations

from typing import Any

from toolace.config import Config, TrainConfig
from toolace.errors import TrainingError
from toolace.rounds.context import ModelRef, Run, base_model
from toolace.rounds.evolve_corpora import (
    ADAPTION,
    DECOMPOSED,
    adaption_corpus_stage,
    decomposed_corpus_stage,
    evolved_corpus_stage,
    make_sources,
    round_name,
)
from toolace.rounds.evolve_stages import ask_model, evolve_place
from toolace.rounds.evolve_summary import build_summary, last_model, summary_table
from toolace.rounds.ingest import made_data
from toolace.rounds.method import Method, carry_out
from toolace.rounds.progress import Progress
from toolace.rounds.record import EVOLVE
from toolace.rounds.shared import SharedStages
from toolace.rounds.train_stage import train_stage


def run_evolve(config: Config, progress: Progress | None = None, shared: SharedStages | None = None) -> dict[str, Any]:
    """Run, or go on with, the stages of ToolACE-DEV (see `toolace.rounds.method.carry_out`)."""
    return carry_out(METHOD, config, progress, shared)


def _evolve(run: Run) -> dict[str, Any]:
    config, evolve = run.config, run.config.evolve
    data = made_data(run)
    sources = make_sources(run, data)
    base = model = base_model(config)
    ask_model(run, base, sources, evaluate=True)

    def start() -> ModelRef:
        return base if evolve.start == "base" else model

    if evolve.adaption:
        model = train_stage(run, ADAPTION, start(), adaption_corpus_stage(run, data), config.train)
        ask_model(run, model, sources, evaluate=True)
    decomposed = decomposed_corpus_stage(run, data)
    model = train_stage(run, DECOMPOSED, start(), decomposed, config.train)
    scores = ask_model(run, model, sources, evaluate=True, evolve_round=1 if evolve.rounds else None)

    settings = round_settings(config)
    accepted: list[float] = []
    dev = _dev(scores)
    trained, stopped = 0, "max_rounds"
    for number in range(1, evolve.rounds + 1):
        if number > 1:
            ask_model(run, model, sources, evaluate=False, evolve_round=number)
        assert sources.queries is not None
        evolved = evolve_place(run, model, number, sources.queries)
        counts = run.counts[evolved.name]
        accepted.append(counts["accepted"] / counts["queries"])
        if not counts["accepted"]:
            if number == 1:
                raise TrainingError(_nothing_accepted(counts))
            stopped = "nothing_accepted"
            break
        if evolve.stop == "acceptance" and number > 1 and accepted[-1] < accepted[-2]:
            stopped = "acceptance"
            break
        corpus = evolved_corpus_stage(run, number, evolved, decomposed, sources.queries)
        model = train_stage(run, round_name(number), start(), corpus, settings)
        trained = number
        following = number + 1 if number < evolve.rounds else None
        before, dev = dev, _dev(ask_model(run, model, sources, evaluate=True, evolve_round=following))
        if evolve.stop == "dev" and before is not None and dev is not None and dev < before:
            stopped = "dev"
            break
    run.events.write("evolution_stopped", reason=stopped, rounds=trained)
    return build_summary(run, trained, stopped)


def round_settings(config: Config) -> TrainConfig:
    """How a round trains."""
    return config.train.model_copy(update={"epochs": config.evolve.epochs})


def _dev(scores: dict[str, dict[str, Any]]) -> float | None:
    return scores["dev"]["scores"]["direct"] if "dev" in scores else None


def _nothing_accepted(counts: dict[str, Any]) -> str:
    reasons = [*counts["rejected"].items(), *counts["errors"].items()]
    by_reason = ", ".join(f"{number} {reason}" for reason, number in reasons)
    return (
        f"evolution accepted none of {counts['queries']} queries ({by_reason}), so there is nothing to train on. Where "
        "there is no query, the user turns of the samples are blank. Where the tools are at fault, the model has not "
        "learnt to write definitions: more rows or train.epochs for stages 1 and 2, or a longer evolve.tools_tokens. "
        "Where the votes are, lower evolve.accept_share or evolve.temperature. "
        "Every record is in evolve-1/evolve"
    )


METHOD = Method(EVOLVE, _evolve, summary_table, last_model)
