"""Single stages outside a run: results of other input are never taken for those of the input given.

The cluster's address is nonsense, so that each command ends after it has looked at its input.
"""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest
from evolve_runs import rehearse_training
from report_runs import FakeRun

import toolace
from toolace.config import Config, load_config
from toolace.corpus import direct_row, write_corpus
from toolace.data.shards import write_shards
from toolace.data.synthetic import generate
from toolace.engines.models import resolve_model
from toolace.errors import ClusterError, DataError, StorageError
from toolace.rounds import train_stage
from toolace.rounds.standalone import evaluate_samples, probe_samples, select_records, train_corpus
from toolace.storage import Store


@pytest.fixture
def config() -> Config:
    return load_config(None, ["cluster.address=nonsense"])


@pytest.mark.parametrize("command", [probe_samples, evaluate_samples], ids=["probe", "evaluate"])
@pytest.mark.parametrize("kind", ["file", "shards"])
def test_other_samples_in_the_same_place_are_refused(command, kind, config: Config, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    out = str(tmp_path / "out")
    place = tmp_path / "samples"

    def write(seed: int) -> None:
        write_shards(generate(6, seed, profile="house"), Store(str(place)), 100)

    given = str(place) if kind == "shards" else str(place / "part-00000.parquet")
    write(1)
    for _ in range(2):  # the same input goes on to the next stage
        with pytest.raises(ClusterError):
            command(config, given, out)
    write(2)
    with pytest.raises(StorageError, match=r"(?s)stage data.*input\.part-00000\.parquet: '.* bytes, sha256"):
        command(config, given, out)


@pytest.mark.parametrize(
    ("command", "stage"),
    [(probe_samples, "round-1/probe"), (evaluate_samples, "model/eval-test")],
    ids=["probe", "evaluate"],
)
def test_what_is_finished_is_told_without_a_cluster(command, stage: str, config: Config, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    samples, out = Store(str(tmp_path / "samples")), Store(str(tmp_path / "out"))
    write_shards(generate(6, 1, profile="house"), samples, 100)
    with pytest.raises(ClusterError):
        command(config, samples.uri, out.uri)
    begun = out.read_json(f"{stage}/begun.json")
    scores = {"direct": 0.5}
    out.write_json(f"{stage}/done.json", {**begun, "counts": {"rows": 6, "scores": scores}})
    told = command(config, samples.uri, out.uri)
    assert told == scores or told["rows"] == 6


def test_another_corpus_of_the_same_size_is_refused(config: Config, tmp_path: Path) -> None:
    corpus = Store(str(tmp_path / "corpus"))
    samples = list(generate(4, 1, profile="house"))
    with pytest.raises(DataError, match="no parquet file"):
        train_corpus(config, corpus.uri, str(tmp_path / "out"))
    write_corpus((direct_row(sample) for sample in samples), corpus)
    data = corpus.read("part-00000.parquet")
    damaged = data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
    for given in (damaged, data, data):  # a corpus that nothing was made of may be mended, and the same goes on
        corpus.write("part-00000.parquet", given)
        with pytest.raises(ClusterError):
            train_corpus(config, corpus.uri, str(tmp_path / "out"))
    Store(str(tmp_path / "out")).write("model/train/checkpoints/index.json", b"{}")
    corpus.write("part-00000.parquet", damaged)
    with pytest.raises(StorageError, match=r"(?s)stage corpus.*input\.part-00000\.parquet: '.* bytes, sha256"):
        train_corpus(config, corpus.uri, str(tmp_path / "out"))


def test_a_model_trained_alone_gets_a_card_of_what_is_known(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_stage, "cluster", lambda config: nullcontext())
    monkeypatch.setattr(train_stage, "_train", rehearse_training)
    corpus, out = Store(str(tmp_path / "corpus")), str(tmp_path / "out")
    write_corpus((direct_row(sample) for sample in generate(4, 1, profile="house")), corpus)
    card = Path(train_corpus(config, corpus.uri, out)["model"]) / "README.md"
    text = card.read_text()
    assert "# out: model\n" in text and "Not evaluated when this card was written." in text
    assert "trained from `builtin:tiny_base` by supervised fine-tuning on a corpus that was given" in text
    for line in (
        "| data | corpus |", "| rows | 4 direct |", "| optimizer steps | 1 |", "| learning rate | ",
        "| last loss | 1.0000 nats a target token |", f"| seed | {config.seed} |", f"| toolace | {toolace.__version__}",
    ):  # fmt: skip
        assert line in text
    assert "model-aware" not in text and "model-index" not in text and str(tmp_path) not in text

    card.write_text("edited")
    train_corpus(config, corpus.uri, out)
    assert card.read_text() == "edited", "a card that is there stays"
    card.unlink()
    train_corpus(config, corpus.uri, out)
    late = card.read_text()
    assert "| rows | 4 direct |" in late and "| versions |" not in late and "| toolace |" not in late


def test_the_card_of_a_local_base_names_no_place(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_stage, "cluster", lambda config: nullcontext())
    monkeypatch.setattr(train_stage, "_train", rehearse_training)
    base, corpus = tmp_path / "my-base", Store(str(tmp_path / "corpus"))
    shutil.copytree(resolve_model("builtin:tiny_base"), base)
    config = config.model_copy(update={"model": config.model.model_copy(update={"path": str(base)})})
    write_corpus((direct_row(sample) for sample in generate(4, 1, profile="house")), corpus)
    text = (Path(train_corpus(config, corpus.uri, str(tmp_path / "out"))["model"]) / "README.md").read_text()
    assert "trained from `my-base` by" in text and str(tmp_path) not in text


def test_records_of_another_stage_are_no_probe(config: Config, tmp_path: Path) -> None:
    run = FakeRun(tmp_path, rows=12).finish()
    probe, other = run.at("round-1/probe"), run.at("round-1/eval-test")
    assert select_records(config, probe, probe).probed
    for given in ((other, None), (probe, other)):
        with pytest.raises(DataError, match=r"eval-test does not hold the records of a probe \(\w+: .*Give"):
            select_records(config, *given)
