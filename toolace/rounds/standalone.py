"""Single stages on files of one's own, outside a run of rounds: what `toolace probe`, `select`, ... do.

They are the same stages in a directory of their own, so they publish, resume and refuse in the same way; what is in
the input files counts among their settings.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

import toolace
from toolace.config import Config
from toolace.data import load_samples
from toolace.data.contents import describe_contents
from toolace.data.shards import INDEX, read_samples, write_shards
from toolace.errors import DataError
from toolace.probing import ProbeRecord
from toolace.rollouts.dataset import read_records
from toolace.rounds.cluster import check_lasting
from toolace.rounds.context import ModelRef, Run, base_model
from toolace.rounds.events import EventLog
from toolace.rounds.lock import RunLock
from toolace.rounds.progress import Progress
from toolace.rounds.record import git_revision, versions
from toolace.rounds.stages import roll_out
from toolace.rounds.train_stage import train_stage
from toolace.selection import Selection, labels, select
from toolace.storage import BEGUN, DONE, Stage, Store


def probe_samples(config: Config, samples: str, out: str) -> dict[str, Any]:
    """Probe `samples` (a file that `toolace.data` reads, or a directory of shards) with `config.model`.

    Records are in `out/round-1/probe`; returns the counts.
    """
    run = run_in(config, out)
    with RunLock(run.store):
        data = _ingest(run, samples, "train")
        return roll_out(run, model_of(config), data, evaluate=False, probe_round=1)["probe"]


def evaluate_samples(config: Config, samples: str, out: str) -> dict[str, Any]:
    """Evaluate `config.model` on samples. Records are in `out/model/eval-test`; returns the scores."""
    settings = config.model_copy(update={"evaluate": config.evaluate.model_copy(update={"splits": ["test"]})})
    run = run_in(settings, out)
    with RunLock(run.store):
        data = _ingest(run, samples, "test")
        scores: dict[str, Any] = roll_out(run, model_of(config), data, evaluate=True)["test"]["scores"]
        return scores


def train_corpus(config: Config, corpus: str, out: str) -> dict[str, Any]:
    """Fine-tune `config.model` on a corpus directory; the model, with its card, is in `out/model/train/model`.

    Returns the counts.
    """
    run = run_in(config, out)
    with RunLock(run.store):
        source = Store(corpus)
        if not any(name.endswith(".parquet") for name in source.list()):
            raise DataError(f"no corpus in {source.uri}: it holds no parquet file. The corpus stage of a run makes one")
        files = {name: what for name, what in describe_contents(source.uri).items() if name.endswith(".parquet")}
        stage = _Corpus(source, "corpus", {"corpus": source.uri, "input": files})
        if run.store.sub("model/train").holds_only(BEGUN):
            run.store.delete("corpus")  # nothing was made of what was given before
        given = run.stage("corpus", stage.made_from)  # remembered here, so that a change is shown file by file
        if given.done() is None:
            given.publish({})
        before = run.store.exists(f"model/train/{DONE}")
        model = train_stage(run, "model", model_of(config), stage, config.train)
        counts = run.counts["model/train"]
        _write_card(run, Store(model.path), source, counts, now=not before)
        return {**counts, "model": model.path}


def _write_card(run: Run, model: Store, corpus: Store, counts: dict[str, Any], *, now: bool) -> None:
    """The card of a model trained alone. One that was trained before (not `now`) keeps the card that it has, and gets
    none of the versions that are installed since."""
    from toolace.report import SINGLE, CardFacts, write_model_card
    from toolace.report.card import CARD, name_of

    if not now and model.exists(CARD):
        return
    config = run.config
    files = (name for name in corpus.list() if name.endswith(".parquet"))
    kinds = Counter(kind for name in files for kind in corpus.read_table(name).column("kind").to_pylist())
    facts = CardFacts(
        run=run.store.uri.rsplit("/", 1)[-1],
        model=SINGLE,
        base=name_of(config.model.path),
        format=config.model.format,
        settings=config.train.model_dump(mode="json"),
        corpus=kinds,
        train=counts,
        data=name_of(corpus.uri),
        seed=config.seed,
        toolace=toolace.__version__ if now else "",
        revision=git_revision() if now else None,
        versions=versions() if now else {},
    )
    write_model_card(model, facts)


def select_records(config: Config, probe: str, previous: str | None = None) -> Selection:
    """Select from the records of a probe directory, under the rule of `config` (see `toolace.selection`)."""
    kept, errors = _probe_records(probe)
    before = labels(_probe_records(previous)[0], config.select) if previous is not None else None
    return select(kept, config.select, before, errors=errors)


def _probe_records(place: str) -> tuple[list[ProbeRecord], int]:
    """The records of a probe directory, and how many rows have none. Raises `DataError` for those of another stage."""
    found = list(read_records(place))
    kept = [record for record in found if not record.get("error")]
    try:
        return [ProbeRecord.model_validate(record) for record in kept], len(found) - len(kept)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise DataError(
            f"{place} does not hold the records of a probe ({'.'.join(map(str, first['loc']))}: {first['msg']}). Give "
            "the directory of a probe stage, such as runs/demo/round-1/probe"
        ) from None


class _Corpus(Stage):
    """A corpus directory that no stage of this run has made."""

    def __init__(self, store: Store, name: str, made_from: dict[str, Any]) -> None:
        super().__init__(store, name, made_from)
        self.store = store


def run_in(config: Config, out: str) -> Run:
    """A run whose directory is `out` itself. Raises `ConfigError` where that would not outlive a submitted job."""
    check_lasting(out, Path.cwd(), "--out ")
    store = Store(out)
    return Run(config, store, EventLog(store), Progress())


def model_of(config: Config) -> ModelRef:
    """`config.model`, by its weights."""
    return base_model(config, "model")


def _ingest(run: Run, samples: str, split: Literal["train", "test"]) -> Stage:
    """The samples as one split of a data stage."""
    made_from = {"source": samples, "split": split, "shard_rows": run.config.rollout.shard_rows}
    stage = run.stage("data", {**made_from, "input": describe_contents(samples)})
    if stage.done() is None:
        source = Store(samples) if "://" in samples or not samples.endswith((".json", ".jsonl", ".parquet")) else None
        if source is not None and source.exists(INDEX):
            rows, quarantined = read_samples(source), {}
        else:
            loaded = load_samples(samples)
            rows, quarantined = iter(loaded.samples), loaded.reasons()
        index = write_shards(rows, stage.store.sub(split), run.config.rollout.shard_rows)
        if not index.rows:
            raise DataError(f"no usable sample in {samples} ({quarantined or 'no rows'}). See `toolace data check`")
        stage.publish({"rows": index.rows, "quarantined": quarantined})
    return stage
