"""Comparison files: which runs they ask for, with which settings, and how many stages those share."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from compare_runs import ComparedRun

from toolace.config import load_config
from toolace.errors import ConfigError
from toolace.rounds.compare import _mark_finished
from toolace.rounds.compare_dry import count_plan, describe, planned_steps
from toolace.rounds.compare_plan import Comparison, PlannedRun, leaves, load_comparison, plan_runs
from toolace.rounds.context import share_scope
from toolace.rounds.shared import SharedStages, identity_of
from toolace.rounds.summary import SUMMARY
from toolace.storage import StageMismatch, Store
from toolace.training.scratch_cache import checkpoint_folder
from toolace.training.scratch_config import load_tiny_base_config

ROOT = Path(__file__).resolve().parent.parent.parent
ABLATIONS = ROOT / "configs" / "ablations.yaml"


def comparison(tmp_path: Path, text: str = "arms: {a: {}}\nreference: a", *overrides: str) -> Comparison:
    (tmp_path / "base.yaml").write_text("data: {dev: {rows: 5}, test: {rows: 5}}\nrounds: {bootstrap_rows: 4}\n")
    file = tmp_path / "comparison.yaml"
    file.write_text(f"base: base.yaml\nroot: {tmp_path}/runs\n{text}\n")
    return load_comparison(file, overrides)


def test_every_arm_with_every_seed_pool_and_model(tmp_path: Path) -> None:
    text = """
