"""The first stage: rows from any source become train, dev and test samples in shards, the bad ones quarantined."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from toolace.calls.schema import Sample
from toolace.config import Config, DataConfig, FileSource, Source, SyntheticSource
from toolace.data.contents import describe_contents
from toolace.data.shards import write_shards
from toolace.errors import DataError
from toolace.rounds.context import Run
from toolace.storage import DONE, Stage

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")


def data_stage(run: Run) -> Stage:
    """Where the samples of a run are. Made from the settings and from what is in the files, so that a source that has
    changed since is refused.

    Where a source cannot be found any more, samples that were read from it once are used as they are, and it is said.
    """
    data = run.config.data
    made_from = {"data": data.model_dump(), "seed": run.config.seed, "shard_rows": run.config.rollout.shard_rows}
    if any(isinstance(getattr(data, name), FileSource) for name in SPLITS):
        try:
            made_from["input"] = describe_sources(data)
        except DataError as error:
            if not run.store.exists(f"data/{DONE}"):
                raise
            known = run.store.read_json(f"data/{DONE}")
            if not isinstance(known, dict) or not isinstance(known.get("made_from"), dict):
                raise  # the marker is damaged: nothing tells what was read
            made_from["input"] = known["made_from"].get("input")
            run.progress.say(f"not checked whether the data is still the same, going on with what was read: {error}")
    return run.stage("data", made_from)


def describe_sources(data: DataConfig) -> dict[str, dict[str, str]]:
    """What is in the file sources, by split (see `describe_contents`). Raises `DataError` where one is not found."""
    sources = {name: source for name in SPLITS if isinstance(source := getattr(data, name), FileSource)}
    return {name: describe_contents(source.path) for name, source in sources.items()}


def ingest(config: Config, stage: Stage) -> dict[str, Any]:
    """Fill the stage with `train/`, `dev/`, `test/` shards and `quarantine.jsonl`; returns its counts.

    Counts: `rows` read, `samples` made, rows `quarantined` and `skipped` by reason, and the samples of each split.
    Raises `DataError` when a source has no usable row, too many bad ones, or when train or test come out empty.
    """
    done = stage.done()
    if done is not None:
        return done
    reader = _Reader(config)
    splits = reader.splits()
    counts: dict[str, Any] = {}
    for name in SPLITS:
        stage.store.delete(name)
        counts[name] = write_shards(splits[name], stage.store.sub(name), config.rollout.shard_rows).rows
    _require_samples(counts)
    lines = "".join(json.dumps(bad, ensure_ascii=False) + "\n" for bad in reader.quarantine)
    stage.store.write("quarantine.jsonl", lines.encode())
    counts |= {"rows": reader.rows, "samples": sum(counts.values())}
    counts["quarantined"] = dict(Counter(bad["reason"] for bad in reader.quarantine).most_common())
    return stage.publish({**counts, "skipped": dict(reader.skipped)})


def made_data(run: Run) -> Stage:
    """The samples of a run, read where that is not done yet."""
    stage = data_stage(run)
    if stage.done() is None:
        with run.timed("data", stage):
            counts = ingest(run.config, stage)
        run.progress.end(f"{counts['train']} train, {counts['dev']} dev, {counts['test']} test samples")
    run.remember(stage, ingest(run.config, stage))
    return stage


@dataclass(frozen=True)
class FileCounts:
    """What reading a file source gave: numbers of rows and samples, and by reason the rows that gave none."""

    rows: int
    samples: int
    quarantined: dict[str, int]
    skipped: dict[str, int]


def preview(config: Config, most: int) -> tuple[dict[str, int], dict[str, FileCounts]]:
    """The number of samples of each split, and what the file sources hold by split, without writing anything.

    Of each file source no more than the first `most` rows are read. Synthetic rows are as many as asked for. Raises
    `DataError` as `ingest` does.
    """
    data = config.data
    capped: dict[str, FileSource] = {
        name: source.model_copy(update={"limit": min(source.limit or most, most)})
        for name in SPLITS
        if isinstance(source := _source(data, name), FileSource)
    }
    data = data.model_copy(update=capped)
    reader = _Reader(config.model_copy(update={"data": data}))
    counts: dict[str, int] = {}
    for name, samples in reader.splits().items():
        source = _source(data, name)
        if isinstance(source, SyntheticSource):
            next(iter(reader._samples(source, name)))  # refuses an unknown profile
            counts[name] = source.rows
        else:
            counts[name] = sum(1 for _ in samples)
    _require_samples(counts)
    return counts, dict(zip(capped, reader.files, strict=True))  # files are read in the order of the splits


class _Reader:
    """Reads the sources of a config, remembers what was left out."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.rows = 0
        self.quarantine: list[dict[str, Any]] = []
        self.skipped: Counter[str] = Counter()
        self.files: list[FileCounts] = []

    def splits(self) -> dict[Split, Iterator[Sample] | list[Sample]]:
        data = self._config.data
        given: dict[Split, Source | None] = {"dev": _source(data, "dev"), "test": _source(data, "test")}
        if isinstance(data.train, SyntheticSource):
            return {name: self._samples(source, name) for name in SPLITS if (source := _source(data, name))}
        shares = {"dev": data.dev_share, "test": data.test_share}
        missing = {name: shares[name] if source is None else 0.0 for name, source in given.items()}
        samples = list(self._samples(data.train, "train"))
        if any(missing.values()):
            from toolace.data import split_by_tools

            parts = split_by_tools(samples, missing["dev"], missing["test"], self._config.seed, by=data.split_by)
        else:
            parts = {"train": samples, "dev": [], "test": []}
        result: dict[Split, Iterator[Sample] | list[Sample]] = {"train": parts["train"]}
        for name, source in given.items():
            result[name] = parts[name] if source is None else self._samples(source, name)
        return result

    def _samples(self, source: Source, split: Split) -> Iterator[Sample]:
        if isinstance(source, SyntheticSource):
            from toolace.data.synthetic import generate

            for sample in generate(
                source.rows, source.seed, profile=source.profile, split=split, wrong_share=source.wrong_share
            ):
                self.rows += 1
                yield sample
            return
        yield from self._files(source)

    def _files(self, source: FileSource) -> list[Sample]:
        from toolace.data import load_samples

        loaded = load_samples(source.path, format=source.format, limit=source.limit, targets=source.targets)
        self.rows += loaded.rows
        self.quarantine += [dataclasses.asdict(bad) for bad in loaded.quarantined]
        self.skipped.update(skipped.reason for skipped in loaded.skipped)
        self.files.append(FileCounts(loaded.rows, len(loaded.samples), loaded.reasons(), loaded.skips()))
        if len(loaded.quarantined) > self._config.data.max_bad_share * loaded.rows:
            raise DataError(
                f"{len(loaded.quarantined)} of {loaded.rows} rows of {source.path} are unusable ({loaded.reasons()}). "
                f"Look at them with `toolace data check {source.path}`, or raise data.max_bad_share"
            )
        return loaded.samples


def _source(data: DataConfig, split: Split) -> Source | None:
    """Where a split comes from; None: it is split off the training files."""
    given: Source | None = getattr(data, split)
    if given is not None or not isinstance(data.train, SyntheticSource):
        return given
    share = data.dev_share if split == "dev" else data.test_share
    return data.train.model_copy(update={"rows": max(1, round(data.train.rows * share))})


def _require_samples(counts: Mapping[str, Any]) -> None:
    for name in ("train", "test"):
        if not counts[name]:
            raise DataError(
                f"the {name} split is empty: give data.{name} a source, or raise data.{name}_share or its rows"
            )
