"""What is in a file: counts by reason, kinds, lengths and repeats. The body of `toolace data check`."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

from toolace.calls.schema import Chat, Sample, canonical_json
from toolace.data.dialogue import arguments_outside_schema, content_hash
from toolace.data.files import count_left_out
from toolace.data.loading import Format, iter_samples
from toolace.data.records import BadRow, GoodRow, Targets
from toolace.errors import TemplateError

EXAMPLES = 3
"""Quarantined rows shown for each reason."""
NOT_RENDERED = "not_rendered"


@dataclasses.dataclass(frozen=True)
class CheckReport:
    """Counts over all rows of a file: `rows == used + sum(quarantined) + sum(skipped)`."""

    path: str
    format: str
    """Format(s) found, comma-separated."""
    files_left_out: int
    """Files at the path that were not read: names that begin with `_` or `.`, other kinds, empty ones."""
    rows: int
    used: int
    """Rows that gave at least one sample."""
    samples: int
    quarantined: dict[str, int]
    skipped: dict[str, int]
    """Good rows without a target, by reason."""
    examples: dict[str, list[dict[str, Any]]]
    """The first quarantined rows of each reason: row, detail, path; and those with a sample that is `not_rendered`."""
    duplicate_queries: int
    """Samples whose dialogue, tools aside, was seen before in the file."""
    duplicate_samples: int
    """Samples that were seen before, tools and reference included."""
    kinds: dict[str, int]
    tools: int
    """Distinct tool names offered."""
    arguments_outside_schema: int
    """Samples whose reference gives an argument that the tool does not define; they are kept."""
    not_rendered: int
    """Samples that the model's chat template cannot render; the first are among the examples. They are not in
    `tokens`."""
    tokens: dict[str, Any]
    """Length of samples, prompt and reference: `unit` (tokens or characters), min, median, p95, max, total."""

    def to_json(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return dataclasses.asdict(self)


def check_file(
    path: str | os.PathLike[str],
    *,
    format: Format = "auto",
    limit: int | None = None,
    targets: Targets = "all",
    length: Callable[[Sample], int] | None = None,
    filesystem: Any = None,
) -> CheckReport:
    """Read all rows and report. `length` counts the tokens of a sample; unset: characters of its JSON are counted.

    A file without one usable row gives a report, not an error: this is the tool to find out why.
    Raises `DataError` when the file cannot be read at all or its format is unknown.
    """
    rows = used = outside = repeated_queries = repeated_samples = not_rendered = 0
    bad: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    formats: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    examples: dict[str, list[dict[str, Any]]] = {}
    lengths: list[int] = []
    tools: set[str] = set()
    queries: set[str] = set()
    contents: set[str] = set()
    for result in iter_samples(path, format=format, limit=limit, targets=targets, filesystem=filesystem):
        rows += 1
        if isinstance(result, BadRow):
            bad[result.reason] += 1
            shown = examples.setdefault(result.reason, [])
            if len(shown) < EXAMPLES:
                shown.append({"row": result.row, "detail": result.detail, "path": result.path})
            continue
        if not isinstance(result, GoodRow):
            skipped[result.reason] += 1
            continue
        used += 1
        formats[result.format] += 1
        for sample in result.samples:
            kinds[sample.kind] += 1
            try:
                lengths.append(length(sample) if length else characters(sample))
            except TemplateError as error:
                not_rendered += 1
                shown = examples.setdefault(NOT_RENDERED, [])
                if len(shown) < EXAMPLES:
                    shown.append({"row": result.row, "detail": f"sample {sample.id}: {error}", "path": result.path})
            by_name = {tool.name: tool for tool in sample.chat.tools}
            tools.update(by_name)
            outside += bool(arguments_outside_schema(sample.reference.calls, by_name))
            repeated_queries += _seen(queries, content_hash(Chat(messages=sample.chat.messages)))
            repeated_samples += _seen(contents, content_hash(sample.chat, sample.reference))
    return CheckReport(
        path=os.fspath(path),
        format=", ".join(formats) or format,
        files_left_out=count_left_out(path, filesystem),
        rows=rows,
        used=used,
        samples=len(lengths) + not_rendered,
        quarantined=dict(bad.most_common()),
        skipped=dict(skipped.most_common()),
        examples=examples,
        duplicate_queries=repeated_queries,
        duplicate_samples=repeated_samples,
        kinds=dict(kinds.most_common()),
        tools=len(tools),
        arguments_outside_schema=outside,
        not_rendered=not_rendered,
        tokens=_spread(lengths, "tokens" if length else "characters"),
    )


def characters(sample: Sample) -> int:
    """Length of a sample without a tokenizer: characters of its tools, turns and reference as JSON."""
    return len(canonical_json([sample.chat.model_dump(exclude_defaults=True), sample.reference.model_dump()]))


def _spread(lengths: list[int], unit: str) -> dict[str, Any]:
    if not lengths:
        return {"unit": unit, "total": 0}
    ordered = sorted(lengths)
    last = len(ordered) - 1
    return {
        "unit": unit,
        "min": ordered[0],
        "median": ordered[last // 2],
        "p95": ordered[round(last * 0.95)],
        "max": ordered[last],
        "total": sum(ordered),
    }


def _seen(known: set[str], key: str) -> bool:
    if key in known:
        return True
    known.add(key)
    return False
