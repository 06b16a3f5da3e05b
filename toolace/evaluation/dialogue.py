"""The program of a dialogue whose calls are executed: turn by turn, step by step, in every arm.

As in the official inference of BFCL's multi-turn categories with native tools (bfcl-eval 2026.3.23): the model answers,
its calls are executed and their results come back as tool turns, until an answer has no readable calls; then the next
turn begins, with tools that were held back where there are any. After 20 steps with calls one more ends the dialogue:
the turns that follow are missing, and so it is wrong. In the refining arms a step is executed when its refinement has
ended. A dialogue that outgrows the context directly fails its row; one that only a refining arm's answers make so long
ends before the turn at hand in that arm, and is wrong there for want of that turn.

The program asks the engine; calls are executed by a function that it is given, at once. That holds up the worker for
some milliseconds a step, and keeps the protocol of programs as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

from toolace.calls import parse_answer
from toolace.calls.formats import CallFormat
from toolace.calls.schema import Chat, Message, Sample, canonical_json
from toolace.config import RefineConfig
from toolace.errors import RolloutError
from toolace.evaluation.benchmarks.base import Dialogue, Execute
from toolace.evaluation.program import DIRECT, AnswerRecord, ArmAnswer, DialogueAnswer, Known, answer_sample, arms
from toolace.refinement.program import Refined
from toolace.rollouts.program import Program, Request

MOST_STEPS = 20
"""Steps with calls of one turn that go on; one more ends the dialogue."""


def answer_row(
    sample: Sample,
    *,
    dialogues: Mapping[str, Dialogue],
    execute: Execute | None,
    refine_config: RefineConfig,
    format: CallFormat,
    fixed_rounds: Sequence[int] = (),
    margins: Sequence[float] = (),
) -> Program[dict[str, object]]:
    """`toolace.evaluation.program.answer_sample`, or for the rows in `dialogues` the whole dialogue in all arms."""
    dialogue = dialogues.get(sample.id)
    if dialogue is None:
        record = yield from answer_sample(
            sample, refine_config=refine_config, format=format, fixed_rounds=fixed_rounds, margins=margins
        )
        return record
    if execute is None:
        raise RolloutError(f"{sample.id} is a dialogue, and nothing executes its calls")
    known = Known(_key)
    answers: dict[str, DialogueAnswer | ArmAnswer] = {}
    for name, answer in arms(refine_config, format, fixed_rounds, margins).items():
        held = hold(sample.chat, dialogue, answer=answer, execute=execute, format=format, must_fit=name == DIRECT)
        answers[name] = yield from known.remembered(held)
    return AnswerRecord(id=sample.id, kind=sample.kind, arms=answers, chain=(), asked=known.asked).model_dump()


def hold(
    chat: Chat,
    dialogue: Dialogue,
    *,
    answer: Callable[..., Program[Refined]],
    execute: Execute,
    format: CallFormat,
    must_fit: bool = True,
) -> Program[DialogueAnswer]:
    """One dialogue. Calls that end, hang or exhaust the backends end it with the step that holds them.

    A step whose question is longer than the context is the row's error; without `must_fit` it ends the dialogue, and
    the turn that it is of is left out. The first step must fit in any case.
    """
    turns: list[tuple[str, ...]] = []
    executed: list[str] = []
    said: list[Refined] = []
    going = True
    for number, messages in enumerate(((), *dialogue.turns)):
        chat = Chat(tools=chat.tools + tuple(dialogue.held.get(number, ())), messages=chat.messages + messages)
        steps: list[str] = []
        results: list[str] | None = []
        while going and results is not None:
            found = yield from answer(chat, optional=bool(said) and not must_fit)
            said.append(found)
            if not found.steps:
                going = False
                break
            steps.append(found.text)
            try:
                results = execute(dialogue.entry, [*executed, found.text])
            except RolloutError:
                going = False
                break
            chat = chat.then(_said(found.text, format), *_answered(found.text, results or (), format))
            if results is not None:
                executed.append(found.text)
                going = len(steps) <= MOST_STEPS
        if said[-1].steps:
            turns.append(tuple(steps))
        if not going:
            break
    return DialogueAnswer(
        text=said[-1].text,
        rounds=sum(step.rounds for step in said),
        stopped=said[-1].stopped,
        model_calls=sum(step.model_calls for step in said),
        scored=sum(step.scored for step in said),
        tokens=sum(step.tokens for step in said),
        prompt_tokens=sum(step.prompt_tokens for step in said),
        turns=tuple(turns),
    )


def _said(text: str, format: CallFormat) -> Message:
    """An answer as a turn: its calls where they can be read, so that the chat template writes them its way."""
    answer = parse_answer(text, format)
    if not answer.calls:
        return Message(role="assistant", content=text.strip())
    return Message(role="assistant", content=answer.text, calls=answer.calls)


def _answered(text: str, results: Sequence[str], format: CallFormat) -> list[Message]:
    """The results as tool turns, named after the calls where there are as many of these."""
    names: list[str | None] = [call.name for call in parse_answer(text, format).calls]
    if len(names) != len(results):
        names = [None] * len(results)
    return [Message(role="tool", content=result, name=name) for result, name in zip(results, names, strict=True)]


def _key(request: Request) -> Hashable:
    """A question of a dialogue: all its turns, the number of its tools (they only grow), the text to score."""
    turns = tuple(
        (turn.role, turn.content, turn.name, *(canonical_json([call.name, call.arguments]) for call in turn.calls))
        for turn in request.chat.messages
    )
    return len(request.chat.tools), turns, request.score
