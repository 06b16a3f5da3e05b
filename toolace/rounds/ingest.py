"""The first stage: rows from any source become train, dev and test samples in shards, the bad ones quarantined."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

from toolace.calls.schema import Sample
from toolace.config import Config, FileSource, Source, SyntheticSource
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
    sources = {name: source for name in SPLITS if isinstance(source := getattr(data, name), FileSource)}
    if sources:
        try:
            made_from["input"] = {name: describe_contents(source.path) for name, source in sources.items()}
        except DataError as error:
            if not run.store.exists(f"data/{DONE}"):
                raise
            made_from["input"] = run.store.read_json(f"data/{DONE}")["made_from"].get("input")
            run.progress.say(f"not checked whether the data is still the same, going on with what was read: {error}")
    return run.stage("data", made_from)


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
    for name in ("train", "test"):
        if not counts[name]:
            raise DataError(
                f"the {name} split is empty: give data.{name} a source, or raise data.{name}_share or its rows"
            )
    lines = "".join(json.dumps(bad, ensure_ascii=False) + "\n" for bad in reader.quarantine)
    stage.store.write("quarantine.jsonl", lines.encode())
    counts |= {"rows": reader.rows, "samples": sum(counts.values())}
    counts["quarantined"] = dict(Counter(bad["reason"] for bad in reader.quarantine).most_common())
    return stage.publish({**counts, "skipped": dict(reader.skipped)})


class _Reader:
    """Reads the sources of a config, remembers what was left out."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.rows = 0
        self.quarantine: list[dict[str, Any]] = []
        self.skipped: Counter[str] = Counter()

    def splits(self) -> dict[Split, Iterator[Sample] | list[Sample]]:
        data = self._config.data
        if isinstance(data.train, SyntheticSource):
            train = data.train
            return {
                "train": self._samples(train, "train"),
                "dev": self._samples(data.dev or _smaller(train, data.dev_share), "dev"),
                "test": self._samples(data.test or _smaller(train, data.test_share), "test"),
            }
        given: dict[Split, Source | None] = {"dev": data.dev, "test": data.test}
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
        if len(loaded.quarantined) > self._config.data.max_bad_share * loaded.rows:
            raise DataError(
                f"{len(loaded.quarantined)} of {loaded.rows} rows of {source.path} are unusable ({loaded.reasons()}). "
                f"Look at them with `toolace data check {source.path}`, or raise data.max_bad_share"
            )
        return loaded.samples


def _smaller(source: SyntheticSource, share: float) -> SyntheticSource:
    return source.model_copy(update={"rows": max(1, round(source.rows * share))})
