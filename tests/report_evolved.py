"""An evolve run for tests of the report: the real evolve program and evaluations, with a scripted model."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from report_runs import EVIL, FakeRun, chance

from toolace.calls import judge, render_calls
from toolace.calls.definitions import render_definitions
from toolace.calls.schema import Sample
from toolace.config import EvolveConfig
from toolace.corpus import RowKind
from toolace.data.shards import read_samples
from toolace.evolution.program import EvolveRecord, evolve
from toolace.report.records import read_rows
from toolace.rollouts.program import Completion, Request
from toolace.rounds.summary import SUMMARY
from toolace.storage import Stage

SKILLS = {"base": 0.2, "adaption": 0.3, "decomposed": 0.5, "evolve-1": 0.6, "evolve-2": 0.7}


def mistaken(sample: Sample) -> str:
    """A call that keeps all rules and is wrong wherever an argument takes any text."""
    calls = []
    for call in sample.reference.calls:
        tool = next(tool for tool in sample.chat.tools if tool.name == call.name)
        free = {name for name, schema in tool.parameters["properties"].items() if "enum" not in schema}
        arguments = {
            name: f"{value}, perhaps" if isinstance(value, str) and name in free else value
            for name, value in call.arguments.items()
        }
        calls.append(call.model_copy(update={"arguments": arguments}))
    return render_calls(calls) if calls else "[elsewhere()]"


class FakeEvolution(FakeRun):
    """A run of both stages and two rounds of evolution."""

    def __init__(self, root: Path, *, rows: int = 40, evil: bool = True) -> None:
        super().__init__(root, rows=rows, evil=evil)
        self.evolve = EvolveConfig(votes=4)
        record = self.store.read_json("run.json")
        record["config"]["evolve"] = self.evolve.model_dump()
        self.store.write_json("run.json", {**record, "method": "evolve"})

    def answer(self, sample: Sample, skill: float, request: Request) -> Completion:
        """Evaluation as in other runs; tools for a query are now and then of no use, and so are the votes."""
        text = request.chat.messages[-1].content
        if text.startswith("Generate candidate tools"):
            luck = chance(sample.id, "tools", skill)
            if luck < 0.1:
                return Completion(f"No tools. {EVIL}", "stop", 10, 50, -1.0)
            if luck < 0.2:
                return Completion("[", "length", 300, 50, -1.0)
            tools = [
                tool.model_copy(update={"description": tool.description or "A tool."}) for tool in sample.chat.tools
            ]
            return Completion(render_definitions(tools), "stop", 80, 50, -1.0)
        if request.sampling.top_k:
            luck = chance(sample.id, request.seed)
            right = sample.reference.content or render_calls(sample.reference.calls)
            hard = chance(sample.id, "votes")
            if chance(sample.id, "mistaken") < 0.2:
                return Completion(mistaken(sample), "stop", 12, 200, -1.0)
            text = right if hard < skill or luck < 0.4 else f"[elsewhere(q='{int(10 * luck)}')]" if hard < 0.9 else EVIL
            return Completion(text, "stop", 12, 200, -1.0)
        return super().answer(sample, skill, request)

    def learn(self, name: str, kinds: dict[RowKind, int], replay: int = 0) -> None:
        """A corpus, a training and the evaluations of a model."""
        corpus = self.run.stage(f"{name}/corpus", {})
        corpus.done()
        self.run.remember(corpus, corpus.publish({**kinds, **({"replay": replay} if replay else {})}))
        self.train(name, corpus, kinds=[kind for kind, number in kinds.items() if number])
        self.ask(name)

    def ask(self, name: str) -> None:
        """The evaluations of a model, also on the sub-tasks."""
        skill = SKILLS[name]
        self.evaluate(name, skill)
        stage = self.run.stage(f"{name}/tasks-test", {})
        stage.done()
        scores = {
            "definitions": 20, "definition_valid": skill, "definition_match": skill / 2, "queries": 30,
            "tools_valid": skill if name != "base" else 0.0, "relevance": skill / 4, "errors": 1,
            "reasons": {"no_tools": 2, "unparseable": 3},
        }  # fmt: skip
        self.run.remember(stage, stage.publish({"rows": 50, "scores": scores, "generated_tokens": 500}))

    def draw(self, number: int, model: str) -> dict[str, Any]:
        """The queries of a round, asked of a model; the counts of the stage."""
        data = self.make_data()
        stage: Stage = self.run.stage(f"evolve-{number}/evolve", {"model": model})
        stage.done()
        with self.run.timed(f"{model}: evolve", stage):
            program = partial(evolve, config=self.evolve, format="pythonic", run_seed=number)
            counts = self.roll(stage, data.store.sub("train"), program, SKILLS[model])
        hidden = {sample.id: sample for sample in read_samples(data.store.sub("train"))}
        rejected: Counter[str] = Counter()
        answers: list[str] = []
        right, draws, full = [], 0, 0
        rows = list(read_rows(stage.store))
        for sample_id, _, row in rows:
            if row is None:
                continue
            record = EvolveRecord.model_validate(row)
            draws, full = draws + record.n, full + (record.k if record.n else 0)
            if record.answer is None:
                rejected[str(record.reason)] += 1
            else:
                answers.append(record.answer)
                right.append(judge(hidden[sample_id], record.answer, "pythonic").correct)
        found = {
            "queries": len(rows), "accepted": len(answers), "rejected": dict(rejected.most_common()), "draws": draws,
            "draws_full": full, "judged": len(right), "accepted_right": sum(right) / len(right), "relevance": 1.0,
            "call_diversity": len(set(answers)) / len(answers), "tool_diversity": 0.5,
        }  # fmt: skip
        return self.run.remember(stage, stage.publish({**counts, **found, "seconds": 20.0, "model": model}))

    def evolve_all(self) -> None:
        """All stages, the summary and the end of the log."""
        self.make_data()
        self.ask("base")
        self.learn("adaption", {"adaption": 30, "generation": 0, "invocation": 0})
        self.learn("decomposed", {"adaption": 0, "generation": 20, "invocation": 25})
        model = "decomposed"
        rounds = []
        for number in (1, 2):
            accepted = self.draw(number, model)["accepted"]
            model = f"evolve-{number}"
            self.learn(model, {"adaption": 0, "generation": accepted, "invocation": 2 * accepted}, accepted)
            rounds.append({"round": number})
        self.run.events.write("run_done")
        self.store.write_json(SUMMARY, {"name": "fake", "stopped": "nothing_accepted", "rounds": rounds})
