"""Run directories for tests of the report: the real stages and programs, with a scripted model and no engine."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from toolace.calls import render_calls
from toolace.calls.schema import Call, Chat, Message, Sample, Tool
from toolace.config import Config, validate_config
from toolace.corpus import ROUND_KINDS, RowKind
from toolace.data.shards import read_index, read_shard, write_shards
from toolace.data.synthetic import generate
from toolace.evaluation.program import evaluate_sample
from toolace.probing import probe
from toolace.rollouts.outputs import Counts, copy_index, make_table, publish, record_text
from toolace.rollouts.program import Completion, MakeProgram, Request, drive
from toolace.rounds.context import ModelRef, Run
from toolace.rounds.events import EventLog
from toolace.rounds.progress import Progress
from toolace.rounds.record import record_start
from toolace.rounds.shared import SharedStages
from toolace.rounds.stages import (
    corpus_stage,
    evaluation_stage,
    plain_corpus_stage,
    probe_stage,
    scores_of,
    select_stage,
)
from toolace.rounds.summary import SUMMARY, build_summary
from toolace.storage import Stage, Store
from toolace.training.steplog import tenth_by_kind

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


def evil_sample(number: int) -> Sample:
    """A sample whose every text would be markup if it were not escaped."""
    parameters = {"type": "object", "properties": {"q": {"type": "string"}}}
    tool = Tool(name="look_up", description=EVIL, parameters=parameters)
    return Sample(
        id=f"evil-{number}{EVIL}",
        chat=Chat(tools=(tool,), messages=(Message(role="user", content=f"Look up {EVIL}"),)),
        reference=Message(role="assistant", calls=(Call(name="look_up", arguments={"q": EVIL}),)),
        kind=f"evil{EVIL}",
        group="look_up",
        source=EVIL,
    )


def chance(*parts: object) -> float:
    """A fixed number in [0, 1) for some values."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def answer(sample: Sample, skill: float, request: Request) -> Completion:
    """What a model of this skill (share of right answers) says: sometimes right, and refining changes some drafts."""
    right = sample.reference.content or render_calls(sample.reference.calls)
    wrong = ("I cannot do that.", "[look_up(q='elsewhere')]", right.replace("=", "=9", 1).replace("'", '"', 1) + "]")
    if request.score is not None:
        return Completion(request.score, "score", 0, 90, -3.0 if request.score == right else -4.0)
    mistake = wrong[int(chance(sample.id, "how", request.seed) * len(wrong))]
    added = request.chat.messages[len(sample.chat.messages) :]
    if added:
        draft = added[0].content
        luck = chance(sample.id, draft, "again")
        text = (mistake if luck < 0.03 else draft) if draft == right else (right if luck < 0.3 * skill else draft)
    else:
        hard = chance(sample.id, "hard")
        text = right if 0.7 * hard + 0.3 * chance(sample.id, request.seed, skill) < skill else mistake
    return Completion(text, "stop", len(text) // 4 + 1, 120, -2.0 if text == right else -2.5)


class FakeRun:
    """A run of two rounds, made step by step."""

    def __init__(
        self,
        root: Path,
        *,
        rows: int = 60,
        mode: str = "exact",
        evil: bool = True,
        rule: str = "solved",
        change: Callable[[Sample], Sample] | None = None,
    ) -> None:
        config = validate_config(
            {
                "name": "fake",
                "root": str(root),
                "probe": {"k": 4, "mode": mode},
                "select": {"rule": rule},
                "rounds": {"bootstrap_rows": 10, "max_rounds": 2},
                "evaluate": {"fixed_rounds": [1, 2], "margins": [0.5, 2]},
                "rollout": {"shard_rows": 500},
            },
            "test",
        )
        self.begin(config)
        self.rows, self.evil, self.change = rows, evil, change

    def begin(self, config: Config, shared: SharedStages | None = None) -> None:
        self.config = config
        self.store = Store(self.config.run_dir)
        self.run = Run(self.config, self.store, EventLog(self.store), Progress(io.StringIO()), shared=shared)
        attempt = record_start(self.store, self.config)
        self.run.events.write("run_begun", attempt=attempt["number"], changed=[])

    def ref(self, name: str) -> ModelRef:
        return ModelRef(name, name, name)

    def make_data(self) -> Stage:
        stage = self.run.stage("data", {"data": self.config.data.model_dump()})
        if (done := stage.done()) is None:
            with self.run.timed("data", stage):
                counts = {}
                for number, split in enumerate(("train", "dev", "test")):
                    size = self.rows if split != "dev" else max(4, self.rows // 5)
                    samples = list(generate(size, number, split=split))  # type: ignore[arg-type]
                    samples = [self.change(sample) for sample in samples] if self.change else samples
                    extra = [evil_sample(number)] if self.evil else []
                    counts[split] = write_shards(samples + extra, stage.store.sub(split), 500).rows
            bad = {"path": "rows.jsonl", "row": 7, "reason": "bad_json", "detail": EVIL}
            stage.store.write("quarantine.jsonl", (json.dumps(bad) + "\n").encode())
            counts |= {"samples": sum(counts.values()), "rows": sum(counts.values()) + 2}
            done = stage.publish({**counts, "quarantined": {"bad_json": 1}, "skipped": {"no_call_turn": 1}})
        self.run.remember(stage, done)
        return stage

    def answer(self, sample: Sample, skill: float, request: Request) -> Completion:
        return answer(sample, skill, request)

    def roll(self, stage: Stage, samples: Store, program: MakeProgram, skill: float) -> dict[str, object]:
        """What a rollout stage leaves behind; the last row of every shard fails."""
        total = Counts()
        for shard in read_index(samples).shards:
            counts = Counts(shards=1)
            results: dict[str, str | None] = {}
            errors: dict[str, str] = {}
            rows = read_shard(samples, shard)
            for number, sample in enumerate(rows):
                if number == len(rows) - 2:
                    results[sample.id], errors[sample.id] = None, "the prompt has 9000 tokens"
                    counts.errors["the prompt has # tokens"] = 1
                else:
                    results[sample.id] = record_text(drive(program(sample), partial(self.answer, sample, skill)))
                counts.rows += 1
                counts.requests += 2
                counts.generated_tokens += 40
                counts.prompt_tokens += 240
            publish(stage.store, shard, make_table(results, errors, counts))
            total.add(counts)
        copy_index(samples, stage.store)
        return total.as_dict()

    def evaluate(self, name: str, skill: float) -> None:
        data = self.make_data()
        for split in ("dev", "test"):
            stage = evaluation_stage(self.run, self.ref(name), split, data.key)
            if (done := stage.done()) is None:
                with self.run.timed(name, stage):
                    program = partial(
                        evaluate_sample,
                        refine_config=self.config.refine,
                        format="pythonic",
                        fixed_rounds=(1, 2),
                        margins=(0.5, 2),
                    )
                    counts = self.roll(stage, data.store.sub(split), program, skill)
                counts |= {"scores": scores_of(stage.store), "seconds": 12.5, "model": name}
                done = stage.publish(counts)
            self.run.remember(stage, done)

    def probe(self, number: int, name: str, skill: float) -> Stage:
        data = self.make_data()
        stage = probe_stage(self.run, self.ref(name), number, data.key)
        if (done := stage.done()) is None:
            with self.run.timed("probe", stage):
                program = partial(
                    probe, config=self.config.probe, select=self.config.select, format="pythonic", run_seed=number
                )
                counts = self.roll(stage, data.store.sub("train"), program, skill)
            full = {"draws": 3 * self.rows, "draws_full": 4 * self.rows, "solved": self.rows // 2}
            done = stage.publish({**counts, **full, "seconds": 20.0, "model": name})
        self.run.remember(stage, done)
        return stage

    def train(
        self,
        name: str,
        corpus: Stage,
        *,
        steps: int = 40,
        finish: bool = True,
        kinds: Sequence[RowKind] = ROUND_KINDS,
    ) -> None:
        stage = self.run.stage(f"{name}/train", {"corpus": corpus.key})
        stage.done()
        with self.run.timed(f"{name}: train", stage):
            lines = [
                {
                    "step": step,
                    "loss": 2.5 / (1 + step * 0.1) + 0.1 * chance(name, step),
                    "loss_by_kind": {kind: (n + 1) / (1 + step * 0.1) for n, kind in enumerate(kinds)},
                    "lr": 1e-3 * min(1.0, (step + 1) / 5) * (1 - step / (steps + 1)),
                    "target_tokens": 400,
                    "tokens": 4000,
                    "seconds": 0.5,
                }
                for step in range(steps)
            ]
            stage.store.write("steps.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
            stage.store.write("model/config.json", b"{}")
        if finish:
            counts = {
                "steps": steps,
                "target_tokens": 400 * steps,
                "tokens": 4000 * steps,
                "first_loss": lines[0]["loss"],
                "last_loss": lines[-1]["loss"],
                "first_loss_by_kind": tenth_by_kind(lines),
                "last_loss_by_kind": tenth_by_kind(lines[::-1]),
                "seconds": 0.5 * steps,
                "corpus": {"rows": 100, "kept": 98, "too_long": 2},
            }
            self.run.remember(stage, stage.publish(counts))

    def finish(self, steps: int = 40) -> Store:
        """All stages, the summary and the end of the log."""
        data = self.make_data()
        self.evaluate("base", 0.2)
        corpus, _ = plain_corpus_stage(self.run, "bootstrap", data, 10)
        self.train("bootstrap", corpus, steps=steps // 4)
        self.evaluate("bootstrap", 0.4)
        probed: Stage | None = None
        model, skill = "bootstrap", 0.4
        for number in (1, 2):
            previous, probed = probed, self.probe(number, model, skill)
            selected, _ = select_stage(self.run, number, probed, previous)
            corpus, _ = corpus_stage(self.run, number, data, probed, selected)
            model, skill = f"round-{number}", 0.4 + 0.18 * number
            self.train(model, corpus, steps=steps)
            self.evaluate(model, skill)
        corpus, _ = plain_corpus_stage(self.run, "plain_sft", data, None)
        self.train("plain_sft", corpus, steps=steps)
        self.evaluate("plain_sft", 0.68)
        self.run.events.write("run_done")
        self.store.write_json(SUMMARY, build_summary(self.run, 2, "max_rounds"))
        return self.store
