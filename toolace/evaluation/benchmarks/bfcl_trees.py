"""Syntax trees of Java and JavaScript by the grammars that the leaderboard reads them with.

The versions of tree-sitter and of its grammars are those of bfcl-eval 2026.3.23: what counts as a call, and how a
broken source is repaired, is theirs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any, Literal

from toolace.errors import ParseError
from toolace.evaluation.benchmarks.bfcl_patterns import EndlessError

Grammar = Literal["java", "javascript"]

SECONDS = 2
"""Processor time that parsing one source may take: where it fits nowhere the time grows with the square of its length,
to minutes for some hundred thousand characters. Looked at every `_LOOK` seconds, and when the tree is there."""
_LOOK = 0.1
"""Seconds on the wall after which the parser stops by itself: its limit knows no processor time."""


def tree_of(source: str, grammar: Grammar) -> Any:
    """The root of the tree of a source (a `tree_sitter.Node`).

    Raises `ParseError` where a part of it fits nowhere, `EndlessError` where parsing takes longer than `SECONDS`.
    """
    parser, data = _parser(grammar), source.encode()
    begun = time.thread_time()
    tree = None
    while tree is None:
        with suppress(ValueError):  # the only reason for no tree at all: `_LOOK` is over; it goes on where it was
            tree = parser.parse(data)
        if time.thread_time() - begun > SECONDS:
            parser.reset()  # or it would go on with this source the next time
            raise EndlessError(f"a source of {len(data)} bytes that takes more than {SECONDS} s to parse")
    root = tree.root_node
    # `has_error` is true too of a tree that was repaired by adding what is missing; that one counts.
    if root.has_error and any(node.type == "ERROR" for node in _nodes(root)):
        raise ParseError("the source fits no rule of the grammar")
    return root


def _nodes(root: Any) -> Iterator[Any]:
    """All nodes, without recursion: the depth of a tree is the model's to choose."""
    open_ = [root]
    while open_:
        node = open_.pop()
        yield node
        if node.has_error:
            open_ += node.children


@cache
def _parser(grammar: Grammar) -> Any:
    import importlib
    import warnings

    from tree_sitter import Language, Parser

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this way to name a grammar is the one of this version, and deprecated
        language = Language(importlib.import_module(f"tree_sitter_{grammar}").language(), grammar)
    parser = Parser()
    parser.set_language(language)
    parser.set_timeout_micros(int(_LOOK * 1_000_000))
    return parser
