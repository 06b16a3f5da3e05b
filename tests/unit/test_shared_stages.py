"""Stages that runs share: only finished ones, only from the same, never damaged, never partly."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from toolace.errors import StorageError
from toolace.rounds.shared import TAKEN, SharedStage, SharedStages
from toolace.storage import DONE, Store


def stage(root: Path, run: str, made_from: dict[str, object], scope: str = "s") -> SharedStage:
    return SharedStage(Store(str(root / run)), "round-1/probe", made_from, SharedStages(root / "stages"), scope)


def make(one: SharedStage, text: str = "records") -> None:
    assert one.done() is None
    one.store.write("deep/part.txt", text.encode())
    one.publish({"rows": 3})


def test_a_stage_is_made_once(tmp_path: Path) -> None:
    make(stage(tmp_path, "a", {"x": 1}))
    taken = stage(tmp_path, "b", {"x": 1})
    assert taken.done() == {"rows": 3}
    assert taken.store.read("deep/part.txt") == b"records"
    assert taken.store.exists(TAKEN) and not stage(tmp_path, "a", {"x": 1}).store.exists(TAKEN)
    assert not list((tmp_path / "stages").glob(".*"))


@pytest.mark.parametrize(("made_from", "scope"), [({"x": 2}, "s"), ({"x": 1}, "other")])
def test_other_settings_are_not_shared(tmp_path: Path, made_from: dict[str, object], scope: str) -> None:
    make(stage(tmp_path, "a", {"x": 1}))
    assert stage(tmp_path, "b", made_from, scope).done() is None


def test_what_is_not_finished_is_not_shared(tmp_path: Path) -> None:
    begun = stage(tmp_path, "a", {"x": 1})
    assert begun.done() is None
    begun.store.write("deep/part.txt", b"half")
    assert stage(tmp_path, "b", {"x": 1}).done() is None
    with pytest.raises(StorageError, match="not finished"):
        SharedStages(tmp_path / "stages").give(begun, begun.identity)
    assert not SharedStages(tmp_path / "stages").holds(begun.identity)


def test_a_finished_stage_replaces_what_was_begun(tmp_path: Path) -> None:
    begun = stage(tmp_path, "b", {"x": 1})
    assert begun.done() is None
    begun.store.write("deep/left.txt", b"half")
    make(stage(tmp_path, "a", {"x": 1}))
    assert begun.done() == {"rows": 3} and not begun.store.exists("deep/left.txt")


def test_other_settings_in_the_run_are_still_refused(tmp_path: Path) -> None:
    make(stage(tmp_path, "a", {"x": 1}))
    begun = stage(tmp_path, "b", {"x": 2})
    assert begun.done() is None
    begun.store.write("deep/part.txt", b"half")
    with pytest.raises(StorageError, match="x: 2 -> 1"):
        stage(tmp_path, "b", {"x": 1}).done()


def test_a_damaged_file_is_not_taken_and_its_remake_is(tmp_path: Path) -> None:
    first = stage(tmp_path, "a", {"x": 1})
    make(first)
    shared = tmp_path / "stages" / first.identity / "stage" / "deep" / "part.txt"
    with shared.open("r+b") as stream:  # the same bytes that run a has: it is one file
        stream.write(b"RECORDS")
    assert stage(tmp_path, "a", {"x": 1}).done() == {"rows": 3}  # and what is damaged there is not given again
    other = stage(tmp_path, "b", {"x": 1})
    assert other.done() is None
    other.store.write("deep/part.txt", b"anew")
    other.publish({"rows": 3})
    third = stage(tmp_path, "c", {"x": 1})
    assert third.done() == {"rows": 3} and third.store.read("deep/part.txt") == b"anew"


@pytest.mark.parametrize("damage", ["{", "{}", "[]", '{"key": "other", "files": {}}'])
def test_a_damaged_manifest_is_no_entry(tmp_path: Path, damage: str) -> None:
    first = stage(tmp_path, "a", {"x": 1})
    make(first)
    (tmp_path / "stages" / first.identity / "manifest.json").write_text(damage)
    assert stage(tmp_path, "b", {"x": 1}).done() is None


def test_writing_in_one_run_leaves_the_others(tmp_path: Path) -> None:
    make(stage(tmp_path, "a", {"x": 1}))
    taken = stage(tmp_path, "b", {"x": 1})
    taken.done()
    taken.store.write("deep/part.txt", b"mine")
    taken.store.delete(DONE)
    assert stage(tmp_path, "a", {"x": 1}).store.read("deep/part.txt") == b"records"
    assert stage(tmp_path, "c", {"x": 1}).done() == {"rows": 3}


def test_a_stage_published_by_a_killed_driver_is_given_later(tmp_path: Path) -> None:
    alone = stage(tmp_path, "a", {"x": 1})
    assert alone.done() is None
    super(SharedStage, alone).publish({"rows": 3})
    assert stage(tmp_path, "b", {"x": 1}).done() is None
    assert stage(tmp_path, "a", {"x": 1}).done() == {"rows": 3}
    assert stage(tmp_path, "b", {"x": 1}).done() == {"rows": 3}


def test_without_hard_links_files_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise PermissionError(1, "no links here")

    first = stage(tmp_path, "a", {"x": 1})
    first.done()
    first.store.write("deep/part.txt", b"records")
    monkeypatch.setattr(os, "link", refuse)
    first.publish({"rows": 3})
    taken = stage(tmp_path, "b", {"x": 1})
    assert taken.done() == {"rows": 3} and taken.store.read("deep/part.txt") == b"records"


def test_remains_of_killed_processes_go(tmp_path: Path) -> None:
    shared = SharedStages(tmp_path / "stages")
    (tmp_path / "stages" / ".1234.tmp" / "deep").mkdir(parents=True)
    shared.sweep()
    assert not list((tmp_path / "stages").iterdir())
