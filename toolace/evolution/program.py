"""The evolve program: for one query the model makes tools, votes over its own calls to them, and rules sift the rest.

    T^ = the model's candidate tools for q                    one answer, greedy by default
    a_1..a_n sampled over (dialogue, T^), a* their majority   self-consistency; equality of parsed calls
    dropped: tools or a* that break a rule                    (ToolACE-DEV, arXiv 2505.07512)

Accepted are (q -> T^) and ((dialogue, T^) -> a*). Neither the sample's own tools nor its reference are looked at.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from toolace.calls import Answer, parse_answer
from toolace.calls.definitions import parse_definitions
from toolace.calls.matching import call_key
from toolace.calls.schema import Call, Chat, Sample, Tool
from toolace.config import CallFormat, EvolveConfig
from toolace.errors import ParseError
from toolace.evolution.rules import call_fault, tool_fault
from toolace.evolution.subtasks import first_query, generation_chat
from toolace.evolution.voting import Vote, decided, draws_needed, votes_needed
from toolace.rollouts.program import Completion, Program, Request, Sampling, ask, draw_seed

Rejection = Literal[
    "no_query",
    "tools_truncated",
    "tools_unparseable",
    "no_tools",
    "too_many_tools",
    "duplicate_name",
    "bad_name",
    "no_description",
    "bad_schema",
    "no_majority",
    "tie",
    "bad_format",
    "no_call",
    "unknown_tool",
    "missing_required",
    "unknown_param",
    "wrong_type",
]
"""Why a query gives no rows. The first nine: of the candidate tools; then of the vote; then of the answer with the most
votes."""


class VotedAnswer(BaseModel):
    """Answers that are the same: the text of the first draw that gave it, the index of that draw, and the votes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    draw: int = Field(ge=0)
    votes: int = Field(ge=1)


