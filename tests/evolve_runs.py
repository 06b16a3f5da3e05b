"""Whole evolve runs with a scripted model: the real driver, stages and programs, no Ray, no engine and no training."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from report_runs import chance

from toolace.calls import render_calls
from toolace.calls.definitions import render_definition, render_definitions
from toolace.calls.schema import Sample
from toolace.config import Config, load_config
from toolace.corpus import read_corpus
from toolace.data.shards import ShardInfo, read_index, read_samples, read_shard
from toolace.evolution.subtasks import first_query
from toolace.rollouts.dataset import RolloutJob
from toolace.rollouts.outputs import Counts, copy_index, load, make_table, publish, record_text
from toolace.rollouts.program import Completion, Request, drive
from toolace.rounds import method, rolling, train_stage
from toolace.rounds.context import ModelRef, Run
from toolace.rounds.evolve import run_evolve
from toolace.rounds.progress import Progress
from toolace.storage import Stage, Store

SKILLS = {"adaption": 0.3, "decomposed": 0.6, "evolve-1": 0.65, "evolve-2": 0.7, "evolve-3": 0.75}
"""Share of right answers of each model; of any other 0.2."""


class Killed(BaseException):
    """Stands for the death of the driver: nothing catches it."""


def small(root: Path, *overrides: str) -> Config:
    """A run of a few rows that takes about a second."""
    settings = ["name=small", f"root={root}", "data.train.rows=60", "data.train.seed=3", "data.dev.rows=8"]
    settings += ["data.dev.type=synthetic", "data.test={type: synthetic, rows: 12, seed: 5}", "evolve.rounds=2"]
    settings += ["rollout.shard_rows=10", "rollout.max_error_share=0.1", "evaluate.fixed_rounds=[1]"]
    return load_config(None, [*settings, "evaluate.margins=[]", *overrides])


def rehearse_training(run: Run, start: ModelRef, corpus: Stage, settings: Any, stage: Stage) -> dict[str, Any]:
    """What a training leaves behind, in place of `toolace.rounds.train_stage._train`."""
    rows = list(read_corpus(corpus.store))
    assert len({row.id for row in rows}) == len(rows), "training refuses two rows of the same id"
    stage.store.write("model/config.json", json.dumps({"start": start.path}).encode())
    stage.store.write("steps.jsonl", b'{"step": 0, "loss": 1.0, "target_tokens": 9, "tokens": 9, "seconds": 0.1}\n')
    tokens = sum(len(row.target.content) // 4 + 10 * len(row.target.calls) for row in rows)
    counts: dict[str, Any] = {"steps": 1, "rows": len(rows), "epochs": settings.epochs, "target_tokens": tokens}
    counts["last_loss_by_kind"] = dict.fromkeys(sorted({row.kind for row in rows}), 1.0)
    return {**counts, "tokens": 2 * tokens, "first_loss": 2.0, "last_loss": 1.0, "seconds": 1.5, "corpus": {}}


class Rehearsal:
    """Answers and trains in place of engine and trainer. `kill` is asked at every step of work, by its place such as
    `evolve-1/evolve/part-00001` or `decomposed/train`, whether the driver dies there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.worked: list[str] = []
        self.skills = dict(SKILLS)
        self.kill: Callable[[str], bool] = lambda place: False
        self.answer = self.say
        self.started: dict[str, str] = {}
        self._known: dict[str, dict[str, Sample]] = {}
        for module in (method, rolling, train_stage):
            monkeypatch.setattr(module, "cluster", lambda config: nullcontext())
        monkeypatch.setattr(rolling, "run_rollouts", self.rollouts)
        monkeypatch.setattr(train_stage, "_train", self.train)

    def run(self, config: Config) -> dict[str, Any]:
        self.said = io.StringIO()
        return run_evolve(config, Progress(self.said))

    def rollouts(self, jobs: Sequence[RolloutJob], *, model: Any, **options: Any) -> dict[str, Counts]:
        skill = self.skills.get(model.path.split("/")[-3] if "/" in model.path else "", 0.2)
        return {job.name: self._job(job, skill, model.path) for job in jobs}

    def _job(self, job: RolloutJob, skill: float, path: str) -> Counts:
        samples, out, total = Store(job.samples), Store(job.out), Counts(models=[f"weights of {path[-30:]}"])
        run = job.out.rsplit("/", 2)[0]
        for shard in read_index(samples).shards:
            if not out.exists(shard.file):
                self._step(f"{job.out.removeprefix(run)[1:]}/{shard.file}")
                self._shard(job, shard, run, skill)
            total.add(load(out, shard)[1])
        copy_index(samples, out)
        return total

    def _shard(self, job: RolloutJob, shard: ShardInfo, run: str, skill: float) -> None:
        counts, results, errors = Counts(shards=1), {}, {}
        for sample in read_shard(Store(job.samples), shard):
            counts.rows += 1
            try:
                record = drive(job.make_program(sample), lambda r, s=sample: self.answer(self.whole(run, s), r, skill))
                results[sample.id] = record_text(record)
                for name, value in (job.count(record) if job.count else {}).items():
                    counts.counted[name] = counts.counted.get(name, 0) + value
            except ValueError as error:
                results[sample.id], errors[sample.id] = None, str(error)
                counts.errors[str(error)] = counts.errors.get(str(error), 0) + 1
        publish(Store(job.out), shard, make_table(results, errors, counts))

    def whole(self, run: str, sample: Sample) -> Sample:
        """The sample of a query with what was hidden from it."""
        if run not in self._known:
            self._known[run] = {one.id: one for one in read_samples(Store(f"{run}/data/train"))}
        return self._known[run].get(sample.id, sample)

    def say(self, sample: Sample, request: Request, skill: float) -> Completion:
        """What a model of this skill answers."""
        asked = request.chat.messages[0].content
        luck = chance(sample.id, asked, request.seed, skill)
        if not request.chat.tools and sample.kind == "adaption":
            text = sample.reference.content if luck < skill else "It is a tool."
        elif not request.chat.tools and asked != first_query(sample):
            text = self.tools(sample, luck < skill, luck)
        else:
            right = sample.reference.content or render_calls(sample.reference.calls)
            wrong = f'[{sample.chat.tools[0].name if sample.chat.tools else "x"}(no="{int(3 * luck)}")]'
            text = right if luck < (skill + 1) / 2 else wrong
        return Completion(text, tokens=len(text) // 4 + 1, prompt_tokens=50)

    def tools(self, sample: Sample, good: bool, luck: float) -> str:
        """The sample's own tools, each with a description, or what is none."""
        named = [tool.model_copy(update={"description": tool.description or tool.name}) for tool in sample.chat.tools]
        if good:
            return render_definitions(named)
        return ("[]", '[{"name"', render_definition(named[0]) * 2)[int(9 * luck) % 3]

    def train(self, run: Run, start: ModelRef, corpus: Stage, settings: Any, stage: Stage) -> dict[str, Any]:
        self._step(stage.name)
        self.started[stage.name] = start.name
        return rehearse_training(run, start, corpus, settings, stage)

    def _step(self, place: str) -> None:
        if self.kill(place):
            raise Killed(place)
        self.worked.append(place)


@pytest.fixture
def rehearsal(monkeypatch: pytest.MonkeyPatch) -> Rehearsal:
    return Rehearsal(monkeypatch)
