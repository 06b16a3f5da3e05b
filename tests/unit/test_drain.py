"""The preStop hook of a serving pod: it waits for replicas to leave, and never keeps a pod that cannot be drained."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).resolve().parents[2] / "cluster" / "drain.py"


@pytest.fixture
def drain(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The hook as a module, with a node that has to be drained within a minute."""
    spec = importlib.util.spec_from_file_location("drain", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr("sys.argv", ["drain.py", "--deadline", "60"])
    monkeypatch.setattr(module, "POLL_S", 0)
    monkeypatch.setattr(module, "this_node", lambda: ("ab12", "10.0.0.1:6379"))
    return module


def test_it_ends_when_the_last_replica_has_left(drain: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    told, left = [], [2, 1, 0]
    monkeypatch.setattr(drain, "drain", lambda *told_now: told.append(told_now))
    monkeypatch.setattr(drain, "replicas", lambda node: left.pop(0))
    drain.main()
    assert told == [("ab12", "10.0.0.1:6379", 60)]
    assert left == []


def test_it_ends_at_the_deadline(drain: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 25))
    asked = []
    monkeypatch.setattr(drain, "drain", lambda *told: None)
    monkeypatch.setattr(drain.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(drain, "replicas", lambda node: asked.append(node) or 1)
    drain.main()
    assert asked == ["ab12", "ab12"]  # at 25 and at 50 of 60 seconds


def test_a_cluster_that_is_gone_keeps_nobody(
    drain: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nobody(*told: object) -> None:
        raise ConnectionError("no cluster")

    monkeypatch.setattr(drain, "drain", nobody)
    drain.main()
    assert "no cluster" in capsys.readouterr().err
