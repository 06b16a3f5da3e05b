"""Jobs on a cluster of several nodes: what `toolace submit` and `ray job submit` end with is what a run in one process
ends with, also when its driver is killed and another attempt goes on."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from cluster_runs import EVOLUTION, ROOT, TOOLACE, call, eventually, options, outcome

from toolace.rollouts.outputs import read_records
from toolace.storage import Store

pytestmark = [pytest.mark.late(2), pytest.mark.engine, pytest.mark.timeout(1200)]
RAY = (sys.executable, "-m", "ray.scripts.scripts")


@pytest.fixture
def on_s3(object_server: Any, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Where a run on object storage is, for this process to look at."""
    for name, value in object_server.environment.items():
        monkeypatch.setenv(name, value)
    return Store(f"{object_server.bucket('runs')}/cluster/demo")


def has(run: Store, path: str) -> bool:
    """Whether a run that is at work has a file yet."""
    events = run.read("events.jsonl").decode() if run.exists("events.jsonl") else ""
    assert "run_stopped" not in events, events[-3000:]
    return run.exists(path)


def processes(cluster: Any, text: str) -> list[psutil.Process]:
    """Processes of the cluster with a text in their command lines; not the shells that started them."""
    found = []
    for node in cluster.nodes:
        for process in node.processes():
            try:
                if text in " ".join(process.cmdline()) and process.name() not in ("sh", "bash", "dash"):
                    found.append(process)
            except psutil.Error:
                continue
    return found


def test_a_submitted_run_on_object_storage_whose_driver_is_killed(
    local_cluster: Any, reference: Store, on_s3: Store
) -> None:
    env = local_cluster.environment
    command = ["run", *options(on_s3.uri.rpartition("/")[0])]
    submit = [*TOOLACE, "submit", "--driver-cpus", "0.5"]
    assert "submitted demo-1\n" in call([*submit, "--", *command], env)
    eventually(lambda: has(on_s3, "base/eval-dev/begun.json"), "the first rollout")
    # Both doors are shut: by the job table before anything is sent, by the run's lock for whoever comes another way.
    said = call([*submit, "--", *command], env, code=1)
    assert re.search(rf"error: demo-1 is running since .* works on {on_s3.uri}", said), said
    said = call([*RAY, "job", "submit", "--working-dir", ".", "--", "python", "ray_jobs/train_rounds.py", *command[1:]],
                env, code=1)  # fmt: skip
    assert "is in use by process" in said and "stop it" in said, said
    eventually(lambda: has(on_s3, "round-1/probe/part-00001.parquet"), "records of the probe")
    (driver,) = processes(local_cluster, "-m toolace run")
    driver.send_signal(signal.SIGKILL)
    eventually(lambda: "demo-1   FAILED" in call([*TOOLACE, "submit", "--name", "demo", "--status"], env), "its end")
    assert on_s3.exists("lock.json") and not on_s3.exists("summary.json")
    assert "submitted demo-2\n" in call([*submit, "--", *command], env)
    eventually(lambda: has(on_s3, "round-1/eval-dev/begun.json"), "the evaluation")
    (actor,) = eventually(lambda: processes(local_cluster, "ShardActor)).submit"), "an engine at work")
    actor.send_signal(signal.SIGKILL)
    said = call([*TOOLACE, "submit", "--name", "demo", "--follow"], env)
    assert said.rstrip().endswith("demo-2 is succeeded"), said
    assert outcome(on_s3) == outcome(reference)
    assert not on_s3.exists("lock.json")
    assert_no_local_paths(on_s3, local_cluster)


def assert_no_local_paths(run: Store, cluster: Any) -> None:
    """No manifest of a run names a place of one node: another node reads them too."""
    import pyarrow.fs as pafs

    fs, base = run._open()
    files = [i.path for i in fs.get_file_info(pafs.FileSelector(base, recursive=True)) if i.type == pafs.FileType.File]
    texts = [path for path in files if path.endswith((".json", ".jsonl", ".yaml")) and "tokenizer" not in path]
    assert len(texts) > 20 and not [path for path in files if path.endswith(".tmp")]
    local = [str(ROOT), str(cluster.place.parent), os.path.expanduser("~"), "/tmp/", sys.prefix]
    for path in texts:
        text = fs.open_input_file(path).read().decode()
        for place in local:
            assert place not in text, f"{place} in {path}: {text[max(0, text.find(place) - 200) :][:400]}"


