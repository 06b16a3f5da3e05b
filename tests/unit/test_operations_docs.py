"""What docs/operations.md tells people to type can be typed, and tests that the pages name are there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from toolace.cli.submit import options_of

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCK = re.compile(r"^```(?:sh|bash)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAMES = re.compile(r"\$\{?([A-Za-z_]+)")


def blocks() -> list[str]:
    return BLOCK.findall((DOCS / "operations.md").read_text(encoding="utf-8"))


def test_blocks_are_what_a_shell_reads_with_variables_that_are_set_before() -> None:
    known = {"PWD", "HOME"}
    for block in blocks():
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{block}\n{done.stderr}"
        for line in block.splitlines():
            for name in NAMES.findall(re.sub(r"\$ENV\{\w+\}", "", line)):  # perl's own
                assert name in known, f"nothing above sets {name}: {line}"
            known |= set(re.findall(r"\b([A-Z_]+)=" if line.startswith("export ") else r"^([A-Z_]+)=", line))


def test_commands_of_toolace_have_the_options_that_are_shown() -> None:
    shown = [line.partition(" # ")[0] for block in blocks() for line in block.splitlines()]
    commands = [line for line in shown if line.startswith("toolace ")]
    assert len(commands) >= 5
    for line in commands:
        words = shlex.split(re.sub(r"[<>].*", "", line))[1:]
        options_of(words[: words.index("--")] if "--" in words else words)
        if "--" in words:
            options_of(words[words.index("--") + 1 :])


def test_the_registry_and_the_bucket_are_replaced_and_nothing_else(tmp_path: Path) -> None:
    """By the walk's own commands, on a copy; a second time with another name too."""
    edits = [line for block in blocks() for line in block.splitlines() if line.startswith("perl ")]
    assert len(edits) == 2
    overlays = DOCS.parent / "k8s" / "overlays"
    for file in (*overlays.glob("*/kustomization.yaml"), overlays / "gpu-lora" / "rayjob.yaml"):
        copy = tmp_path / file.relative_to(DOCS.parent)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    for registry in ("ghcr.io/team", "other.example:5000/a/b"):
        env = {**os.environ, "REGISTRY": registry, "BUCKET": "mine"}
        for edit in edits:
            subprocess.run(["bash", "-c", edit], cwd=tmp_path, env=env, check=True)
        for file in overlays.glob("*/kustomization.yaml"):
            text = file.read_text(encoding="utf-8").replace("newName: registry.example/", f"newName: {registry}/")
            assert (tmp_path / file.relative_to(DOCS.parent)).read_text(encoding="utf-8") == text
    job = (tmp_path / "k8s/overlays/gpu-lora/rayjob.yaml").read_text(encoding="utf-8")
    assert "root=s3://mine/toolace-runs" in job and "my-bucket" not in job


@pytest.mark.parametrize("page", ["reliability.md", "scaling.md"])
def test_tests_that_a_page_names_are_there(page: str) -> None:
    named = re.findall(r"`(\w+/test_\w+\.py)::(test_\w+)`", (DOCS / page).read_text(encoding="utf-8"))
    assert named
    for file, name in named:
        assert f"def {name}(" in (DOCS.parent / "tests" / file).read_text(encoding="utf-8"), f"{file}::{name}"
