"""Descriptions of the `documented` tools: what the tool does and all that it takes, so that its definition can be
written from them."""

from __future__ import annotations

import random
from collections.abc import Sequence

from toolace.data.synthetic_words import VERBS, Parameter

OTHER_VERBS = 0.15
"""Share of descriptions with another verb than the tool's name ("reserve" for `book`)."""
OTHER_WORDS = 0.1
"""Share of mentions by another word than the parameter's name ("town" for `city`)."""
EXPLAINED = 0.1
"""Share of mentions by meaning ("name of the city")."""
TYPED = 0.15
"""Share of mentions that tell the type, where it does not have to be told."""

ACTS = ("{v} the {t}", "{v} the {t}", "{v} a {t}")
TAKES = (
    ("{act}. Takes {needed}.", "{act}. Takes {needed} and, optionally, {free}."),
    ("{act}. Needs {needed}.", "{act}. Needs {needed}; {free} optional."),
    ("{act}. Required: {needed}.", "{act}. Required: {needed}. Optional: {free}."),
)
"""Without and with optional parameters."""
TYPES = {"string": "text", "integer": "a whole number", "number": "a number"}
_QUESTIONS = ("what", "who", "why", "how", "where", "whether")


def describe(
    rng: random.Random, verb: str, thing: str, required: Sequence[Parameter], optional: Sequence[Parameter]
) -> str:
    """The description of a tool: its verb and thing, its parameters in the order of the schema, `optional` ones told
    apart, the options of enums, the fields of objects, and the types that the words do not give away."""
    said = rng.choice(VERBS[verb][0][1:]) if rng.random() < OTHER_VERBS else verb
    act = rng.choice(ACTS).format(v=said, t=thing)
    return rng.choice(TAKES)[bool(optional)].format(
        act=act[:1].upper() + act[1:],
        needed=_listed([_mention(rng, p) for p in required]),
        free=_listed([_mention(rng, p) for p in optional]),
    )


def _mention(rng: random.Random, parameter: Parameter) -> str:
    draw, named = rng.random(), parameter.words[0]
    if parameter.type == "boolean" or (draw < EXPLAINED and parameter.slot != "link"):
        named = parameter.description
    elif draw < EXPLAINED + OTHER_WORDS and parameter.slot != "link":
        named = rng.choice(parameter.words[1:] or parameter.words)
    text = named if named.startswith(_QUESTIONS) else f"the {named}"
    details = _details(rng, parameter)
    return f"{text} ({details})" if details else text


def _details(rng: random.Random, parameter: Parameter) -> str:
    """What stands in brackets: options, items and fields always; a plain type sometimes, as most can be known from the
    name, and always where an id is a number, which cannot."""
    if parameter.enum:
        return _listed(parameter.enum, "or")
    if parameter.type == "array":
        return "a list of whole numbers" if parameter.item == "integer" else "a list of texts"
    if parameter.fields:
        return _listed([f"{name}: {TYPES[kind]}" for name, kind, _ in parameter.fields])
    told = parameter.slot == "link" and parameter.type != "string"
    return TYPES.get(parameter.type, "") if told or rng.random() < TYPED else ""


def _listed(parts: Sequence[str], link: str = "and") -> str:
    return f" {link} ".join(part for part in (", ".join(parts[:-1]), parts[-1]) if part) if parts else ""
