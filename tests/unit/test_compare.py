"""Comparisons end to end with a scripted model, and their statistics."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from compare_runs import Maker
from hypothesis import given, settings
from hypothesis import strategies as st

from toolace.errors import ConfigError, StorageError
from toolace.report.comparison import render_comparison
from toolace.rounds.compare import compare, comparison_table, is_finished
from toolace.rounds.compare_interval import bootstrap_interval, paired_differences
from toolace.rounds.compare_outcome import mean, spread
from toolace.rounds.compare_plan import Comparison, load_comparison, plan_runs
from toolace.rounds.lock import RunLock
from toolace.rounds.progress import Progress
from toolace.storage import Store

FILE = """
base: base.yaml
root: {root}
name: small
seeds: [1, 2]
settings:
  data: {{train.rows: 30, dev: {{type: synthetic, rows: 6}}, test: {{type: synthetic, rows: 20}}}}
  rounds: {{bootstrap_rows: 8, max_rounds: 2}}
  probe: {{k: 4, mode: full}}
  evaluate: {{splits: [dev, test], fixed_rounds: [1, 2], margins: [0.5, 2]}}
pools: {{clean: , wrong10: {{data.train.wrong_share: 0.3}}}}
arms:
  solved:
  plain: {{scored: plain_sft}}
  copy:
  one_round: {{settings: {{rounds.max_rounds: 1, rounds.plain_sft: false}}}}
  no_keep: {{settings: {{corpus.keep_pairs: false, rounds.plain_sft: false}}, pools: [clean]}}
