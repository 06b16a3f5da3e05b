"""The process that holds the engine is killed, or the engine hangs: same records in the end."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from rollout_fakes import (
    SCRIPTED,
    ByteCodec,
    HangAt,
    KillOnce,
    expected,
    make_samples,
    put_samples,
    shout,
    small_rollout,
    two_turns,
)

from toolace.errors import RolloutError
from toolace.rollouts.dataset import Progress, RolloutJob, read_records, run_rollouts

pytestmark = pytest.mark.usefixtures("ray_local")


def test_sigkill_in_the_middle_gives_the_same_records(tmp_path: Path):
    flag = tmp_path / "killed"
    job = RolloutJob("a", put_samples(tmp_path / "s", 60, shard_rows=5), two_turns, str(tmp_path / "o"))
    counts = run_rollouts(
        [job],
        rollout=small_rollout(),
        script=KillOnce(flag, "question 31"),
        make_codec=ByteCodec,
        **SCRIPTED,
    )
    assert flag.exists()
    assert (counts["a"].rows, counts["a"].failed, counts["a"].shards) == (60, 0, 12)
    assert list(read_records(job.out)) == [expected(sample) for sample in make_samples(60)]
    assert not list(Path(job.out).glob(".*.tmp"))


def test_an_engine_that_hangs_ends_the_rollout_which_can_go_on(tmp_path: Path) -> None:
    """Within `rollout.no_progress_s`, with an error that names the setting; shards that were published stay."""
    job = RolloutJob("a", put_samples(tmp_path / "s", 60, shard_rows=5), two_turns, str(tmp_path / "o"))

    def published() -> dict[str, int]:
        return {file.name: file.stat().st_mtime_ns for file in Path(job.out).glob("part-*.parquet")}

    def roll(script: Any, seconds: float, on_progress: Any = None) -> Any:
        return run_rollouts(
            [job], rollout=small_rollout(no_progress_s=seconds), on_progress=on_progress, script=script,
            make_codec=ByteCodec, **SCRIPTED,
        )  # fmt: skip

    def enough(progress: Progress) -> None:
        if progress.counts.shards == 3:
            raise RolloutError("three shards are there")

    hangs = HangAt("question 31", "question 57")
    with pytest.raises(RolloutError, match="three shards"):
        roll(hangs, 60, enough)
    before = published()
    match = r"nothing moved for rollout\.no_progress_s=6 s; (\d+) of 12 shards are published and stay.*raise rollout\."
    with pytest.raises(RolloutError, match=match) as error:
        roll(hangs, 6)
    assert "execution_no_progress" not in str(error.value)
    kept = published()
    assert len(before) >= 3 and before.items() <= kept.items()
    found = re.search(match, str(error.value))
    assert found and int(found.group(1)) == len(kept)
    assert not kept.keys() & {"part-00006.parquet", "part-00011.parquet"}
    counts = roll(shout, 60)
    assert (counts["a"].rows, counts["a"].failed, counts["a"].shards) == (60, 0, 12)
    assert kept.items() <= published().items()
    assert list(read_records(job.out)) == [expected(sample) for sample in make_samples(60)]
