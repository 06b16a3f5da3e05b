"""Examples inside the page: blocks of compressed JSON, unpacked by the page's script when one of their rows is opened.

    {"count": rows, "index": BLOCK, "rows": [BLOCK, ...], "sizes": [rows of each block], "tools": [BLOCK, ...],
     "tools_block": 200}

A BLOCK is a JSON value, deflated (zlib, RFC 1950) and in base64. The index holds of every row what the list and its
filters show: [set, class, kind, errors, query]. Rows name their tools by number. So a page of 10,000 rows has a few
megabytes, of which opening it reads the index.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections import Counter
from typing import Any

ROWS_BLOCK, TOOLS_BLOCK = 50, 200
MAX_QUERY = 160
JsonDict = dict[str, Any]


class Packer:
    """Packs rows until they have a number of bytes in the page; what comes after is refused."""

    def __init__(self) -> None:
        self.count = 0
        self.bytes = 0
        self.classes: Counter[tuple[str, str]] = Counter()
        """Rows taken by their set and class."""
        self._index: list[list[Any]] = []
        self._rows: list[str] = []
        self._sizes: list[int] = []
        self._pool: dict[str, int] = {}
        self._waiting: list[JsonDict] = []

    def add(self, row: JsonDict, max_bytes: int) -> bool:
        """Take a row; its `tools` are texts. False: there is no room any more, and this row is not taken, nor are those
        that still waited for their block."""
        self._waiting.append(row)
        return len(self._waiting) < ROWS_BLOCK or self.flush(max_bytes)

    def flush(self, max_bytes: int) -> bool:
        """Pack the rows that wait for their block. False, and they are dropped, where `max_bytes` have no room."""
        rows, self._waiting = self._waiting, []
        if not rows:
            return True
        known = len(self._pool)
        numbered = [
            row | {"tools": [self._pool.setdefault(text, len(self._pool)) for text in row["tools"]]} for row in rows
        ]
        fresh = list(self._pool)[known:]
        index = [[row["set"], row["class"], row["kind"], row["errors"], query(row["chat"])] for row in rows]
        block = pack(numbered)
        size = len(block) + len(pack(fresh)) + len(pack(index))  # tools and index are packed anew, and smaller, later
        if self.bytes + size > max_bytes:
            for text in fresh:
                del self._pool[text]
            return False
        self.bytes += size
        self.count += len(rows)
        self._rows.append(block)
        self._sizes.append(len(rows))
        self._index += index
        self.classes.update((row["set"], row["class"]) for row in rows)
        return True

    def json(self) -> str:
        """Everything as JSON text without a character that means something in HTML."""
        tools = list(self._pool)
        return json.dumps(
            {
                "count": self.count,
                "index": pack(self._index),
                "rows": self._rows,
                "sizes": self._sizes,
                "tools_block": TOOLS_BLOCK,
                "tools": [pack(tools[start : start + TOOLS_BLOCK]) for start in range(0, len(tools), TOOLS_BLOCK)],
            },
            separators=(",", ":"),
        )


def pack(value: Any) -> str:
    """A BLOCK of the page."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
    return base64.b64encode(zlib.compress(text, 9)).decode()


def unpack(block: str) -> Any:
    """What `pack` packed."""
    return json.loads(zlib.decompress(base64.b64decode(block)))


def unpack_page(text: str) -> tuple[list[JsonDict], list[str]]:
    """All rows and tools of a page's JSON."""
    found = json.loads(text)
    rows, tools = ([item for block in found[name] for item in unpack(block)] for name in ("rows", "tools"))
    return rows, tools


def query(chat: list[list[str]]) -> str:
    """The text by which the list shows a dialogue: its last user turn, shortened."""
    turns = [text for role, text in chat if role == "user"] or [text for _, text in chat[-1:]]
    text = turns[-1] if turns else ""
    return text[:MAX_QUERY] + "…" if len(text) > MAX_QUERY else text or "(empty)"
