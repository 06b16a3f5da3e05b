"""The tools of the synthetic corpus: verb x domain x noun, cut by a stable hash into universes that share no tool.

A tool is a function of its name alone, so the same tool looks the same in every run and every universe.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from toolace.calls.schema import Tool
from toolace.data.synthetic_docs import describe
from toolace.data.synthetic_values import code, medium
from toolace.data.synthetic_words import CODED, DOMAINS, ENUMS, FLAGS, NESTED, PLAIN, VERBS, Parameter

World = Literal["base", "base-documented", "demo", "house", "documented"]
"""The names of the tools of `house` and `documented` are those of `demo`, of `base-documented` those of `base`. In
`house` enums have codes that nobody says (see `CODED`), and more tools have enums. In the two documented worlds every
tool is described so that its definition, which is small, can be written from the description (see
`toolace.data.synthetic_docs`)."""
CODED_SHARE = 0.25
"""Share of the house's tools that take a code where another tool would not."""
Split = Literal["train", "dev", "test"]
Flavour = Literal["plain", "optional", "enum", "nested", "linked"]

SHELVES = 11
"""Domains stand on shelves, and all tools of one sample come from one shelf: the sample's group."""


def stable_hash(text: str) -> int:
    """A 64-bit hash that is the same on every machine and Python."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


@dataclass(frozen=True, slots=True)
class SyntheticTool:
    """A tool with what the phrasing needs to know of it."""

    tool: Tool
    verb: str
    domain: str
    noun: str
    flavour: Flavour
    required: tuple[Parameter, ...]
    optional: tuple[Parameter, ...]

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return self.required + self.optional

    @property
    def shelf(self) -> int:
        return list(DOMAINS).index(self.domain) % SHELVES


def universe_of(name: str) -> tuple[World, Split]:
    """Which universe a tool name belongs to: 55 % base, the rest demo (60 % train, 15 % dev, 25 % test)."""
    bucket = stable_hash("universe:" + name) % 1000
    if bucket < 550:
        return "base", "train"
    if bucket < 820:
        return "demo", "train"
    return ("demo", "dev") if bucket < 888 else ("demo", "test")


def _schema(parameter: Parameter, described: bool) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": parameter.type}
    if parameter.enum:
        schema["enum"] = list(parameter.enum)
    if parameter.type == "array":
        schema["items"] = {"type": parameter.item}
    if parameter.type == "object":
        schema["properties"] = {name: {"type": kind} for name, kind, _ in parameter.fields}
        schema["required"] = [name for name, _, _ in parameter.fields]
    if described:
        schema["description"] = parameter.description
    return schema


def _pick(rng: random.Random, pool: tuple[Parameter, ...], count: int, taken: list[Parameter]) -> list[Parameter]:
    """`count` parameters whose slots and names are not taken yet."""
    chosen: list[Parameter] = []
    for parameter in rng.sample(pool, len(pool)):
        if len(chosen) == count:
            break
        others = taken + chosen
        if all(parameter.slot != o.slot and parameter.name != o.name for o in others):
            chosen.append(parameter)
    return chosen


def _link(rng: random.Random, noun: str) -> Parameter:
    """The id of a thing, which another tool's result holds."""
    draw = medium if rng.random() < 0.25 else code
    kind = "integer" if draw is medium else "string"
    fragments = ("for {v}", "the one filed under {v}")
    return Parameter(f"{noun}_id", kind, "link", f"id of the {noun}", draw, (f"{noun} id", noun), fragments)


def make_tool(verb: str, domain: str, noun: str, codes: bool = False) -> SyntheticTool:
    """The tool of this name; the same arguments give the same tool. With `codes` most tools take a coded value."""
    name = f"{verb}_{domain}_{noun}"
    rng = random.Random(stable_hash("tool:" + name))
    flavour: Flavour = rng.choices(("plain", "optional", "enum", "nested", "linked"), (34, 20, 16, 18, 12))[0]
    required: list[Parameter] = []
    optional: list[Parameter] = []
    enums = CODED if codes else ENUMS
    if flavour == "enum":
        required += _pick(rng, enums, 1, required)
    if flavour == "nested":
        required += _pick(rng, NESTED, 1, required)
    if flavour == "linked":
        required.append(_link(rng, noun))
    if flavour in ("plain", "optional"):
        required += _pick(rng, PLAIN, rng.choices((1, 2, 3), (35, 40, 25))[0], required)
    else:
        required += _pick(rng, PLAIN, rng.choices((0, 1, 2), (30, 50, 20))[0], required)
    if codes and flavour != "enum" and rng.random() < CODED_SHARE:
        required = [*_pick(rng, CODED, 1, required), *required[:2]]
    rng.shuffle(required)
    if flavour == "optional":
        pools = (PLAIN, FLAGS, enums)
        for _ in range(rng.choice((1, 1, 2))):
            optional += _pick(rng, rng.choices(pools, (45, 35, 20))[0], 1, required + optional)
    properties = {p.name: _schema(p, rng.random() < 0.2) for p in required + optional}
    about = rng.choice(("{v} the {t}", "{v} a {t}", "tool to {v} the {t}", "", "")).format(
        v=rng.choice(VERBS[verb][0]), t=f"{domain} {noun}"
    )
    parameters = {"type": "object", "properties": properties, "required": [p.name for p in required]}
    tool = Tool(name=name, description=about[:1].upper() + about[1:], parameters=parameters)
    return SyntheticTool(tool, verb, domain, noun, flavour, tuple(required), tuple(optional))


