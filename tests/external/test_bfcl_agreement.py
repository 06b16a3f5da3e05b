"""Verdicts beside those of the official checker, which lives in an environment of its own: `make agreement-env`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".agreement" / "venv"


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    if not (VENV / "bin" / "python").exists():
        pytest.skip("no environment with the official BFCL checker: make it with `make agreement-env`")
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "agreement"))
    for name in ("answers", "compare", "dialogues", "mutations"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("tools")
def test_a_sample_of_rows_gets_the_official_verdicts_and_error_kinds() -> None:
    import compare
    import dialogues
    from mutations import MUTATIONS

    result = compare.compare(VENV, [compare.official_data(VENV)], every=150)
    assert result["disagreements"] == []
    assert result["agree"] == result["rows"] > 2000
    assert len(result["by_category"]) == 17
    kinds = set(result["by_mutation"])
    assert len(kinds & set(MUTATIONS)) >= 0.8 * len(MUTATIONS) > 20
    assert kinds >= set(dialogues.MUTATIONS) and len(dialogues.MUTATIONS) > 20
