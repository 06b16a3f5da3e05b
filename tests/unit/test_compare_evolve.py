"""Comparisons of evolve arms with a scripted model: what they share, which models they score, what the outcome says."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from evolve_runs import Rehearsal

from toolace.errors import ConfigError
from toolace.rounds.compare import compare, comparison_table, is_finished
from toolace.rounds.compare_dry import count_plan, planned_steps
from toolace.rounds.compare_plan import Comparison, load_comparison, plan_runs
from toolace.rounds.context import share_scope
from toolace.rounds.progress import Progress
from toolace.rounds.shared import SharedStages, identity_of

CONFIGS = Path(__file__).resolve().parent.parent.parent / "configs"
FILE = """
base: base.yaml
root: {root}
name: small
method: evolve
seeds: [1, 2]
settings:
  data: {{train.rows: 60, dev: {{type: synthetic, rows: 6}}, test: {{type: synthetic, rows: 12}}}}
  evolve.rounds: 2
  rollout.max_error_share: 0.1
  evaluate: {{splits: [test], fixed_rounds: [1], margins: []}}
arms:
  last:
  first: {{scored: evolve-1}}
  stage_two: {{scored: decomposed}}
  one_vote: {{settings: {{evolve.votes: 1}}}}
  invo: {{settings: {{evolve: {{adaption: false, generation: false, rounds: 0}}}}}}
