"""The report of an evolve run: stages side by side, what became of the queries, and the queries themselves."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from report_evolved import SKILLS, FakeEvolution
from report_runs import EVIL, FakeRun
from test_report import Page, embedded

from toolace.calls import judge
from toolace.data.shards import read_samples
from toolace.evolution.program import EvolveRecord
from toolace.report import card_facts, model_card, write_model_cards, write_report
from toolace.report.comparison import render_comparison
from toolace.report.evolution import (
    fate_counts,
    irrelevance,
    reasons_table,
    rounds_table,
    stages_headline,
    task_reasons_table,
    tasks_table,
)
from toolace.report.facts import costs, gather, label_of, path_order, stage_places
from toolace.report.records import read_rows
from toolace.report.words import about, points, status
from toolace.storage import DONE, Store

MODELS = ["base", "adaption", "decomposed", "evolution 1", "evolution 2"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Store:
    fake = FakeEvolution(tmp_path_factory.mktemp("evolved"))
    fake.evolve_all()
    return fake.store


@pytest.fixture(scope="module")
def page(run: Store) -> Page:
    return Page(Path(write_report(run)).read_text(encoding="utf-8"))


def records(run: Store, number: int) -> list[EvolveRecord]:
    rows = read_rows(run.sub(f"evolve-{number}/evolve"))
    return [EvolveRecord.model_validate(record) for _, _, record in rows if record is not None]


def test_the_page_has_the_sections_of_an_evolve_run(page: Page) -> None:
    assert page.open == []
    targets = [(a.get("href") or "")[1:] for tag, a in page.tags if tag == "a"]
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert set(targets) <= set(ids) and len(ids) == len(set(ids))
    assert "evolution" in targets and "selection" not in targets
    titles = (
        "Accuracy by stage", "Queries by what became of them", "Accepted answers by round", "Draws",
        "Sub-tasks by stage", "Training loss: adaption rows", "Training loss: invocation rows", "Rounds of evolution",
        "Queries dropped by reason", "Sub-tasks, test split", "Cost by stage",
    )  # fmt: skip
    for title in titles:
        assert title in page.text, title
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)


def test_the_stages_stand_side_by_side(run: Store, page: Page) -> None:
    table = stages_headline(gather(run))
    assert table is not None and [row[0] for row in table.rows] == MODELS
    for name, cells in zip(SKILLS, table.rows, strict=True):
        row = dict(zip(table.head, cells, strict=True))
        scores = run.read_json(f"{name}/eval-test/{DONE}")["counts"]["scores"]
        tasks = run.read_json(f"{name}/tasks-test/{DONE}")["counts"]["scores"]
        assert row["direct"] == f"{100 * scores['direct']:.1f} %"
        assert row["irrelevance"] == f"{100 * scores['by_kind']['irrelevance']['direct']:.1f} %"
        assert row["definitions right"] == f"{100 * tasks['definition_match']:.1f} %"
        assert row["relevance"] == f"{100 * tasks['relevance']:.1f} %"
    last = dict(zip(table.head, table.rows[-1], strict=True))
    corpus = run.read_json(f"evolve-2/corpus/{DONE}")["counts"]
    assert last["of these replayed"] == str(corpus["replay"]) != "0" and last["adaption rows"] == "0"
    assert all(cell in page.text for cell in table.rows[-1])
    assert irrelevance({"by_kind": {}}) is None


def test_every_query_is_accounted_for(run: Store) -> None:
    facts = gather(run)
    table, reasons = rounds_table(facts), reasons_table(facts)
    assert table is not None and reasons is not None
    for number, cells in enumerate(table.rows, start=1):
        row = dict(zip(table.head, cells, strict=True))
        found = records(run, number)
        dropped = Counter(record.reason for record in found if record.reason is not None)
        assert {"tools_unparseable", "tools_truncated", "unknown_tool"} <= dropped.keys()
        assert int(row["accepted"]) == sum(record.reason is None for record in found) > 0
        assert (int(row["dropped"]), int(row["failed"])) == (dropped.total(), 1)
        assert int(row["queries"]) == int(row["accepted"]) + dropped.total() + 1
        assert row["saved"] == f"{100 * (1 - int(row['draws made']) / int(row['draws of a full vote'])):.1f} %"
        by_reason = {cells[0].partition(":")[0]: int(cells[number]) for cells in reasons.rows}
        assert {name: n for name, n in by_reason.items() if n and name != "failed"} == dropped
        fates = fate_counts(facts.evolutions[number - 1].evolved)
        assert sum(fates.values()) == int(row["queries"])
        assert fates["tools dropped"] == dropped["tools_unparseable"] + dropped["tools_truncated"]


def test_queries_are_examples_with_what_every_round_made_of_them(run: Store, page: Page) -> None:
    rows = {row["id"]: row for row in embedded(page)["rows"] if row["set"] == "query"}
    samples = {sample.id: sample for sample in read_samples(run.sub("data/train"))}
    both = [{record.id: record for record in records(run, number)} for number in (1, 2)]
    assert rows.keys() == both[0].keys()
    classes = Counter(row["class"] for row in rows.values())
    assert classes.keys() == {"dropped", "accepted, right", "accepted, wrong"}
    for row_id, row in rows.items():
        last = both[1][row_id]
        assert [one["round"] for one in row["evolved"]] == [1, 2]
        assert row["errors"] == sorted({r[row_id].reason for r in both if r[row_id].reason is not None})
        assert (row["class"] == "dropped") == (last.answer is None)
        if last.answer is not None and samples[row_id].reference.calls:
            right = judge(samples[row_id], last.answer, "pythonic").correct
            assert row["class"] == f"accepted, {'right' if right else 'wrong'}"
        taken = [text for text, _, taken in row["evolved"][1]["answers"] if taken]
        assert taken == ([] if last.answer is None else [last.answer]), "nothing is taken of a tie"
        assert sum(votes for _, votes, _ in row["evolved"][1]["answers"]) == last.n
        assert len(row["tools"]) == len(samples[row_id].chat.tools), "the hidden tools"
    assert any(EVIL in one["written"] for row in rows.values() for one in row["evolved"])
    assert f"{len(rows)} of {len(rows)} queries of evolution" in page.text
    assert "<" not in page.scripts[0]


def test_the_outcome_in_words(run: Store) -> None:
    facts = gather(run)
    assert status(facts) == "Finished after 2 rounds: the next round accepted no query."
    said = " ".join(points(facts))
    first, second = (sum(record.reason is None for record in records(run, number)) for number in (1, 2))
    queries = len(records(run, 1)) + 1
    assert f"{first} of {queries} in evolution 1, {second} of {queries} in evolution 2" in said
    assert "Evolution 2 answers" in said and "The model of stage 2, before evolution, answers" in said
    assert "match the hidden reference" in said
    told = dict(about(facts))
    assert told["sub-tasks"] == "adaption, generation, invocation, from 50 % of the samples"
    assert told["evolution"].startswith("at most 4 votes a query, accepted from 50 %, rules on")
    assert "probing" not in told and told["training"].endswith("from previous")


def test_what_is_not_done_yet_is_left_out(tmp_path: Path) -> None:
    fake = FakeEvolution(tmp_path, rows=8)
    fake.make_data()
    found = Page(Path(write_report(fake.store)).read_text())
    assert "No query is asked yet." in found.text and "No model is trained or evaluated yet." in found.text
    fake.ask("base")
    fake.draw(1, "decomposed")
    text = Page(Path(write_report(fake.store)).read_text()).text
    assert "Rounds of evolution" in text and "Sub-tasks, test split" in text
    facts = gather(fake.store)
    assert facts.last is not None and facts.last.name == "base"


def test_a_round_without_accepted_queries_or_votes(tmp_path: Path) -> None:
    fake = FakeEvolution(tmp_path, rows=8)
    counts = {
        "queries": 3, "accepted": 0, "rejected": {"odd_reason": 2, "no_query": 1}, "draws": 0, "draws_full": 0,
        "accepted_right": None, "relevance": None, "call_diversity": None, "tool_diversity": None,
    }  # fmt: skip
    fake.store.write_json(f"evolve-1/evolve/{DONE}", {"counts": counts})
    text = Page(Path(write_report(fake.store)).read_text()).text
    assert "odd_reason" in text and "0 of 3 in evolution 1" in text
    assert "examples are missing" in text, "the records of the stage are not there"


def test_stages_and_costs_of_an_evolve_run_are_known(run: Store) -> None:
    done = [name for name in stage_places(run) if run.exists(f"{name}/{DONE}")]
    assert {"adaption/corpus", "decomposed/tasks-test", "evolve-1/evolve", "evolve-2/train"} <= set(done)
    found = {one.stages: one for one in costs(gather(run))}
    cost = found["evolve-1/evolve",]
    assert cost.draws == run.read_json(f"evolve-1/evolve/{DONE}")["counts"]["draws"] and cost.generated is not None
    assert [label_of(name) for name in ("evolve-2/evolve", "decomposed", "round-1")] == [
        "evolution 2: evolve", "decomposed", "round 1",
    ]  # fmt: skip
    names = ["evolve-10", "evolve-2", "decomposed", "adaption", "base"]
    assert sorted(names, key=path_order) == names[::-1]


def test_trainings_tell_their_losses_by_sub_task(run: Store, page: Page) -> None:
    train = run.read_json(f"decomposed/train/{DONE}")["counts"]
    first, last = train["first_loss_by_kind"], train["last_loss_by_kind"]
    assert list(last) == ["generation", "invocation"]
    for kind in last:
        assert f"{first[kind]:.4f} → {last[kind]:.4f}" in page.text
    assert page.text.count("Training loss: generation rows") > 0 and "Training loss: keep rows" not in page.text


def test_unasked_sub_tasks_leave_no_number(tmp_path: Path) -> None:
    fake = FakeEvolution(tmp_path, rows=8)
    scores = {"definitions": 0, "definition_valid": None, "definition_match": None, "definition_name": None}
    scores |= {"queries": 2, "tools_valid": 0.5, "relevance": 0.0, "errors": 0, "reasons": {"unparseable": 1}}
    fake.store.write_json(f"base/tasks-test/{DONE}", {"counts": {"scores": scores}})
    table = tasks_table(gather(fake.store))
    assert table is not None and table.rows == [
        ["base", "0", "2", "0", "", "", "", "50.0 %", "0.0 %"],
    ]  # fmt: skip
    reasons = task_reasons_table(gather(fake.store))
    assert reasons is not None and reasons.rows == [["unparseable", "1"]]


def test_cards_of_the_stages_say_how_they_were_trained(run: Store) -> None:
    places = [Path(place).parent.parent.parent.name for place in write_model_cards(run)]
    assert places == ["adaption", "decomposed", "evolve-1", "evolve-2"]
    cards = {name: model_card(card_facts(run, name)) for name in places}
    assert "arXiv:2505.07512" in cards["adaption"] and "trained from `builtin:tiny_base`" in cards["adaption"]
    assert "adaption of the same run, itself from builtin:tiny_base" in cards["decomposed"]
    assert "decomposed of the same run" in cards["evolve-1"] and "evolution 1 of the same run" in cards["evolve-2"]
    assert "jointly" in cards["decomposed"] and "majority vote" in cards["evolve-2"]
    corpus = run.read_json(f"evolve-2/corpus/{DONE}")["counts"]
    assert (
        f"{corpus['generation']} generation, {corpus['invocation']} invocation; {corpus['replay']} of"
        in (cards["evolve-2"])
    )
    accepted = sum(record.reason is None for record in records(run, 2))
    assert f"| queries accepted | {accepted} of {len(records(run, 2)) + 1} |" in cards["evolve-2"]
    assert "definitions valid 70.0%" in cards["evolve-2"] and "## Evaluation" in cards["evolve-2"]
    assert "queries accepted" not in cards["adaption"] and "replayed" not in cards["decomposed"]
    assert "0 adaption" not in cards["decomposed"]


def test_cards_of_stages_that_start_from_the_base(run: Store, tmp_path: Path) -> None:
    record = run.read_json("run.json")
    record["config"]["evolve"]["start"] = "base"
    other = Store(str(tmp_path / "restarted"))
    other.write_json("run.json", record)
    assert card_facts(other, "evolve-2").base == "builtin:tiny_base"


def test_rounds_of_selection_keep_their_report(tmp_path: Path) -> None:
    text = Page(Path(write_report(FakeRun(tmp_path, rows=8).store)).read_text()).text
    assert "No round is probed yet." in text and "No query is asked yet." not in text


def test_arms_that_evolve_stand_in_a_comparison() -> None:
    def arm(name: str, path: list[str], **more: object) -> dict[str, object]:
        way = {"accuracy": 0.5, "repairs": 1, "regressions": 1, "mean_calls": 2.0, "mean_tokens": 9.0}
        by_seed = {"seed": 1, "run": name, "model": path[-1], "rounds": 2, "stopped": "nothing_accepted", **way}
        return {
            "arm": name, "pool": "p", "model": "m", "seeds": [1], "split": "test", "n": 9, "direct": 0.5,
            "adaptive": 0.6, "repairs": 1, "regressions": 1, "mean_calls": 2.0, "target_tokens": 5, "difference": None,
            "difference_adaptive": None, "interval": None, "interval_adaptive": None,
            "spread": {"direct": None, "adaptive": None}, "ways": {"direct": way, "adaptive": way}, "probes": [],
            "by_seed": [{**by_seed, "direct": 0.5, "adaptive": 0.6}],
            "by_round": [{"model": model, "direct": 0.4} for model in path], **more,
        }  # fmt: skip

    names = ["base", "adaption", "decomposed", "evolve-1", "evolve-2"]
    evolution = {
        "round": 2, "queries": 8, "accepted": 4, "draws": 6, "draws_full": 8, "accepted_right": 0.25,
        "call_diversity": None, "rejected": {"tie": 3, "no_call": 1},
    }  # fmt: skip
    arms = {
        "plain": arm("plain", ["base", "plain_sft"]),
        "full": arm("full", names, evolution=[evolution], sub_tasks={"relevance": 0.125, "tools_valid": None}),
        "invo": arm("invo", ["base", "decomposed"], evolution=[], sub_tasks={"relevance": None}),
    }
    outcome = {"name": "c", "reference": "invo", "stages": {"made": 1, "shared": 1}, "failed": {}, "arms": arms}
    html = render_comparison("place", outcome)
    text = Page(html).text
    chart = html[html.index("Accuracy by round, direct") :].split("</figure>")[0]
    places = [chart.index(f">{label}<") for label in MODELS]
    assert places == sorted(places), "the axis is in the order in which models are made"
    assert "full, evolution 2: 40.0 %" in chart and "invo, decomposed: 40.0 %" in chart
    assert "<title>plain: 50.0 %</title>" in chart, "an arm without stages is a line"
    assert "12.5 %" in text and "tie 3, no_call 1" in text and "75.0 %" in text
