"""Rollouts on Ray Data with the scripted engine: several jobs, what is counted, what is done again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rollout_fakes import (
    SCRIPTED,
    ByteCodec,
    bad_seven,
    count_one,
    expected,
    make_samples,
    no_answer,
    put_samples,
    shout,
    small_rollout,
    two_turns,
)

from toolace.config import Config, load_config
from toolace.engines import Script
from toolace.errors import ConfigError, EngineError, RolloutError
from toolace.rollouts.dataset import Progress, RolloutJob, read_records, run_rollouts
from toolace.rollouts.outputs import Counts
from toolace.rollouts.program import MakeProgram
from toolace.rounds.preflight import check_actors

pytestmark = pytest.mark.usefixtures("ray_local")


def test_actors_that_fit_no_node_of_this_machine_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    check_actors(Config())
    for override in ("rollout.cpus_per_actor=4000", "rollout.gpus_per_actor=4000"):
        with pytest.raises(ConfigError, match=r"4000.*fits nowhere.*cluster\.num_cpus"):
            check_actors(load_config(None, [override]))
        check_actors(load_config(None, [override, "cluster.address=auto"]))


def job(tmp_path: Path, name: str, n: int, program: MakeProgram = two_turns) -> RolloutJob:
    samples = tmp_path / "samples" / name
    if not samples.exists():
        put_samples(samples, n, shard_rows=5, prefix=name)
    return RolloutJob(name, str(samples), program, str(tmp_path / "out" / name), count_one)


def run(*jobs: RolloutJob, script=shout, on_progress=None, **rollout) -> dict[str, Counts]:
    options = {"rollout": small_rollout(**rollout), "script": script, "make_codec": ByteCodec}
    return run_rollouts(jobs, on_progress=on_progress, **SCRIPTED, **options)


def test_two_jobs_share_one_start(tmp_path: Path):
    told: list[Progress] = []
    jobs = [job(tmp_path, "dev", 12), job(tmp_path, "probe", 33)]
    counts = run(*jobs, on_progress=told.append)
    for name, n in (("dev", 12), ("probe", 33)):
        assert list(read_records(str(tmp_path / "out" / name))) == [expected(s) for s in make_samples(n, name)]
        assert (counts[name].rows, counts[name].requests, counts[name].failed) == (n, 3 * n, 0)
        assert counts[name].counted["letters"] == sum(len(expected(s)["first"]) for s in make_samples(n, name))
    assert len(told) == 3 + 7
    assert max(p.counts.rows for p in told if p.job == "probe") == 33


def test_a_second_run_does_only_what_is_missing(tmp_path: Path):
    one = job(tmp_path, "a", 23)
    run(one)
    before = list(read_records(one.out))
    stamps = {f.name: f.stat().st_mtime_ns for f in Path(one.out).glob("part-*")}
    (Path(one.out) / "part-00001.parquet").unlink()
    damaged = Path(one.out) / "part-00003.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    told: list[Progress] = []
    counts = run(one, on_progress=told.append)
    assert len(told) == 2
    assert counts["a"].rows == 23 and counts["a"].shards == 5
    assert list(read_records(one.out)) == before
    redone = {f.name for f in Path(one.out).glob("part-*") if f.stat().st_mtime_ns != stamps[f.name]}
    assert redone == {"part-00001.parquet", "part-00003.parquet"}
    told.clear()
    assert run(one, script=no_answer, on_progress=told.append)["a"].rows == 23
    assert told == []


def test_failed_rows_are_records_with_errors(tmp_path: Path):
    one = job(tmp_path, "a", 20, bad_seven)
    counts = run(one, max_error_share=0.2)["a"]
    assert counts.errors == {"ValueError: no program for a#": 2}
    assert counts.rows == 20
    records = list(read_records(one.out))
    assert [r["id"] for r in records if "error" in r] == ["a7", "a17"]
    assert records[7] == {"id": "a7", "error": "ValueError: no program for a7"}
    assert records[8] == expected(list(make_samples(9, "a"))[8])


def test_too_many_errors_fail_the_stage_and_a_mended_run_goes_on(tmp_path: Path):
    one = job(tmp_path, "a", 20)
    with pytest.raises(RolloutError, match=r"× engine: RuntimeError: nothing to say about prompt #\n") as caught:
        run(one, script=no_answer)
    assert re.search(r"a\d+: engine: RuntimeError", str(caught.value))  # of whichever shard came first
    counts = run(one)["a"]
    assert (counts.rows, counts.failed) == (20, 0)


def test_an_engine_that_cannot_start_says_why(tmp_path: Path):
    with pytest.raises(EngineError, match="no script 'nowhere:at_all'"):
        run(job(tmp_path, "a", 5), script="nowhere:at_all")


def test_an_engine_that_always_dies_fails_the_stage_with_its_last_words(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("toolace.rollouts.dataset.MAX_RESTARTS", 1)
    with pytest.raises(RolloutError, match="the scripted engine died at step 2"):
        run(job(tmp_path, "a", 5), script=Script(shout, tokens_per_step=1, die_at_step=2))
