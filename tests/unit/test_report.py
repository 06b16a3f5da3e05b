"""The report of a run: its numbers, what it embeds, and that nothing of the run can become markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_runs import EVIL, FakeRun, chance

from toolace.errors import StorageError
from toolace.evaluation.program import EvaluationRecord
from toolace.probing import ProbeRecord
from toolace.report import write_report
from toolace.report.charts import Bar, Series, column_chart, line_chart, thin, ticks
from toolace.report.embedding import Packer, unpack, unpack_page
from toolace.report.examples import changes, choose, outcome, pick
from toolace.report.facts import costs, gather
from toolace.report.records import read_rows
from toolace.report.tables import duration, headline, starts, wilson
from toolace.storage import Store

VOID = {"meta", "input", "br", "img", "link", "hr"}


class Page(HTMLParser):
    """What a browser would make of the page: elements, attributes, texts of scripts and of all the rest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        else:
            self.text += data


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return FakeRun(tmp_path_factory.mktemp("report")).finish()


@pytest.fixture(scope="module")
def html(run: Store) -> str:
    return Path(write_report(run)).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def embedded(page: Page) -> dict[str, list]:
    rows, tools = unpack_page(page.scripts[0])
    return {"rows": rows, "tools": tools}


def test_page_is_well_formed_and_asks_no_host(page: Page, html: str) -> None:
    assert page.open == [], "every element is closed"
    for tag, attributes in page.tags:
        assert tag not in ("img", "link", "iframe", "object", "embed", "base")
        for name in ("src", "href", "xlink:href", "action", "srcset"):
            assert (attributes.get(name) or "#").startswith("#"), (tag, attributes)
    assert "@import" not in html and "url(" not in html
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.tags:
        if (attributes.get("href") or "").startswith("#"):
            assert attributes["href"][1:] in ids


