"""How the synthetic corpus puts a request into English: mentions of values, openers, layouts.

Every list has a common part, which the base model's corpus uses, and an odd part, which it hardly ever sees and the
demo's corpus uses most: that is the room to learn.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from toolace.data.synthetic_tools import SyntheticTool
from toolace.data.synthetic_values import SMALL_NUMBERS
from toolace.data.synthetic_words import VERBS, Parameter

OPENERS = (
    "Please {act} {args}.",
    "{act} {args}.",
    "Can you {act} {args}?",
    "Could you {act} {args}, please?",
    "I want to {act} {args}.",
    "I need to {act} {args}.",
    "Help me {act} {args}.",
    "I would like to {act} {args}.",
)
ODD_OPENERS = (
    "Is there a way to {act} {args}?",
    "My boss wants me to {act} {args}.",
    "It would be great to {act} {args}.",
    "Time to {act} {args}.",
    "Any chance you {act} {args}?",
    "We should {act} {args}, I think.",
    "Would you mind if I had you {act} {args}?",
    "Nothing left to do but {act} {args}.",
    "Let us {act} {args}.",
)
PREFACES = (
    "Hello.",
    "Hi there!",
    "Good morning.",
    "I have a question.",
    "Thanks for your help so far.",
    "I am in a hurry.",
    "It has been a long day.",
    "This one is for work.",
)
ODD_PREFACES = (
    "My friend Robert told me that you are good at this.",
    "I have been waiting for 20 minutes now.",
    "We just came back from Iceland and everything is a mess.",
    "I tried it 3 times yesterday and nothing worked.",
    "There is so much to do before the holidays.",
    "Last year Sandra did it for me, now it is my turn.",
    "I am new here, so bear with me.",
    "You were right about the other thing, by the way.",
)
LITERAL = ("with {w} {v}", "{w} {v}", "using {w} {v}", "where {w} is {v}", "and {w} {v}")
SENTENCES = ("The {w} is {v}.", "Use {v} as the {w}.", "The {w} should be {v}.", "{w}: {v}.", "Set {w} to {v}.")
ODD_SENTENCES = (
    "{v} would be the {w}.",
    "Go with {v} for the {w}.",
    "As for the {w}, {v}.",
    "Put {v} down as the {w}.",
    "When it comes to the {w}, take {v}.",
    "It is {v} that I have in mind for the {w}.",
)


@dataclass(frozen=True, slots=True)
class Style:
    """Rates, each 0..1, of the phrasings. `odd` is the share of openers, verbs and mentions from the odd lists."""

    odd: float = 0.0
    meaning: float = 0.2
    """Mentions by meaning ("in Paris") among those that are not odd; the rest name the parameter ("city Paris")."""
    other_words: float = 0.2
    """Parameters named by another word than their own ("town" for `city`)."""
    sentences: float = 0.2
    keyed: float = 0.15
    values_first: float = 0.0
    preface: float = 0.1
    correction: float = 0.0
    """Requests in which one value is first given wrong and then put right."""
    spelled: float = 0.0
    """Small numbers written as words."""
    ordered: bool = False
    """Values are given in the order of the tool's schema."""


