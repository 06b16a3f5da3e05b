"""docs/data-format.md says what the code does: its examples load, its reasons are the code's."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from toolace.data import FORMATS, REASONS, load_samples

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "data-format.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"^### (\w+)\n```json\n(.*?)\n```", TEXT, re.MULTILINE | re.DOTALL))


def test_every_format_has_a_section() -> None:
    assert [*EXAMPLES, "samples"] == re.findall(r"^### (\w+)$", TEXT, re.MULTILINE)
    assert set(EXAMPLES) | {"samples"} == set(FORMATS)


@pytest.mark.parametrize("format", EXAMPLES)
def test_example_loads(tmp_path: Path, format: str) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(json.loads(EXAMPLES[format])), encoding="utf-8")
    loaded = load_samples(tmp_path / "a.jsonl")
    assert loaded.formats == {format: 1}
    assert any(sample.reference.calls for sample in loaded.samples)


def test_reasons_are_the_ones_of_the_code() -> None:
    assert dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", TEXT.partition("| reason |")[2], re.MULTILINE)) == REASONS