def test_only_our_script_may_run(page: Page) -> None:
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(page.scripts[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert len(page.scripts) == 2 and "innerHTML" not in page.scripts[1]


def test_hostile_texts_stay_texts(page: Page, html: str) -> None:
    assert EVIL in page.text, "quarantine and kinds show it as text"
    assert "<script>alert" not in html and "<img" not in html
    assert "<" not in page.scripts[0]
    rows = [row for row in embedded(page)["rows"] if row["id"].startswith("evil")]
    assert {row["set"] for row in rows} == {"test", "train"}
    assert all(EVIL in row["chat"][0][1] and row["kind"] == f"evil{EVIL}" for row in rows)
    assert any(EVIL in tool for tool in embedded(page)["tools"])
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)


def test_script_json_is_safe_for_any_text() -> None:
    text = "</script><!--<script> & \u2028\u2029 \ud800 ü"
    found = Packer()
    row = {"set": text, "class": "", "kind": text, "errors": [], "chat": [["user", text]], "tools": [text]}
    assert found.add(row, 10_000) and found.flush(10_000)
    assert not set("<>&\u2028\u2029\ud800") & set(found.json())
    assert unpack_page(found.json()) == ([{**row, "tools": [0]}], [text])


def test_headline_has_the_scores_of_the_stages(run: Store, page: Page) -> None:
    table = headline(gather(run))
    assert table is not None
    assert [row[0] for row in table.rows] == ["base", "bootstrap", "plain SFT", "round 1", "round 2"]
    records = [
        None if record is None else EvaluationRecord.model_validate(record)
        for _, _, record in read_rows(run.sub("round-2/eval-test"))
    ]
    arms = [record.arms for record in records if record is not None]
    assert len(arms) == len(records) - 1, "one row failed"
    last = dict(zip(table.head, table.rows[-1], strict=True))
    for column, arm in (("direct", "direct"), ("refined", "adaptive"), ("margin 0.5", "margin_0.5")):
        assert last[column] == f"{100 * sum(a[arm].correct for a in arms) / len(records):.1f} %"
    assert last["repairs"] == str(sum(a["adaptive"].correct and not a["direct"].correct for a in arms)) != "0"
    assert last["calls"] == f"{sum(a['adaptive'].model_calls for a in arms) / len(arms):.2f}"
    assert last["rows trained on"] == str(len(run.read_json("round-2/select/selected.json")))
    assert all(cell in page.text for cell in table.rows[-1])


def test_examples_hold_every_change_and_say_how_many(run: Store, page: Page) -> None:
    rows = embedded(page)["rows"]
    classes = {}
    for sample_id, _, record in read_rows(run.sub("round-2/eval-test")):
        if record is not None:
            classes[sample_id] = outcome(record["arms"]["direct"]["correct"], record["arms"]["adaptive"]["correct"])
    shown = {row["id"]: row["class"] for row in rows if row["set"] == "test"}
    assert shown == classes, "a small run is shown whole"
    assert {"repaired", "right", "wrong"} <= set(classes.values())
    repaired = sum(name == "repaired" for name in classes.values())
    assert f"{len(classes)} of {len(classes)} test samples answered by round 2" in page.text
    assert f"{repaired} of {repaired} repaired" in page.text
    one = next(row for row in rows if row["class"] == "repaired")
    assert one["chain"][0]["right"] is False and one["chain"][1]["right"] is True
    assert "changes" in one["chain"][1]
    assert [name for name, _, _ in one["models"]] == ["base", "bootstrap", "plain SFT", "round 1", "round 2"]
    probed = next(row for row in rows if row["set"] == "train" and not row["id"].startswith("evil"))
    assert [probe["round"] for probe in probed["probes"]] == [1, 2]
    assert sum(answer[1] for answer in probed["probes"][0]["answers"]) == probed["probes"][0]["n"]


def test_examples_keep_within_their_bytes(run: Store) -> None:
    whole = choose(gather(run))
    bound = 2 * len(whole.json()) // 3
    part = choose(gather(run), max_bytes=bound)
    assert 0 < part.count < whole.count
    assert len(part.json()) < bound + 200, "the names of the blocks come on top"
    rows, tools = unpack_page(part.json())
    found = json.loads(part.json())
    shown = [(row["set"], row["class"], row["kind"], row["errors"]) for row in rows]
    assert shown == [tuple(row[:4]) for row in unpack(found["index"])]
    assert [len(unpack(block)) for block in found["rows"]] == found["sizes"] and sum(found["sizes"]) == part.count
    evaluated = sum(row["set"] == "test" for row in rows)
    assert part.caption.startswith(f"Embedded: {evaluated} of ")
    assert {index for row in rows for index in row["tools"]} == set(range(len(tools)))


def test_many_rows_are_shared_out_between_evaluated_and_probed_ones(run: Store) -> None:
    rows, _ = unpack_page(choose(gather(run), max_rows=40).json())
    assert Counter(row["set"] for row in rows) == {"test": 20, "train": 20}
    changed = [row["class"] for row in rows if row["class"] in ("repaired", "regressed")]
    every, _ = unpack_page(choose(gather(run)).json())
    assert len(changed) == min(13, sum(row["class"] in ("repaired", "regressed") for row in every)) > 0


def test_choice_is_fair_and_the_same_in_any_order() -> None:
    strata = {f"s{i}": "rare" if i % 50 == 0 else "common" for i in range(500)}
    chosen = pick(strata, 40)
    assert chosen == pick(dict(reversed(strata.items())), 40)
    assert len(set(chosen)) == 40
    assert sum(strata[i] == "rare" for i in chosen) == 10, "all of the rare ones, then the common ones"
    assert set(pick(strata, 1000)) == set(strata)
    assert pick(strata, 0) == []


@given(st.text(max_size=80), st.text(max_size=80))
def test_changes_hold_both_texts(old: str, new: str) -> None:
    pieces = changes(old, new)
    assert "".join(text for mark, text in pieces if mark <= 0) == old
    assert "".join(text for mark, text in pieces if mark >= 0) == new


def test_changes_mark_words_not_letters() -> None:
    assert changes('[a(city="Rome")]', '[a(city="Roma")]') == [[0, '[a(city="'], [-1, "Rome"], [1, "Roma"], [0, '")]']]


def test_pass_rates_count_only_samples_with_all_draws(run: Store, html: str) -> None:
    records = [
        ProbeRecord.model_validate(record) for _, _, record in read_rows(run.sub("round-1/probe")) if record is not None
    ]
    whole = [record for record in records if record.n == record.k]
    assert 0 < len(whole) < len(records)
    figure = html[html.index("Right draws of 4: round 1") :].split("</figure>")[0]
    for c in range(5):
        assert f"<title>{c}, all draws made: {sum(record.c == c for record in whole)}</title>" in figure
    assert f"stopped early, by class: {len(records) - len(whole)}</title>" in figure


def test_unfinished_runs_show_what_is_done(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, rows=12)
    write_report(fake.store)
    assert "No model is trained or evaluated yet." in Page((tmp_path / "fake/report.html").read_text()).text
    fake.make_data()
    fake.evaluate("base", 0.3)
    corpus = FakeRun(tmp_path, rows=12).run.stage("bootstrap/corpus", {})
    fake.train("bootstrap", corpus, finish=False)
    with (tmp_path / "fake/bootstrap/train/steps.jsonl").open("a") as stream:
        stream.write('{"step": 40, "lo')
    found = Page(Path(write_report(fake.store)).read_text())
    assert "Not finished: 3 stages done, at work or stopped: bootstrap/train." in found.text
    assert "bootstrap (unfinished)" in found.text and "Training loss" in found.text
    assert "No round is probed yet." in found.text
    assert {row["by"] for row in embedded(found)["rows"]} == {"base"}


def test_damage_is_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    run = FakeRun(tmp_path, rows=12).finish()
    for name in ("round-2/train/done.json", "data/quarantine.jsonl", "round-2/eval-test/part-00000.parquet"):
        (tmp_path / "fake" / name).write_text("{ damaged\n")
    (tmp_path / "fake/round-1/probe/index.json").unlink()
    (tmp_path / "fake/events.jsonl").unlink()
    text = Page(Path(write_report(run)).read_text()).text
    for name in ("round-2/train/done.json", "data/quarantine.jsonl", "part-00000.parquet", "pass rates of round 1"):
        assert re.search(f"Incomplete: [^\n]*{name}", text), name
    assert "Round 2 answers" in text


@pytest.mark.parametrize("damage", ["5", "[]", "null", '{"counts": 5}'])
def test_json_that_is_not_what_it_should_be_is_named_too(tmp_path: Path, damage: str) -> None:
    run = FakeRun(tmp_path, rows=12).finish()
    (tmp_path / "fake/round-2/train/done.json").write_text(f"{damage}\n")
    with (tmp_path / "fake/events.jsonl").open("a") as stream:
        stream.write("5\n")
    text = Page(Path(write_report(run)).read_text()).text
    assert re.search(r"Incomplete: [^\n]*round-2/train/done.json", text)
    assert re.search(r"Incomplete: [^\n]*events.jsonl cannot be read: a line holds 5, not an object", text)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"no run\.json in .*Give one"):
        write_report(Store(str(tmp_path)))


