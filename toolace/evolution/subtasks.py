"""The sub-tasks that ToolACE-DEV decomposes tool learning into, and their training rows.

    adaption     description          -> the full definition of the tool
    generation   query                -> candidate tools
    invocation   (query, tools)       -> calls, or text where none fits

The paper gives the instruction of the second, "Generate candidate tools related to the query: {query}"; the wording of
the first is this project's. Targets are definitions as `toolace.calls.definitions` writes and reads them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator

from toolace.calls.definitions import render_definition, render_definitions
from toolace.calls.schema import Chat, Message, Sample, Tool, canonical_json
from toolace.corpus import CorpusRow, direct_row

ADAPTION_INSTRUCTION = "Write the full definition of the tool with this description: {description}"
GENERATION_INSTRUCTION = "Generate candidate tools related to the query: {query}"


def adaption_chat(description: str) -> Chat:
    """What the model is asked in documentation adaption."""
    return _asked(ADAPTION_INSTRUCTION.format(description=description))


def generation_chat(query: str) -> Chat:
    """What the model is asked in query-aware tool generation."""
    return _asked(GENERATION_INSTRUCTION.format(query=query))


def first_query(sample: Sample) -> str | None:
    """The first user turn, which candidate tools are generated for; None where there is none."""
    return next((m.content for m in sample.chat.messages if m.role == "user" and m.content.strip()), None)


def tool_key(tool: Tool) -> str:
    """A short hash that is equal for tools of the same name and parameters."""
    return hashlib.blake2b(
        f"{tool.name}\x00{canonical_json(tool.parameters)}".encode(errors="surrogatepass"), digest_size=8
    ).hexdigest()


def adaption_rows(samples: Iterable[Sample], left_out: Counter[str]) -> Iterator[CorpusRow]:
    """A row for each distinct tool, from its first appearance with a description.

    Tools that nowhere have one are counted in `left_out`, at the end, under `no_description`, and those whose
    description an earlier tool has under `same_description`: one question cannot have two answers.
    """
    asked: set[str] = set()
    known: dict[str, bool] = {}
    for sample in samples:
        for tool in sample.chat.tools:
            key, description = tool_key(tool), tool.description.strip()
            if known.get(key):
                continue
            known[key] = bool(description)
            if description in asked:
                left_out["same_description"] += 1
            elif description:
                asked.add(description)
                yield CorpusRow(
                    id=f"tool-{key}/adaption",
                    sample_id=tool.name,
                    kind="adaption",
                    chat=adaption_chat(description),
                    target=Message(role="assistant", content=render_definition(tool)),
                )
    if bare := sum(not described for described in known.values()):
        left_out["no_description"] += bare


def generation_row(sample: Sample, left_out: Counter[str]) -> CorpusRow | None:
    """The tool generation row of a sample; None, counted in `left_out`, where the reference is no call, there is no
    user turn, or there are no tools."""
    query = first_query(sample)
    for reason, holds in (
        ("no_call", not sample.reference.calls),
        ("no_query", query is None),
        ("no_tools", not sample.chat.tools),
    ):
        if holds:
            left_out[reason] += 1
            return None
    return generated_row(sample.id, query or "", sample.chat.tools)


def generated_row(sample_id: str, query: str, tools: Iterable[Tool]) -> CorpusRow:
    """A tool generation row of given tools, also of those that the model made itself."""
    return CorpusRow(
        id=f"{sample_id}/generation",
        sample_id=sample_id,
        kind="generation",
        chat=generation_chat(query),
        target=Message(role="assistant", content=render_definitions(tuple(tools))),
    )


def invocation_row(sample: Sample) -> CorpusRow:
    """The usual objective: the reference as the answer to the chat."""
    return direct_row(sample).model_copy(update={"id": f"{sample.id}/invocation", "kind": "invocation"})


def _asked(text: str) -> Chat:
    return Chat(messages=(Message(role="user", content=text),))