reference: invo
"""


def load(root: Path, *overrides: str) -> Comparison:
    (root / "base.yaml").write_text("{}")
    (root / "file.yaml").write_text(FILE.format(root=root / "runs"))
    return load_comparison(root / "file.yaml", overrides)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], dict[str, Any]]:
    """The directory of a comparison, the work done in it, and its outcome."""
    root = tmp_path_factory.mktemp("compare")
    with pytest.MonkeyPatch.context() as patch:
        rehearsal = Rehearsal(patch)
        return root, rehearsal.worked, compare(load(root), Progress(io.StringIO()))


def test_each_arm_scores_its_model(finished: tuple[Path, list[str], dict[str, Any]]) -> None:
    root, _, outcome = finished
    assert outcome["failed"] == {}
    scored = {"last": "evolve-2", "first": "evolve-1", "stage_two": "decomposed", "one_vote": "evolve-2"}
    for arm, model in {**scored, "invo": "decomposed"}.items():
        found = outcome["arms"][f"{arm}/clean/tiny_base"]
        assert {one["model"] for one in found["by_seed"]} == {model} and found["seeds"] == [1, 2]
        runs = [
            json.loads((root / "runs/small/runs" / one["run"] / "summary.json").read_text()) for one in found["by_seed"]
        ]
        scores = [
            run["rounds"][int(model[-1]) - 1]["test"] if model.startswith("evolve") else run["stages"][-1]["scores"]
            for run in runs
        ]
        assert found["direct"] == pytest.approx(sum(one["direct"] for one in scores) / 2)
        assert found["sub_tasks"]["tools_valid"] == pytest.approx(sum(one["tools_valid"] for one in scores) / 2)
        assert found["probes"] == [] and arm in comparison_table(outcome)
    path = [step["model"] for step in outcome["arms"]["last/clean/tiny_base"]["by_round"]]
    assert path == ["base", "adaption", "decomposed", "evolve-1", "evolve-2"]
    assert [step["model"] for step in outcome["arms"]["invo/clean/tiny_base"]["by_round"]] == ["base", "decomposed"]


def test_rounds_of_evolution_are_summed_over_seeds(finished: tuple[Path, list[str], dict[str, Any]]) -> None:
    arms = finished[2]["arms"]
    for arm, rounds in (("last", 2), ("first", 1), ("stage_two", 0), ("one_vote", 2)):
        found = arms[f"{arm}/clean/tiny_base"]["evolution"]
        assert [entry["round"] for entry in found] == list(range(1, rounds + 1))
        for entry in found:
            assert entry["seeds"] == 2 and entry["accepted"] > 0
            assert entry["queries"] == entry["accepted"] + sum(entry["rejected"].values()) + entry["errors"]
    (vote, _) = arms["one_vote/clean/tiny_base"]["evolution"]
    assert vote["draws"] == vote["draws_full"] < arms["first/clean/tiny_base"]["evolution"][0]["draws"]


def test_what_is_the_same_is_made_once_and_is_the_planned_same(
    finished: tuple[Path, list[str], dict[str, Any]], tmp_path: Path
) -> None:
    root, worked, outcome = finished
    comparison = load(root)
    runs = plan_runs(comparison)
    planned = {
        identity_of(stage, share_scope(run.config))
        for run in runs
        for step in planned_steps(run.config, run.method)
        for stage in step.stages
    }
    assert planned == {entry.name for entry in (root / "runs/small/stages").iterdir()}
    trainings = [place for place in worked if place.endswith("/train")]
    # of each seed: adaption, decomposed, two rounds; two rounds with one vote; invocation alone
    assert len(trainings) == 2 * (4 + 2 + 1)
    assert all(is_finished(run) for run in runs) and count_plan(runs, None)["done"] == sum(outcome["stages"].values())
    fresh = count_plan(plan_runs(load(tmp_path)), SharedStages(tmp_path / "stages"))
    assert fresh["to_make"] == outcome["stages"]["made"] and fresh["trainings"] == len(trainings)
    (root / "runs/small/runs/one_vote-clean-tiny_base-seed2/evolve-2/evolve/done.json").unlink()
    assert [run.arm for run in runs if not is_finished(run)] == ["one_vote"]


@pytest.mark.parametrize(
    ("arm", "named"),
    [
        (
            "{scored: evolve-3}",
            "evolve-3, which its runs (method evolve) do not make: they make base, ad",
        ),
        ("{scored: round-1}", "scores round-1"),
        ("{scored: adaption, settings: {evolve.adaption: false}}", "scores adaption"),
        ("{scored: decomposed, method: rounds}", "scores decomposed, which its runs (method rounds)"),
        ("{settings: {evolve.generation: false}}", "needs evolve.generation"),
    ],
)
def test_arms_that_cannot_be_are_refused(tmp_path: Path, arm: str, named: str) -> None:
    with pytest.raises(ConfigError) as error:
        plan_runs(load(tmp_path, f"arms.odd={arm}"))
    assert named in str(error.value)


def test_an_arm_may_be_of_the_other_method(tmp_path: Path) -> None:
    runs = plan_runs(load(tmp_path, "arms.rounds={method: rounds, scored: plain_sft}"))
    assert {run.arm: run.method for run in runs} == {
        "last": "evolve", "first": "evolve", "stage_two": "evolve", "one_vote": "evolve", "invo": "evolve",
        "rounds": "rounds",
    }  # fmt: skip


def test_the_shipped_file_has_the_rows_of_the_papers_ablation(tmp_path: Path, tiny_base: Path) -> None:
    runs = plan_runs(load_comparison(CONFIGS / "ablations_evolve.yaml", [f"root={tmp_path}"]))
    evolve = {run.arm: run.config.evolve for run in runs}
    rows = {name: (one.adaption, one.generation, one.rounds) for name, one in evolve.items()}
    assert rows["invo"] == (False, False, 0) and rows["invo_adaption"] == (True, False, 0)
    assert rows["invo_gen"] == (False, True, 0) and rows["invo_gen_adaption"] == rows["evolve_3"] == (True, True, 3)
    assert evolve["one_vote"].votes == 1 and not evolve["no_rules"].rules
    assert {run.scored for run in runs} == {"last", "decomposed", "evolve-1", "evolve-2"}
    plan = count_plan(runs, SharedStages(tmp_path / "stages"))
    # a seed: stages 1 and 2, three rounds; three other stages 2; a round of one vote, of no rules, of strict votes
    assert plan["trainings"] == 3 * (2 + 3 + 3 + 3)
