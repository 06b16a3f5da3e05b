"""Function names that the OpenAI API accepts (`^[a-zA-Z0-9_-]{1,64}$`), made from any name, the same every time."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from toolace.calls.schema import OPENAI_NAME, Call, Tool

_LENGTH = 64
_OUTSIDE = re.compile(r"[^a-zA-Z0-9_-]+")


def normalise_name(name: str) -> str:
    """A name the OpenAI API accepts. A name that is accepted already is kept.

    Accents are dropped, every other run of characters outside the rule becomes `_`, outer `_` are dropped. A name of
    which nothing is left, or that is too long, ends in eight hexadecimal digits of its hash.
    """
    if OPENAI_NAME.match(name):
        return name
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    short = _OUTSIDE.sub("_", plain).strip("_")
    if short and len(short) <= _LENGTH:
        return short
    digest = hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=4).hexdigest()
    return f"{short[: _LENGTH - 9] or 'tool'}_{digest}"


def name_map(names: Iterable[str]) -> dict[str, str]:
    """Original name -> accepted name, one to one: names accepted already keep theirs, a clash gets `_2`, `_3`, ..."""
    originals = list(dict.fromkeys(names))
    mapping = {name: name for name in originals if OPENAI_NAME.match(name)}
    taken = set(mapping)
    for name in originals:
        if name in mapping:
            continue
        base = candidate = normalise_name(name)
        number = 1
        while candidate in taken:
            number += 1
            suffix = f"_{number}"
            candidate = base[: _LENGTH - len(suffix)] + suffix
        mapping[name] = candidate
        taken.add(candidate)
    return mapping


def rename_calls(calls: Iterable[Call], mapping: Mapping[str, str]) -> tuple[Call, ...]:
    """The calls under the names of `mapping`; a name that is not in it is normalised on its own."""
    return tuple(
        [
            call if new == call.name else Call(name=new, arguments=call.arguments)
            for call in calls
            for new in [mapping.get(call.name) or normalise_name(call.name)]
        ]
    )


def normalise_tools(tools: Sequence[Tool], calls: Iterable[Call] = ()) -> tuple[tuple[Tool, ...], tuple[Call, ...]]:
    """The tools and the calls to them under accepted names; a renamed tool keeps its name as `original_name`.

    The result depends on the names and their order alone. For a dialogue with several call turns take `name_map` of
    the tools' names once and `rename_calls` for each turn.
    """
    mapping = name_map(tool.name for tool in tools)
    renamed = tuple(
        [
            tool
            if mapping[tool.name] == tool.name
            else tool.model_copy(update={"name": mapping[tool.name], "original_name": tool.original_name or tool.name})
            for tool in tools
        ]
    )
    return renamed, rename_calls(calls, mapping)
