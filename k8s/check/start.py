"""How Ray's processes and the submitter are started: parameters, durations, and what a submitter's pod may do."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from typing import Any

from k8s.check.findings import Finding, Thing
from k8s.check.ray_objects import groups_of
from k8s.check.rendering import Scene

_GO_DURATION = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|ms|s|m|h))+|[0-9]+")
_TIMEOUT = "ray.io/initializing-timeout"
_ELSEWHERE = frozenset({"labels", "redis-password", "redis-username", "no-monitor", "memory"})
"""Parameters that the command hides or the operator reads, of which `rules` speaks where they are wrong."""


def check_start(scene: Scene) -> Iterator[Finding]:
    """What a scene's Ray nodes and submitters are started with."""
    for thing in scene.things:
        if thing.group != "ray.io":
            continue
        for path, group, role in groups_of(thing):
            host = str((group.get("rayStartParams") or {}).get("dashboard-host", ""))
            if role == "head" and host in ("127.0.0.1", "localhost", "::1"):
                where = (*path, "rayStartParams", "dashboard-host")
                yield thing.wrong(where, f"{host}: no submitter and no operator reaches the head there: use 0.0.0.0")
            for name, value in (group.get("rayStartParams") or {}).items():
                if problem := _parameter(str(name), str(value)):
                    yield thing.wrong((*path, "rayStartParams", str(name)), problem)
        yield from _timeout(thing)
        where = ("spec", "submitterPodTemplate", "spec", "restartPolicy")
        if thing.get(*where) not in (None, "Never", "OnFailure"):
            yield thing.wrong(where, f"{thing.get(*where)}, but a Job takes Never or OnFailure alone")


def _timeout(thing: Thing) -> Iterator[Finding]:
    said = thing.get("metadata", "annotations", _TIMEOUT)
    if said is not None and not _GO_DURATION.fullmatch(str(said)):
        where = ("metadata", "annotations", _TIMEOUT)
        yield thing.wrong(where, f"{said!r} is no duration, such as 30m or 1h30m, and no number of seconds")


def _parameter(name: str, value: str) -> str | None:
    known = start_options()
    if name not in known:
        near = get_close_matches(name, sorted(known), 1, 0.7)
        return f"ray start has no parameter {name!r}{f': did you mean {near[0]}?' if near else ''}"
    if known[name] == "integer" and not re.fullmatch(r"-?[0-9]+", value):
        return f"{value!r} is no whole number"
    return _resources(value) if name == "resources" else None


def _resources(value: str) -> str | None:
    if amounts(value) is not None:
        return None
    return f'{value!r} is no JSON object of amounts, such as \'"{{\\"disk\\": 2}}"\''


def amounts(value: Any) -> dict[str, float] | None:
    """Amounts by name in JSON, which a shell reads on the way: the quotes that it takes away may be there or not."""
    for text in (value, *_unquoted(value)) if isinstance(value, str) else ():
        try:
            found = json.loads(text)
        except ValueError:
            continue
        numbers = found.values() if isinstance(found, dict) else (None,)
        if all(isinstance(one, int | float) and not isinstance(one, bool) for one in numbers):
            return dict(found)
    return None


def _unquoted(value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError:
        return []


@cache
def start_options() -> dict[str, str]:
    """The options of the installed `ray start`, without dashes, and the names of their types."""
    from ray.scripts.scripts import start

    named = {option.lstrip("-"): str(one.type.name) for one in start.params for option in one.opts}
    return {**dict.fromkeys(_ELSEWHERE, "text"), **named}
