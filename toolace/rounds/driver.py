"""The main job: rounds of model-aware training (ToolACE-R), resumable at every stage.

data -> base: evaluate [-> bootstrap: train, evaluate] -> probe
round t: select -> corpus -> train -> evaluate and probe for t + 1       until the selection no longer grows
plain_sft: the whole pool with the last round's number of target tokens, evaluated
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from toolace.config import Config, TrainConfig
from toolace.engines.models import fingerprint, resolve_model
from toolace.errors import StorageError
from toolace.rounds.cluster import check_lasting, cluster
from toolace.rounds.context import ModelRef, Run
from toolace.rounds.events import EventLog
from toolace.rounds.ingest import data_stage, ingest
from toolace.rounds.lock import RunLock
from toolace.rounds.progress import Progress
from toolace.rounds.record import record_start, recorded, restore
from toolace.rounds.shared import SharedStages
from toolace.rounds.stages import corpus_stage, plain_corpus_stage, probe_stage, roll_out, select_stage
from toolace.rounds.summary import SUMMARY, build_summary, summary_table
from toolace.rounds.trackers import check_trackers, make_trackers
from toolace.rounds.tracking import follow
from toolace.rounds.train_stage import train_place, train_stage
from toolace.selection import stalled
from toolace.storage import Stage, StageMismatch, Store

PLAIN_SFT = "plain_sft"
STOPPED = "\nstopped by a signal; what is finished stays, and the same command goes on from there"


def run_rounds(config: Config, progress: Progress | None = None, shared: SharedStages | None = None) -> dict[str, Any]:
    """Run, or go on with, the rounds of a run; returns its summary, which is also in `summary.json`.

    With `shared`, stages that other runs have made from the same are taken from there, and new ones are put there.
    Raises `ToolaceError` with the way out; what is finished by then stays finished.
    """
    check_lasting(config.root, Path.cwd())
    check_trackers(config.tracking)
    store = Store(config.run_dir)
    run = Run(config, store, EventLog(store), progress or Progress(), shared=shared)
    with terminates(), RunLock(store):
        before = recorded(store)
        attempt = record_start(store, config)
        run.events.write("run_begun", attempt=attempt["number"], changed=attempt["changed"])
        run.progress.say(f"run {store.uri}, start {attempt['number']}; what happens is in {EventLog.FILE}")
        trackers = partial(make_trackers, config, store)
        first = before["attempts"][0] if before and before["attempts"] else attempt
        with follow(trackers, store, run.events, run.progress.say, str(first.get("time"))) as run.tracking:
            try:
                with cluster(config.cluster), terminates():  # again: Ray puts its own handler in place when it starts
                    summary = _rounds(run)
            except BaseException as error:
                with suppress(StorageError):  # storage that is away must not hide what stopped the run
                    run.events.write("run_stopped", error=f"{type(error).__name__}: {error}"[:2000])
                if isinstance(error, (SystemExit, KeyboardInterrupt)):  # of this process, or of a worker
                    run.progress.say(STOPPED)
                if isinstance(error, StageMismatch):
                    restore(store, before)  # the run is what it was made with, not what was refused
                raise
            store.write_json(SUMMARY, summary)
            from toolace.report import write_model_cards, write_report

            report = write_report(store)
            write_model_cards(store)
            run.events.write("run_done", report=report)
            run.progress.say("\n" + summary_table(summary))
            run.progress.say(f"report: {report}")
        if config.rounds.promote != "none" and summary["rounds"]:
            _promote(run, f"round-{summary['rounds'][-1]['round']}")
    return summary


def _promote(run: Run, stage: str) -> None:
    """Put the last round's model behind the endpoint that `rounds.promote` names; nothing to do where it is already."""
    from toolace.serving.models import choose_model
    from toolace.serving.promotion import check_address, connect, promote

    api = connect(check_address(run.config.rounds.promote))
    version = promote(api, choose_model(f"{run.store.uri}/{stage}"), again=True, say=run.progress.say)
    run.events.write("promoted", version=version, address=run.config.rounds.promote)


def _rounds(run: Run) -> dict[str, Any]:
    config, rounds = run.config, run.config.rounds
    data = data_stage(run)
    if data.done() is None:
        with run.timed("data", data):
            counts = ingest(config, data)
        run.progress.end(f"{counts['train']} train, {counts['dev']} dev, {counts['test']} test samples")
    run.remember(data, ingest(config, data))

    base = ModelRef("base", config.model.path, fingerprint(resolve_model(config.model.path)))
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
        if any(not change.startswith("train.settings.target_tokens:") for change in error.changes):
            raise
        run.progress.say(f"{PLAIN_SFT}: made anew, for the run has more rounds now")
        for name in ("train", "eval-dev", "eval-test"):
            run.store.delete(f"{PLAIN_SFT}/{name}")


def _seen(run: Run, rounds: int) -> int:
    """Target tokens that the last round's model was trained on since the base."""
    last = f"round-{rounds}"
    begun = ["bootstrap", *(f"round-{number}" for number in range(1, rounds))]
    chain = [*begun, last] if run.config.rounds.start == "previous" else [last]
    trained = (run.counts.get(f"{name}/train") for name in chain)
    return sum(counts["target_tokens"] for counts in trained if counts is not None)


def _same_tokens(settings: TrainConfig, target_tokens: int) -> TrainConfig:
    return settings.model_copy(update={"target_tokens": target_tokens})


class Terminated(SystemExit):
    """SIGTERM came: everything unwinds, the lock is given back, and the run can go on later."""


@contextmanager
def terminates() -> Iterator[None]:
    """Turn SIGTERM into an exception, so that the driver leaves a run that can go on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