def test_costs_add_up_over_attempts(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, rows=8)
    stages = ["round-1/eval-test", "round-2/probe"]
    lines = [
        {"time": 100.0, "event": "stages_begun", "stages": stages},
        {"time": 130.0, "event": "stages_failed", "stages": stages, "error": "x"},
        {"time": 200.0, "event": "stages_begun", "stages": stages},
        {"time": 270.5, "event": "stages_done", "stages": stages, "seconds": 70.25},
        {"time": 300.0, "event": "run_stopped", "error": "Terminated"},
    ]
    with (tmp_path / "fake/events.jsonl").open("a") as stream:
        stream.writelines(json.dumps(line) + "\n" for line in lines)
    fake.store.write_json("round-1/eval-test/done.json", {"counts": {"generated_tokens": 5, "prompt_tokens": 50}})
    fake.store.write_json(
        "round-2/probe/done.json", {"counts": {"generated_tokens": 7, "prompt_tokens": 70, "draws": 9}}
    )
    fake.store.write_json("round-1/select/done.json", {"counts": {}})
    facts = gather(fake.store)
    found = {one.stages: one for one in costs(facts)}
    together = found[tuple(stages)]
    assert (together.seconds, together.attempts) == (100.25, 2)
    assert (together.draws, together.generated, together.read, together.trained) == (9, 12, 120, None)
    assert ("round-1/select",) in found, "a stage without events is not left out"
    table = starts(facts)
    assert table is not None and table.rows[0][-1] == "stopped: Terminated"


