"""The synthetic corpus: tool-calling samples made from a seed, with no download.

`generate(n, seed, profile=..., split=...)` yields samples; row i is a function of (profile, split, seed, i) alone.
The profiles `base-easy` and `base` make the corpus of the tiny base model. `demo` and `house` have other tools (see
`toolace.data.synthetic_tools`), mostly other phrasings, and more of the hard kinds, so that there is something to
learn; in `house`, which the demo uses, many tools also take codes that nobody says ("in german" -> `de`). In
`documented` a tool's definition can be written from its description, and a good part of it from the request;
`base-documented` is the same of other tools, for a base that has met definitions before.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from toolace.calls.schema import Call, Chat, Message, Sample
from toolace.data.synthetic_damage import damage
from toolace.data.synthetic_phrasing import Given, Style, act, phrase, request
from toolace.data.synthetic_tools import Split, SyntheticTool, Universe, World, universe
from toolace.data.synthetic_words import Parameter
from toolace.errors import DataError

Kind = Literal["single", "multiple", "parallel", "optional", "enum", "nested", "irrelevance", "missing", "dependent"]
KINDS: tuple[Kind, ...] = (
    "single",
    "multiple",
    "parallel",
    "optional",
    "enum",
    "nested",
    "irrelevance",
    "missing",
    "dependent",
)
NO_TOOL = "None of the tools fits this request."
"""The reference where no tool fits: one wording, so that it can be matched as text."""
SYSTEM_PROMPTS = ("You are a helpful assistant.", "You answer with tool calls.", "Use the tools where they fit.")


def ask_for(names: list[str]) -> str:
    """The reference where required parameters are missing."""
    return f"Please give a value for: {', '.join(names)}."


@dataclass(frozen=True, slots=True)
class Profile:
    """What a corpus is made of: weights of the kinds (in the order of `KINDS`), the phrasing, the number of tools."""

    world: World
    kinds: tuple[float, ...]
    style: Style
    tools: tuple[float, ...]
    """Weights of 1, 2, 3, ... tools in the prompt."""
    similar: float
    """Share of the other tools that resemble the right one."""
    system: float = 0.08


PROFILES: dict[str, Profile] = {
    "base-easy": Profile(
        world="base",
        kinds=(40, 28, 0, 8, 7, 4, 8, 5, 0),
        style=Style(meaning=0.1, other_words=0.0, sentences=0.2, keyed=0.3, preface=0.0),
        tools=(55, 45),
        similar=0.2,
    ),
    "base": Profile(
        world="base",
        kinds=(14, 20, 14, 9, 8, 9, 11, 8, 7),
        style=Style(odd=0.06, meaning=0.25, other_words=0.2, values_first=0.03, correction=0.02, spelled=0.04),
        tools=(30, 34, 22, 14),
        similar=0.35,
    ),
    "demo": Profile(
        world="demo",
        kinds=(12, 16, 14, 10, 8, 11, 10, 9, 10),
        style=Style(
            odd=0.5,
            meaning=0.35,
            other_words=0.45,
            sentences=0.25,
            keyed=0.05,
            values_first=0.15,
            preface=0.3,
            correction=0.12,
            spelled=0.3,
        ),
        tools=(10, 30, 35, 25),
        similar=0.5,
    ),
    "house": Profile(
        world="house",
        kinds=(20, 22, 8, 13, 12, 9, 3, 5, 8),
        style=Style(
            odd=0.25,
            meaning=0.35,
            other_words=0.3,
            sentences=0.25,
            keyed=0.05,
            values_first=0.1,
            preface=0.25,
            correction=0.06,
            spelled=0.3,
        ),
        tools=(20, 35, 30, 15),
        similar=0.4,
    ),
    "documented": Profile(
        world="documented",
        kinds=(28, 16, 6, 14, 10, 5, 12, 4, 5),
        style=Style(odd=0.03, meaning=0.15, other_words=0.12, sentences=0.25, keyed=0.25, preface=0.1, ordered=True),
        tools=(70, 26, 4),
        similar=0.6,
    ),
}


PROFILES["base-documented"] = replace(PROFILES["documented"], world="base-documented")


class _Builder:
    """Builds the sample or samples of one row."""

    def __init__(self, profile: Profile, tools: Universe, rng: random.Random) -> None:
        self.profile, self.tools, self.rng, self.style = profile, tools, rng, profile.style

    def values(self, tool: SyntheticTool, optional: float = 0.5) -> list[Given]:
        """Drawn values for the required parameters and, at the rate `optional`, each optional one."""
        chosen = [*tool.required, *(p for p in tool.optional if self.rng.random() < optional)]
        return [(p, p.draw(self.rng)) for p in chosen]

    def beside(self, *needed: SyntheticTool, at_least: int = 1) -> list[SyntheticTool]:
        """The needed tools among others, shuffled."""
        weights = self.profile.tools
        total = max(at_least, len(needed), self.rng.choices(range(1, len(weights) + 1), weights)[0])
        others = self.tools.others(self.rng, needed[0], total - 1, self.profile.similar)
        tools = [*needed, *(o for o in others if o not in needed)][:total]
        self.rng.shuffle(tools)
        return tools

    def chat(self, tools: list[SyntheticTool], text: str) -> Chat:
        messages = [Message(role="user", content=text)]
        if self.rng.random() < self.profile.system:
            messages.insert(0, Message(role="system", content=self.rng.choice(SYSTEM_PROMPTS)))
        return Chat(tools=tuple(t.tool for t in tools), messages=tuple(messages))

    def say(self, tool: SyntheticTool, given: list[Given]) -> str:
        return request(self.rng, self.style, act(self.rng, self.style, tool), given)

    def one(self, flavour: str) -> SyntheticTool:
        return self.rng.choice(self.tools.flavours[flavour])

    def simple(self, tool: SyntheticTool, at_least: int = 1, alone: bool = False) -> tuple[Chat, Message]:
        given = self.values(tool)
        tools = [tool] if alone else self.beside(tool, at_least=at_least)
        return self.chat(tools, self.say(tool, given)), _calls((tool, given))

    def build(self, kind: Kind) -> list[tuple[Chat, Message, SyntheticTool]]:
        rng = self.rng
        if kind == "parallel":
            return [self.parallel()]
        if kind == "dependent":
            return self.dependent()
        if kind == "irrelevance":
            tool = rng.choice(self.tools.tools)
            count = rng.choices(range(1, len(self.profile.tools) + 1), self.profile.tools)[0]
            listed = self.tools.others(rng, tool, count, self.profile.similar * 0.6)
            chat = self.chat(listed, self.say(tool, self.values(tool)))
            return [(chat, Message(role="assistant", content=NO_TOOL), tool)]
        if kind == "missing":
            tool = self.one(rng.choice(("plain", "plain", "enum", "optional")))
            given = self.values(tool)
            required = [p.name for p in tool.required]
            gone = set(rng.sample(required, 2 if len(required) > 2 and rng.random() < 0.3 else 1))
            chat = self.chat(self.beside(tool), self.say(tool, [g for g in given if g[0].name not in gone]))
            answer = ask_for([name for name in required if name in gone])
            return [(chat, Message(role="assistant", content=answer), tool)]
        if kind == "single":
            tool = self.one(rng.choice(("plain", "plain", "linked")))
            return [(*self.simple(tool, alone=True), tool)]
        if kind == "multiple":
            tool = rng.choice(self.tools.tools)
            return [(*self.simple(tool, at_least=2), tool)]
        tool = self.one(kind)
        return [(*self.simple(tool), tool)]

    def parallel(self) -> tuple[Chat, Message, SyntheticTool]:
        """Two or three calls: of one tool with other values, or of two tools."""
        rng = self.rng
        link = rng.choice((" and also ", ", and then ", " and ", ", plus "))
        if rng.random() < 0.5:
            first = self.one(rng.choice(("plain", "linked", "enum")))
            second = self.tools.others(rng, first, 1, self.profile.similar)[0]
            pairs = [(first, self.values(first)), (second, self.values(second, 0.2))]
            parts = [
                f"{act(rng, self.style, t)} {' '.join(phrase(rng, self.style, p, v) for p, v in given)}".strip()
                for t, given in pairs
            ]
            text = link.join(parts)
            tools = self.beside(first, second)
        else:
            tool = first = self.one("plain")
            shared = self.values(tool)
            varied = rng.randrange(len(shared))
            count = 3 if len(shared) == 1 and rng.random() < 0.3 else 2
            parameter = shared[varied][0]
            options: list[Any] = []
            while len(options) < count:
                value = parameter.draw(rng)
                if value not in options:
                    options.append(value)
            pairs = [(tool, [*shared[:varied], (parameter, v), *shared[varied + 1 :]]) for v in options]
            fixed = " ".join(phrase(rng, self.style, p, v) for i, (p, v) in enumerate(shared) if i != varied)
            varying = link.join(phrase(rng, self.style, parameter, v) for v in options)
            text = f"{act(rng, self.style, tool)} {fixed} {varying}".replace("  ", " ")
            tools = self.beside(tool)
        text = (text[:1].upper() + text[1:] if rng.random() < 0.6 else f"Please {text}") + "."
        return self.chat(tools, text), _calls(*pairs), first

    def dependent(self) -> list[tuple[Chat, Message, SyntheticTool]]:
        """Two steps: the id that the second call needs stands in the result of the first."""
        rng = self.rng
        first, second = rng.choice(self.tools.chains)
        given = self.values(first)
        link: Parameter = next(p for p in second.required if p.slot == "link")
        rest = [g for g in self.values(second) if g[0] is not link]
        then = " ".join(phrase(rng, self.style, p, v) for p, v in rest)
        opening = self.say(first, given)
        verb = act(rng, self.style, second).split(" ")[0] if self.style.odd < 0.3 else act(rng, self.style, second)
        ending = f"{verb} it" if self.style.odd < 0.3 else verb
        text = f"{opening} {rng.choice(('Then', 'After that', 'Next'))} {ending} {then}".rstrip() + "."
        chat = self.chat(self.beside(first, second), text)
        step = _calls((first, given))
        value = link.draw(rng)
        result: dict[str, Any] = {link.name: value}
        for name, filler in (("status", "ok"), ("total", rng.randint(1, 400)), ("owner", rng.choice("ABCDEFGH"))):
            if rng.random() < 0.35:
                result[name] = filler
        keys = rng.sample(list(result), len(result))
        content = json.dumps({k: result[k] for k in keys}, ensure_ascii=False)
        later = chat.then(step, Message(role="tool", content=content, name=first.tool.name))
        said = {p.name: v for p, v in rest}
        full = [(p, value if p is link else said[p.name]) for p in second.required]
        full += [g for g in rest if g[0] in second.optional]
        return [(chat, step, first), (later, _calls((second, full)), first)]


def _calls(*pairs: tuple[SyntheticTool, list[Given]]) -> Message:
    """The reference: calls in the order of the request, arguments in the order of the schema."""
    calls = (Call(name=tool.tool.name, arguments={p.name: v for p, v in given}) for tool, given in pairs)
    return Message(role="assistant", calls=tuple(calls))


def generate(
    n: int,
    seed: int,
    *,
    profile: str = "demo",
    split: Split = "train",
    wrong_share: float = 0.0,
    start: int = 0,
) -> Iterator[Sample]:
    """`n` samples of a profile, the same for the same arguments.

    `split` chooses the demo's tool universe: no tool of a dev or test sample occurs in a train sample. `wrong_share`
    of the references are damaged, and say so in `source`. `start` skips ahead to that row number at no cost.

    Raises:
        DataError: an unknown profile or split.
    """
    if profile not in PROFILES:
        raise DataError(f"unknown synthetic profile {profile!r}: use one of {', '.join(PROFILES)}")
    if split not in get_args(Split):
        raise DataError(f"unknown split {split!r}: use one of {', '.join(get_args(Split))}")
    chosen = PROFILES[profile]
    tools = universe(chosen.world, "train" if chosen.world.startswith("base") else split)
    made, row = 0, start
    while made < n:
        rng = random.Random(f"{profile}/{split}/{seed}/{row}")
        kind = rng.choices(KINDS, chosen.kinds)[0]
        for step, (chat, reference, tool) in enumerate(_Builder(chosen, tools, rng).build(kind)):
            if made == n:
                break
            source = f"synthetic:{profile}/{split}/{seed}"
            if rng.random() < wrong_share:
                reference, what = damage(chat, reference, rng)
                source += f":wrong:{what}"
            yield Sample(
                id=f"{profile}-{split}-{seed}-{row:07d}-{step}",
                chat=chat,
                reference=reference,
                kind=kind,
                group=f"{chosen.world}-{split}-{tool.shelf:02d}",
                source=source,
            )
            made += 1
        row += 1
