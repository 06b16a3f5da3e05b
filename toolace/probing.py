"""Model-aware probing: draw answers from the present model, judge them, and label how hard the sample is for it.

The label depends on c, the number of right answers among k draws (pass@k). Mode `full` makes all k draws. Mode `exact`
stops as soon as the remaining draws cannot change the label. Since the seed of a draw is a function of run, sample and
draw index alone, and since refinement drafts come from the first `draft_draws` draws only, which are made in both
modes, both give the same labels and the same drafts; `exact` is only cheaper.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from toolace.calls import judge
from toolace.calls.schema import Sample
from toolace.config import CallFormat, ProbeConfig, SelectConfig
from toolace.rollouts.program import Program, Request, Sampling, draw_seed

Label = Literal["unsolved", "solved", "below", "inside", "above"]
"""The class of a sample: `unsolved`, `solved` under rule `solved`; `below`, `inside`, `above` under rule `band`.

With the default band (0, 1), `below` means never right and `above` always right.
"""


class ProbedAnswer(BaseModel):
    """One distinct answer text of a probed sample.

    `draw` is the index of the first draw that gave it and `count` the number of draws that did. `error` is the kind of
    mistake where it is wrong. `truncated`: its first draw hit the token limit. `draft`: it came up within the first
    `draft_draws` draws, so it may serve as a refinement draft.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    correct: bool
    error: str | None = None
    count: int = Field(ge=1)
    draw: int = Field(ge=0)
    truncated: bool = False
    draft: bool = False


class ProbeRecord(BaseModel):
    """What probing one sample found: c of n draws were right, out of k planned ones.

    `stop` is `all_draws` (n == k) or `decided` (n < k: the rest could not change `label`). `answers` are in the order
    of their first draw; their counts add up to n. `tokens` counts generated tokens.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    kind: str = ""
    k: int = Field(ge=1)
    n: int = Field(ge=1)
    c: int = Field(ge=0)
    stop: Literal["all_draws", "decided"]
    label: Label
    tokens: int = 0
    prompt_tokens: int = 0
    answers: tuple[ProbedAnswer, ...]

    @model_validator(mode="after")
    def validate_counts(self) -> ProbeRecord:
        if sum(answer.count for answer in self.answers) != self.n or self.n > self.k:
            raise ValueError(f"probe record {self.id}: the answers' counts do not add up to n={self.n} of k={self.k}")
        if sum(answer.count for answer in self.answers if answer.correct) != self.c:
            raise ValueError(f"probe record {self.id}: the right answers' counts do not add up to c={self.c}")
        if (self.stop == "all_draws") != (self.n == self.k):
            raise ValueError(f"probe record {self.id}: stop {self.stop!r} with n={self.n} of k={self.k}")
        return self

    @property
    def pass_rate(self) -> float | None:
        """c/k, or None for a stopped sample: there c/n is biased, because when to stop depended on the answers.

        For the same reason the mean over only those samples that have a rate is not the pool's pass rate.
        """
        return self.c / self.k if self.n == self.k else None

    @property
    def drafts(self) -> tuple[ProbedAnswer, ...]:
        """The answers that may serve as refinement drafts, in the order of their first draw."""
        return tuple(answer for answer in self.answers if answer.draft)


def label_of(rule: SelectConfig, k: int, c: int) -> Label:
    """The class of a sample with c right answers among all k draws."""
    if rule.rule == "solved":
        return "solved" if c >= 1 else "unsolved"
    if c / k <= rule.low:
        return "below"
    return "inside" if c / k < rule.high else "above"


def decided(rule: SelectConfig, k: int, c: int, n: int) -> Label | None:
    """The label if it is the same for every final count in [c, c + k - n], else None.

    The classes are ordered in c, so the two ends of that range decide.
    """
    lowest = label_of(rule, k, c)
    return lowest if lowest == label_of(rule, k, c + k - n) else None


@lru_cache(maxsize=65_536)
def draws_needed(rule: SelectConfig, k: int, c: int, n: int) -> int:
    """The fewest further draws after which the label can be decided; 0 when it is.

    Asking for so many at once wastes none: no outcome of fewer draws would have ended the probe.
    """
    more = 0
    while not any(decided(rule, k, c + right, n + more) for right in range(more + 1)):
        more += 1
    return more


def probe(
    sample: Sample, *, config: ProbeConfig, select: SelectConfig, format: CallFormat, run_seed: int
) -> Program[dict[str, object]]:
    """The probe program of one sample; returns the dump of its `ProbeRecord`.

    `run_seed` seeds the draws: give each round its own.
    """
    sampling = Sampling(temperature=config.temperature, top_p=config.top_p, max_tokens=config.max_tokens)
    k, n, c, tokens, prompt_tokens = config.k, 0, 0, 0, 0
    found: dict[str, ProbedAnswer] = {}
    want = k if config.mode == "full" else max(config.draft_draws, draws_needed(select, k, 0, 0))
    while want:
        draws = range(n, n + want)
        completions = yield tuple(
            Request(sample.chat, sampling, seed=draw_seed(run_seed, sample.id, draw)) for draw in draws
        )
        for draw, completion in zip(draws, completions, strict=True):
            answer = found.get(completion.text)
            if answer is None:
                verdict = judge(sample, completion.text, format)
                answer = ProbedAnswer(
                    text=completion.text,
                    correct=verdict.correct,
                    error=verdict.error,
                    count=1,
                    draw=draw,
                    truncated=completion.finish == "length",
                    draft=draw < config.draft_draws,
                )
            else:
                answer = answer.model_copy(update={"count": answer.count + 1})
            found[completion.text] = answer
            c += answer.correct
            tokens += completion.tokens
            prompt_tokens += completion.prompt_tokens
        n += want
        want = draws_needed(select, k, c, n)
    return ProbeRecord(
        id=sample.id,
        kind=sample.kind,
        k=k,
        n=n,
        c=c,
        stop="all_draws" if n == k else "decided",
        label=label_of(select, k, c),  # decided: every final count gives this label, c itself among them
        tokens=tokens,
        prompt_tokens=prompt_tokens,
        answers=tuple(found.values()),
    ).model_dump()