seeds: [4, 5]
pools: {clean: , noisy: {data.train.wrong_share: 0.1}}
models: {tiny: "builtin:tiny_base", other: {model.path: x/y, model.format: hermes}}
arms: {a: , b: {settings: {probe: {k: 2}}, pools: [noisy]}, c: {models: [other]}}
reference: a
"""
    runs = plan_runs(comparison(tmp_path, text))
    assert [run.key for run in runs[:7]] == [
        "a/clean/tiny", "a/noisy/tiny", "b/noisy/tiny", "a/clean/other", "c/clean/other", "a/noisy/other",
        "b/noisy/other",
    ]  # fmt: skip
    assert len(runs) == 2 * 8 and [run.seed for run in runs] == [4] * 8 + [5] * 8
    assert len({run.config.run_dir for run in runs}) == len(runs)
    last = runs[-1].config
    assert (last.model.path, last.model.format) == ("x/y", "hermes")
    assert runs[-1].config.run_dir == f"{tmp_path}/runs/comparison/runs/c-noisy-other-seed5"
    noisy = {run.key for run in runs if run.config.data.train.wrong_share == 0.1}  # type: ignore[union-attr]
    assert noisy == {run.key for run in runs if run.pool == "noisy"}
    assert {run.arm for run in runs if run.config.probe.k == 2} == {"b"}


def test_a_seed_seeds_draws_and_synthetic_data(tmp_path: Path) -> None:
    runs = plan_runs(comparison(tmp_path, "seeds: [1, 7]\narms: {a: {}}\nreference: a"))
    data = [run.config.data for run in runs]
    seeds = [[d.train.seed, d.dev.seed, d.test.seed] for d in data]  # type: ignore[union-attr]
    assert seeds == [[11, 12, 13], [71, 72, 73]] and [run.config.seed for run in runs] == [1, 7]
    demo = load_config(ROOT / "configs" / "demo.yaml")
    first = plan_runs(load_comparison(ABLATIONS))[0].config
    assert first.data.test == demo.data.test, "seed 1 is the demo's own data"


def test_files_are_the_same_for_every_seed(tmp_path: Path) -> None:
    text = "arms: {a: }\nreference: a\npools: {own: {data.train: {type: files, path: rows.jsonl}}}"
    first, second, _ = (run.config.data.train for run in plan_runs(comparison(tmp_path, text)))
    assert first == second and first.path == "rows.jsonl"  # type: ignore[union-attr]


def test_leaves_take_sources_whole() -> None:
    nested = {"train": {"lora": {"rank": 4}}, "data.train": {"type": "files", "path": "x"}, "a.b": {"c": 1}}
    assert dict(leaves(nested)) == {
        "train.lora.rank": 4, "data.train": {"type": "files", "path": "x"}, "a.b.c": 1
    }  # fmt: skip


def test_overrides_are_of_the_file(tmp_path: Path) -> None:
    overrides = ("seeds=[9]", "settings.probe.k=3", "arms.b.settings.train.epochs=2")
    runs = plan_runs(comparison(tmp_path, "settings: {probe.k: 5}\narms: {a: }\nreference: a", *overrides))
    assert [(run.arm, run.seed, run.config.probe.k, run.config.train.epochs) for run in runs] == [
        ("a", 9, 3, 3.0),
        ("b", 9, 3, 2.0),
    ]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("arms: {a: }\nreference: b", "reference 'b' is no arm"),
        ("arms: {}\nreference: a", "arms"),
        ("arms: {a-b: }\nreference: a-b", "a-b"),
        ("arms: {a: {pools: [x]}}\nreference: a", "pool 'x'"),
        ("arms: {a: {models: [x]}}\nreference: a", "model 'x'"),
        ("arms: {a: }\nreference: a\nseeds: [1, 1]", "twice"),
        ("arms: {a: }\nreference: a\nseeds: []", "seeds"),
        ("arms: {a: {scored: best}}\nreference: a", "arms.a.scored"),
        ("arms: {a: }\nreference: a\nodd: 1", "odd"),
        ("arms: [a]\nreference: a", "arms"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigError, match=r"comparison\.yaml") as error:
        comparison(tmp_path, text)
    assert named in str(error.value)


@pytest.mark.parametrize(
    ("arm", "named"),
    [
        ("{settings: {probe.q: 1}}", "probe.q"),
        ("{settings: {seed: 4}}", "arms.a.settings sets seed"),
        ("{settings: {name: x}}", "sets name"),
        ("{settings: {seed.x: 4}}", "sets seed.x"),
        ("{scored: plain_sft, settings: {rounds.plain_sft: false}}", "scores plain_sft"),
        ("{scored: bootstrap, settings: {rounds.bootstrap_rows: 0}}", "scores bootstrap"),
        ("{scored: round-9}", "scores round-9"),
    ],
)
def test_arms_that_cannot_be_are_refused_before_anything_runs(tmp_path: Path, arm: str, named: str) -> None:
    with pytest.raises(ConfigError) as error:
        plan_runs(comparison(tmp_path, f"arms: {{a: {arm}}}\nreference: a"))
    assert named in str(error.value)


def test_a_file_without_a_base_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("arms: {a: }\nreference: a\n")
    with pytest.raises(ConfigError, match="`base` must name"):
        load_comparison(tmp_path / "c.yaml")
    (tmp_path / "c.yaml").write_text("base: none.yaml\narms: {a: }\nreference: a\n")
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        plan_runs(load_comparison(tmp_path / "c.yaml"))


def test_the_shipped_file_covers_the_list_and_shares_more_than_half(tmp_path: Path, tiny_base: Path) -> None:
    ablations = load_comparison(ABLATIONS, [f"root={tmp_path}"])
    runs = plan_runs(ablations)
    assert len(runs) == 3 * (7 + 8) and len(ablations.seeds) == 3
    assert {run.config.data.train.wrong_share for run in runs} == {0.0, 0.1}  # type: ignore[union-attr]
    assert all(run.config.evaluate.fixed_rounds == [1, 2, 3, 4, 5] for run in runs)
    plan = count_plan(runs, SharedStages(tmp_path / "stages"))
    rows = {row["run"]: row for row in plan["by_run"]}
    for seed in ablations.seeds:
        for pool in ablations.pools:
            # what a run with more rounds has made is not made again, nor is what plain SFT shares with its run
            assert rows[f"one_round-{pool}-tiny_base-seed{seed}"]["to_make"] == 0
            assert rows[f"plain_sft-{pool}-tiny_base-seed{seed}"]["to_make"] == 0
            # another corpus: its own rounds, the same data, base, bootstrap, first probe and selection
            assert rows[f"no_keep-{pool}-tiny_base-seed{seed}"]["to_share"] == 7
            # another rule stops the probe at other draws
            assert rows[f"band-{pool}-tiny_base-seed{seed}"]["to_share"] == 5
    assert plan["to_make"] + plan["to_share"] == plan["stages"] and plan["to_share"] > plan["stages"] / 2
    assert plan["trainings"] == 3 * (4 + 4 * 2 + 4 + 5 * 2)
    alone = count_plan(runs, None)
    assert alone["to_share"] == 0 and alone["to_make"] == plan["stages"]
    assert not list(tmp_path.iterdir()), "a plan writes nothing"


def test_planned_keys_are_those_of_the_run(tmp_path: Path, tiny_base: Path) -> None:
    text = "settings: {data.train.rows: 12}\narms: {a: {settings: {rounds.max_rounds: 1}}}\nreference: a"
    run = plan_runs(comparison(tmp_path, text))[0]
    planned = [stage for step in planned_steps(run.config) for stage in step.stages]
    made = ComparedRun(run.config, SharedStages(tmp_path / "stages"))
    keys = {made.make_data().key}
    names = [stage.name for stage in planned]
    assert names[:5] == ["data", "base/eval-dev", "base/eval-test", "bootstrap/corpus", "bootstrap/train"]
    assert planned[0].key in keys and len(names) == len(set(names)) == 17
    scope = share_scope(run.config)
    assert (tmp_path / "stages" / identity_of(planned[0], scope)).is_dir()


ONE = "seeds: [1]\nsettings: {data.train.rows: 12, rounds.max_rounds: 2}\narms: {a: }\nreference: a"


@pytest.fixture
def made(tmp_path: Path, tiny_base: Path) -> PlannedRun:
    """The only run of `ONE`, all of whose stages are done."""
    (run,) = plan_runs(comparison(tmp_path, ONE))
    for plain in (False, True):  # plain SFT depends on what the rounds counted
        for step in planned_steps(run.config):
            for stage in step.looked_for or step.stages:
                if stage.name.startswith("plain_sft/") == plain:
                    stage.publish({"target_tokens": len(list(Path(run.config.run_dir).rglob("done.json")))})
    return run


def counted(tmp_path: Path, *overrides: str) -> dict[str, Any]:
    plan = count_plan(plan_runs(comparison(tmp_path, ONE, *overrides)), None)
    return {name: plan[name] for name in ("done", "to_make", "refused", "trainings", "engine_starts")}


def test_a_plan_tells_stages_of_other_settings_from_those_that_are_done(made: PlannedRun, tmp_path: Path) -> None:
    assert counted(tmp_path) == {"done": 23, "to_make": 0, "refused": 0, "trainings": 0, "engine_starts": 0}
    runs = plan_runs(comparison(tmp_path, ONE, "settings.train.epochs=7"))
    plan = count_plan(runs, None)
    assert (plan["done"], plan["to_make"], plan["refused"]) == (5, 0, 18)  # data, the base, two corpora
    with pytest.raises(StageMismatch) as told:
        for step in planned_steps(runs[0].config):
            for stage in step.looked_for or step.stages:
                stage.done()
    (row,) = plan["by_run"]
    assert (row["refused_at"], row["changes"]) == ("bootstrap/train", told.value.changes)
    assert row["changes"] == ["train.settings.epochs: 3.0 -> 7.0"]
    text = describe(plan, "x")
    assert "1 run(s) will be refused, for 18 of their stages were made from other settings" in text
    assert "at bootstrap/train:\n    train.settings.epochs: 3.0 -> 7.0\nTake another name" in text


def test_a_plan_knows_other_weights_and_damage(
    made: PlannedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (Path(made.config.run_dir) / "round-2/train/done.json").write_text("[]")
    (row,) = count_plan([made], None)["by_run"]
    assert (row["refused"], row["refused_at"]) == (1, "round-2/train") and "is damaged" in row["changes"][0]
    monkeypatch.setattr("toolace.rounds.context.fingerprint", lambda folder: "other weights")
    (row,) = count_plan([made], None)["by_run"]
    assert row["done"] == 3 and row["refused_at"] == "base/eval-dev"  # the data, and corpora that no model decided
    assert row["changes"][0].startswith("model: ") and row["changes"][0].endswith(" -> 'other weights'")


def test_a_plan_makes_plain_sft_again_for_more_rounds(made: PlannedRun, tmp_path: Path) -> None:
    found = counted(tmp_path, "settings.rounds.max_rounds=3")
    # a round of six stages, and plain SFT with its two evaluations: no round's model was asked for a third before
    assert found == {"done": 20, "to_make": 9, "refused": 0, "trainings": 2, "engine_starts": 3}
    stopped = counted(tmp_path, "settings.rounds={max_rounds: 3, plateau: 0.1}")
    assert stopped == {"done": 23, "to_make": 6, "refused": 0, "trainings": 1, "engine_starts": 2}
    fewer = counted(tmp_path, "settings.rounds.max_rounds=1")
    assert fewer == {"done": 14, "to_make": 3, "refused": 0, "trainings": 1, "engine_starts": 1}


def test_of_a_finished_run_nothing_is_to_make(made: PlannedRun, tmp_path: Path) -> None:
    store = Store(made.config.run_dir)
    for name in ("round-2", "plain_sft"):  # as if it had stopped before
        store.delete(name)
    found = counted(tmp_path)
    assert (found["done"], found["to_make"]) == (13, 10)
    store.write_json(SUMMARY, {})
    _mark_finished(made)
    assert counted(tmp_path) == {"done": 13, "to_make": 0, "refused": 0, "trainings": 0, "engine_starts": 0}


def test_the_file_of_the_bases_has_the_main_arms_on_each(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLACE_CACHE", str(tmp_path / "cache"))
    bases = load_comparison(ROOT / "configs" / "bases.yaml", [f"root={tmp_path}/runs"])
    with pytest.raises(ConfigError, match=r"train_base\.py --config .*tiny_base_small\.yaml"):
        plan_runs(bases)
    folders = {"tiny_base": "builtin:tiny_base"}
    for name in ("small", "stablelm"):  # as if they were trained
        folder = checkpoint_folder(load_tiny_base_config(ROOT / "configs" / f"tiny_base_{name}.yaml"))
        shutil.copytree(tiny_base, folder)
        (folder / "config.json").write_text((folder / "config.json").read_text() + "\n" * len(folders))
        folders[name] = str(folder)
    runs = plan_runs(bases)
    assert len(runs) == 3 * 3 * 3
    assert {(run.arm, run.model, run.config.model.path) for run in runs} == {
        (arm, model, path) for arm in ("solved", "plain_sft", "base") for model, path in folders.items()
    }
    ablations = load_comparison(ABLATIONS, [f"root={tmp_path}/runs"])
    same = [{**c.settings, "seeds": c.seeds, "reference": c.reference} for c in (bases, ablations)]
    assert same[0] == same[1], "what both compare is the same"
    plan = count_plan(runs, SharedStages(tmp_path / "stages"))
    made = [row["run"] for row in plan["by_run"] if row["to_make"]]
    assert len(made) == 9 and all(name.startswith("solved-") for name in made), "the other arms share all they need"


def test_a_recipe_that_is_none_is_named(tmp_path: Path) -> None:
    text = "arms: {a: }\nreference: a\nmodels: {m: {recipe: %s}}"
    with pytest.raises(ConfigError, match=r"absent\.yaml"):
        plan_runs(comparison(tmp_path, text % "absent.yaml"))
    with pytest.raises(ConfigError, match=r"models\.m\.recipe is 3"):
        plan_runs(comparison(tmp_path, text % "3"))
