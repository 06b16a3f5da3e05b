"""The worker: drives many programs on one engine, without a barrier between rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from toolace.calls.schema import Chat
from toolace.engines.base import Engine, Generate, Generated
from toolace.errors import ContextError
from toolace.rollouts.program import Completion, Program, Request


class TextCodec(Protocol):
    """What a worker needs of a renderer: `toolace.rendering.Renderer`, or something simpler in a rehearsal."""

    @property
    def stop_token_ids(self) -> tuple[int, ...]: ...
    def prompt(self, chat: Chat) -> Sequence[int]: ...
    def answer_ids(self, text: str) -> Sequence[int]: ...
    def decode(self, ids: Sequence[int]) -> str: ...


@dataclass(slots=True)
class Finished:
    """A row that is done: its record, or the reason why it has none; and what it cost."""

    key: Any
    record: dict[str, Any] | None = None
    error: str | None = None
    requests: int = 0
    generated_tokens: int = 0
    prompt_tokens: int = 0


@dataclass(slots=True)
class _Row:
    program: Program[dict[str, Any]]
    result: Finished
    waiting: dict[str, int] = field(default_factory=dict)
    """Open request ids and their places in the answer."""
    requests: tuple[Request, ...] = ()
    answers: list[Completion | None] = field(default_factory=list)
    rendered: dict[int, tuple[Chat, tuple[int, ...]]] = field(default_factory=dict)
    """Prompts by the identity of their chat (kept alive here): the draws of a row share one rendering."""


class RolloutWorker:
    """Runs programs on an engine with at most `rows_in_flight` open at a time.

    What goes wrong within a row (its rendering, a prompt beyond the context, an exception in its program) becomes that
    row's `error`; an optional request beyond the context is answered `too_long` instead. A dead engine raises
    `EngineError` out of `step` and `run`: rows that were open must be run again.
    Not thread-safe.
    """

    def __init__(self, engine: Engine, codec: TextCodec, *, rows_in_flight: int) -> None:
        self._engine = engine
        self._codec = codec
        self._rows_in_flight = rows_in_flight
        self._stop = tuple(codec.stop_token_ids)
        self._next = 0
        self._open = 0
        self._rows: dict[str, _Row] = {}

    @property
    def open(self) -> int:
        """Rows that were started and have not finished."""
        return self._open

    @property
    def has_room(self) -> bool:
        return self._open < self._rows_in_flight

    def start(self, key: Any, program: Program[dict[str, Any]]) -> Finished | None:
        """Start a row; the result is returned at once if it needs no answer from the engine."""
        self._open += 1
        return self._advance(_Row(program, Finished(key)), None)

    def step(self) -> list[Finished]:
        """Advance the engine by a step and every program that got its answers. Raises `EngineError` if it is dead."""
        finished = []
        for generated in self._engine.step():
            row = self._rows.pop(generated.id, None)
            if row is None:
                continue
            done = self._receive(row, generated)
            if done is not None:
                finished.append(done)
        return finished

    def run(self, rows: Iterable[tuple[Any, Program[dict[str, Any]]]]) -> Iterator[Finished]:
        """Drive all rows to their end; results come as they finish. `rows` is read only as there is room."""
        source = iter(rows)
        exhausted = False
        while not exhausted or self._open:
            while not exhausted and self.has_room:
                try:
                    key, program = next(source)
                except StopIteration:
                    exhausted = True
                    break
                done = self.start(key, program)
                if done is not None:
                    yield done
            if self._open:
                yield from self.step()

    def _receive(self, row: _Row, generated: Generated) -> Finished | None:
        place = row.waiting.pop(generated.id)
        if generated.finish == "error" or generated.error is not None:
            return self._fail(row, f"engine: {generated.error or 'no reason given'}")
        request = row.requests[place]
        prompt_tokens = len(self._prompt(row, request.chat))
        row.result.generated_tokens += generated.generated_tokens
        try:
            text = self._codec.decode(generated.token_ids) if generated.token_ids else ""
        except Exception as error:
            return self._fail(row, describe(error))
        row.answers[place] = Completion(
            text=text if request.score is None else request.score,
            finish=generated.finish,
            tokens=generated.generated_tokens,
            prompt_tokens=prompt_tokens,
            logprob=generated.logprob,
        )
        if row.waiting:
            return None
        return self._advance(row, [answer for answer in row.answers if answer is not None])

    def _advance(self, row: _Row, answers: list[Completion] | None) -> Finished | None:
        """Send answers to a program and submit what it asks next, until something of that is left to the engine."""
        while True:
            try:
                requests = next(row.program) if answers is None else row.program.send(answers)
            except StopIteration as stop:
                self._open -= 1
                row.result.record = stop.value
                return row.result
            except Exception as error:
                return self._fail(row, describe(error))
            row.requests = requests
            row.answers = [None] * len(requests)
            kept = {id(request.chat) for request in requests}
            row.rendered = {key: value for key, value in row.rendered.items() if key in kept}
            try:
                for place, request in enumerate(requests):
                    self._submit(row, place, request)
            except Exception as error:
                return self._fail(row, describe(error))
            if row.waiting:
                return None
            answers = [answer for answer in row.answers if answer is not None]

    def _submit(self, row: _Row, place: int, request: Request) -> None:
        prompt = self._prompt(row, request.chat)
        score = () if request.score is None else tuple(self._codec.answer_ids(request.score))
        request_id = str(self._next)
        self._next += 1
        try:
            self._engine.submit(Generate(request_id, prompt, request.sampling, request.seed, self._stop, score))
        except ContextError:
            if not request.optional:
                raise
            row.answers[place] = Completion("", "too_long")
            return
        row.waiting[request_id] = place
        self._rows[request_id] = row
        row.result.requests += 1
        row.result.prompt_tokens += len(prompt)

    def _prompt(self, row: _Row, chat: Chat) -> tuple[int, ...]:
        known = row.rendered.get(id(chat))
        if known is None:
            known = row.rendered[id(chat)] = (chat, tuple(self._codec.prompt(chat)))
        return known[1]

    def _fail(self, row: _Row, error: str) -> Finished:
        """End a row with an error: what it still has open is aborted and its program closed."""
        for request_id in row.waiting:
            self._rows.pop(request_id, None)
            self._engine.abort(request_id)
        row.waiting.clear()
        self._open -= 1
        row.program.close()
        row.result.error = error
        return row.result


def describe(error: BaseException) -> str:
    """An exception as one line: its type and message."""
    return f"{type(error).__name__}: {error}".replace("\n", " ")
