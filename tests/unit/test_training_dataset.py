"""The corpus on disk, its tokens, and the log and settings of a training run."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from training_models import make_spec

from toolace.calls.schema import Chat, Message
from toolace.corpus import CORPUS_COLUMNS, CorpusRow, read_corpus
from toolace.errors import DataError, StorageError, TemplateError, ToolaceError, TrainingError
from toolace.storage import Store
from toolace.training.dataset import COUNTS, ROWS, TOKENS, TokenTable, tokenise
from toolace.training.spec import TrainSpec
from toolace.training.steplog import STEPS, StepLog, read_steps


@dataclass
class Example:
    input_ids: list[int]
    target_start: int


def rows_of(count: int) -> list[CorpusRow]:
    return [
        CorpusRow(
            id=f"s{number}/direct",
            sample_id=f"s{number}",
            kind="direct",
            chat=Chat(messages=(Message(role="user", content="q" * number),)),
            target=Message(role="assistant", content="a"),
        )
        for number in range(count)
    ]


def write(store: Store, rows: list[CorpusRow]) -> None:
    table = {
        "id": [row.id for row in rows],
        "sample_id": [row.sample_id for row in rows],
        "kind": [row.kind for row in rows],
        "chat": [row.chat.model_dump_json() for row in rows],
        "target": [row.target.model_dump_json() for row in rows],
    }
    store.write_table("corpus.parquet", pa.table(table))


def render(chat: Chat, target: Message) -> Example:
    size = len(chat.messages[0].content) + 2
    return Example(list(range(size)), size - len(target.content))


def test_corpus_columns_are_the_fields_of_a_corpus_row() -> None:
    assert set(CORPUS_COLUMNS) == set(CorpusRow.model_fields)


def test_corpus_to_tokens_and_back(tmp_path: Path) -> None:
    corpus, tokens = Store(str(tmp_path / "corpus")), Store(str(tmp_path / "tokens"))
    rows = rows_of(20)
    write(corpus, rows)
    read = list(read_corpus(corpus))
    assert read == rows
    counts = tokenise(read, render, tokens, max_length=15)
    assert counts == {
        "rows": 20,
        "kept": 14,
        "too_long": 6,
        "tokens": sum(range(2, 16)),
        "target_tokens": 14,
        "longest": 21,
    }
    table = TokenTable.open(tokens)
    assert isinstance(table.flat, np.memmap)
    assert table.ids == [row.id for row in rows[:14]]
    assert table.kinds == ["direct"] * 14
    assert table.row(3).tolist() == [0, 1, 2, 3, 4]
    assert table.targets.tolist() == [1] * 14
    # Done is done: the same place is not rendered again.
    assert tokenise(iter(()), render, tokens, max_length=15) == counts


def test_changed_bytes_of_the_tokens_are_noticed(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    tokenise(rows_of(9), render, store, max_length=30)
    before = TokenTable.open(store)
    wanted = [before.row(i).tolist() for i in range(len(before.ids))], before.starts.tolist(), before.ids
    draw = random.Random(0)
    for name in (TOKENS, ROWS, COUNTS):
        whole = store.read(name)
        noticed = 0
        for _ in range(300):
            damaged = bytearray(whole)
            damaged[draw.randrange(len(whole))] ^= draw.randrange(1, 256)
            (tmp_path / name).write_bytes(damaged)
            try:
                found = TokenTable.open(store)
                assert (
                    [found.row(i).tolist() for i in range(len(found.ids))],
                    found.starts.tolist(),
                    found.ids,
                ) == wanted
            except ToolaceError as error:
                assert str(tmp_path) in str(error) and "Delete" in str(error)
                noticed += 1
        assert noticed > 10
        (tmp_path / name).write_bytes(whole)


@pytest.mark.parametrize("text", ["[]", "{}", "{", '{"counts": 1}'])
def test_damaged_counts_of_the_tokens_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / COUNTS).write_text(text)
    with pytest.raises(ToolaceError, match=r"is damaged .*Delete"):
        tokenise(iter(()), render, Store(str(tmp_path)), max_length=30)


def test_all_rows_too_long(tmp_path: Path) -> None:
    rows = rows_of(5)[2:]
    with pytest.raises(TrainingError, match=r"3 in the corpus, 3 longer than max_length=3 \(the longest has 6"):
        tokenise(rows, render, Store(str(tmp_path)), max_length=3)
    assert not list(tmp_path.iterdir())


def test_equal_ids_are_refused(tmp_path: Path) -> None:
    row = rows_of(3)[2]
    with pytest.raises(TrainingError, match="1 rows whose id is not unique"):
        tokenise([row] * 2, render, Store(str(tmp_path)), max_length=30)


def test_bad_corpus_files_are_named(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with pytest.raises(DataError, match="no parquet file"):
        list(read_corpus(store))
    store.write_table("other.parquet", pa.table({"id": ["a"]}))
    with pytest.raises(DataError, match=r"other\.parquet is not a training corpus: it lacks sample_id, kind"):
        list(read_corpus(store))
    store.delete("other.parquet")
    columns = {name: ["x"] for name in CORPUS_COLUMNS}
    store.write_table("bad.parquet", pa.table(columns))
    with pytest.raises(DataError, match=r"bad\.parquet, row 0 \(x\)"):
        list(read_corpus(store))


def test_step_log_cuts_steps_that_are_done_again(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    record = {"loss": 1.0, "lr": 0.1, "grad_norm": 1.0, "target_tokens_per_s": 1.0}
    with StepLog(store, 0) as log:
        for step in range(5):
            log.write({"step": step, **record})
    with (tmp_path / STEPS).open("a") as stream:
        stream.write('{"step": 5, "lo')  # A killed writer's last words.
    with StepLog(store, 3) as log:
        log.write({"step": 3, **record, "loss": 2.0})
        assert [r["step"] for r in log.records()] == [0, 1, 2, 3]
    assert [(r["step"], r["loss"]) for r in read_steps(store)] == [(0, 1.0), (1, 1.0), (2, 1.0), (3, 2.0)]
    with pytest.raises(StorageError, match="has 4 steps before the checkpoint at step 6"):
        StepLog(store, 6)


def test_spec_key_survives_json_and_ignores_resources(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, tmp_path, tmp_path, method="lora")
    assert TrainSpec.model_validate_json(spec.model_dump_json()).key == spec.key
    assert make_spec(tmp_path, tmp_path, tmp_path, method="lora", workers=4, token_budget=999).key == spec.key
    assert make_spec(tmp_path, tmp_path, tmp_path, method="lora", lr=1e-5).key != spec.key


def test_a_row_that_cannot_be_rendered_is_named(tmp_path: Path) -> None:
    def breaks(chat: Chat, target: Message) -> Example:
        if chat.messages[0].content == "qqq":
            raise TemplateError("the template cannot render it")
        return render(chat, target)

    with pytest.raises(TemplateError, match="corpus row s3/direct: the template cannot render it"):
        tokenise(rows_of(5), breaks, Store(str(tmp_path)), max_length=100)
