"""Files, counts and identities: every row is in a sample, in quarantine or without a target."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolace.data import BadRow, GoodRow, SkippedRow, check_file, files, iter_rows, iter_samples, load_samples
from toolace.data.records import REASONS, SKIPS
from toolace.errors import DataError

TOOL = {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}}
CALL = {"function": {"name": "f", "arguments": {"a": "1"}}}
USER = {"role": "user", "content": "go"}
GOOD = {"messages": [USER, {"role": "assistant", "tool_calls": [CALL]}], "tools": [TOOL]}
TEXT = {"messages": [USER, {"role": "assistant", "content": "no"}], "tools": [TOOL]}
UNANSWERED = {"messages": [USER], "tools": [TOOL]}
MISSING = {"messages": [USER, {"role": "assistant", "tool_calls": [{"name": "f"}]}], "tools": [TOOL]}
UNKNOWN = {"messages": [USER, {"role": "assistant", "tool_calls": [CALL]}], "tools": []}
KINDS: dict[str, Any] = {
    "good": GOOD, "text": TEXT, "no_assistant_turn": UNANSWERED,
    "missing_required": MISSING, "unknown_tool": UNKNOWN, "bad_row": {}, "bad_json": None,
}  # fmt: skip


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("\n".join("{broken" if row is None else json.dumps(row) for row in rows) + "\n")
    return path


@given(
    kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=12), targets=st.sampled_from(["all", "calls"])
)
@settings(max_examples=60, deadline=None)
def test_counts_add_up(tmp_path_factory: pytest.TempPathFactory, kinds: list[str], targets: Any) -> None:
    kinds = ["good", *kinds]
    path = write(tmp_path_factory.mktemp("rows") / "a.jsonl", [KINDS[kind] for kind in kinds])
    loaded = load_samples(path, targets=targets)
    assert loaded.rows == len(kinds) == loaded.used + len(loaded.quarantined) + len(loaded.skipped)
    expected = Counter("no_call_turn" if kind == "text" and targets == "calls" else kind for kind in kinds)
    assert loaded.used == expected["good"] + expected["text"]
    assert loaded.reasons() == {kind: n for kind, n in expected.items() if kind in REASONS}
    assert loaded.skips() == {kind: n for kind, n in expected.items() if kind in SKIPS}
    numbers = {bad.row: kinds[bad.row - 1] for bad in loaded.quarantined}
    assert all(kind == bad.reason for bad, kind in zip(loaded.quarantined, numbers.values(), strict=True))


def test_all_reasons_that_are_raised_are_listed() -> None:
    import re

    sources = [*Path(files.__file__).parent.glob("*.py"), *Path(files.__file__).parent.glob("sources/*.py")]
    raised = set()
    for source in sources:
        raised |= set(re.findall(r'RowError\(\s*f?"(\w+): ', source.read_text()))
        raised |= set(re.findall(r'BadRow\(number, "(\w+)"', source.read_text()))
    assert raised <= set(REASONS)
    assert len(raised) > 8


def test_iterator_gives_the_same_rows_in_order(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [GOOD, None, UNANSWERED, TEXT])
    results = list(iter_samples(path))
    assert [type(result) for result in results] == [GoodRow, BadRow, SkippedRow, GoodRow]
    assert [result.row for result in results] == [1, 2, 3, 4]
    ids = [sample.id for result in results if isinstance(result, GoodRow) for sample in result.samples]
    assert ids == [sample.id for sample in load_samples(path).samples]


def test_limit_counts_rows_over_all_files(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [GOOD, UNKNOWN])
    write(tmp_path / "b.jsonl", [GOOD, GOOD])
    loaded = load_samples(tmp_path, limit=3)
    assert (loaded.rows, loaded.used) == (3, 2)


def test_ids_are_stable_unique_and_free_of_the_place(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "a.jsonl", [GOOD, GOOD, TEXT])
        write(tmp_path / folder / "b.jsonl", [GOOD])
    one, two = (load_samples(tmp_path / folder).samples for folder in ("one", "two"))
    assert [s.id for s in one] == [s.id for s in two]
    assert len({s.id for s in one}) == 4
    assert [s.source for s in one] == ["a.jsonl:1:1", "a.jsonl:2:1", "a.jsonl:3:1", "b.jsonl:1:1"]
    both = load_samples(tmp_path).samples
    assert len({s.id for s in both}) == 8, "equal rows of equally named files differ"


def test_group_is_shared_by_samples_that_share_a_tool(tmp_path: Path) -> None:
    other = json.loads(json.dumps(GOOD).replace('"f"', '"g"'))
    groups = [sample.group for sample in load_samples(write(tmp_path / "a.jsonl", [GOOD, other, TEXT])).samples]
    assert groups[0] == groups[2] != groups[1]


def test_json_list_jsonl_and_parquet_hold_the_same(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    rows = [GOOD, TEXT]
    write(tmp_path / "a.json", rows)
    (tmp_path / "b.json").write_text("\ufeff " + json.dumps(rows, indent=1), encoding="utf-8")
    plain = [{"messages": json.dumps(row["messages"]), "tools": json.dumps(row["tools"])} for row in rows]
    parquet.write_table(pyarrow.Table.from_pylist(plain), tmp_path / "c.parquet")
    found = [
        [(s.chat, s.reference) for s in load_samples(tmp_path / name, format="openai").samples]
        for name in ("a.json", "b.json", "c.parquet")
    ]
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 2


def test_line_numbers_count_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n\n\n{{oops\n")
    loaded = load_samples(path)
    assert (loaded.rows, loaded.quarantined[0].row) == (2, 4)


def test_nan_is_not_json(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [GOOD])
    path.write_text(path.read_text() + '{"messages": [NaN]}\n')
    assert load_samples(path).reasons() == {"bad_json": 1}


def test_deep_nesting_is_a_bad_row_not_a_crash(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [GOOD])
    deep = "[" * 100_000 + "]" * 100_000
    middle = json.dumps(GOOD).replace('"1"', "[" * 900 + "]" * 900)
    path.write_text(f'{path.read_text()}{{"messages": {deep}}}\n{middle}\n')
    loaded = load_samples(path)
    assert loaded.rows == 3
    assert loaded.quarantined[0].reason == "bad_json"


def test_globs_directories_and_uris(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    write(tmp_path / "a.jsonl", [GOOD])
    write(tmp_path / "sub" / "b.jsonl", [GOOD])
    (tmp_path / "notes.txt").write_text("not data")
    count = {
        pattern: load_samples(pattern).rows
        for pattern in (
            str(tmp_path),
            f"{tmp_path}/*.jsonl",
            f"{tmp_path}/**/*.jsonl",
            f"file://{tmp_path}/a.jsonl",
            f"file://{tmp_path}",
            f"file://{tmp_path}/*.jsonl",
            f"file://{tmp_path}/**/*.jsonl",
            f"file://{tmp_path}/s[t-v]b/?.jsonl",
        )
    }
    assert list(count.values()) == [2, 1, 2, 1, 2, 1, 2, 1]


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_files_beside_data_are_left_out_by_one_rule_on_any_filesystem(tmp_path: Path, scheme: str) -> None:
    folder = tmp_path / "_data"  # what is above the location does not count
    for name in ("a.jsonl", "b.JSONL", ".c.jsonl", "_d.jsonl", "_e/f.jsonl", ".g/h.jsonl", "sub/i.ndjson", "j.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write(folder / name, [GOOD])
    (folder / "k.jsonl").touch()

    def read(location: str) -> list[str]:
        return [file.path.removeprefix(f"{folder}/") for file in files.find_files(f"{scheme}{folder}{location}")]

    assert read("") == ["a.jsonl", "b.JSONL", "sub/i.ndjson"]
    assert read("/*.jsonl") == ["a.jsonl"]
    assert read("/**/*.jsonl") == ["a.jsonl"]
    assert read("/**/*.ndjson") == ["sub/i.ndjson"]
    assert read("/_*.jsonl") == ["_d.jsonl"] and read("/_d.jsonl") == ["_d.jsonl"]
    assert read("/.*.jsonl") == [".c.jsonl"]
    assert read("/_e/*.jsonl") == ["_e/f.jsonl"] and read("/_e") == ["_e/f.jsonl"]
    assert read("/*.txt") == ["j.txt"]
    report = check_file(f"{scheme}{folder}")
    assert (report.rows, report.files_left_out) == (3, 6)
    with pytest.raises(DataError, match=r"no data file at .* \(1 with other names\)"):
        read("/?d.jsonl")


def test_a_hub_like_filesystem_is_read_through_fsspec(tmp_path: Path) -> None:
    """The wrapping that `hf://` gets, around fsspec's memory filesystem in place of the hub."""
    import fsspec
    import pyarrow
    from pyarrow import fs, parquet

    memory = fsspec.filesystem("memory")
    memory.pipe("/datasets/someone/rows/a.jsonl", json.dumps(GOOD).encode())
    plain = {"messages": [json.dumps(GOOD["messages"])], "tools": [json.dumps(GOOD["tools"])]}
    parquet.write_table(pyarrow.table(plain), tmp_path / "b.parquet")
    memory.pipe("/datasets/someone/rows/b.parquet", (tmp_path / "b.parquet").read_bytes())
    wrapped = fs.PyFileSystem(fs.FSSpecHandler(memory))
    loaded = load_samples("datasets/someone/rows/*", filesystem=wrapped, format="openai")
    assert [s.source for s in loaded.samples] == ["a.jsonl:1:1", "b.parquet:1:1"]
    with pytest.raises(DataError, match="no data file at datasets/nobody"):
        load_samples("datasets/nobody", filesystem=wrapped)