def test_a_submitted_evaluation_on_a_shared_directory(local_cluster: Any, reference: Store, tmp_path: Path) -> None:
    env = local_cluster.environment
    changed = ("model.max_model_len=1024", "refine.max_tokens=96", "refine.max_rounds=2", "evaluate.fixed_rounds=[1]")
    settings = [part for one in changed for part in ("--set", one)]
    command = ["--data", reference.at("data/test"), "--model", "builtin:tiny_base", *settings]
    said = call([*RAY, "job", "submit", "--working-dir", ".", "--", "python", "ray_jobs/evaluate.py", *command,
                 "--out", "scores"], env, code=1)  # fmt: skip
    assert "'scores' is relative" in said, said
    call([*RAY, "job", "submit", "--working-dir", ".", "--", "python", "ray_jobs/evaluate.py", *command,
          "--out", str(tmp_path / "scores")], env)  # fmt: skip
    found = list(read_records(str(tmp_path / "scores/model/eval-test")))
    assert found == list(read_records(reference.at("base/eval-test"))) and len(found) == 16


def scores(summary: dict[str, Any]) -> Any:
    """What a run of evolution scored: of its base, and of each stage."""
    stages = [(stage["name"], stage["scores"]) for stage in summary["stages"]]
    return summary["stopped"], summary["base"], stages, summary["rounds"]


def test_a_submitted_evolution_ends_as_one_in_a_process(local_cluster: Any, evolution: Any, tmp_path: Path) -> None:
    """Without rounds: a round that asks a model of so few steps is in `tests/integration/test_evolve.py`."""
    settings = ["--config", "configs/demo_evolve.yaml"]
    for setting in (*EVOLUTION, f"root={tmp_path}", "evolve.rounds=0"):
        settings += ["--set", setting]
    call([*RAY, "job", "submit", "--working-dir", ".", "--", "python", "ray_jobs/evolve.py", *settings],
         local_cluster.environment)  # fmt: skip
    run = tmp_path / "demo-evolve"
    assert scores(json.loads((run / "summary.json").read_text())) == scores(evolution.summary)
    ours, theirs = Store(str(run)), Store(str(evolution.run))
    for stage in (f"{model}/{part}-test" for model in ("base", "adaption", "decomposed") for part in ("eval", "tasks")):
        found = list(read_records(ours.at(stage)))
        assert found and found == list(read_records(theirs.at(stage))), stage


def test_a_stopped_job_leaves_a_run_that_can_go_on(local_cluster: Any, tmp_path: Path) -> None:
    env = local_cluster.environment
    run = tmp_path / "demo"
    call([*TOOLACE, "submit", "--", "run", *options(str(tmp_path), "name=stopped")], env)
    run = tmp_path / "stopped"
    eventually((run / "base/eval-dev/begun.json").exists, "the first stage")
    assert "stopped-1 is stopped" in call([*TOOLACE, "submit", "--name", "stopped", "--stop"], env)
    assert not processes(local_cluster, "-m toolace run")
    assert not (run / "lock.json").exists()
    events = [json.loads(line)["event"] for line in (run / "events.jsonl").open()]
    assert events[-1] == "run_stopped"


def test_a_cluster_that_is_not_there_and_a_wrong_token_are_told(local_cluster: Any, tmp_path: Path) -> None:
    env = local_cluster.environment
    status = [*TOOLACE, "submit", "--name", "demo", "--status"]
    said = call([*status, "--address", "http://127.0.0.1:9"], env, code=1)
    assert said.startswith("error: cannot reach the cluster at http://127.0.0.1:9: "), said
    assert "Traceback" not in said
    (tmp_path / "token").write_text("0" * 64)
    for wrong in ({"RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}, {"RAY_AUTH_MODE": "disabled"}):
        said = call(status, {**env, **wrong}, code=1)
        assert "refuses this token, or wants one" in said and "Traceback" not in said, said


def test_what_a_job_gets_of_the_working_directory(local_cluster: Any) -> None:
    copies = list(local_cluster.place.glob("n*/session_*/runtime_resources/working_dir_files/_ray_pkg_*/"))
    assert copies
    ours = {path.relative_to(ROOT) for path in (ROOT / "toolace").rglob("*") if "__pycache__" not in path.parts}
    for copy in copies:
        assert ours <= {path.relative_to(copy) for path in copy.rglob("*")}
        names = {entry.name for entry in copy.iterdir()}
        assert {"toolace", "configs", "ray_jobs"} <= names
        assert not names & {".git", ".venv", "runs", "tests", "docs"}
