"""How well a model does the sub-tasks that are not calling: writing a tool's definition, and making tools for a query.

A definition is compared with the tool's own. Tools for a query have none to be compared with: they are of use when
they keep the rules of `toolace.evolution.rules` and the hidden answer can be said with them (`relevance`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict

from toolace.calls import parse_answer
from toolace.calls.definitions import parse_definition, parse_definitions
from toolace.calls.schema import Sample, Tool
from toolace.config import CallFormat, EvolveConfig
from toolace.errors import ParseError
from toolace.evolution.rules import ToolFault, call_fault, tool_fault
from toolace.evolution.subtasks import adaption_rows, first_query, generation_chat, generation_row, tool_key
from toolace.rollouts.program import Program, Request, Sampling, ask

Task = Literal["adaption", "generation"]
Invalid = Literal["truncated", "called", "unparseable"] | ToolFault
"""Why an answer is no tool that could be used: cut off, a call instead, not read, or the rule that it breaks."""


class TaskRecord(BaseModel):
    """One task answered.

    `text` is what the model wrote, `tools` what it says; `invalid` is None where all of them keep the rules. Of an
    invalid answer nothing else is true. `name`, `parameter_names` and `match` compare a definition with the tool's own:
    equal name, equal set of parameters, equal name and schema. `relevant`: the hidden answer breaks no rule over the
    tools. `tokens` were generated, `prompt_tokens` read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    kind: Task
    text: str
    tools: tuple[Tool, ...] = ()
    invalid: Invalid | None
    detail: str = ""
    name: bool = False
    parameter_names: bool = False
    match: bool = False
    relevant: bool = False
    tokens: int = 0
    prompt_tokens: int = 0


class TaskScores(BaseModel):
    """Scores of one model on the tasks of one split. Shares are 0..1, None where there is no such task.

    `definitions` and `queries` count the tasks of each kind; failed ones (`errors`) count as wrong. `definition_valid`
    and `tools_valid`: the text can be read and keeps the rules. `definition_name`, `definition_parameters`,
    `definition_match`: the name, the set of parameter names, the name and the whole schema are those of the tool.
    `relevance`: the calls of the hidden answer are valid over the tools made for the query.
    `reasons` counts invalid answers by why.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    definitions: int
    definition_valid: float | None
    definition_match: float | None
    definition_name: float | None
    definition_parameters: float | None
    queries: int
    tools_valid: float | None
    relevance: float | None
    errors: int
    reasons: dict[str, int]


def task_samples(samples: Iterable[Sample]) -> Iterator[Sample]:
    """The tasks that samples give, in their order; ids, questions and answers are those of the training rows.

    Kind `adaption`: one for each distinct tool with a description of its own; the reference is the definition as text.
    Kind `generation`: one for each sample whose reference has calls; chat and reference are the sample's.
    """
    left_out: Counter[str] = Counter()
    known: set[str] = set()
    for sample in samples:
        for row in adaption_rows((sample,), left_out):
            keys = {row.id, row.chat.messages[0].content}
            if not keys & known:
                known |= keys
                yield sample.model_copy(
                    update={"id": row.id, "kind": row.kind, "chat": row.chat, "reference": row.target}
                )
        made = generation_row(sample, left_out)
        if made is not None:
            yield sample.model_copy(update={"id": made.id, "kind": made.kind})


def answer_task(sample: Sample, *, config: EvolveConfig, format: CallFormat) -> Program[dict[str, object]]:
    """The program of one task of `task_samples`, greedy; returns the dump of its `TaskRecord`.

    `format` is how the model calls, which a model that never learnt to write definitions does instead.
    """
    adaption = sample.kind == "adaption"
    chat = sample.chat if adaption else generation_chat(first_query(sample) or "")
    answer = yield from ask(Request(chat, Sampling(max_tokens=config.tools_tokens)))

    tools: tuple[Tool, ...] = ()
    fault: tuple[Invalid, str] | None
    if answer.finish == "length":
        fault = "truncated", f"{answer.tokens} tokens"
    else:
        try:
            tools = tuple(parse_definitions(answer.text))
            fault = tool_fault(tools, 1 if adaption else config.max_tools)
        except ParseError as error:
            # Not before: in some formats a definition reads as a call.
            called = bool(parse_answer(answer.text, format).calls)
            fault = "called" if called else "unparseable", str(error)[:200]
    record = TaskRecord(
        id=sample.id,
        kind="adaption" if adaption else "generation",
        text=answer.text,
        tools=tools,
        invalid=fault[0] if fault else None,
        detail=fault[1] if fault else "",
        tokens=answer.tokens,
        prompt_tokens=answer.prompt_tokens,
    )
    return record.model_copy(update=_compared(sample, tools) if fault is None else {}).model_dump()


def _compared(sample: Sample, tools: tuple[Tool, ...]) -> dict[str, bool]:
    if sample.kind != "adaption":
        return {"relevant": call_fault(sample.reference.calls, tools) is None}
    (made,), own = tools, parse_definition(sample.reference.content)
    return {
        "name": made.name == own.name,
        "parameter_names": _parameter_names(made) == _parameter_names(own),
        "match": tool_key(made) == tool_key(own),
    }


def _parameter_names(tool: Tool) -> set[str]:
    return set(tool.parameters.get("properties") or {})


class TaskTally:
    """Adds up records; tallies of parts of a split merge to that of the whole."""

    def __init__(self) -> None:
        self._sums: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()

    def add(self, record: TaskRecord) -> None:
        """Count one answered task."""
        self._sums.update(
            {
                record.kind: 1,
                f"{record.kind}_valid": record.invalid is None,
                "name": record.name,
                "parameter_names": record.parameter_names,
                "match": record.match,
                "relevant": record.relevant,
            }
        )
        if record.invalid is not None:
            self._reasons[record.invalid] += 1

    def add_error(self, task_id: str = "") -> None:
        """Count a task that failed, as wrong where its id, which `task_samples` made, tells the kind."""
        self._sums.update({"errors": 1, task_id.rpartition("/")[2]: 1})

    def merge(self, other: TaskTally) -> None:
        """Add what another tally has counted."""
        self._sums.update(other._sums)
        self._reasons.update(other._reasons)

    def scores(self) -> TaskScores:
        """The scores so far."""
        return TaskScores(
            definitions=self._sums["adaption"],
            definition_valid=self._share("adaption_valid", "adaption"),
            definition_match=self._share("match", "adaption"),
            definition_name=self._share("name", "adaption"),
            definition_parameters=self._share("parameter_names", "adaption"),
            queries=self._sums["generation"],
            tools_valid=self._share("generation_valid", "generation"),
            relevance=self._share("relevant", "generation"),
            errors=self._sums["errors"],
            reasons=dict(sorted(self._reasons.items())),
        )

    def _share(self, what: str, of: Task) -> float | None:
        return self._sums[what] / self._sums[of] if self._sums[of] else None
