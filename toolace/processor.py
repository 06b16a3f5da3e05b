"""What this machine's processor computes with."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
_FLAGS = re.compile(r"^(?:flags|Features)\s*:\s*(.*)$", re.MULTILINE)
_BF16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Of x86 the first two, of Arm the last one."""


@cache
def native_bf16() -> bool:
    """Whether its cores multiply bfloat16 themselves.

    Others take a step of training in it apart: 24 s instead of a third of a second for the tiny base, on two cores with
    AVX2. False where the system does not tell.
    """
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    found = _FLAGS.search(text)
    return found is not None and not _BF16.isdisjoint(found.group(1).split())
