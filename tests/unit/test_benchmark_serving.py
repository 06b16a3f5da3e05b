"""What the benchmarks of serving count as equal, as back-pressure and as an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from serving_fakes import A, completion

from toolace.serving.passes import read_pass, repeated_pass, respond
from toolace.serving.protocol import Plan
from toolace.serving.scoring import DraftScore

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")


def served(*texts: str, more: int = 0, checked: bool = False) -> dict[str, Any]:
    """A refined response whose passes wrote these texts, the last of `more` tokens more; or read it."""
    passes = [read_pass(completion(0, text), "pythonic", 0.1, constrained=False) for text in texts]
    last = passes[-1]
    last.usage["completion_tokens"] += more
    if checked:  # the prompt of 100 tokens and the 10 of the draft
        passes.append(repeated_pass(last, texts[-1], DraftScore(-1.0, True, 110, "m@1"), "pythonic", 0.1))
    return respond({}, Plan(return_rounds=True), passes, passes[-1], "unchanged")


def test_only_the_same_letters_and_tokens_are_equal() -> None:
    from serving import Load, answers_of, compare

    for other in ("[f( x = 1 )]", "[f(x=1.0)]", "[f(x=1)] "):
        assert answers_of(served(A)) != answers_of(served(other))
    assert answers_of(served(A)) != answers_of(served(A, more=1))
    assert answers_of(served(A, A)) == answers_of(served(A, checked=True)), "reading is writing again"
    one, other = Load(responses=[served(A, A), served(A, A)]), Load(responses=[served(A, checked=True), served(A)])
    assert compare(one, other) == (3, 4)


def test_a_replica_that_died_is_no_back_pressure() -> None:
    from serving_load import BACK_PRESSURE, outcome

    again = {"retry-after": "1"}
    assert outcome(200, {}, {"refinement": {"stopped": "unchanged"}}) == outcome(200, {}, {}) == "200"
    assert outcome(503, again, {"error": {"code": "overloaded"}}) in BACK_PRESSURE
    assert outcome(429, again, {"error": {"code": "rate_limit_exceeded"}}) in BACK_PRESSURE
    for status, headers, body in (
        (503, again, {"error": {"code": "unavailable"}}),
        (503, {}, {"error": {"code": "overloaded"}}),
        (500, {}, {"error": {"code": "internal_error"}}),
        (502, {}, {}),
        (200, {}, {"refinement": {"stopped": "error"}}),
    ):
        assert outcome(status, headers, body) not in ("200", *BACK_PRESSURE)
