"""`--dry-run`: what a run would do, with row counts and memory, before anything starts."""

from __future__ import annotations

from toolace.config import Config, FileSource, SyntheticSource
from toolace.engines.size import ModelSize, measure_model
from toolace.rounds.ingest import FileCounts, preview
from toolace.rounds.memory import engine_memory, training_memory
from toolace.rounds.record import recorded
from toolace.rounds.trackers import check_trackers
from toolace.storage import DONE, Store, difference

PLAN_ROWS = 20_000
"""Rows of a file source that are read for a plan."""


def describe_plan(config: Config) -> str:
    """The plan as text. Reads the data as a run would, up to `PLAN_ROWS` rows a file source, and of the model its
    headers. Writes nothing.

    Raises `ToolaceError` for what would stop a run: data that is missing or unusable, an unknown profile, a model that
    is not there, a tracker that is not installed.
    """
    check_trackers(config.tracking)
    size = measure_model(config.model.path)
    counts, files = preview(config, PLAN_ROWS)
    lines = [f"run        {config.run_dir}", f"model      {config.model.path} ({_describe(size)})"]
    sources = {name: source for name in ("train", "dev", "test") if (source := getattr(config.data, name))}
    for name, source in sources.items():
        about = _describe_files(source, files[name]) if source.type == "files" else _describe_synthetic(source)
        lines.append(f"{'data' if name == 'train' else '':<10} {name}: {about}")
    cut = any(source.type == "files" and _is_cut(source, files[name]) for name, source in sources.items())
    least = "at least " if cut else ""
    lines.append(f"samples    {least}{', '.join(f'{number:,} {name}' for name, number in counts.items())}")
    draws = f"{config.probe.k} draws" if config.probe.mode == "full" else f"at most {config.probe.k} draws"
    actors = f"{config.rollout.min_actors} to {config.rollout.max_actors}"
    lines.append(
        f"probe      {least}{counts['train']:,} samples, {draws} each, rule {config.select.rule}; "
        f"{actors} {config.engine.kind} actors"
    )
    train = config.train
    how = f"LoRA rank {train.lora.rank}" if train.method == "lora" else "all weights"
    length = f"{train.target_tokens} target tokens" if train.target_tokens else f"{train.epochs:g} epochs"
    lines.append(
        f"train      {how}, {length}, batch {train.global_batch}, ZeRO-{train.zero_stage}, {train.workers} workers"
    )
    lines += [f"memory     {engine_memory(config, size)}", f"           {training_memory(train, size)}"]
    run = Store(config.run_dir)
    settings = config.model_dump(mode="json")
    if changed := difference((recorded(run) or {}).get("config", settings), settings):
        lines += ["changed    since the last start; a stage that was made from other settings is refused"]
        lines += [f"           {change}" for change in changed]
    lines.append("stages")
    for name in stage_names(config):
        state = "done" if run.exists(f"{name}/{DONE}") else "to do"
        lines.append(f"  {name:<24} {state}")
    return "\n".join(lines)


def stage_names(config: Config) -> list[str]:
    """All stages of a run in their order; a run may stop before its last round."""
    rounds = config.rounds
    evaluations = [f"eval-{split}" for split in config.evaluate.splits]
    names = ["data", *(f"base/{name}" for name in evaluations)]
    if rounds.bootstrap_rows:
        names += [f"bootstrap/{name}" for name in ("corpus", "train", *evaluations)]
    for number in range(1, rounds.max_rounds + 1):
        names += [f"round-{number}/{name}" for name in ("probe", "select", "corpus", "train", *evaluations)]
    if rounds.plain_sft:
        names += [f"plain_sft/{name}" for name in ("corpus", "train", *evaluations)]
    return names


def _describe(size: ModelSize) -> str:
    return f"{size.parameters / 1e6:,.1f} M parameters, {size.origin}" if size.parameters else f"size: {size.origin}"


def _describe_synthetic(source: SyntheticSource) -> str:
    return f"{source.rows} synthetic rows (profile {source.profile}, seed {source.seed})"


def _describe_files(source: FileSource, found: FileCounts) -> str:
    parts = [f"{found.rows:,} rows of {source.path}", f"{found.samples:,} samples"]
    for reasons, what in ((found.quarantined, "quarantined"), (found.skipped, "without a target")):
        detail = ", ".join(f"{reason} {number}" for reason, number in reasons.items())
        parts.append(f"{sum(reasons.values()):,} {what}" + (f" ({detail})" if detail else ""))
    more = f"; read to row {PLAN_ROWS:,} for this plan, there may be more" if _is_cut(source, found) else ""
    return ", ".join(parts) + more


def _is_cut(source: FileSource, found: FileCounts) -> bool:
    return found.rows >= PLAN_ROWS and (source.limit is None or source.limit > PLAN_ROWS)
