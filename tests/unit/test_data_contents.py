"""What is in files, in short: it changes with the content and with nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from pyarrow import fs

from toolace.data import contents
from toolace.data.contents import describe_contents
from toolace.errors import DataError


def test_local_files_are_told_apart_by_their_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("one")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.jsonl").write_text("two")
    before = describe_contents(str(tmp_path))
    assert set(before) == {"a.jsonl", "deep/b.jsonl"} and before["a.jsonl"].startswith("3 bytes, sha256 ")
    os.utime(tmp_path / "a.jsonl", (1, 1))
    assert describe_contents(str(tmp_path)) == before
    (tmp_path / "a.jsonl").write_text("six")
    after = describe_contents(str(tmp_path))
    assert after["a.jsonl"] != before["a.jsonl"] and after["deep/b.jsonl"] == before["deep/b.jsonl"]
    with pytest.raises(DataError, match=r"none\.jsonl"):
        describe_contents(str(tmp_path / "none.jsonl"))


def test_large_files_are_told_apart_by_time_and_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "WHOLE_BYTES", 1000)
    file = tmp_path / "a.jsonl"
    seen = set()
    for data, changed in ((b"a" * 2**21, 5), (b"a" * 2**21, 6), (b"b" + b"a" * (2**21 - 1), 6)):
        file.write_bytes(data)
        os.utime(file, (changed, changed))
        seen.add(describe_contents(str(file))["a.jsonl"])
        assert describe_contents(str(file))["a.jsonl"] in seen
    assert len(seen) == 3


class Tagged(MemoryFileSystem):  # type: ignore[misc]  # fsspec is untyped
    """A store that gives entity tags, as S3 does."""

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        return {**super().info(path, **options), "ETag": f"tag-of-{self.cat_file(path).decode()}"}


def test_remote_files_are_told_apart_by_size_and_tag_or_time(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text("one")
    os.utime(file, (5, 5))
    assert describe_contents(str(file), fs.LocalFileSystem()) == {"a.jsonl": "3 bytes, changed at 5.000 s"}
    store = Tagged()
    store.pipe("/contents/a.jsonl", b"two")
    found = describe_contents("contents/a.jsonl", fs.PyFileSystem(fs.FSSpecHandler(store)))
    assert found == {"a.jsonl": "3 bytes, tag tag-of-two"}
