"""Runs of a comparison with a scripted model: the real data, stages and programs, no engine and no training."""

from __future__ import annotations

from typing import Any

from report_runs import FakeRun

from toolace.config import Config
from toolace.rounds.context import ModelRef
from toolace.rounds.ingest import data_stage, ingest
from toolace.rounds.progress import Progress
from toolace.rounds.shared import SharedStages
from toolace.rounds.stages import corpus_stage, plain_corpus_stage, select_stage
from toolace.rounds.summary import SUMMARY, build_summary
from toolace.storage import Stage


class ComparedRun(FakeRun):
    """A run as the driver makes it. What a model can do depends on its settings."""

    def __init__(self, config: Config, shared: SharedStages | None) -> None:
        self.begin(config, shared)
        self.rows, self.evil = 0, False
        self.worked: list[str] = []
        self.keys: dict[str, str] = {}

    def ref(self, name: str) -> ModelRef:
        return ModelRef(name, name, self.keys.get(name, name))

    def make_data(self) -> Stage:
        stage = data_stage(self.run)
        counts = ingest(self.config, stage)
        self.rows = counts["train"]
        self.run.remember(stage, counts)
        return stage

    def roll(self, stage: Stage, *args: Any) -> dict[str, object]:
        self.worked.append(stage.name)
        return super().roll(stage, *args)

    def train(self, name: str, corpus: Stage, *, steps: int = 3, finish: bool = True) -> None:
        stage = self.run.stage(f"{name}/train", {"corpus": corpus.key})
        self.keys[name] = stage.key
        done = stage.done()
        if done is None:
            self.worked.append(stage.name)
            super().train(name, corpus, steps=steps)
        else:
            self.run.remember(stage, done)

    def evaluate(self, name: str, skill: float) -> None:
        super().evaluate(name, skill)
        for split in self.config.evaluate.splits:
            where = f"{name}/eval-{split}"
            self.run.counts.setdefault(where, self.store.read_json(f"{where}/done.json")["counts"])

    def everything(self) -> None:
        config = self.config
        data = self.make_data()
        self.evaluate("base", 0.2)
        corpus, _ = plain_corpus_stage(self.run, "bootstrap", data, config.rounds.bootstrap_rows)
        self.train("bootstrap", corpus)
        self.evaluate("bootstrap", 0.4)
        probed: Stage | None = None
        model, skill = "bootstrap", 0.4
        for number in range(1, config.rounds.max_rounds + 1):
            previous, probed = probed, self.probe(number, model, skill)
            self.run.counts.setdefault(probed.name, self.store.read_json(f"{probed.name}/done.json")["counts"])
            selected, _ = select_stage(self.run, number, probed, previous)
            corpus, _ = corpus_stage(self.run, number, data, probed, selected)
            model, skill = f"round-{number}", 0.4 + (0.18 if config.corpus.keep_pairs else 0.1) * number
            self.train(model, corpus)
            self.evaluate(model, skill)
        if config.rounds.plain_sft:
            corpus, _ = plain_corpus_stage(self.run, "plain_sft", data, None)
            self.train("plain_sft", corpus)
            self.evaluate("plain_sft", 0.5)
        self.store.write_json(SUMMARY, build_summary(self.run, config.rounds.max_rounds, "max_rounds"))


class Maker:
    """Makes runs, remembers what work each did, and fails where it is told to."""

    def __init__(self, fail: str = "") -> None:
        self.fail = fail
        self.worked: dict[str, list[str]] = {}

    def __call__(self, config: Config, progress: Progress, shared: SharedStages | None) -> None:
        if self.fail and self.fail in config.name:
            raise RuntimeError("the machine is on fire")
        run = ComparedRun(config, shared)
        self.worked[config.name] = run.worked
        run.everything()