def _text(rng: random.Random, style: Style, value: Any) -> str:
    """A value as a person writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        parts = [_text(rng, style, v) for v in value]
        return (
            " and ".join((", ".join(parts[:-1]), parts[-1]))
            if len(parts) > 1 and rng.random() < 0.6
            else ", ".join(parts)
        )
    if isinstance(value, int) and 0 <= value < len(SMALL_NUMBERS) and rng.random() < style.spelled:
        return SMALL_NUMBERS[value]
    return str(value)


def _said(rng: random.Random, style: Style, parameter: Parameter, value: Any) -> str:
    if parameter.sayings:
        return rng.choice(parameter.sayings[value])
    if parameter.enum:
        return str(value).replace("_", " ")
    if parameter.type == "object":
        return " and ".join(f"{k} {_text(rng, style, v)}" for k, v in value.items())
    return _text(rng, style, value)


def _words(rng: random.Random, style: Style, parameter: Parameter) -> str:
    if len(parameter.words) > 1 and rng.random() < style.other_words:
        return rng.choice(parameter.words[1:])
    return parameter.words[0]


def phrase(rng: random.Random, style: Style, parameter: Parameter, value: Any) -> str:
    """A mention that can stand inside a sentence: "with city Paris", "in Paris", "{v} being the place"."""
    odd, by_meaning = rng.random() < style.odd, rng.random() < style.meaning
    if odd or by_meaning:
        if parameter.type == "boolean":
            yes, no, odd_yes, odd_no = parameter.fragments
            return (odd_yes if value else odd_no) if odd else (yes if value else no)
        choices: Sequence[str] = parameter.fragments[1:] if odd else parameter.fragments[:1]
        fragment = rng.choice(choices or parameter.fragments)
        if parameter.type == "object":
            return fragment.format(**{k: _text(rng, style, v) for k, v in value.items()})
        return fragment.format(v=_said(rng, style, parameter, value))
    return rng.choice(LITERAL).format(w=_words(rng, style, parameter), v=_said(rng, style, parameter, value))


def sentence(rng: random.Random, style: Style, parameter: Parameter, value: Any) -> str:
    """A mention as a sentence of its own."""
    if parameter.type == "boolean" and rng.random() < 0.5:
        yes, no, odd_yes, odd_no = parameter.fragments
        return ((odd_yes if value else odd_no) if rng.random() < style.odd else (yes if value else no)) + "."
    forms = ODD_SENTENCES if rng.random() < style.odd else SENTENCES
    return rng.choice(forms).format(w=_words(rng, style, parameter), v=_said(rng, style, parameter, value))


def act(rng: random.Random, style: Style, tool: SyntheticTool) -> str:
    """What is to be done, in words: "book a hotel room"."""
    common, rare = VERBS[tool.verb]
    verb = rng.choice(rare) if rng.random() < style.odd else common[0 if rng.random() < 0.65 else 1]
    thing = f"{tool.noun} of the {tool.domain}" if rng.random() < style.odd * 0.3 else f"{tool.domain} {tool.noun}"
    return f"{verb} {rng.choice(('the ', 'a ', 'my ', 'the ', ''))}{thing}"


def _corrected(rng: random.Random, style: Style, parameter: Parameter, value: Any) -> str | None:
    """A sentence that gives a wrong value first and then the right one."""
    wrong = next((w for w in (parameter.draw(rng) for _ in range(8)) if w != value), None)
    if wrong is None or parameter.type in ("boolean", "object", "array"):
        return None
    forms = (
        "The {w} is {x}, no wait, {v}.",
        "Not {x} but {v} as the {w}.",
        "I first thought of {x} for the {w}, but it has to be {v}.",
        "Last time the {w} was {x}, this time it is {v}.",
    )
    names = {"w": _words(rng, style, parameter), "x": _said(rng, style, parameter, wrong)}
    return rng.choice(forms).format(v=_said(rng, style, parameter, value), **names)


def _capital(rng: random.Random, text: str) -> str:
    return text if rng.random() < 0.2 else text[:1].upper() + text[1:]


def _filled(opener: str, what: str, arguments: str = "") -> str:
    text = opener.format(act=what, args=arguments)
    return text.replace(" .", ".").replace(" ?", "?").replace(" ,", ",")


Given = tuple[Parameter, Any]


def request(rng: random.Random, style: Style, what: str, given: Sequence[Given]) -> str:
    """One request: the act `what` and the values `given`, in a random layout and, unless `ordered`, a random order."""
    given = list(given) if style.ordered else rng.sample(list(given), len(given))
    opener = rng.choice(ODD_OPENERS if rng.random() < style.odd else OPENERS)
    layout = rng.random()
    extra = ""
    if given and rng.random() < style.correction and (fixed := _corrected(rng, style, *given[-1])):
        extra, given = " " + fixed, given[:-1]
    if layout < style.sentences:
        text = _capital(rng, _filled(opener, what))
        text = " ".join([text, *(_capital(rng, sentence(rng, style, p, v)) for p, v in given)])
    elif layout < style.sentences + style.keyed:
        mark = rng.choice(("=", ": ", " "))
        pairs = ", ".join(f"{_words(rng, style, p)}{mark}{_said(rng, style, p, v)}" for p, v in given)
        text = _capital(rng, what) + (f"{rng.choice((': ', ', ', '; ', ' - '))}{pairs}" if pairs else "") + "."
    else:
        phrases = [phrase(rng, style, p, v) for p, v in given]
        joined = (" " if rng.random() < 0.6 else ", ").join(phrases)
        if phrases and layout > 1 - style.values_first:
            text = (
                f"{joined}: {opener.format(act=what, args='').replace(' .', '.').replace(' ?', '?').replace(' ,', ',')}"
            )
        else:
            text = _capital(rng, _filled(opener, what, joined))
    if rng.random() < style.preface:
        text = f"{rng.choice(ODD_PREFACES if rng.random() < style.odd else PREFACES)} {text}"
    return text + extra
