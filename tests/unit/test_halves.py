"""`make test-halves`: every test is in one half, and what fails in either fails the whole."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from halves import NO_TESTS, ROOT, SECOND, halves, run


def ending(code: int, says: str = "") -> list[str]:
    end = f"raise SystemExit({code})" if code >= 0 else f"import os; os.kill(os.getpid(), {-code})"
    return [sys.executable, "-c", f"print({says!r}); {end}"]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("codes", "expected"),
    [((0, 0), 0), ((1, 0), 1), ((0, 1), 1), ((0, -9), -9), ((NO_TESTS, 0), 0), ((NO_TESTS, NO_TESTS), NO_TESTS),
     ((NO_TESTS, 2), 2)],
)  # fmt: skip
def test_what_fails_in_either_half_fails_the_whole(codes: tuple[int, int], expected: int, together: bool) -> None:
    assert run([ending(code) for code in codes], together) == expected


@pytest.mark.parametrize("together", [True, False])
def test_both_tell_what_they_say_one_after_the_other(together: bool, capfd: pytest.CaptureFixture[str]) -> None:
    run([ending(0, "one"), ending(1, "two")], together)
    assert capfd.readouterr().out.split() == ["one", "two"]


def test_what_one_half_names_the_other_leaves_out() -> None:
    assert all((ROOT / path).exists() for path in SECOND)
    first, second = halves(["-x"])
    assert {part.removeprefix("--ignore=") for part in first if part.startswith("--ignore=")} == set(SECOND)
    assert second[-len(SECOND) :] == list(SECOND) and "tests" in first and "-x" in first and "-x" in second


def test_both_are_told_to_end_as_by_ctrl_c(tmp_path: Path) -> None:
    """Each takes down what it has started, and says so, before the whole ends."""
    waits = "import sys, time\ntry: open(sys.argv[1], 'w'); time.sleep(600)\nexcept KeyboardInterrupt: print('down')"
    commands = [[sys.executable, "-c", waits, str(tmp_path / name)] for name in ("first", "second")]
    whole = f"import signal, halves; signal.signal(signal.SIGTERM, halves.stop); halves.run({commands!r}, True)"
    process = subprocess.Popen([sys.executable, "-c", whole], cwd=ROOT / "tests", stdout=subprocess.PIPE, text=True)
    while len(list(tmp_path.iterdir())) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.terminate()
    assert process.communicate(timeout=60)[0].split() == ["down", "down"]
