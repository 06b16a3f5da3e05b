"""The comparisons of a replication: arms that differ by some settings, each run with several seeds, pools and models.

A comparison's directory:
    runs/<arm>-<pool>-<model>-seed<s>/    ordinary run directories
    stages/                               finished stages that runs share (see `toolace.rounds.shared`)
    comparison.json  comparison.html      the outcome, for programs and for people
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from toolace.config import ClusterConfig, Config
from toolace.errors import StorageError, ToolaceError
from toolace.rounds.cluster import check_lasting, cluster
from toolace.rounds.compare_jobs import at_once
from toolace.rounds.compare_outcome import RunOutcome, build_comparison, read_outcome
from toolace.rounds.compare_plan import Comparison, PlannedRun, plan_runs
from toolace.rounds.context import base_model
from toolace.rounds.driver import run_rounds
from toolace.rounds.evolve import run_evolve
from toolace.rounds.ingest import describe_sources
from toolace.rounds.lock import RunLock
from toolace.rounds.method import terminates
from toolace.rounds.plan import stage_names
from toolace.rounds.progress import Progress
from toolace.rounds.record import EVOLVE, ROUNDS, MethodName
from toolace.rounds.shared import TAKEN, SharedStages
from toolace.rounds.summary import SUMMARY
from toolace.rounds.trackers import check_trackers
from toolace.storage import DONE, Store, digest

OUTCOME = "comparison.json"
FINISHED = "compared.json"
"""In a run's directory: with these settings it is finished, and these stages it has."""
MakeRun = Callable[[Config, Progress, SharedStages | None], Any]
RUNNERS: dict[MethodName, MakeRun] = {ROUNDS: run_rounds, EVOLVE: run_evolve}


def shared_stages(comparison: Comparison) -> SharedStages | None:
    """Where the runs of a comparison share stages; None on object stores, where every run makes its own."""
    local = Store(comparison.home).local
    return None if local is None else SharedStages(local / "stages")


def compare(
    comparison: Comparison, progress: Progress | None = None, make: MakeRun | None = None, jobs: int = 1
) -> dict[str, Any]:
    """Make the runs that are missing, and return the outcome, which is also in `comparison.json`.

    `make` replaces what makes a run, by default the job of its method. `jobs` seeds are worked on at the same time,
    each in a process of its own.

    A run that fails is named in `failed` and does not stop the others. Raises `ToolaceError` where the settings of an
    arm cannot be, or where another process works on this comparison.
    """
    progress = progress or Progress()
    check_lasting(comparison.root, Path.cwd())
    planned = plan_runs(comparison)
    for run in planned:
        check_trackers(run.config.tracking)
    home = Store(comparison.home)
    shared = shared_stages(comparison)
    outcomes: list[RunOutcome] = []
    with terminates(), RunLock(home):
        if shared is None:
            progress.say(f"{home.uri} is an object store: every run makes all its stages")
        else:
            shared.sweep()
        missing = [run for run in planned if not is_finished(run)]
        if jobs > 1:
            failed = at_once(missing, jobs, partial(_make_apart, shared, make))
        else:
            failed = _make(missing, shared, make, progress)
        for run in planned:
            if run.config.name not in failed:
                try:
                    outcomes.append(read_outcome(run))
                except Exception as error:  # as of a run that failed
                    failed[run.config.name] = _told(error)
                    progress.say(f"run {run.config.name} failed: {failed[run.config.name]}")
        outcome = build_comparison(comparison, outcomes, failed, stage_counts(planned))
        home.write_json(OUTCOME, outcome)
        from toolace.report.comparison import write_comparison

        page = write_comparison(home, outcome)
        progress.say(f"{home.at(OUTCOME)}\n{page}")
    return outcome


def _make(
    runs: Sequence[PlannedRun], shared: SharedStages | None, make: MakeRun | None, progress: Progress
) -> dict[str, str]:
    """Make runs one after the other; returns the error of each that failed, by its name.

    Ray stays for the next run, unless that wants another cluster; after a failure it is started or joined anew.
    """
    failed: dict[str, str] = {}
    joined: ClusterConfig | None = None
    with ExitStack() as kept:
        for number, run in enumerate(runs, start=1):
            name = run.config.name
            try:
                progress.say(f"run {number} of {len(runs)}: {name}")
                if make is None and joined != run.config.cluster:
                    kept.close()
                    joined = None
                    kept.enter_context(cluster(run.config.cluster))
                    joined = run.config.cluster
                (make or RUNNERS[run.method])(run.config, progress, shared)
                _mark_finished(run)
            except Exception as error:  # whatever it is, the other runs are worth having
                failed[name] = _told(error)
                progress.say(f"run {name} failed: {failed[name]}")
                kept.close()
                joined = None
    return failed


