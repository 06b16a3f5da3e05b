"""The main job: rounds of model-aware training (ToolACE-R), resumable at every stage.

data -> base: evaluate [-> bootstrap: train, evaluate] -> probe
round t: select -> corpus -> train -> evaluate and probe for t + 1       until the selection no longer grows
plain_sft: the whole pool with the last round's number of target tokens, evaluated
"""

from __future__ import annotations

from typing import Any

from toolace.config import Config, TrainConfig
from toolace.rounds.context import Run, base_model
from toolace.rounds.ingest import made_data
from toolace.rounds.method import Method, carry_out
from toolace.rounds.progress import Progress
from toolace.rounds.record import ROUNDS
from toolace.rounds.shared import SharedStages
from toolace.rounds.stages import corpus_stage, plain_corpus_stage, probe_stage, roll_out, select_stage
from toolace.rounds.summary import build_summary, summary_table
from toolace.rounds.train_stage import train_place, train_stage
from toolace.selection import stalled
from toolace.storage import Stage, StageMismatch

PLAIN_SFT = "plain_sft"


def run_rounds(config: Config, progress: Progress | None = None, shared: SharedStages | None = None) -> dict[str, Any]:
    """Run, or go on with, the rounds of a run (see `toolace.rounds.method.carry_out`)."""
    return carry_out(METHOD, config, progress, shared)


def _rounds(run: Run) -> dict[str, Any]:
    config, rounds = run.config, run.config.rounds
    data = made_data(run)
    base = base_model(config)
    bootstrap = rounds.bootstrap_rows > 0
    roll_out(run, base, data, evaluate=True, probe_round=None if bootstrap else 1)
    model = base
    if bootstrap:
        corpus, _ = plain_corpus_stage(run, "bootstrap", data, rounds.bootstrap_rows)
        model = train_stage(run, "bootstrap", base, corpus, config.train)
        roll_out(run, model, data, evaluate=True, probe_round=1)

    probed: Stage | None = None
    sizes: list[int] = []
    dev: list[float] = []
    stopped = "max_rounds"
    for number in range(1, rounds.max_rounds + 1):
        previous, probed = probed, probe_stage(run, model, number, data.key)
        if number > 1:
            roll_out(run, model, data, evaluate=False, probe_round=number)
        selected, counts = select_stage(run, number, probed, previous)
        if rounds.stop_when_selection_stalls and stalled(counts["selected"], sizes[-1] if sizes else None):
            stopped = "selection_stalled"
            break
        sizes.append(counts["selected"])
        corpus, _ = corpus_stage(run, number, data, probed, selected)
        start = base if rounds.start == "base" else model
        model = train_stage(run, f"round-{number}", start, corpus, config.train)
        following = number + 1 if number < rounds.max_rounds else None
        scores = roll_out(run, model, data, evaluate=True, probe_round=following)
        if "dev" in scores:
            dev.append(scores["dev"]["scores"]["direct"])
        if rounds.plateau is not None and len(dev) > 1 and dev[-1] - dev[-2] < rounds.plateau:
            stopped = "plateau"
            break
    run.events.write("rounds_stopped", reason=stopped, rounds=len(sizes))

    if rounds.plain_sft:
        corpus, _ = plain_corpus_stage(run, PLAIN_SFT, data, None)
        settings = _same_tokens(config.train, _seen(run, len(sizes)))
        _forget_outgrown(run, train_place(run, PLAIN_SFT, base, corpus, settings))
        plain = train_stage(run, PLAIN_SFT, base, corpus, settings)
        roll_out(run, plain, data, evaluate=True)
    return build_summary(run, len(sizes), stopped)


def _forget_outgrown(run: Run, stage: Stage) -> None:
    """Delete plain SFT that matched fewer rounds than the run has now: it differs in the number of target tokens only,
    which is derived and no setting."""
    try:
        stage.done()
    except StageMismatch as error:
        if not outgrown(error):
            raise
        run.progress.say(f"{PLAIN_SFT}: made anew, for the run has more rounds now")
        for name in ("train", "eval-dev", "eval-test"):
            run.store.delete(f"{PLAIN_SFT}/{name}")


def outgrown(error: StageMismatch) -> bool:
    """Whether plain SFT differs in nothing but the number of target tokens."""
    return all(change.startswith("train.settings.target_tokens:") for change in error.changes)


def _seen(run: Run, rounds: int) -> int:
    """Target tokens that the last round's model was trained on since the base."""
    last = f"round-{rounds}"
    begun = ["bootstrap", *(f"round-{number}" for number in range(1, rounds))]
    chain = [*begun, last] if run.config.rounds.start == "previous" else [last]
    trained = (run.counts.get(f"{name}/train") for name in chain)
    return sum(counts["target_tokens"] for counts in trained if counts is not None)


def _same_tokens(settings: TrainConfig, target_tokens: int) -> TrainConfig:
    return settings.model_copy(update={"target_tokens": target_tokens})


def _last(summary: dict[str, Any]) -> str | None:
    return f"round-{summary['rounds'][-1]['round']}" if summary["rounds"] else None


METHOD = Method(ROUNDS, _rounds, summary_table, _last)
