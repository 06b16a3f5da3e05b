"""`--dry-run`: what a run would do, with row counts and memory, before anything starts."""

from __future__ import annotations

from collections.abc import Iterator

from toolace.config import Config, FileSource, SyntheticSource
from toolace.engines.door import context_length
from toolace.engines.models import resolve_model
from toolace.engines.size import ModelSize, measure_model
from toolace.rounds.evolve_corpora import ADAPTION, DECOMPOSED, round_name
from toolace.rounds.ingest import FileCounts, preview
from toolace.rounds.memory import engine_memory, training_memory
from toolace.rounds.preflight import check_speech
from toolace.rounds.record import EVOLVE, ROUNDS, MethodName, check_method, recorded
from toolace.rounds.trackers import check_trackers
from toolace.storage import DONE, Store, difference

PLAN_ROWS = 20_000
"""Rows of a file source that are read for a plan."""


def describe_plan(config: Config, method: MethodName = ROUNDS) -> str:
    """The plan as text. Reads the data as a run would, up to `PLAN_ROWS` rows a file source, and of the model its
    headers. Writes nothing.

    Raises `ToolaceError` for what would stop a run: data that is missing or unusable, an unknown profile, a model that
    is not there, a tracker that is not installed.
    """
    check_trackers(config.tracking)
    run = Store(config.run_dir)
    before = recorded(run)
    check_method(before, method, run.uri)
    size = measure_model(config.model.path)
    check_speech(config.model, fetch=False)
    counts, files = preview(config, PLAN_ROWS)
    lines = [f"run        {config.run_dir}", f"model      {config.model.path} ({_describe(size)})"]
    lines += _context(config)
    sources = {name: source for name in ("train", "dev", "test") if (source := getattr(config.data, name))}
    for name, source in sources.items():
        about = _describe_files(source, files[name]) if source.type == "files" else _describe_synthetic(source)
        lines.append(f"{'data' if name == 'train' else '':<10} {name}: {about}")
    cut = any(source.type == "files" and _is_cut(source, files[name]) for name, source in sources.items())
    least = "at least " if cut else ""
    lines.append(f"samples    {least}{', '.join(f'{number:,} {name}' for name, number in counts.items())}")
    actors = f"{config.rollout.min_actors} to {config.rollout.max_actors} {config.engine.kind} actors"
    lines += [f"{what:<10} {least}{told}; {actors}" for what, told in _asked(config, counts["train"], method)]
    train = config.train
    how = f"LoRA rank {train.lora.rank}" if train.method == "lora" else "all weights"
    length = f"{train.target_tokens} target tokens" if train.target_tokens else f"{train.epochs:g} epochs"
    lines.append(
        f"train      {how}, {length}, batch {train.global_batch}, ZeRO-{train.zero_stage}, {train.workers} workers"
    )
    lines += [f"memory     {engine_memory(config, size)}", f"           {training_memory(train, size)}"]
    settings = config.model_dump(mode="json")
    if changed := difference((before or {}).get("config", settings), settings):
        lines += ["changed    since the last start; a stage that was made from other settings is refused"]
        lines += [f"           {change}" for change in changed]
    lines.append("stages")
    for name in stage_names(config, method):
        state = "done" if run.exists(f"{name}/{DONE}") else "to do"
        lines.append(f"  {name:<24} {state}")
    return "\n".join(lines)


def stage_names(config: Config, method: MethodName = ROUNDS) -> list[str]:
    """All stages of a run in their order; a run may stop before its last round."""
    return _evolve_stages(config) if method == EVOLVE else _rounds_stages(config)


def _rounds_stages(config: Config) -> list[str]:
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


def _evolve_stages(config: Config) -> list[str]:
    evolve, evaluations = config.evolve, [f"eval-{split}" for split in config.evaluate.splits]
    names = ["data"]
    if "test" in config.evaluate.splits:
        evaluations.append("tasks-test")
        names.append("tasks")
    if evolve.rounds:
        names.append("queries")
    names += [f"base/{name}" for name in evaluations]
    for model in (*([ADAPTION] if evolve.adaption else []), DECOMPOSED):
        names += [f"{model}/{name}" for name in ("corpus", "train", *evaluations)]
    for number in range(1, evolve.rounds + 1):
        names += [f"{round_name(number)}/{name}" for name in ("evolve", "corpus", "train", *evaluations)]
    return names


def _asked(config: Config, rows: int, method: MethodName) -> Iterator[tuple[str, str]]:
    """What the training samples are asked: a name, and a sentence."""
    if method != EVOLVE:
        draws = f"{config.probe.k} draws" if config.probe.mode == "full" else f"at most {config.probe.k} draws"
        yield "probe", f"{rows:,} samples, {draws} each, rule {config.select.rule}"
        return
    evolve = config.evolve
    hidden = round(evolve.held_out * rows)
    kinds = ["invocation", *(kind for kind in ("generation", "adaption") if getattr(evolve, kind))]
    yield "learn", f"{rows - hidden:,} samples (about) for {', '.join(kinds)}"
    if evolve.rounds:
        votes = f"{evolve.votes} votes" if evolve.mode == "full" else f"at most {evolve.votes} votes"
        yield "evolve", f"{hidden:,} queries (about), {votes} each, at most {evolve.rounds} rounds"


def _context(config: Config) -> Iterator[str]:
    """A word where the model's own context is what counts; of a model that is here."""
    path, asked = config.model.path, config.model.max_model_len
    if "://" not in path and (own := context_length(resolve_model(path))) < asked:
        yield f"           its own context of {own:,} tokens counts, model.max_model_len={asked:,} is more"


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