class EvolveRecord(BaseModel):
    """What one query gave.

    `tools_text` is what the model wrote, `tools` what it says. `answers` are in the order of their first draw, and
    their votes add up to `n` draws of `k` planned; `n` is 0 where the tools were dropped. `reason` is None where the
    query is accepted; `answer` is then the text with the most votes. `tokens` were generated, `prompt_tokens` read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    kind: str = ""
    query: str
    tools_text: str
    tools: tuple[Tool, ...] = ()
    answers: tuple[VotedAnswer, ...] = ()
    k: int = Field(ge=1)
    n: int = Field(ge=0)
    reason: Rejection | None
    detail: str = ""
    answer: str | None = None
    votes: int = 0
    tokens: int = 0
    prompt_tokens: int = 0

    @model_validator(mode="after")
    def validate_counts(self) -> EvolveRecord:
        if sum(answer.votes for answer in self.answers) != self.n or self.n > self.k:
            raise ValueError(f"evolve record {self.id}: the votes do not add up to n={self.n} of k={self.k}")
        if (self.reason is None) != (self.answer is not None):
            raise ValueError(f"evolve record {self.id}: reason {self.reason!r} with answer {self.answer!r}")
        return self


def evolve(sample: Sample, *, config: EvolveConfig, format: CallFormat, run_seed: int) -> Program[dict[str, object]]:
    """The evolve program of one query; returns the dump of its `EvolveRecord`.

    `run_seed` seeds the draws: give each round its own.
    """
    query = first_query(sample)
    tokens = prompt_tokens = 0
    tools: tuple[Tool, ...] = ()
    tools_text = ""
    ballot = _Ballot(config, format)

    def record(reason: Rejection | None, detail: str = "", winner: VotedAnswer | None = None) -> dict[str, object]:
        return EvolveRecord(
            id=sample.id,
            kind=sample.kind,
            query=query or "",
            tools_text=tools_text,
            tools=tools,
            answers=tuple(ballot.answers),
            k=config.votes,
            n=ballot.n,
            reason=reason,
            detail=detail,
            answer=winner.text if winner is not None and reason is None else None,
            votes=winner.votes if winner is not None else 0,
            tokens=tokens,
            prompt_tokens=prompt_tokens,
        ).model_dump()

    if query is None:
        return record("no_query")
    sampling = Sampling(
        temperature=config.tools_temperature, top_k=config.top_k, top_p=config.top_p, max_tokens=config.tools_tokens
    )
    written = yield from ask(Request(generation_chat(query), sampling, seed=draw_seed(run_seed, sample.id, -1)))
    tools_text, tokens, prompt_tokens = written.text, written.tokens, written.prompt_tokens
    if written.finish == "length":
        return record("tools_truncated", f"{written.tokens} tokens")
    try:
        tools = tuple(parse_definitions(written.text))
    except ParseError as error:
        return record("tools_unparseable", str(error)[:200])
    broken = tool_fault(tools, config.max_tools)
    # Without rules, only what nothing could be called over is dropped.
    if broken is not None and (config.rules or broken[0] in ("no_tools", "bad_schema")):
        return record(*broken)

    chat = Chat(tools=tools, messages=sample.chat.messages)
    sampling = Sampling(
        temperature=config.temperature, top_k=config.top_k, top_p=config.top_p, max_tokens=config.call_tokens
    )
    while want := ballot.want():
        draws = range(ballot.n, ballot.n + want)
        completions = yield tuple(Request(chat, sampling, seed=draw_seed(run_seed, sample.id, draw)) for draw in draws)
        for completion in completions:
            ballot.add(completion)
            tokens += completion.tokens
            prompt_tokens += completion.prompt_tokens
    vote = ballot.outcome()
    if vote.winner is None:
        assert vote.reason is not None
        return record(vote.reason, ", ".join(str(answer.votes) for answer in ballot.answers))
    winner, answer = ballot.answers[vote.winner], ballot.parsed[vote.winner]
    if answer.error is not None:
        return record("bad_format", answer.error[:200], winner)
    fault = call_fault(answer.calls, tools)
    if fault is not None and (config.rules or fault[0] == "no_call"):
        return record(*fault, winner)
    return record(None, winner=winner)


class _Ballot:
    """Counts answers that are the same as one, and knows how many more to ask for."""

    def __init__(self, config: EvolveConfig, format: CallFormat) -> None:
        self._k, self._all, self._format = config.votes, config.mode == "full", format
        self._needed = votes_needed(config.votes, config.accept_share)
        self._places: dict[tuple[str, ...], int] = {}
        self.answers: list[VotedAnswer] = []
        self.parsed: list[Answer] = []
        self.n = 0

    def add(self, completion: Completion) -> None:
        text = completion.text
        answer = parse_answer(text, self._format)
        if completion.finish == "length":  # whatever it says so far, it was to say more
            answer = Answer(text=answer.text, error=f"cut off after {completion.tokens} tokens")
        place = self._places.setdefault(_key(answer), len(self.answers))
        if place == len(self.answers):
            self.answers.append(VotedAnswer(text=text, draw=self.n, votes=1))
            self.parsed.append(answer)
        else:
            known = self.answers[place]
            self.answers[place] = known.model_copy(update={"votes": known.votes + 1})
        self.n += 1

    def want(self) -> int:
        left = self._k - self.n
        return left if self._all else draws_needed(self._counts, left, self._needed)

    def outcome(self) -> Vote:
        vote = decided(self._counts, self._k - self.n, self._needed)
        assert vote is not None
        return vote

    @property
    def _counts(self) -> list[int]:
        return [answer.votes for answer in self.answers]


def _key(answer: Answer) -> tuple[str, ...]:
    """Equal for answers that are the same, as in `toolace.calls.same_calls`."""
    if answer.calls:
        return ("calls", *sorted(call_key(call) for call in answer.calls))
    return ("text" if answer.error is None else "broken", answer.text)


def calls_of(record: EvolveRecord, format: CallFormat) -> tuple[Call, ...]:
    """The calls of an accepted record."""
    return tuple(parse_answer(record.answer or "", format).calls)