def test_hub_and_bucket_addresses_go_to_their_filesystems() -> None:
    filesystem, path = files.open_filesystem("hf://datasets/someone/rows/*.jsonl", "hf")
    assert type(filesystem.handler.fs).__name__ == "HfFileSystem"
    assert path == "datasets/someone/rows/*.jsonl"
    filesystem, path = files.open_filesystem("s3://bucket/a/*.jsonl?region=eu-west-1", "s3")
    assert filesystem.type_name == "s3"
    with pytest.raises(DataError, match="ftp://host/x cannot be opened"):
        load_samples("ftp://host/x")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"", "is empty"),
        ("a.jsonl", b" \n\n", "only blank space"),
        ("a.json", b"[]", "empty list"),
        ("a.json", b'[{"messages": [', "not whole JSON"),
        ("a.json", b'{\n "rows": []\n}', "one JSON object spread over lines"),
        ("a.jsonl", b"{broken\n{broken\n", "none of its 2 lines is JSON|none of the first 2 rows"),
        ("a.jsonl", b"{\xff\xfe", "not UTF-8"),
        ("a.json", b'[{"a": "\xe9t\xe9"}]', "not UTF-8"),
        ("a.jsonl", '{"a": 1}'.encode("utf-16"), "NUL|not UTF-8"),
        ("a.jsonl", bytes(range(1, 200)), "not UTF-8|neither JSON"),
        ("a.jsonl", b"\x00\x01\n\x02\n", "NUL"),
        ("a.jsonl", b"// x\nnull\n", "neither JSON"),
        ("a.json", b'[{"a": 1},\n{"b": 2}\n', "not whole JSON"),
        ("a.json", b'[\n{"a": 1}\n', "not whole JSON"),
        ("a.csv", b"query,answer\n1,2\n", "neither JSON, JSON Lines nor parquet"),
        ("a.jsonl.gz", b"\x1f\x8b\x08rest", "is compressed"),
        ("a.parquet", b"PAR1 and then nothing", "damaged parquet"),
        ("a.jsonl", b'{"text": "hello"}\n', "in no known format"),
        ("a.jsonl", b"[1, 2]", "in no known format"),
    ],
)
def test_unreadable_files_are_named_with_a_way_out(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load_samples(path)
    assert str(path) in str(caught.value)
    assert any(word in str(caught.value) for word in ("Give", "Convert", "Decompress", "Download"))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"garbage", "bad_json"),
        (b"// x", "bad_json"),
        (b"[INFO] rows follow", "bad_json"),
        (b"null", "bad_row"),
        (b"5", "bad_row"),
        (b"[1, 2]", "bad_row"),
        (b'{"messages": "\xff"}', "bad_text"),
        (b"\xff", "bad_text"),
        (b'{"messages": "\0"}', "bad_text"),
        (b"\0", "bad_text"),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_bad_line_is_a_bad_row_wherever_it_stands(tmp_path: Path, line: bytes, reason: str, place: int) -> None:
    lines = [json.dumps({**GOOD, "note": "x" * 5000}).encode()] * 2
    lines.insert(place, line)
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    loaded = load_samples(tmp_path / "a.jsonl")
    (bad,) = loaded.quarantined
    assert (len(loaded.samples), loaded.rows, bad.row, bad.reason) == (2, 3, place + 1, reason)
    assert bad.path == str(tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    "item",
    [
        '{"messages": NaN, "tools": []}',
        '{"n": ' + "9" * 5000 + "}",
        "[" * 5000 + "]" * 5000,
        "{broken",
        '{"a": "]}\\"" }}',
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_item_that_cannot_be_read_costs_no_other(tmp_path: Path, item: str, place: int) -> None:
    good = json.dumps({**GOOD, "note": 'brackets ]}[{ , and \\" quotes'})
    items = [good, good]
    items.insert(place, item)
    (tmp_path / "a.json").write_text(f"[{', '.join(items)}]\n")
    if item.count("{") < item.count("}") or item == "{broken":  # not whole by its brackets
        with pytest.raises(DataError, match="not whole JSON"):
            load_samples(tmp_path / "a.json")
        return
    loaded = load_samples(tmp_path / "a.json")
    assert [(bad.row, bad.reason) for bad in loaded.quarantined] == [(place + 1, "bad_json")]
    assert (len(loaded.samples), loaded.rows) == (2, 3)


@given(st.lists(st.recursive(st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))))
def test_a_list_is_split_into_its_items(items: list[Any]) -> None:
    found = files.split_list(json.dumps(items, ensure_ascii=False))
    assert found is not None and [json.loads(item) for item in found if item] == items


@pytest.mark.parametrize("column", ["date", "zone", "text"])
def test_a_parquet_value_that_python_cannot_hold_costs_its_row(tmp_path: Path, column: str) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    columns = {
        "date": pa.array([1, 2**62, 3], pa.timestamp("us")),
        "zone": pa.array([None, 1, None], pa.timestamp("us", tz="Mars/Olympus")),
        "text": pa.array([b"a", b"\xff\xfe", b"c"]).view(pa.string()),
    }
    rows = {key: [json.dumps(GOOD[key])] * 3 for key in GOOD}
    parquet.write_table(pa.table({**rows, "extra": columns[column]}), tmp_path / "a.parquet")
    loaded = load_samples(tmp_path / "a.parquet")
    (bad,) = loaded.quarantined
    assert (len(loaded.samples), bad.row) == (2, 2) and "'extra'" in bad.detail
    assert bad.reason == ("bad_text" if column == "text" else "bad_value")


@pytest.mark.parametrize(
    "schema", [{"properties": {"a": True}}, {"properties": {"a": {}}, "required": True}, {"required": [["a"]]}]
)
def test_own_samples_with_schemas_that_no_judge_can_use_are_quarantined(tmp_path: Path, schema: Any) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    def row(number: int, parameters: Any) -> dict[str, str]:
        tool = {"name": "f", "description": "", "parameters": {"type": "object", **parameters}}
        chat = {"messages": [{"role": "user", "content": "go"}], "tools": [tool]}
        reference = {"role": "assistant", "calls": [{"name": "f", "arguments": {"a": 1}}]}
        return {"id": str(number), "chat": json.dumps(chat), "reference": json.dumps(reference)}

    rows = [row(1, {"properties": {"a": {"type": "integer"}}}), row(2, schema)]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    loaded = load_samples(tmp_path / "a.parquet")
    assert [(bad.row, bad.reason) for bad in loaded.quarantined] == [(2, "bad_tools")] and len(loaded.samples) == 1


def test_unknown_format_names_what_was_tried(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "x", "completion": "y"}\n')
    with pytest.raises(DataError) as caught:
        load_samples(tmp_path / "a.jsonl")
    for word in ("prompt, completion", "toolace", "openai", "xlam", "glaive", "toolrl", "seal_tools", "api_bank"):
        assert word in str(caught.value)


def test_missing_files_and_empty_directories(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    for location in (tmp_path / "gone.jsonl", tmp_path, tmp_path / "*.jsonl"):
        with pytest.raises(DataError, match="no data file at"):
            load_samples(location)


def test_a_line_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.jsonl", [GOOD, GOOD])
    monkeypatch.setattr(files, "MAX_LINE", 40)
    with pytest.raises(DataError, match=r"line 1: longer than"):
        load_samples(path)


def test_no_usable_row_is_an_error_with_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [UNKNOWN, MISSING, UNKNOWN])
    with pytest.raises(DataError, match=r"3 of 3 rows quarantined \(unknown_tool 2, missing_required 1\)"):
        load_samples(path)
    with pytest.raises(DataError, match=r"1 without a target \(no_call_turn 1\)"):
        load_samples(write(tmp_path / "b.jsonl", [TEXT]), targets="calls")


def test_wrong_options() -> None:
    with pytest.raises(DataError, match="unknown format 'csv'"):
        load_samples("x", format="csv")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="unknown targets 'some'"):
        load_samples("x", targets="some")  # type: ignore[arg-type]


def test_iter_rows_gives_rows_as_they_are(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [GOOD, None])
    raw, bad = iter_rows(path)
    assert raw.value == GOOD  # type: ignore[union-attr]
    assert isinstance(bad, BadRow) and bad.reason == "bad_json"


def test_import_is_light(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [GOOD])
    code = (
        f"import sys; from toolace.data import load_samples; load_samples({str(path)!r}); "
        "print([m for m in ('torch', 'ray', 'transformers', 'pyarrow', 'huggingface_hub') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
