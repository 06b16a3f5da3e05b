"""The whole of an evolve run with a scripted model: counts, provenance, stops, refusals, and deaths at every stage."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from evolve_runs import SKILLS, Killed, Rehearsal, rehearsal, small

from toolace.cli.main import app
from toolace.corpus import read_corpus
from toolace.data.shards import read_samples
from toolace.errors import ConfigError, DataError, StorageError, TrainingError
from toolace.rollouts.outputs import read_records
from toolace.rollouts.program import Completion, Request
from toolace.rounds.evolve_summary import summary_table
from toolace.rounds.plan import describe_plan, stage_names
from toolace.storage import Stage, Store

__all__ = ["rehearsal"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An undisturbed run: its directory, its summary, and what was said and trained."""
    root = tmp_path_factory.mktemp("evolve")
    with pytest.MonkeyPatch.context() as patch:
        made = Rehearsal(patch)
        summary = made.run(small(root))
    return root / "small", summary, made


def ids(folder: Path) -> set[str]:
    return {row.sample_id for row in read_corpus(Store(str(folder)))}


def accepted(run: Path, number: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(run / f"evolve-{number}/evolve/accepted.parquet").to_pylist()
    return rows


def test_the_summary_has_what_other_programs_rely_on(finished: Any) -> None:
    run, summary, made = finished
    assert json.loads((run / "summary.json").read_text()) == json.loads(json.dumps(summary))
    assert [stage["name"] for stage in summary["stages"]] == ["adaption", "decomposed"]
    assert [entry["round"] for entry in summary["rounds"]] == [1, 2] and summary["stopped"] == "max_rounds"
    scores = [summary["base"], *(stage["scores"] for stage in summary["stages"])]
    scores += [entry["test"] for entry in summary["rounds"]]
    for found in scores:
        assert found.keys() >= {"n", "direct", "adaptive", "mean_calls", "repairs", "regressions", "by_kind"}
        assert found.keys() >= {"definition_valid", "definition_match", "tools_valid", "relevance", "irrelevance"}
        assert found["n"] == 12 and 0 <= found["tools_valid"] <= 1
    assert summary["base"]["dev"]["n"] == 8 and summary["base"]["dev"]["tools_valid"] is None
    for name in ("base", "adaption", "decomposed", "evolve-1", "evolve-2"):
        assert name in summary_table(summary) and name in made.said.getvalue()
    losses = [entry["train"]["loss_by_kind"].keys() for entry in (*summary["stages"], *summary["rounds"])]
    assert losses == [{"adaption"}, *[{"generation", "invocation"}] * 3]
    assert "untrained" not in summary and (run / "report.html").exists()


def test_counts_add_up(finished: Any) -> None:
    run, summary, _ = finished
    pool = list(read_corpus(Store(str(run / "decomposed/corpus"))))
    learnt = {row.sample_id for row in pool}
    for entry in summary["rounds"]:
        assert entry["queries"] == entry["accepted"] + sum(entry["rejected"].values()) + entry["errors"]
        assert entry["rejected"] and 0 < entry["accepted"] == len(accepted(run, entry["round"]))
        assert entry["accepted"] <= entry["draws"] < entry["draws_full"]
        train = entry["train"]
        assert train["rows_generation"] + train["rows_invocation"] == 2 * entry["accepted"] + train["replay"]
        rows = list(read_corpus(Store(str(run / f"evolve-{entry['round']}/corpus"))))
        replay = [row for row in rows if row.sample_id in learnt]
        assert len(replay) == train["replay"] == min(2 * entry["accepted"], len(pool))
    queries = json.loads((run / "queries/done.json").read_text())["counts"]
    samples = list(read_samples(Store(str(run / "data/train"))))
    assert queries["rows"] + sum(queries["left_out"].values()) + len(learnt) == len(samples)


def test_what_is_hidden_is_never_shown(finished: Any) -> None:
    run, _, _ = finished
    queries = list(read_samples(Store(str(run / "queries"))))
    hidden = {query.id for query in queries}
    assert not any(query.chat.tools or query.reference.calls or query.reference.content for query in queries)
    assert not hidden & ids(run / "decomposed/corpus")
    shown = [one for one in read_samples(Store(str(run / "data/train"))) if one.id not in hidden]
    assert ids(run / "adaption/corpus") <= {tool.name for one in shown for tool in one.chat.tools}


def test_accepted_rows_say_where_they_come_from(finished: Any) -> None:
    run, summary, made = finished
    for number, model in ((1, "decomposed"), (2, "evolve-1")):
        rows = accepted(run, number)
        assert {(row["round"], row["model"], row["k"]) for row in rows} == {(number, model, 8)}
        assert all(4 <= row["votes"] <= row["n"] <= 8 for row in rows)
        assert all(model in row["weights"] for row in rows)
        records = {one["id"]: one for one in read_records(str(run / f"evolve-{number}/evolve"))}
        assert {row["id"] for row in rows} == {key for key, one in records.items() if one["reason"] is None}
        kept = Counter(one["reason"] for one in records.values() if one["reason"])
        assert kept == summary["rounds"][number - 1]["rejected"], "what is dropped is kept, with its reason"
        judged = [row for row in rows if row["right"] is not None]
        share = sum(row["right"] for row in judged) / len(judged)
        assert summary["rounds"][number - 1]["accepted_right"] == pytest.approx(share)
    assert made.started == {
        "adaption/train": "base", "decomposed/train": "adaption", "evolve-1/train": "decomposed",
        "evolve-2/train": "evolve-1",
    }  # fmt: skip


def test_a_run_again_does_nothing_again(finished: Any, rehearsal: Rehearsal) -> None:
    run, summary, _ = finished
    assert rehearsal.run(small(run.parent)) == json.loads(json.dumps(summary)) and rehearsal.worked == []
    plan = describe_plan(small(run.parent), "evolve")
    assert "to do" not in plan and plan.count(" done") == len(stage_names(small(run.parent), "evolve"))


def test_a_driver_that_dies_in_every_stage_ends_with_the_same(
    finished: Any, rehearsal: Rehearsal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, summary, _ = finished
    died: set[str] = set()
    publish = Stage.publish

    def dies(place: str) -> bool:
        fresh = place not in died and not place.endswith("part-00000.parquet")
        died.update([place] if fresh else [])
        return fresh

    def publish_or_die(stage: Stage, counts: Any) -> Any:
        if dies(f"{stage.name}/publish"):
            raise Killed(stage.name)
        return publish(stage, counts)

    rehearsal.kill = dies
    monkeypatch.setattr(Stage, "publish", publish_or_die)
    for _ in range(200):
        try:
            again = rehearsal.run(small(tmp_path))
            break
        except Killed:
            continue
    stages = set(stage_names(small(tmp_path), "evolve"))
    assert {place.removesuffix("/publish") for place in died if place.endswith("/publish")} == stages
    assert {"evolve-1/evolve/part-00001.parquet", "decomposed/train", "evolve-2/train"} <= died
    assert again == summary
    for number in (1, 2):
        first, second = (accepted(one, number) for one in (run, tmp_path / "small"))
        for row in (*first, *second):
            row.pop("weights")  # of a rehearsal: the place of the model
        assert first == second
        corpora = [list(read_corpus(Store(str(one / f"evolve-{number}/corpus")))) for one in (run, tmp_path / "small")]
        assert corpora[0] == corpora[1]


@pytest.mark.parametrize(
    ("setting", "stage"),
    [
        ("evolve.held_out=0.4", "queries"),
        ("evolve.mix.generation=0.5", "decomposed/corpus"),
        ("evolve.votes=4", "evolve-1/evolve"),
        ("evolve.rules=false", "evolve-1/evolve"),
        ("evolve.replay=0.5", "evolve-1/corpus"),
        ("evolve.epochs=2", "evolve-1/train"),
        ("evolve.start=base", "decomposed/train"),
        ("evolve.tools_tokens=100", "base/tasks-test"),
    ],
)
def test_a_changed_setting_refuses_the_stages_made_from_it(
    finished: Any, rehearsal: Rehearsal, setting: str, stage: str
) -> None:
    with pytest.raises(StorageError, match=rf"stage {stage} .*was made from other settings"):
        rehearsal.run(small(finished[0].parent, setting))
    assert rehearsal.worked == []


@pytest.mark.parametrize(
    ("gone", "setting", "stage"),
    [
        ("evolve-1/evolve", "evolve.votes=4", "evolve-1/corpus"),
        ("decomposed/corpus", "evolve.mix.invocation=0.5", "decomposed/train"),
        ("queries", "rollout.max_error_share=0.2", None),
    ],
)
def test_what_is_made_anew_from_something_else_refuses_what_was_made_from_it(
    finished: Any, rehearsal: Rehearsal, tmp_path: Path, gone: str, setting: str, stage: str | None
) -> None:
    shutil.copytree(finished[0], tmp_path / "small")
    shutil.rmtree(tmp_path / "small" / gone)
    if stage is None:
        assert rehearsal.run(small(tmp_path, setting)) == finished[1]
        return
    with pytest.raises(StorageError, match=f"stage {stage} .*was made from other settings"):
        rehearsal.run(small(tmp_path, setting))


def test_settings_that_no_stage_is_made_from_refuse_nothing(finished: Any, rehearsal: Rehearsal) -> None:
    summary = rehearsal.run(small(finished[0].parent, "evolve.stop=acceptance", "evolve.rounds=1"))
    assert rehearsal.worked == [] and len(summary["rounds"]) == 1
    rehearsal.run(small(finished[0].parent))


def test_another_method_in_the_same_directory_is_refused(finished: Any) -> None:
    from toolace.rounds.driver import run_rounds

    for attempt in (lambda: run_rounds(small(finished[0].parent)), lambda: describe_plan(small(finished[0].parent))):
        with pytest.raises(ConfigError, match="begun by `toolace evolve`, and `toolace run`"):
            attempt()


def test_the_report_command_prints_the_summary(finished: Any) -> None:
    from typer.testing import CliRunner

    run, summary, _ = finished
    printed = CliRunner().invoke(app, ["report", str(run), "--json"])
    assert printed.exit_code == 0 and json.loads(printed.stdout) == json.loads(json.dumps(summary))


@pytest.mark.parametrize("rule", ["none", "acceptance", "dev"])
def test_stop_rules(rehearsal: Rehearsal, tmp_path: Path, rule: str) -> None:
    rehearsal.skills = {**SKILLS, "evolve-1": 0.25}  # worse at everything than the model before
    summary = rehearsal.run(small(tmp_path, f"evolve.stop={rule}"))
    trained = [entry["round"] for entry in summary["rounds"]]
    if rule == "none":
        assert trained == [1, 2] and summary["stopped"] == "max_rounds" and "untrained" not in summary
        return
    assert trained == [1] and summary["stopped"] == rule
    first, second = summary["rounds"][0], summary["untrained"]
    assert second["round"] == 2 and second["accepted"] < first["accepted"]
    assert "evolve-2/train" not in rehearsal.worked


def test_rounds_may_go_up_without_a_stop(rehearsal: Rehearsal, tmp_path: Path) -> None:
    rehearsal.skills = {**SKILLS, "evolve-1": 0.9}
    assert len(rehearsal.run(small(tmp_path, "evolve.stop=acceptance"))["rounds"]) == 2


def test_nothing_accepted_is_an_error_in_the_first_round_and_a_stop_later(rehearsal: Rehearsal, tmp_path: Path) -> None:
    rehearsal.skills = {**SKILLS, "evolve-1": 0.0}
    summary = rehearsal.run(small(tmp_path, "evolve.rounds=3"))
    assert summary["stopped"] == "nothing_accepted" and [entry["round"] for entry in summary["rounds"]] == [1]
    assert summary["untrained"]["accepted"] == 0 and summary["untrained"]["call_diversity"] is None
    assert sum(summary["untrained"]["rejected"].values()) == summary["untrained"]["queries"]

    rehearsal.skills = {**SKILLS, "decomposed": 0.0}
    with pytest.raises(TrainingError, match=r"accepted none of \d+ queries \(\d+ tools_unparseable") as error:
        rehearsal.run(small(tmp_path, "name=first"))
    assert "train.epochs" in str(error.value) and "evolve-1/evolve" in str(error.value)
    assert (tmp_path / "first/decomposed/train/done.json").exists()


def test_a_run_that_stops_leaves_cards_in_the_models_that_it_finished(
    rehearsal: Rehearsal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rehearsal.kill = lambda place: place == "evolve-1/train"
    with pytest.raises(Killed):
        rehearsal.run(small(tmp_path))
    cards = sorted((tmp_path / "small").rglob("README.md"))
    assert [card.parent.parent.parent.name for card in cards] == ["adaption", "decomposed"]
    assert "model-index" in cards[0].read_text(), "with the evaluations that are done"

    def broken(store: Store) -> list[str]:
        raise ValueError("no card")

    monkeypatch.setattr("toolace.report.write_model_cards", broken)
    with pytest.raises(Killed):
        rehearsal.run(small(tmp_path))


def test_votes_that_all_tie_are_an_error_that_says_so(rehearsal: Rehearsal, tmp_path: Path) -> None:
    drawn = Counter[str]()

    def torn(sample: Any, request: Request, skill: float) -> Completion:
        if request.sampling.temperature == 0:
            return rehearsal.say(sample, request, 1.0)
        drawn[sample.id] += 1
        return Completion(f"[{request.chat.tools[0].name}(x={drawn[sample.id] % 2})]")

    rehearsal.answer = torn
    with pytest.raises(TrainingError, match=r"accepted none of (\d+) queries \(\1 tie\).*evolve\.accept_share"):
        rehearsal.run(small(tmp_path, "evolve.rules=false"))
    assert set(drawn.values()) == {8}, "a tie is known only when all votes are in"


def test_a_row_that_fails_is_counted(rehearsal: Rehearsal, tmp_path: Path) -> None:
    def fails(sample: Any, request: Request, skill: float) -> Completion:
        if request.sampling.temperature > 0 and sample.id == poor[0]:
            raise ValueError("out of luck")
        return rehearsal.say(sample, request, 1.0 if sample.id == poor[0] else skill)

    poor = [""]
    rehearsal.kill = lambda place: place.startswith("evolve-1/evolve") and not poor[0]
    with pytest.raises(Killed):
        rehearsal.run(small(tmp_path))
    query = next(iter(read_samples(Store(str(tmp_path / "small/queries")))))
    poor[0] = query.id
    rehearsal.answer = fails
    first = rehearsal.run(small(tmp_path))["rounds"][0]
    assert first["errors"] == 1
    assert first["queries"] == first["accepted"] + sum(first["rejected"].values()) + 1
    assert poor[0] not in {row["id"] for row in accepted(tmp_path / "small", 1)}


def test_invocation_alone(rehearsal: Rehearsal, tmp_path: Path) -> None:
    arm = ("evolve.adaption=false", "evolve.generation=false", "evolve.rounds=0")
    summary = rehearsal.run(small(tmp_path, *arm))
    (stage,) = summary["stages"]
    assert stage["name"] == "decomposed" and summary["rounds"] == []
    assert rehearsal.started == {"decomposed/train": "base"}
    assert stage["train"]["rows_generation"] == 0 < stage["train"]["rows_invocation"]
    assert not (tmp_path / "small/queries").exists()


def test_every_training_can_start_from_the_base(rehearsal: Rehearsal, tmp_path: Path) -> None:
    rehearsal.run(small(tmp_path, "evolve.start=base"))
    assert set(rehearsal.started.values()) == {"base"} and len(rehearsal.started) == 4


def test_without_descriptions_adaption_is_an_error_that_says_so(rehearsal: Rehearsal, tmp_path: Path) -> None:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Weather in town {number}?"},
                {"role": "assistant", "tool_calls": [{"function": {"name": "weather", "arguments": "{}"}}]},
            ],
            "tools": [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}],
        }
        for number in range(20)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = ("evaluate.splits=[test]", "data.dev=null", "data.test.rows=10")
    own += (f"data.train={{type: files, path: {tmp_path}/rows.jsonl}}", "data.dev_share=0")
    with pytest.raises(DataError, match=r"(?s)with a description. Set evolve\.adaption=false.*no_description"):
        rehearsal.run(small(tmp_path, *own))
    assert rehearsal.run(small(tmp_path, *own, "evolve.adaption=false", "evolve.rounds=0"))["stages"]


def test_no_query_to_evolve_on_is_an_error(rehearsal: Rehearsal, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no query to evolve on: evolve\.held_out 1e-06"):
        rehearsal.run(small(tmp_path, "evolve.held_out=0.000001"))
    with pytest.raises(DataError, match="nothing to learn in stage 2"):
        rehearsal.run(small(tmp_path, "name=other", "evolve.held_out=0.999999", "evolve.adaption=false"))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (("evolve.generation=false",), "needs evolve.generation"),
        (("evolve.stop=dev", "evaluate.splits=[test]"), "evolve.stop dev"),
        (("evolve.held_out=1",), "evolve.held_out"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, settings: tuple[str, ...], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        small(tmp_path, *settings)
