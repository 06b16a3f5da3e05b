"""Kill the process that holds the engine: same records."""

from __future__ import annotations

from pathlib import Path

import pytest
from rollout_fakes import SCRIPTED, ByteCodec, KillOnce, expected, make_samples, put_samples, small_rollout, two_turns

from toolace.rollouts.dataset import RolloutJob, read_records, run_rollouts

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
