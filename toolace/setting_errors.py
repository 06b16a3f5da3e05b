"""What is wrong with settings, in words: where, why, the value, and which `--set` brought it."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError


def describe_errors(error: ValidationError, model: type[BaseModel] | None = None, overrides: Sequence[str] = ()) -> str:
    """One line for each bad setting. `model` is what was validated: a key that it does not have is told with the names
    near it. `overrides` are the `a.b=c` of the command line."""
    lines = []
    for item in error.errors():
        place = item["loc"]
        where = ".".join(str(part) for part in place) or "settings"
        why = item["msg"]
        if item["type"] == "extra_forbidden" and model is not None:
            why = _unknown(model, place)
        said = []
        if not isinstance(item["input"], dict) and item["type"] != "credentials":
            said.append(f"given: {item['input']!r}")
        # Its key alone: the value is told above, unless it is a secret.
        said += [f"by --set {one.partition('=')[0].strip()}" for one in overrides if _is_of(one, place)]
        lines.append(f"  {where}: {why}" + (f" ({', '.join(said)})" if said else ""))
    return "\n".join(lines)


def _is_of(override: str, place: Sequence[Any]) -> bool:
    """Whether an override set what is at a place, or something around or in it. Places also name kinds of unions."""
    key, parts = override.partition("=")[0].strip().split("."), iter(map(str, place))
    met = [name for name in key if name in parts]
    return met == key or (bool(met) and met == key[: len(met)] == [str(part) for part in place])


def _unknown(model: type[BaseModel], place: Sequence[Any]) -> str:
    models = [model]
    for part in place[:-1]:
        fields = [one.model_fields[part] for one in models if part in one.model_fields]
        models = [found for one in fields for found in _models(one.annotation)] or models
    names = sorted({name for one in models for name in one.model_fields})
    near = difflib.get_close_matches(str(place[-1]), names, n=2)
    return "there is no such setting" + (f"; near it: {', '.join(near)}" if near else f". There is: {', '.join(names)}")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections among the members of an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for member in typing.get_args(annotation):
        yield from _models(member)