def make_documented(verb: str, domain: str, noun: str) -> SyntheticTool:
    """The documented tool of this name: one to three parameters, none described but in the tool's description."""
    name = f"{verb}_{domain}_{noun}"
    rng = random.Random(stable_hash("documented:" + name))
    flavour: Flavour = rng.choices(("plain", "optional", "enum", "nested", "linked"), (38, 26, 14, 8, 14))[0]
    required: list[Parameter] = []
    optional: list[Parameter] = []
    if flavour == "enum":
        required += _pick(rng, ENUMS, 1, required)
    if flavour == "nested":
        required += _pick(rng, NESTED, 1, required)
    if flavour == "linked":
        required.append(_link(rng, noun))
    counts = (0, 1) if required else (1, 2)
    required += _pick(rng, PLAIN, rng.choice(counts), required)
    rng.shuffle(required)
    if flavour == "optional":
        optional += _pick(rng, rng.choice((PLAIN, PLAIN, FLAGS, ENUMS)), 1, required)
    parameters = {
        "type": "object",
        "properties": {p.name: _schema(p, False) for p in required + optional},
        "required": [p.name for p in required],
    }
    tool = Tool(
        name=name, description=describe(rng, verb, f"{domain} {noun}", required, optional), parameters=parameters
    )
    return SyntheticTool(tool, verb, domain, noun, flavour, tuple(required), tuple(optional))


def _make(world: World, verb: str, domain: str, noun: str) -> SyntheticTool:
    if world in ("documented", "base-documented"):
        return make_documented(verb, domain, noun)
    return make_tool(verb, domain, noun, codes=world == "house")


class Universe:
    """All tools of one world and split, indexed for the builders."""

    def __init__(self, world: World, split: Split) -> None:
        self.tools: list[SyntheticTool] = []
        home = "base" if world in ("base", "base-documented") else "demo"
        for domain, nouns in DOMAINS.items():
            for noun in nouns:
                for verb in VERBS:
                    if universe_of(f"{verb}_{domain}_{noun}") == (home, split):
                        self.tools.append(_make(world, verb, domain, noun))
        self.flavours: dict[str, list[SyntheticTool]] = {}
        self.things: dict[tuple[str, str], list[SyntheticTool]] = {}
        self.domains: dict[str, list[SyntheticTool]] = {}
        self.shelves: dict[int, list[SyntheticTool]] = {}
        for tool in self.tools:
            self.flavours.setdefault(tool.flavour, []).append(tool)
            self.things.setdefault((tool.domain, tool.noun), []).append(tool)
            self.domains.setdefault(tool.domain, []).append(tool)
            self.shelves.setdefault(tool.shelf, []).append(tool)
        self.chains = [
            (first, second)
            for second in self.flavours["linked"]
            for first in self.things[(second.domain, second.noun)]
            if first.flavour in ("plain", "enum") and first is not second
        ]

    def others(self, rng: random.Random, tool: SyntheticTool, count: int, similar: float) -> list[SyntheticTool]:
        """`count` other tools of the same shelf; each is, at the rate `similar`, close to `tool` in name."""
        found: list[SyntheticTool] = []
        while len(found) < count:
            near = rng.random() < similar
            if near:
                near_pool = self.things[(tool.domain, tool.noun)] if rng.random() < 0.5 else self.domains[tool.domain]
            other = rng.choice(near_pool if near else self.shelves[tool.shelf])
            if other is not tool and other not in found:
                found.append(other)
            elif near:
                similar *= 0.8  # a small pool of look-alikes may be used up
        return found


@cache
def universe(world: World, split: Split) -> Universe:
    """The universe of a world and split, built once in a process (a few thousand tools)."""
    return Universe(world, split)