reference: solved
"""


def load(root: Path, *overrides: str) -> Comparison:
    (root / "base.yaml").write_text("{}")
    (root / "file.yaml").write_text(FILE.format(root=root / "runs"))
    return load_comparison(root / "file.yaml", overrides)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Maker, dict[str, Any]]:
    root = tmp_path_factory.mktemp("compare")
    maker = Maker()
    return root, maker, compare(load(root), quiet(), maker)


def quiet() -> Progress:
    import io

    return Progress(io.StringIO())


def test_the_outcome_has_what_other_programs_rely_on(finished: tuple[Path, Maker, dict[str, Any]]) -> None:
    root, _, outcome = finished
    home = root / "runs" / "small"
    assert json.loads((home / "comparison.json").read_text()) == json.loads(json.dumps(outcome))
    assert outcome["failed"] == {} and len(outcome["arms"]) == 9
    for name, arm in outcome["arms"].items():
        assert name == f"{arm['arm']}/{arm['pool']}/{arm['model']}" and arm["seeds"] == [1, 2]
        assert {"direct", "adaptive", "mean_calls", "repairs", "regressions", "interval"} <= arm.keys()
        assert arm["interval"][0] <= arm["difference"] <= arm["interval"][1]
        runs = [json.loads((home / "runs" / one["run"] / "summary.json").read_text()) for one in arm["by_seed"]]
        model = "plain_sft" if arm["arm"] == "plain" else None
        scores = [run[model]["test"] if model else run["rounds"][-1]["test"] for run in runs]
        for field in ("direct", "adaptive", "mean_calls", "repairs", "regressions"):
            assert arm[field] == pytest.approx(sum(one[field] for one in scores) / 2)
        a, b = (one["direct"] for one in scores)
        assert arm["spread"]["direct"] == pytest.approx(abs(a - b) / math.sqrt(2))
        assert arm["n"] == 20 and arm["pairs"] == 40
        gained = arm["direct"] - outcome["arms"][f"solved/{arm['pool']}/{arm['model']}"]["direct"]
        assert arm["difference"] == pytest.approx(gained)
        assert {"direct", "adaptive", "fixed_1", "fixed_2", "margin_2"} <= arm["ways"].keys()


def test_the_same_arm_twice_differs_by_nothing(finished: tuple[Path, Maker, dict[str, Any]]) -> None:
    arms = finished[2]["arms"]
    for pool in ("clean", "wrong10"):
        assert arms[f"copy/{pool}/tiny_base"]["interval"] == [0.0, 0.0] == arms[f"solved/{pool}/tiny_base"]["interval"]
    assert arms["no_keep/clean/tiny_base"]["interval"] != [0.0, 0.0]


def test_work_that_is_the_same_is_done_once(finished: tuple[Path, Maker, dict[str, Any]]) -> None:
    root, maker, outcome = finished
    for name, worked in maker.worked.items():
        arm = name.split("-")[0]
        if arm in ("plain", "copy", "one_round"):
            assert worked == [], name
        if arm == "no_keep":
            assert worked == [
                "round-1/train", "round-1/eval-dev", "round-1/eval-test", "round-2/probe", "round-2/train",
                "round-2/eval-dev", "round-2/eval-test",
            ]  # fmt: skip
    entries = len([entry for entry in (root / "runs/small/stages").iterdir() if entry.is_dir()])
    assert outcome["stages"]["made"] == entries and outcome["stages"]["shared"] > entries


def test_wrong_references_are_counted(finished: tuple[Path, Maker, dict[str, Any]]) -> None:
    arms = finished[2]["arms"]
    (first, _) = arms["solved/wrong10/tiny_base"]["probes"]
    found = first["wrong_references"]
    assert 0.1 < found["pool"] < 0.5 and 0 <= found["selected"] <= 1 and 0 <= found["corpus"] <= 1
    assert "wrong_references" not in arms["solved/clean/tiny_base"]["probes"][0]
    assert sum(first["right_draws"].values()) + sum(first["stopped_early"].values()) == first["probed"] - 2
    assert arms["plain/clean/tiny_base"]["probes"] == [] and first["seeds"] == 2
    assert [s["model"] for s in arms["solved/clean/tiny_base"]["by_round"]] == [
        "base", "bootstrap", "round-1", "round-2"
    ]  # fmt: skip
    assert [s["model"] for s in arms["plain/clean/tiny_base"]["by_round"]] == ["base", "plain_sft"]


def test_the_table_has_every_arm(finished: tuple[Path, Maker, dict[str, Any]]) -> None:
    outcome = finished[2]
    text = comparison_table(outcome)
    for name, arm in outcome["arms"].items():
        (line,) = (line for line in text.splitlines() if name in line)
        assert f"{100 * arm['direct']:.1f} ± {100 * arm['spread']['direct']:.1f}" in line
        assert f"{100 * arm['interval'][0]:+.1f} to {100 * arm['interval'][1]:+.1f}" in line
    assert f"{outcome['stages']['made']} stages made" in text


def test_the_page_asks_no_host(finished: tuple[Path, Maker, dict[str, Any]]) -> None:
    from test_report import Page

    root, _, _ = finished
    html = (root / "runs/small/comparison.html").read_text()
    page = Page(html)
    assert not page.open
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "img", "iframe", "object") or not attributes
        for name in ("src", "href", "action", "srcset"):
            assert (attributes.get(name) or "#").startswith("#")
    assert "http" not in html.replace("http-equiv", "")
    titles = ("Accuracy by round, direct", "Repairs and regressions", "Accuracy against tokens: solved")
    titles += ("Right draws of 4: solved, round 2", "Classes by round: no_keep", "Share of wrong references")
    titles += ("Class transitions: solved, round 1 → round 2",)
    for title in titles:
        assert title in page.text
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))


def test_names_and_errors_cannot_become_markup(finished: tuple[Path, Maker, dict[str, Any]]) -> None:
    outcome = json.loads(json.dumps(finished[2]))
    evil = "</style><script>alert(1)</script>"
    outcome["failed"] = {evil: evil}
    outcome["name"] = evil
    for arm in outcome["arms"].values():
        arm["arm"] = arm["pool"] = arm["model"] = evil
    assert "<script" not in render_comparison(evil, outcome)


def test_again_does_only_what_is_missing(finished: tuple[Path, Maker, dict[str, Any]]) -> None:
    root, _, outcome = finished
    comparison = load(root)
    again = Maker()
    assert compare(comparison, quiet(), again) == outcome and again.worked == {}
    (root / "runs/small/runs/no_keep-clean-tiny_base-seed2/round-2/train/done.json").unlink()
    assert [run.config.name for run in plan_runs(comparison) if not is_finished(run)] == [
        "no_keep-clean-tiny_base-seed2"
    ]
    assert compare(comparison, quiet(), again)["arms"] == outcome["arms"]
    assert again.worked == {"no_keep-clean-tiny_base-seed2": []}, "the shared stage is taken"


def test_changed_settings_are_not_taken_for_finished(finished: tuple[Path, Maker, dict[str, Any]]) -> None:
    root, _, outcome = finished
    changed = compare(load(root, "arms.copy.settings.probe.k=3"), quiet(), Maker())
    assert len(changed["failed"]) == 4 and all("k: 4 -> 3" in error for error in changed["failed"].values())
    assert changed["arms"]["solved/clean/tiny_base"] == outcome["arms"]["solved/clean/tiny_base"]
    assert "copy/clean/tiny_base" not in changed["arms"]


def test_changed_files_and_weights_are_not_taken_for_finished(
    finished: tuple[Path, Maker, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, _, _ = finished
    made = root / "runs/small/runs/solved-clean-tiny_base-seed1/data"
    for split in ("train", "test"):
        shutil.copytree(made / split, tmp_path / split, ignore=shutil.ignore_patterns("*.json"))
    overrides = (
        "pools={clean: {}}", "arms={solved: {}}", "seeds=[1]", "settings.data.dev_share=0.2",
        *(f"settings.data.{split}={{type: files, path: {tmp_path / split}}}" for split in ("train", "test")),
    )  # fmt: skip
    comparison = load(tmp_path, *overrides)
    outcome = compare(comparison, quiet(), Maker())
    assert not outcome["failed"], outcome["failed"]
    again = Maker()
    assert compare(comparison, quiet(), again) == outcome and not again.worked
    (part,) = (tmp_path / "test").iterdir()
    pq.write_table(pq.read_table(part).slice(1), part)
    changed = compare(comparison, quiet(), Maker())
    assert "input.test." in changed["failed"]["solved-clean-tiny_base-seed1"], changed
    shutil.rmtree(tmp_path / "test")
    assert compare(comparison, quiet(), Maker())["failed"] == {}, "what was read from files that are gone stays"
    shutil.copytree(made / "test", tmp_path / "test", ignore=shutil.ignore_patterns("*.json"))
    assert all(is_finished(run) for run in plan_runs(comparison))
    monkeypatch.setattr("toolace.rounds.context.fingerprint", lambda folder: "other weights")
    assert not any(is_finished(run) for run in plan_runs(comparison))


def test_a_failed_run_does_not_lose_the_others(tmp_path: Path) -> None:
    overrides = ("pools={clean: {}}", "arms.copy.settings.probe.k=3", "settings.data.train.rows=12")
    failing = compare(load(tmp_path, *overrides), quiet(), Maker(fail="solved-clean-tiny_base-seed2"))
    assert list(failing["failed"]) == ["solved-clean-tiny_base-seed2"] and "on fire" in str(failing["failed"])
    assert failing["arms"]["solved/clean/tiny_base"]["seeds"] == [1]
    assert failing["arms"]["one_round/clean/tiny_base"]["pairs"] == 20, "only rows that both have are compared"
    assert "on fire" in (tmp_path / "runs/small/comparison.html").read_text()
    maker = Maker()
    healed = compare(load(tmp_path, *overrides), quiet(), maker)
    assert list(maker.worked) == ["solved-clean-tiny_base-seed2"] and not healed["failed"]


def test_an_interrupted_comparison_goes_on(tmp_path: Path) -> None:
    class Interrupted(Maker):
        def __call__(self, *args: Any) -> None:
            if self.worked:
                raise KeyboardInterrupt
            super().__call__(*args)

    comparison = load(tmp_path, "pools={clean: {}}", "settings.data.train.rows=12", "seeds=[1]")
    with pytest.raises(KeyboardInterrupt):
        compare(comparison, quiet(), Interrupted())
    assert not (tmp_path / "runs/small/lock.json").exists()
    maker = Maker()
    compare(comparison, quiet(), maker)
    assert [name.split("-")[0] for name in maker.worked] == ["plain", "copy", "one_round", "no_keep"]


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    comparison = load(tmp_path)
    with RunLock(Store(comparison.home)), pytest.raises(StorageError, match="in use"):
        compare(comparison, quiet(), Maker())


def test_settings_that_cannot_be_stop_everything_first(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"probe\.q"):
        compare(load(tmp_path, "arms.copy.settings.probe.q=3"), quiet(), Maker())
    assert not (tmp_path / "runs").exists()


def test_paired_differences_take_rows_of_both() -> None:
    assert paired_differences({"a": True, "b": False, "c": True}, {"b": True, "a": True, "d": False}) == [0, -1]


@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=40))
@settings(max_examples=30, deadline=None)
def test_intervals_are_symmetric_and_inside_the_values(values: list[int]) -> None:
    low, high = bootstrap_interval(values, resamples=400) or (1.0, 0.0)
    other = bootstrap_interval([-value for value in values], resamples=400)
    assert other == (-high, -low)
    assert min(values) <= low <= high <= max(values)
    assert bootstrap_interval(values, resamples=400) == (low, high), "deterministic"


def test_the_interval_of_equal_arms_is_zero() -> None:
    assert bootstrap_interval([0] * 50) == (0.0, 0.0)
    assert bootstrap_interval([]) is None


@pytest.mark.parametrize(("n", "ones"), [(50, 10), (400, 37), (1200, 600)])
def test_the_interval_is_that_of_the_binomial(n: int, ones: int) -> None:
    # Resampling n values of 0 and 1 draws a binomial number of ones: its exact quantiles are known.
    def quantile(share: float) -> int:
        p, total = ones / n, 0.0
        for k in range(n + 1):
            log = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
            total += math.exp(log + k * math.log(p) + (n - k) * math.log(1 - p))
            if total >= share:
                return k
        return n

    low, high = bootstrap_interval([1] * ones + [0] * (n - ones)) or (0.0, 0.0)
    tolerance = max(1, round(0.06 * math.sqrt(ones * (1 - ones / n))))
    assert abs(low * n - quantile(0.025)) <= tolerance
    assert abs(high * n - quantile(0.975)) <= tolerance


def test_mean_and_spread() -> None:
    assert mean([1, 2, 6]) == 3 and spread([1, 2, 6]) == pytest.approx(math.sqrt(7)) and spread([4]) is None


def test_the_command_names_failed_runs(tmp_path: Path) -> None:
    load(tmp_path)
    arguments = [str(tmp_path / "file.yaml"), "--set", "seeds=[1]", "--set", "pools={clean: {}}"]
    arguments += ["--set", "arms={solved: {}}", "--set", "settings.cluster.address=nonsense", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "toolace", "compare", *arguments], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 1 and "run solved-clean-tiny_base-seed1" in done.stderr
    assert "Traceback" not in done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["arms"] == {} and "nonsense" in outcome["failed"]["solved-clean-tiny_base-seed1"]
    assert (tmp_path / "runs/small/comparison.html").exists()
