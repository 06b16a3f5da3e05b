"""Evaluation of the sub-tasks: can the model define a tool from its description, and make tools for a query?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict

from toolace.calls.definitions import parse_definition, parse_definitions
from toolace.calls.schema import Sample
from toolace.config import CallFormat, EvolveConfig
from toolace.errors import ParseError
from toolace.evolution.rules import call_fault, tool_fault
from toolace.evolution.subtasks import adaption_rows, first_query, generation_chat
from toolace.rollouts.program import Program, Request, Sampling, ask


class TaskRecord(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    kind: Literal["adaption", "generation"]
    text: str
    valid: bool
    right: bool


class TaskScores(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    definitions: int
    definition_valid: float | None
    definition_match: float | None
    queries: int
    tools_valid: float | None
    relevance: float | None
    errors: int


def task_samples(samples: Iterable[Sample]) -> Iterator[Sample]:
    kept = list(samples)
    for row in adaption_rows(kept, Counter()):
        yield Sample(id=row.id, kind="adaption", chat=row.chat, reference=row.target)
    for sample in kept:
        if sample.reference.calls:
            yield sample.model_copy(update={"id": f"{sample.id}/generation", "kind": "generation"})


def answer_task(sample: Sample, *, config: EvolveConfig, format: CallFormat) -> Program[dict[str, object]]:
    sampling = Sampling(max_tokens=config.tools_tokens)
    chat = sample.chat if sample.kind == "adaption" else generation_chat(first_query(sample) or "")
    text = (yield from ask(Request(chat, sampling))).text
    valid = right = False
    try:
        if sample.kind == "adaption":
            valid = tool_fault([parse_definition(text)], 1) is None
            right = parse_definition(text) == parse_definition(sample.reference.content)
        else:
            tools = parse_definitions(text)
            valid = tool_fault(tools, config.max_tools) is None
            right = call_fault(sample.reference.calls, tools) is None
    except ParseError:
        pass
    return TaskRecord(id=sample.id, kind=sample.kind, text=text, valid=valid, right=right).model_dump()


class TaskTally:
    def __init__(self) -> None:
        self._n: Counter[str] = Counter()

    def add(self, record: TaskRecord) -> None:
        self._n.update({record.kind: 1, f"{record.kind}/valid": record.valid, f"{record.kind}/right": record.right})

    def add_error(self) -> None:
        self._n["errors"] += 1

    def scores(self) -> TaskScores:
        def share(part: str, whole: str) -> float | None:
            return self._n[part] / self._n[whole] if self._n[whole] else None

        return TaskScores(
            definitions=self._n["adaption"],
            definition_valid=share("adaption/valid", "adaption"),
            definition_match=share("adaption/right", "adaption"),
            queries=self._n["generation"],
            tools_valid=share("generation/valid", "generation"),
            relevance=share("generation/right", "generation"),
            errors=self._n["errors"],
        )