def test_the_start_that_finished_says_so_in_the_report_that_it_writes_itself(tmp_path: Path) -> None:
    """The event of a run's end comes after its report."""
    run = FakeRun(tmp_path, rows=8).finish()

    def end() -> str:
        table = starts(gather(run))
        assert table is not None
        return str(table.rows[-1][-1])

    lines = run.read("events.jsonl").decode().splitlines(keepends=True)
    run.write("events.jsonl", "".join(line for line in lines if '"run_done"' not in line).encode())
    assert end() == "finished"
    run.write_json("round-3/probe/begun.json", {})
    assert end() == "no end recorded", "it is at work, or was killed"
    (tmp_path / "fake/round-3/probe/begun.json").unlink()
    (tmp_path / "fake/summary.json").unlink()
    assert end() == "no end recorded"


def test_intervals_are_wilson_s() -> None:
    assert wilson(0.5, 100) == pytest.approx((0.40383, 0.59617), abs=1e-5)
    assert wilson(1.0, 10) == pytest.approx((0.72247, 1.0), abs=1e-5)
    assert wilson(0.0, 0) == (0.0, 1.0)


def test_durations_are_readable() -> None:
    assert [duration(x) for x in (None, 3.21, 59.99, 65, 3599.6, 7384)] == [
        "", "3.2 s", "60.0 s", "1 min 05 s", "1 h 00 min", "2 h 03 min",
    ]  # fmt: skip


def test_ticks_are_round_and_cover_when_asked() -> None:
    assert ticks(0.213, 0.907) == [0.4, 0.6, 0.8]
    assert ticks(0.213, 0.907, cover=True) == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(-2, 28, cover=True) == [-10, 0, 10, 20, 30]
    assert ticks(5, 5)


def test_charts_place_points_and_bars_inside() -> None:
    points = [(float(x), chance(x)) for x in range(7)]
    chart = str(line_chart("t", [Series("<b>", points, "c0")], x_label="x", y_label="y", percents=True))
    places = [tuple(map(float, pair)) for pair in re.findall(r"translate\(([\d.]+),([\d.]+)\)\" d=\"M-4", chart)]
    assert len([place for place in places if place != (13.0, 6.0)]) == 7
    assert all(52 <= x <= 406 and 14 <= y <= 218 for x, y in places if (x, y) != (13.0, 6.0))
    assert "<b>" not in chart and "&lt;b&gt;" in chart
    columns = str(
        column_chart("t", [("a", [Bar("up", 3, "c0"), Bar("up 2", 1, "c1"), Bar("down", -2, "c2")])], y_label="")
    )
    heights = [float(height) for height in re.findall(r'height="([\d.]+)"><title>a', columns)]
    assert heights[0] == pytest.approx(3 * heights[1], abs=0.2)
    assert heights[2] == pytest.approx(2 * heights[1], abs=0.2)
    assert not line_chart("t", [], x_label="", y_label="") and not column_chart("t", [], y_label="")


def test_thinning_keeps_the_mean_and_short_logs() -> None:
    points = [(float(x), chance(x)) for x in range(1200)]
    thinned = thin(points, 300)
    assert len(thinned) == 300
    assert sum(y for _, y in thinned) / 300 == pytest.approx(sum(y for _, y in points) / 1200)
    assert thin(points[:300], 300) == points[:300]
