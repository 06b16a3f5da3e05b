"""Schedules of CronJobs, as the library reads them that Kubernetes takes."""

from __future__ import annotations

import re
from collections.abc import Iterator

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_FIELDS: tuple[tuple[str, int, int, list[str]], ...] = (
    ("minute", 0, 59, []),
    ("hour", 0, 23, []),
    ("day of the month", 1, 31, []),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 6, _DAYS),
)
_WORDS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_EVERY = re.compile(r"@every ([+-]?(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h))+")
_ZONE = re.compile(r"(?:CRON_)?TZ=\S+\s+")
_PART = re.compile(r"(?:[*?]|(\w+)(?:-(\w+))?)(?:/(\d+))?")


def schedule_problem(text: str) -> Iterator[str]:
    """What is wrong with a schedule, if anything."""
    text = _ZONE.sub("", text.strip(), count=1)
    if "$" in text or text in _WORDS or _EVERY.fullmatch(text):
        return
    fields = text.split()
    if len(fields) != len(_FIELDS):
        yield f"{text!r} is no schedule: five fields, or one of {', '.join(_WORDS)}, @every 1h"
        return
    for given, (name, least, most, words) in zip(fields, _FIELDS, strict=True):
        for part in given.split(","):
            if not _is_part(part, least, most, words):
                in_words = f", or {words[0]} to {words[-1]}" if words else ""
                yield f"{part!r} is no {name}: {least} to {most}{in_words}"


def _is_part(part: str, least: int, most: int, words: list[str]) -> bool:
    found = _PART.fullmatch(part)
    if not found or found[3] == "0":
        return False
    ends = [_number(one, least, words) for one in found.groups()[:2] if one]
    return all(least <= one <= most for one in ends) and ends == sorted(ends)


def _number(text: str, least: int, words: list[str]) -> int:
    """The number that a text is, or that its word stands for; -1 for any other."""
    if text.lower() in words:
        return words.index(text.lower()) + least
    return int(text) if text.isdecimal() else -1
