"""The synthetic corpus: deterministic, cut into universes without a common tool, valid, copyable."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import re
from collections import Counter
from typing import Any

import pytest

from toolace.calls import Sample, Tool, parse_calls, render_calls
from toolace.calls.schema import OPENAI_NAME
from toolace.data.synthetic import KINDS, NO_TOOL, PROFILES, generate
from toolace.data.synthetic_damage import answer_text, corrupt, damage
from toolace.data.synthetic_docs import TYPES
from toolace.data.synthetic_tools import SyntheticTool, make_tool, universe
from toolace.data.synthetic_words import ENUMS, FLAGS, NESTED, PLAIN, VERBS
from toolace.errors import DataError

ROWS = 1500
DIGESTS = {
    "base-easy": "6dc9e8b1a27ec31c",
    "base": "ec8813e818303d29",
    "demo": "9a95a7c686842ed9",
    "house": "17d78375888f0ebc",
}
"""Of 300 rows of each split: what the shipped base learnt from, and the corpora behind the published results."""
SPLITS = (("base", "train"), ("demo", "train"), ("demo", "dev"), ("demo", "test"))


def rows(profile: str, split: str = "train", n: int = ROWS, **options: Any) -> list[Sample]:
    return list(generate(n, 3, profile=profile, split=split, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("profile", PROFILES)
def test_the_same_seed_gives_the_same_rows_and_another_seed_others(profile: str) -> None:
    assert rows(profile, n=300) == rows(profile, n=300)
    assert rows(profile, n=300) != list(generate(300, 4, profile=profile))


@pytest.mark.parametrize("profile", DIGESTS)
def test_rows_of_published_corpora_never_change(profile: str) -> None:
    digest = hashlib.sha256()
    for split in ("train", "dev", "test"):
        for sample in rows(profile, split, n=300, wrong_share=0.1):
            digest.update(sample.model_dump_json().encode())
    assert digest.hexdigest()[:16] == DIGESTS[profile]


def test_a_later_start_gives_the_later_rows() -> None:
    everything = {s.id: s for s in rows("demo", n=600)}
    later = rows("demo", n=200, start=100)
    assert all(everything[s.id] == s for s in later)
    assert min(s.id for s in later) == "demo-train-3-0000100-0"


def test_ids_are_unique() -> None:
    samples = [s for profile, split in SPLITS for s in rows(profile, split)]
    assert len({s.id for s in samples}) == len(samples)


def test_no_tool_stands_in_two_universes() -> None:
    names = [{t.name for s in rows(*key, n=4000) for t in s.chat.tools} for key in SPLITS]
    for a, b in itertools.combinations(names, 2):
        assert a and not a & b
    whole = [{t.tool.name for t in universe(*key).tools} for key in SPLITS]  # type: ignore[arg-type]
    assert sum(map(len, whole)) == len(set().union(*whole)) > 5000


def test_samples_that_share_a_tool_share_a_group() -> None:
    groups: dict[str, set[str]] = {}
    for sample in rows("demo", n=4000):
        for tool in sample.chat.tools:
            groups.setdefault(tool.name, set()).add(sample.group)
    assert all(len(g) == 1 for g in groups.values())
    assert len(set.union(*groups.values())) > 5


def test_a_tool_is_a_function_of_its_name() -> None:
    assert make_tool("book", "hotel", "room") == make_tool("book", "hotel", "room")
    assert all(
        OPENAI_NAME.fullmatch(t.tool.name) and t.tool.name.isidentifier() for t in universe("demo", "test").tools
    )


@pytest.mark.parametrize("profile", ["base", "demo", "documented"])
def test_every_kind_is_there(profile: str) -> None:
    counts = dict.fromkeys(KINDS, 0)
    for sample in rows(profile):
        counts[sample.kind] += 1
    assert min(counts.values()) > 0.03 * ROWS


def fits(schema: dict[str, Any], value: Any) -> bool:
    if "enum" in schema and value not in schema["enum"]:
        return False
    match schema["type"]:
        case "string":
            return isinstance(value, str) and bool(value)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "array":
            return isinstance(value, list) and all(fits(schema["items"], v) for v in value)
        case "object":
            known = schema["properties"]
            return set(value) == set(known) and all(fits(known[k], v) for k, v in value.items())
    return False


@pytest.mark.parametrize("profile", PROFILES)
def test_references_are_valid_calls_of_the_tools_given(profile: str) -> None:
    for sample in rows(profile):
        tools = {tool.name: tool for tool in sample.chat.tools}
        assert len(tools) == len(sample.chat.tools)
        assert sample.chat.messages[-1].role in ("user", "tool")
        for call in sample.reference.calls:
            parameters = tools[call.name].parameters
            assert set(parameters["required"]) <= set(call.arguments) <= set(parameters["properties"])
            assert all(fits(parameters["properties"][k], v) for k, v in call.arguments.items()), call
        if sample.reference.calls:
            assert parse_calls(answer_text(sample.reference)) == list(sample.reference.calls)


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for v in value.values() for leaf in leaves(v)]
    return [leaf for v in value for leaf in leaves(v)] if isinstance(value, list) else [value]


def test_every_value_to_be_copied_stands_in_the_chat() -> None:
    """In the easy profile numbers are digits and nothing is said by meaning alone, booleans aside."""
    for sample in rows("base-easy"):
        said = " ".join(m.content for m in sample.chat.messages)
        for call in sample.reference.calls:
            for value in leaves(call.arguments):
                assert isinstance(value, bool) or str(value).replace("_", " ") in said, (said, value)


def test_dependent_second_step_copies_from_the_tool_result() -> None:
    second = [s for s in rows("demo") if s.chat.messages[-1].role == "tool"]
    assert len(second) > 40
    for sample in second:
        *_, step, result = sample.chat.messages
        assert step.role == "assistant" and step.calls and result.name == step.calls[0].name
        values = json.loads(result.content)
        (call,) = sample.reference.calls
        (name,) = [k for k in values if k in call.arguments]
        assert call.arguments[name] == values[name]
        assert str(values[name]) not in re.findall(r"[\w-]+", sample.chat.messages[-3].content)


def test_text_references_say_why() -> None:
    for sample in rows("demo"):
        names = {t.name: t for t in sample.chat.tools}
        if sample.kind == "irrelevance":
            assert sample.reference.content == NO_TOOL and not sample.reference.calls
        elif sample.kind == "missing":
            asked = sample.reference.content.removeprefix("Please give a value for: ").removesuffix(".").split(", ")
            assert any(set(asked) <= set(t.parameters["required"]) for t in names.values())
        else:
            assert sample.reference.calls and not sample.reference.content


def test_the_demo_asks_for_more_than_the_base_has_seen() -> None:
    hard = ("nested", "missing", "irrelevance", "dependent", "parallel")
    share = {p: sum(s.kind in hard for s in rows(p)) / ROWS for p in ("base", "demo")}
    assert share["demo"] > share["base"] + 0.03
    assert PROFILES["demo"].style.odd > 5 * PROFILES["base"].style.odd


@pytest.mark.parametrize("profile", PROFILES)
def test_a_corrupted_draft_is_never_the_reference(profile: str) -> None:
    rng = random.Random(1)
    for sample in rows(profile):
        assert corrupt(sample, rng) != answer_text(sample.reference)


def test_corruption_makes_every_kind_of_mistake() -> None:
    rng = random.Random(2)
    made = {damage(s.chat, s.reference, rng)[1] for s in rows("demo", n=3000)}
    calls = {"value", "dropped", "swapped", "type", "extra", "tool", "missing_call", "spurious_refusal"}
    assert made == calls | {"text", "spurious_call", "repeated_call", "extra_call", "several"}


def test_wrong_share_damages_that_share_and_says_so() -> None:
    clean, noisy = rows("demo", n=2000), rows("demo", n=2000, wrong_share=0.2)
    wrong = [s for s in noisy if ":wrong:" in s.source]
    assert 0.16 < len(wrong) / 2000 < 0.24
    for a, b in zip(clean, noisy, strict=True):
        assert a.chat == b.chat
        assert (a.reference != b.reference) == (":wrong:" in b.source)


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(DataError, match="unknown synthetic profile 'toy'"):
        next(generate(1, 0, profile="toy"))


def test_tools_carry_valid_schemas() -> None:
    for entry in universe("base", "train").tools[:500]:
        tool: Tool = entry.tool
        assert set(tool.parameters["required"]) <= set(tool.parameters["properties"])
        assert tool.parameters["properties"], tool.name


def test_rendering_of_a_reference_is_the_projects_own() -> None:
    sample = next(s for s in rows("demo") if s.reference.calls)
    assert answer_text(sample.reference) == render_calls(sample.reference.calls)


def catalogue() -> dict[str, list[Any]]:
    """Each wording of the catalogue with the parameters that it may stand for."""
    found: dict[str, list[Any]] = {}
    for parameter in PLAIN + FLAGS + ENUMS + NESTED:
        for words in {*parameter.words, parameter.description}:
            found.setdefault(words, []).append(parameter)
    return found


def definition_of(tool: SyntheticTool) -> tuple[str, dict[str, Any], list[str]]:
    """The name, properties and required parameters of a tool, read from nothing but its description."""
    known = catalogue()
    verbs = {words: verb for verb, (common, _) in VERBS.items() for words in common}
    act, rest = groups(r"(.+?)(?:\. Takes |\. Needs |\. Required: )(.+)\.", tool.tool.description)
    verb, domain, noun = groups(r"(.+) (?:a|the) (\w+) (\w+)", act.lower())
    needed, *free = re.split(r" and, optionally, |; |\. Optional: ", rest.removesuffix(" optional"))
    words = "|".join(re.escape(text) for text in sorted([*known, f"{noun} id"], key=len, reverse=True))
    properties: dict[str, Any] = {}
    required: list[str] = []
    for part in (needed, *free):
        for mention, details in re.findall(rf"(?:\bthe )?\b({words})\b(?: \(([^)]*)\))?", part):
            name, schema = read_mention(mention, details or "", known)
            properties[name] = schema
            required += [name] if part is needed else []
    return f"{verbs[verb]}_{domain}_{noun}", properties, required


def groups(pattern: str, text: str) -> tuple[str, ...]:
    found = re.fullmatch(pattern, text)
    assert found, text
    return tuple(found.groups())


def read_mention(mention: str, details: str, known: dict[str, list[Any]]) -> tuple[str, dict[str, Any]]:
    kinds = {text: kind for kind, text in TYPES.items()}
    if ": " in details:
        fields = dict(re.findall(r"(\w+): (text|a whole number|a number)", details))
        schema: dict[str, Any] = {"type": "object", "properties": {k: {"type": kinds[v]} for k, v in fields.items()}}
        schema["required"] = list(fields)
    elif details.startswith("a list of "):
        schema = {"type": "array", "items": {"type": "integer" if "number" in details else "string"}}
    elif " or " in details:
        schema = {"type": "string", "enum": re.split(", | or ", details)}
    else:
        schema = {"type": kinds.get(details, "")}
    if mention.endswith(" id") and mention not in known:
        return mention.replace(" ", "_"), {"type": schema["type"] or "string"}
    nested = schema["type"] if schema["type"] in ("array", "object") else ""
    (parameter,) = [
        p for p in known[mention] if bool(p.enum) == ("enum" in schema) and (p.type if p in NESTED else "") == nested
    ]
    return parameter.name, {**schema, "type": parameter.type}


@pytest.mark.parametrize("split", ["dev", "test"])
def test_a_documented_tool_can_be_defined_from_its_description(split: Any) -> None:
    for tool in universe("documented", split).tools:
        name, properties, required = definition_of(tool)
        described = (name, {"type": "object", "properties": properties, "required": required})
        assert described == (tool.tool.name, tool.tool.parameters), tool.tool.description


def test_documented_tools_are_small_and_told_apart_by_their_descriptions() -> None:
    splits: tuple[Any, ...] = ("train", "dev", "test")
    tools = [tool.tool for split in splits for tool in universe("documented", split).tools]
    assert all(1 <= len(tool.parameters["properties"]) <= 3 for tool in tools)
    assert len({tool.description for tool in tools}) > 0.99 * len(tools)


def test_documented_requests_name_what_they_give() -> None:
    samples = rows("documented")
    assert sum(s.kind == "irrelevance" for s in samples) >= 0.08 * ROWS
    assert sum(len(s.chat.tools) <= 2 for s in samples) > 0.9 * ROWS
    assert sum(bool(s.reference.calls) for s in samples) > 0.75 * ROWS
    names = Counter(
        any(words in s.chat.messages[-1].content.lower() for words in (name, name.replace("_", " ")))
        for s in samples
        if s.kind in ("single", "optional", "enum")
        for name in s.reference.calls[0].arguments
    )
    assert names[True] > 0.7 * names.total()


@pytest.mark.parametrize(("profile", "ordered"), [("documented", True), ("demo", False)])
def test_documented_requests_give_values_in_the_order_of_the_schema(profile: str, ordered: bool) -> None:
    places = []
    for sample in rows(profile):
        if sample.kind in ("single", "optional") and len(sample.reference.calls[0].arguments) > 1:
            said = sample.chat.messages[-1].content
            found = [said.rfind(str(value)) for value in sample.reference.calls[0].arguments.values()]
            if min(found) >= 0:
                places.append(found == sorted(found))
    assert len(places) > 100 and (sum(places) > 0.97 * len(places)) == ordered
