"""The model card: front matter that the hub reads, and the facts of the run."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from report_runs import FakeRun
from typer.testing import CliRunner

from toolace.cli.main import app
from toolace.report import CardFacts, card_facts, model_card, write_model_card, write_model_cards
from toolace.rounds.stages import plain_corpus_stage
from toolace.storage import Store


def front_matter(text: str) -> dict:
    assert text.startswith("---\n")
    return yaml.safe_load(text.split("---\n")[1])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return FakeRun(tmp_path_factory.mktemp("card"), rows=20).finish()


def test_card_has_the_numbers_of_the_run(run: Store) -> None:
    facts = card_facts(run, "round-2")
    text = model_card(facts)
    scores = run.read_json("round-2/eval-test/done.json")["counts"]["scores"]
    results = {one["dataset"]["split"]: one["metrics"] for one in front_matter(text)["model-index"][0]["results"]}
    assert [metric["value"] for metric in results["test"]] == [round(scores["direct"], 4), round(scores["adaptive"], 4)]
    assert f"| direct | {scores['direct']:.1%} | 0 | 0 | 1.00 |" in text
    assert "| target tokens | 16,000 |" in text and "| optimizer steps | 40 |" in text
    assert f"| rows | {len(run.read_json('round-2/select/selected.json'))} direct, " in text
    assert "failed rows, counted as wrong: 1" in text
    assert text.index("| direct |") < text.index("| adaptive |") < text.index("| fixed 1 |")


def test_scores_are_of_the_data_that_they_were_measured_on(run: Store, tmp_path: Path) -> None:
    """And no place of this machine, or bucket, is in a file that is meant for others."""
    shutil.copytree(run.uri, tmp_path / "run")
    store = Store(str(tmp_path / "run"))
    record = store.read_json("run.json")
    record["config"]["data"]["train"] = {"type": "file", "path": "/data/of/mine/train.jsonl"}
    record["config"]["data"]["test"] = {"type": "file", "path": "s3://rows/test.parquet"}
    record["config"]["data"]["dev"] = None
    store.write_json("run.json", record)
    facts = card_facts(store, "round-2")
    assert (facts.data, facts.tests) == ("train.jsonl", {"dev": "train.jsonl", "test": "test.parquet"})
    matter = front_matter(model_card(facts))
    named = {one["dataset"]["split"]: one["dataset"]["name"] for one in matter["model-index"][0]["results"]}
    assert named and named.items() <= facts.tests.items()


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/home/me/secret/llama-8b/", "llama-8b"),
        ("../secret/llama-8b", "llama-8b"),
        ("s3://my-bucket/secret/llama-8b", "llama-8b"),
        ("some-org/Some-Model-8B", "some-org/Some-Model-8B"),
        ("builtin:tiny_base", "builtin:tiny_base"),
    ],
)
def test_a_base_is_named_without_its_place(run: Store, tmp_path: Path, path: str, named: str) -> None:
    record = run.read_json("run.json")
    record["config"]["model"]["path"] = path
    other = Store(str(tmp_path / "other"))
    for start in ("base", "previous"):
        record["config"]["rounds"]["start"] = start
        other.write_json("run.json", record)
        facts = card_facts(other, "round-2")
        assert facts.base.removeprefix("round 1 of the same run, itself from ") == named
        text = model_card(facts)
        assert named in text and "secret" not in text and "my-bucket" not in text
        assert front_matter(text).get("base_model") == (named if "/" in named else None)


def test_data_of_the_hub_keeps_its_name(run: Store, tmp_path: Path) -> None:
    record = run.read_json("run.json")
    record["config"]["data"]["train"] = {"type": "files", "path": "hf://datasets/some-org/rows/train.parquet"}
    store = Store(str(tmp_path / "hub"))
    store.write_json("run.json", record)
    assert card_facts(store, "round-2").data == "hf://datasets/some-org/rows/train.parquet"


def test_card_before_evaluation_claims_nothing(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, rows=8)
    text = model_card(card_facts(fake.store, "round-1"))
    assert "Not evaluated when this card was written." in text
    assert "model-index" not in front_matter(text)
    assert "base_model" not in front_matter(text), "builtin:tiny_base is no name of the hub"


def test_card_names_a_hub_base_and_survives_any_text() -> None:
    facts = CardFacts(
        run="a: b\n---\n# x", model="plain_sft", base="some-org/Some-Model-8B", format="hermes", data="x | y\n| z |"
    )
    text = model_card(facts)
    matter = front_matter(text)
    assert matter["base_model"] == "some-org/Some-Model-8B"
    assert text.count("\n---\n") == 1, "the title does not open a second front matter"
    assert "| data | x \\| y \\| z \\| |" in text
    assert "the baseline of its run" in text
    for base in ("/models/x", "./x/y", "s3://bucket/x"):
        assert "base_model" not in front_matter(model_card(CardFacts(run="r", model="round-1", base=base, format="")))


def test_cards_are_written_into_exported_models(run: Store, tmp_path: Path) -> None:
    places = write_model_cards(run)
    assert [Path(place).parent.parent.parent.name for place in places] == [
        "bootstrap",
        "plain_sft",
        "round-1",
        "round-2",
    ]
    assert Path(places[-1]).read_text() == model_card(card_facts(run, "round-2"))
    store = Store(str(tmp_path / "model"))
    assert write_model_card(store, card_facts(run, "round-1")) == store.at("README.md")


def test_only_models_whose_training_is_done_get_a_card(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, rows=8)
    corpus, _ = plain_corpus_stage(fake.run, "bootstrap", fake.make_data(), 4)
    fake.train("bootstrap", corpus, finish=False)
    assert write_model_cards(fake.store) == []
    fake.train("bootstrap", corpus)
    (place,) = write_model_cards(fake.store)
    before = Path(place).stat()
    assert write_model_cards(fake.store) == [place]
    assert Path(place).stat() == before, "a card that says the same is not written again"


def test_the_report_command_writes_the_cards_too(run: Store, tmp_path: Path) -> None:
    shutil.copytree(run.uri, tmp_path / "copy")
    cards = [tmp_path / f"copy/{name}/train/model/README.md" for name in ("bootstrap", "round-1", "plain_sft")]
    for card in cards:
        card.unlink(missing_ok=True)
    printed = CliRunner().invoke(app, ["report", str(tmp_path / "copy")])
    assert printed.exit_code == 0 and printed.stdout.strip().endswith("report.html")
    assert all("## Evaluation" in card.read_text() for card in cards)


def test_the_report_stands_where_a_card_cannot_be_written(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, rows=8)
    corpus, _ = plain_corpus_stage(fake.run, "bootstrap", fake.make_data(), 4)
    for name in ("bootstrap", "plain_sft"):
        fake.train(name, corpus)
    (tmp_path / "fake/bootstrap/train/model/README.md").mkdir()
    printed = CliRunner().invoke(app, ["report", fake.store.uri])
    assert printed.exit_code == 0 and "report.html" in printed.stdout
    assert "not all model cards (README.md) could be written: StorageError" in printed.stderr
    assert (tmp_path / "fake/plain_sft/train/model/README.md").is_file()


def test_card_of_a_chained_round_names_what_it_started_from(run: Store, tmp_path: Path) -> None:
    record = run.read_json("run.json")
    record["config"]["rounds"]["start"] = "previous"
    other = Store(str(tmp_path / "chained"))
    other.write_json("run.json", record)
    assert card_facts(other, "round-2").base == "round 1 of the same run, itself from builtin:tiny_base"
    record["config"]["model"]["path"] = "some-org/Some-Model-8B"
    other.write_json("run.json", record)
    assert front_matter(model_card(card_facts(other, "round-2")))["base_model"] == "some-org/Some-Model-8B"


def test_card_names_a_licence_where_it_is_known(run: Store) -> None:
    matter = front_matter(model_card(card_facts(run, "round-2")))
    assert (matter["license"], "base_model" in matter) == ("apache-2.0", False)
    for changes in ({"origin": "some-org/Some-Model-8B"}, {"data": "rows.jsonl"}):
        assert "license" not in front_matter(model_card(replace(card_facts(run, "round-2"), **changes)))


def test_cards_are_read_by_the_hub_s_own_client(run: Store) -> None:
    card = ModelCard(model_card(card_facts(run, "round-2")))
    assert card.data.license == "apache-2.0" and card.data.model_name == "fake-round-2"
    assert {result.dataset_split for result in card.data.eval_results} >= {"test"}
