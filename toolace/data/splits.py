"""Train/dev/test by tool: what is tested was not trained on.

Samples that share a tool, also through other samples, form a component; a component goes to one split whole.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from toolace.calls.schema import Sample
from toolace.data.dialogue import called_names, tool_names
from toolace.errors import DataError

SplitBy = Literal["tools", "reference"]
Splits = dict[str, list[Sample]]


def assign_groups(samples: Sequence[Sample], by: SplitBy = "tools") -> list[Sample]:
    """The samples with `group` set to the name of their component."""
    return [
        sample.model_copy(update={"group": group})
        for sample, group in zip(samples, components(samples, by), strict=True)
    ]


def components(samples: Sequence[Sample], by: SplitBy = "tools") -> list[str]:
    """The component of each sample, by union-find over tool names.

    `tools`: all tools that a sample offers; `reference`: only those that its reference calls. A sample without
    such a tool is keyed by its first user turn. The turns of one row share a component in any case. A name is a hash
    of the component's smallest key, so it does not depend on the order of samples.
    """
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        parent.setdefault(key, key)
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    firsts = []
    for sample in samples:
        first, *rest = keys_of(sample, by)
        firsts.append(first)
        for key in rest:
            # The smaller root wins: a component's root is its smallest key, whatever the order.
            one, other = sorted((root(first), root(key)))
            parent[other] = one
    return [f"g-{hashlib.sha256(root(first).encode()).hexdigest()[:12]}" for first in firsts]


def keys_of(sample: Sample, by: SplitBy = "tools") -> list[str]:
    """What a sample shares with others of its component; at least one key."""
    names = tool_names(sample) if by == "tools" else called_names(sample)
    keys = [f"tool:{name}" for name in names]
    if not keys:
        query = next((turn.content for turn in sample.chat.messages if turn.role == "user"), sample.id)
        keys.append(f"query:{query}")
    row = sample.source.rpartition(":")[0]
    return [*keys, f"row:{row}"] if row else keys


def split_by_tools(
    samples: Sequence[Sample], dev_share: float, test_share: float, seed: int, *, by: SplitBy = "tools"
) -> Splits:
    """`{"train", "dev", "test"}` with no tool (`by="reference"`: no called tool) in two of them.

    Deterministic by seed and independent of the order of samples; within a split they keep it. Whole components go
    to test, then dev, in the order of a seeded hash, as long as they fit; the rest is train. Shares are of samples;
    where the components are coarse a split may be off by up to half of its share.

    Raises `DataError` with sizes where some split that was asked for cannot be filled to half, which mostly means
    that one component holds nearly everything.
    """
    if not 0 <= dev_share < 1 or not 0 <= test_share < 1 or dev_share + test_share >= 1:
        raise DataError(
            f"data.dev_share {dev_share} and data.test_share {test_share} must be 0 or more, together below 1"
        )
    names = components(samples, by)
    sizes = Counter(names)
    order = sorted(sizes, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).hexdigest())
    place: dict[str, str] = {}
    for split, share in (("test", test_share), ("dev", dev_share)):
        wanted = share * len(samples)
        _fill(place, split, wanted, order, sizes)
        got = sum(sizes[name] for name, where in place.items() if where == split)
        if share and (got == 0 or got < wanted / 2):
            raise DataError(_impossible(split, wanted, got, sizes, len(samples), by))
    splits: Splits = {"train": [], "dev": [], "test": []}
    for sample, name in zip(samples, names, strict=True):
        splits[place.get(name, "train")].append(sample)
    if not splits["train"]:
        raise DataError(_impossible("train", len(samples) * (1 - dev_share - test_share), 0, sizes, len(samples), by))
    return splits


def _fill(place: dict[str, str], split: str, wanted: float, order: Iterable[str], sizes: Counter[str]) -> None:
    """Give `split` free components until it is as near to `wanted` as they allow."""
    got = 0
    for name in order:
        if name in place or got >= wanted:
            continue
        # A component that overshoots is taken only if that is nearer than leaving it out, and by half at most.
        over = got + sizes[name] - wanted
        if over <= 0 or (over < wanted - got and over <= wanted / 2):
            place[name] = split
            got += sizes[name]


def _impossible(split: str, wanted: float, got: int, sizes: Counter[str], total: int, by: SplitBy) -> str:
    largest = ", ".join(str(size) for _, size in sizes.most_common(5))
    shared = "offered tools" if by == "tools" else "called tools"
    out = (
        "Split by the tools of references only (data.split_by=reference), give files of your own (data.dev, "
        "data.test), or set data.dev_share and data.test_share to 0"
        if by == "tools"
        else "Give files of your own (data.dev, data.test), set data.dev_share and data.test_share to 0, or use more "
        "samples"
    )
    return (
        f"cannot split off {split}: wanted about {wanted:.0f} of {total} samples, whole groups that share {shared} "
        f"give {got}. There are {len(sizes)} groups; the largest hold {largest} samples. {out}"
    )
