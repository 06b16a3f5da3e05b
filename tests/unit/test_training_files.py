"""Directories are published whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolace.errors import StorageError
from toolace.storage import Store
from toolace.training.files import published, readable, writable


def test_published_replaces_in_one_step(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    for content in ("old", "new"):
        with published(store, "model") as folder:
            (folder / "weights").write_text(content)
            (folder / f"only-{content}").touch()
            if content == "new":
                assert (tmp_path / "model" / "weights").read_text() == "old"
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["only-new", "weights"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_failure_publishes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="half way"), published(Store(str(tmp_path)), "model") as folder:
        (folder / "weights").write_text("half")
        raise ValueError("half way")
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path) -> None:
    """Half a model is as large as a model."""
    (tmp_path / ".model.0123abcd.tmp").mkdir()
    (tmp_path / ".model.0123abcd.tmp" / "weights").write_text("half")
    with published(Store(str(tmp_path)), "model") as folder:
        (folder / "weights").write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match=r"cannot write .*model: .*No space left"),
        published(Store(str(tmp_path)), "model"),
    ):
        raise OSError(28, "No space left on device")


def test_object_stores_get_copies(tmp_path: Path) -> None:
    """`file://` stands for any address: nothing but copies of whole files."""
    store = Store(f"file://{tmp_path}/bucket")
    (tmp_path / "bucket").mkdir()
    with writable(store, "checkpoint") as one:
        (one / "state").mkdir()
        (one / "state" / "rank0").write_text("0")
    with writable(store, "checkpoint") as two:
        (two / "state").mkdir()
        (two / "state" / "rank1").write_text("1")
    with readable(store, "checkpoint") as found:
        assert found != tmp_path / "bucket" / "checkpoint"
        assert sorted(path.name for path in (found / "state").iterdir()) == ["rank0", "rank1"]
    with published(store, "model") as folder:
        (folder / "weights").write_text("w")
    assert store.read("model/weights") == b"w"