def _make_apart(
    shared: SharedStages | None, make: MakeRun | None, runs: Sequence[PlannedRun], label: str
) -> dict[str, str]:
    with terminates():
        return _make(runs, shared, make, Progress(label=label))


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:2000]


def is_finished(run: PlannedRun) -> bool:
    """Whether there is nothing to do for a run: finished with these settings on what its files hold now, and all its
    stages still there."""
    store = Store(run.config.run_dir)
    if not store.exists(FINISHED) or not store.exists(SUMMARY):
        return False
    try:
        found = store.read_json(FINISHED)
        inputs = _inputs(run)
        same = found["settings"] == _settings(run) and (inputs is None or found["inputs"] in (inputs, None))
        return same and all(store.exists(f"{name}/{DONE}") for name in found["stages"])
    except (StorageError, KeyError, TypeError):  # damaged: the run itself knows better
        return False


def stage_counts(planned: list[PlannedRun]) -> dict[str, int]:
    """Finished stages of all runs: made by the run that has them, or shared, that is taken from another run."""
    counts = {"made": 0, "shared": 0}
    for run in planned:
        store = Store(run.config.run_dir)
        for name in _stages(run):
            counts["shared" if store.exists(f"{name}/{TAKEN}") else "made"] += 1
    return counts


def comparison_table(outcome: dict[str, Any]) -> str:
    """The outcome as text: mean ± standard deviation over the seeds, and the difference to the reference."""
    from rich.console import Console
    from rich.table import Table

    reference = outcome["reference"]
    table = Table(title=f"{outcome['name']}: accuracy in per cent, mean ± spread over seeds", title_justify="left")
    columns = ("arm", "seeds", "direct", f"to {reference}", "95 % interval", "refined", "repairs", "breaks", "calls")
    for column in columns:
        table.add_column(column, justify="left" if column == "arm" else "right")
    before = ""
    for name, arm in outcome["arms"].items():
        group = f"{arm['pool']}/{arm['model']}"
        if before and group != before:
            table.add_section()
        before = group
        table.add_row(
            name,
            str(len(arm["seeds"])),
            _percent(arm["direct"], arm["spread"]["direct"]),
            "" if arm["difference"] is None else f"{100 * arm['difference']:+.1f}",
            "" if arm["interval"] is None else f"{100 * arm['interval'][0]:+.1f} to {100 * arm['interval'][1]:+.1f}",
            _percent(arm["adaptive"], arm["spread"]["adaptive"]),
            f"{arm['repairs']:.1f}",
            f"{arm['regressions']:.1f}",
            f"{arm['mean_calls']:.2f}",
        )
    out = io.StringIO()
    Console(file=out, width=130).print(table)
    made, shared = outcome["stages"]["made"], outcome["stages"]["shared"]
    return f"{out.getvalue().rstrip()}\n{made} stages made, {shared} shared"


def _mark_finished(run: PlannedRun) -> None:
    store = Store(run.config.run_dir)
    store.write_json(FINISHED, {"settings": _settings(run), "inputs": _inputs(run), "stages": _stages(run)})


def _settings(run: PlannedRun) -> str:
    return digest(run.config.model_dump(mode="json", exclude={"tracking"}))  # who follows a run is no part of it


def _inputs(run: PlannedRun) -> str | None:
    """What the run's files of samples and its base model hold; None where that cannot be told (any more)."""
    try:
        return digest({"data": describe_sources(run.config.data), "model": base_model(run.config).key})
    except ToolaceError:
        return None


def _stages(run: PlannedRun) -> list[str]:
    """Names of the finished stages of a run."""
    store = Store(run.config.run_dir)
    return [name for name in stage_names(run.config, run.method) if store.exists(f"{name}/{DONE}")]


def _percent(value: float, deviation: float | None) -> str:
    return f"{100 * value:.1f}" + ("" if deviation is None else f" ± {100 * deviation:.1f}")
