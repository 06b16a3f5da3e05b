"""All tests in two processes at the same time, each with a Ray of its own: what `make test-halves` runs.

python tests/halves.py [OPTIONS OF PYTEST]

Much of what starts engines and clusters waits, or computes on one core. The second half is what shares the cluster and
the long runs that tests are compared with, so that they are made once; the first is all the rest, whatever is added.
What the second one says comes after the first one's. `pytest` alone runs everything in one process.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
SECOND = (
    "tests/cluster",
    "tests/faults/test_cluster_faults.py",
    "tests/faults/test_killed_by_seed.py",
    "tests/faults/test_rounds_killed.py",
    "tests/integration/test_evolve.py",
)
NEEDED_GIB = 18
"""Free memory below which one half waits for the other."""
NO_TESTS = 5
"""How pytest ends where its options, such as `-k`, leave no test."""
BEGUN: list[subprocess.Popen[bytes]] = []


def halves(options: Sequence[str]) -> list[list[str]]:
    """The two commands."""
    pytest = [sys.executable, "-m", "pytest", *options]
    # A cache each: `--last-failed` would read what the other one has written.
    second = [*pytest, "-o", "cache_dir=.pytest_cache/second", *SECOND]
    return [[*pytest, "tests", *(f"--ignore={path}" for path in SECOND)], second]


def run(commands: Sequence[Sequence[str]], together: bool) -> int:
    """Run two commands; 0 where both end well, or one does and the other has no test."""
    with tempfile.TemporaryFile() as said:
        if together:
            begun = [_begin(commands[0]), _begin(commands[1], stdout=said, stderr=subprocess.STDOUT)]
            codes = [_end(process) for process in begun]
            said.seek(0)
            sys.stdout.flush()
            shutil.copyfileobj(said, sys.stdout.buffer)
            sys.stdout.flush()
        else:
            codes = [_end(_begin(command)) for command in commands]
    failed = [code for code in codes if code not in (0, NO_TESTS)]
    return failed[0] if failed else min(codes)


def _begin(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command, cwd=ROOT, **options)
    BEGUN.append(process)
    return process


def _end(process: subprocess.Popen[bytes]) -> int:
    """How it ended. Ctrl-C has reached it, too: it has its clusters to take down."""
    while True:
        with contextlib.suppress(KeyboardInterrupt):
            return process.wait()


def stop(*_: object) -> None:
    """End what has begun as Ctrl-C does: pytest takes nothing down when it is told to end in another way."""
    for process in BEGUN:
        process.send_signal(signal.SIGINT)


def main() -> int:
    together = psutil.virtual_memory().available >= NEEDED_GIB * 2**30
    if not together:
        print(f"Less than {NEEDED_GIB} GiB of memory are free: one half of the tests after the other", flush=True)
    signal.signal(signal.SIGTERM, stop)
    return run(halves(sys.argv[1:]), together)


if __name__ == "__main__":
    sys.exit(main())
