"""Self-consistency: the majority among n sampled answers, and when the draws that are left cannot change it.

An answer is accepted when it has at least `needed` of n votes and more than every other. Draws are made in a fixed
order with seeds of their own, so stopping early gives the same winner, and the same reason for having none, as all n
draws would (`decided`); it is only cheaper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

NoWinner = Literal["no_majority", "tie"]


@dataclass(frozen=True, slots=True)
class Vote:
    """The outcome: `winner` indexes the counted answers, or is None for a `reason`."""

    winner: int | None
    reason: NoWinner | None = None


def votes_needed(n: int, share: float) -> int:
    """The fewest of n votes that are at least `share` of them; one at the least."""
    return max(1, math.ceil(share * n - 1e-9))


def decided(counts: Sequence[int], left: int, needed: int) -> Vote | None:
    """The outcome if it is the same whatever the `left` draws give, a new answer included, else None.

    `counts`: votes of each distinct answer so far. No majority: no answer can reach `needed` any more. A tie: two
    answers have the most votes, `needed` or more. With no draw left it is never None.
    """
    ordered = sorted(counts, reverse=True)
    first, second = (*ordered, 0, 0)[:2]
    if first + left < needed:
        return Vote(None, "no_majority")
    if first >= needed and first > second + left:
        return Vote(counts.index(first))
    if not left:
        return Vote(None, "tie")
    return None


def draws_needed(counts: Sequence[int], left: int, needed: int) -> int:
    """The fewest further draws after which the vote can be decided; 0 when it is.

    Asking for so many at once wastes none: fewer would not have ended the vote, whatever they had given.
    """
    for more in range(left + 1):
        first = max(counts, default=0)
        for_first = _plus(counts, counts.index(first) if counts else 0, more)
        spread = [*counts, *[1] * more]  # the best case for no majority: each draw another answer
        if any(decided(case, left - more, needed) is not None for case in (for_first, spread)):
            return more
    return left


def _plus(counts: Sequence[int], index: int, more: int) -> list[int]:
    found = list(counts) or [0]
    found[index] += more
    return found
