"""The sub-tasks' evaluation: tasks from samples, answers fed by hand, scores counted by hand."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from toolace.calls.definitions import parse_definition, render_definition, render_definitions
from toolace.calls.schema import Call, Chat, Message, Sample, Tool
from toolace.config import EvolveConfig
from toolace.data.synthetic import generate
from toolace.evolution.subtasks import adaption_rows, generation_row, tool_key
from toolace.evolution.tasks import TaskRecord, TaskTally, answer_task, task_samples
from toolace.rollouts.program import Completion, Request, drive

CITY = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]}
WEATHER = Tool(name="weather", description="The weather of a city.", parameters=CITY)
CLOCK = Tool(name="clock", description="The time of a zone.")
SAMPLE = Sample(
    id="s1",
    kind="single",
    group="g",
    chat=Chat(
        tools=(WEATHER, Tool(name="silent"), WEATHER.model_copy(update={"name": "twin"})),
        messages=(Message(role="system", content="Be kind."), Message(role="user", content="Weather in Oslo?")),
    ),
    reference=Message(role="assistant", calls=(Call(name="weather", arguments={"city": "Oslo"}),)),
)
TEXT = SAMPLE.model_copy(update={"id": "s2", "reference": Message(role="assistant", content="No.")})
DEFINITION, GENERATION = list(task_samples([SAMPLE]))


def run(task: Sample, text: str, *, finish: Any = "stop", **config: Any) -> TaskRecord:
    """The record of a task that is answered with `text`."""
    asked: list[Request] = []

    def answer(request: Request) -> Completion:
        asked.append(request)
        return Completion(text, finish=finish, tokens=9, prompt_tokens=4)

    settings = EvolveConfig(**config)
    record = TaskRecord.model_validate(drive(answer_task(task, config=settings, format="pythonic"), answer))
    (request,) = asked
    assert request.chat.tools == () and len(request.chat.messages) == 1
    assert request.sampling.temperature == 0 and request.sampling.max_tokens == settings.tools_tokens
    assert (record.id, record.kind, record.text) == (task.id, task.kind, text)
    assert (record.tokens, record.prompt_tokens) == (9, 4)
    return record


def test_tasks_of_a_sample() -> None:
    assert (DEFINITION.kind, GENERATION.kind, GENERATION.id) == ("adaption", "generation", "s1/generation")
    assert parse_definition(DEFINITION.reference.content) == WEATHER
    assert "The weather of a city." in DEFINITION.chat.messages[0].content and DEFINITION.group == "g"
    assert (GENERATION.chat, GENERATION.reference) == (SAMPLE.chat, SAMPLE.reference)
    assert list(task_samples([SAMPLE, TEXT])) == [DEFINITION, GENERATION]
    other = SAMPLE.model_copy(update={"id": "s3", "chat": SAMPLE.chat.model_copy(update={"tools": (CLOCK, WEATHER)})})
    assert [task.id.rpartition("/")[2] for task in task_samples([SAMPLE, other])] == [
        *("adaption", "generation"),
        *("adaption", "generation"),
    ]


def test_tasks_are_the_training_rows_of_the_same_samples() -> None:
    samples = list(generate(150, 3, profile="house", split="test"))
    tasks = {task.id: task for task in task_samples(samples)}
    rows = {row.id: row for row in adaption_rows(samples, Counter())}
    assert rows.keys() == {key for key, task in tasks.items() if task.kind == "adaption"}
    assert all((row.chat, row.target) == (tasks[key].chat, tasks[key].reference) for key, row in rows.items())
    made = {row.id for sample in samples if (row := generation_row(sample, Counter())) is not None}
    tools = {tool_key(tool) for sample in samples for tool in sample.chat.tools}
    assert made == tasks.keys() - rows.keys() and len(rows) < len(tools)


def test_a_definition_is_compared_with_the_tools_own() -> None:
    def verdict(**change: Any) -> tuple[bool, bool, bool]:
        record = run(DEFINITION, render_definition(WEATHER.model_copy(update=change)))
        assert record.invalid is None and not record.relevant
        return record.name, record.parameter_names, record.match

    assert verdict() == (True, True, True)
    assert verdict(description="Other words.") == (True, True, True)
    assert verdict(name="whether") == (False, True, False)
    assert verdict(parameters={**CITY, "required": []}) == (True, True, False)
    assert verdict(parameters={**CITY, "properties": {"city": {"type": "string"}}}) == (True, False, False)
    assert verdict(parameters={"type": "object"}) == (True, False, False)


def test_tools_are_relevant_when_the_hidden_answer_can_be_said_with_them() -> None:
    assert run(GENERATION, render_definitions((CLOCK, WEATHER))).relevant
    assert run(GENERATION, render_definition(WEATHER)).relevant
    unnamed = WEATHER.model_copy(update={"name": "forecast"})
    needs_more = WEATHER.model_copy(update={"parameters": {**CITY, "required": ["city", "days"]}})
    for tool in (CLOCK, unnamed, needs_more):
        record = run(GENERATION, render_definitions((tool,)))
        assert record.invalid is None and not record.relevant and not record.match
    assert "Weather in Oslo?" in str(_question(GENERATION)) and "Be kind." not in str(_question(GENERATION))


def _question(task: Sample) -> Request:
    (request,) = next(answer_task(task, config=EvolveConfig(), format="pythonic"))
    return request


@pytest.mark.parametrize(
    ("task", "text", "invalid"),
    [
        (DEFINITION, "weather", "unparseable"),
        (DEFINITION, render_definitions((WEATHER, CLOCK)), "too_many_tools"),
        (DEFINITION, "[]", "no_tools"),
        (DEFINITION, '{"name": "weather"}', "no_description"),
        (DEFINITION, '{"name": "w", "description": "d", "parameters": {"type": "any"}}', "bad_schema"),
        (DEFINITION, '[weather(city="Oslo")]', "called"),
        (GENERATION, render_definitions((WEATHER, WEATHER)), "duplicate_name"),
        (GENERATION, render_definitions((WEATHER, CLOCK, CLOCK)), "too_many_tools"),
        (GENERATION, '[{"name": "weather", "description', "unparseable"),
    ],
)  # fmt: skip
def test_what_is_of_no_use_is_invalid_with_the_reason(task: Sample, text: str, invalid: str) -> None:
    record = run(task, text, max_tools=2)
    assert record.invalid == invalid and record.detail
    assert not (record.name or record.match or record.parameter_names or record.relevant)


def test_an_answer_that_is_cut_off_is_invalid_even_where_it_can_be_read() -> None:
    record = run(GENERATION, render_definitions((WEATHER,)), finish="length", tools_tokens=16)
    assert (record.invalid, record.tools, record.relevant) == ("truncated", (), False)


def test_scores_by_hand_and_merged() -> None:
    right = run(DEFINITION, render_definition(WEATHER))
    named = run(DEFINITION, render_definition(CLOCK.model_copy(update={"name": "weather"})))
    broken = run(DEFINITION, "?")
    good = run(GENERATION, render_definitions((WEATHER,)))
    useless = run(GENERATION, render_definitions((CLOCK,)))
    whole, merged = TaskTally(), TaskTally()
    for part in ((right, named), (broken, good), (useless,)):
        tally = TaskTally()
        for record in part:
            tally.add(record)
            whole.add(record)
        merged.merge(tally)
    for tally in (whole, merged):
        tally.add_error(DEFINITION.id)
    scores = whole.scores()
    assert scores == merged.scores()
    assert (scores.definitions, scores.queries, scores.errors) == (4, 2, 1)
    assert (scores.definition_valid, scores.definition_name) == (2 / 4, 2 / 4)
    assert (scores.definition_parameters, scores.definition_match) == (1 / 4, 1 / 4)
    assert (scores.tools_valid, scores.relevance) == (1.0, 1 / 2)
    assert scores.reasons == {"unparseable": 1}


def test_without_a_task_of_a_kind_its_shares_are_none() -> None:
    tally = TaskTally()
    tally.add_error(GENERATION.id)
    scores = tally.scores()
    assert (scores.definitions, scores.definition_valid, scores.definition_match) == (0, None, None)
    assert (scores.queries, scores.tools_valid, scores.relevance, scores.errors) == (1, 0.0, 0.0, 1)
