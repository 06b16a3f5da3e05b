"""`toolace submit`: what a command runs, attempts and their numbers, what is refused before anything is sent."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from toolace.cli.main import app
from toolace.cli.submit import check_reachable, variables_of, what_runs
from toolace.errors import ClusterError, ConfigError
from toolace.rounds import jobs as jobs_module
from toolace.rounds.jobs import Jobs, describe, job_name

ROOT = Path(__file__).parent.parent.parent


def test_a_run_is_known_by_its_settings(tmp_path: Path) -> None:
    command = ["run", "--config", "configs/demo.yaml", "--set", "root=/mnt/runs", "--set", "seed=3"]
    assert what_runs(command, ROOT) == ("demo", "/mnt/runs/demo")
    assert what_runs(["run", "-c", "configs/demo.yaml", "--set", "name=a.b"], ROOT) == ("a.b", "runs/a.b")
    with pytest.raises(ConfigError, match=r"probe\.k"):
        what_runs(["run", "--set", "probe.k=0"], ROOT)
    with pytest.raises(ConfigError, match=r"nothing\.yaml"):
        what_runs(["run", "--config", "nothing.yaml"], tmp_path)


def test_other_commands_are_known_by_their_directory_or_their_settings(tmp_path: Path) -> None:
    assert what_runs(["evaluate", "--data", "x", "--out", "s3://b/scores/"], ROOT) == ("scores", "s3://b/scores/")
    assert what_runs(["doctor"], ROOT) == ("doctor", None)
    assert what_runs([], ROOT) == (None, None)
    assert what_runs(["data", "check", "rows.jsonl"], ROOT) == ("data", None)
    settings = tmp_path / "other.yaml"
    settings.write_text("name: other\nroot: /mnt/runs\n")
    command = ["evolve", "--config", "other.yaml"]
    assert what_runs(command, tmp_path) == ("other", "/mnt/runs/other")
    assert what_runs([*command, "--set", "root=/mnt/runs/", "--set", "name=b"], tmp_path) == ("b", "/mnt/runs/b")


@pytest.mark.parametrize(
    ("command", "match"),
    [
        (
            ["evolve", "--config", "configs/demo_evolve.yaml", "--set", "evolve.round=1"],
            r"evolve\.round: .*near it: rounds",
        ),
        (["evolve", "--config", "nothing.yaml"], r"nothing\.yaml"),
        (["evaluate", "--data", "x", "--out", "/s", "--set", "refine.max_round=1"], r"refine\.max_round"),
        (["evaluate", "--data", "x"], "--out DIR"),
        (["evaluate", "--data", "x", "--out", "/s", "--limit", "3"], "--limit: for a benchmark only"),
        (["evaluate", "--benchmark", "bfcl", "--data", "x", "--predictions", "p", "--out", "/s"], "--out: scoring"),
        (["probe", "--data", "x", "--out", "/s", "--set", "probe.k=0"], r"probe\.k"),
    ],
)
def test_settings_that_the_command_would_refuse(command: list[str], match: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?s){match}"):
        what_runs(command, ROOT)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("evaluate", "--dat", "x"), "No such option: --dat"),
        (("evaluate", "--out", "/s"), "Missing option '--data'"),
        (("evolve", "--config"), "requires an argument"),
        (("nonsense",), "No such command 'nonsense'"),
        (("data", "chek"), "No such command 'chek'"),
    ],
)
def test_options_that_the_command_would_refuse(table: Table, command: tuple[str, ...], said: str) -> None:
    done = invoke("--", *command)
    assert done.exit_code == 2 and said in done.output
    assert not table.sent


def test_results_in_a_copy_of_the_working_directory_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"'runs/demo' would be lost.*root=/mnt/runs"):
        check_reachable("runs/demo")
    for place in ("/mnt/runs", "s3://bucket/runs"):
        check_reachable(place)


def test_variables_are_given_or_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert variables_of(["A=1=2", "AWS_REGION"]) == {"A": "1=2", "AWS_REGION": "eu-west-1"}
    with pytest.raises(ConfigError, match="NOT_SET_HERE=VALUE"):
        variables_of(["NOT_SET_HERE"])


@pytest.mark.parametrize(("text", "name"), [("my scores/é", "my-scores"), ("a.b_c-1", "a.b_c-1"), ("//", "toolace")])
def test_names_that_ids_can_begin_with(text: str, name: str) -> None:
    assert job_name(text) == name


class Table:
    """A job table as Ray's client shows it."""

    def __init__(self, *jobs: tuple[str, str, str]) -> None:
        self.jobs = [self._job(*job) for job in jobs]
        self.sent: list[dict[str, Any]] = []
        self.stopped: list[str] = []

    @staticmethod
    def _job(submission_id: str, status: str, place: str) -> Any:
        return SimpleNamespace(
            submission_id=submission_id, status=SimpleNamespace(value=status), metadata={"toolace_place": place},
            start_time=1000, end_time=None, message="Traceback: it broke" if status == "FAILED" else "",
        )  # fmt: skip

    def list_jobs(self) -> list[Any]:
        return self.jobs

    def submit_job(self, **job: Any) -> str:
        self.sent.append(job)
        self.jobs.append(self._job(job["submission_id"], "RUNNING", job["metadata"]["toolace_place"]))
        return str(job["submission_id"])

    def get_job_info(self, submission_id: str) -> Any:
        return next(job for job in self.jobs if job.submission_id == submission_id)

    def stop_job(self, submission_id: str) -> bool:
        self.stopped.append(submission_id)
        self.get_job_info(submission_id).status = SimpleNamespace(value="STOPPED")
        return True

    async def tail_job_logs(self, submission_id: str) -> AsyncIterator[str]:
        yield "one\n"
        self.get_job_info(submission_id).status = SimpleNamespace(value="FAILED")
        yield "two\n"


def jobs_of(table: Table) -> Jobs:
    jobs = object.__new__(Jobs)
    jobs._client, jobs._where = table, "http://head:8265"
    return jobs


def test_each_submission_is_the_next_attempt_of_its_run(tmp_path: Path) -> None:
    table = Table(("demo-9", "FAILED", "/r/demo"), ("demo-10", "STOPPED", "/r/demo"), ("demo-x-11", "RUNNING", "/r/x"))
    jobs = jobs_of(table)
    assert [attempt.number for attempt in jobs.attempts("demo")] == [9, 10]
    assert jobs.submit("demo", ["run", "--set", "a b"], place="/r/demo", working_dir=tmp_path) == "demo-11"
    (sent,) = table.sent
    assert sent["entrypoint"] == "python -m toolace run --set 'a b'" and "entrypoint_num_cpus" not in sent
    assert sent["runtime_env"] == {"working_dir": str(tmp_path), "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "60"}}
    assert jobs.submit("new", ["run"], working_dir=tmp_path, env={"A": "1"}, cpus=2) == "new-1"
    assert table.sent[1]["entrypoint_num_cpus"] == 2 and table.sent[1]["runtime_env"]["env_vars"]["A"] == "1"
    assert [attempt.id for attempt in jobs.attempts("demo-10")] == ["demo-10"]


@pytest.mark.parametrize("status", ["PENDING", "RUNNING"])
def test_a_run_that_a_job_works_on_is_refused(tmp_path: Path, status: str) -> None:
    table = Table(("demo-2", status, "/r/demo"))
    with pytest.raises(ClusterError, match=rf"demo-2 is {status.lower()}.*works on /r/demo.*--follow.*--stop"):
        jobs_of(table).submit("demo", ["run"], place="/r/demo", working_dir=tmp_path)
    assert not table.sent
    assert jobs_of(table).submit("demo", ["run"], place="/other/demo", working_dir=tmp_path) == "demo-3"


class Taken(Table):
    """A job table in which somebody else's submission arrives between the look at it and ours."""

    def submit_job(self, **job: Any) -> str:
        said = "Traceback (most recent call last):\n  File x, line 1, in submit\n    raise ValueError(\nValueError: "
        if job["submission_id"] == "demo-2":
            said += "Job with submission_id demo-2 already exists. Please use a different submission_id.\n"
        else:
            said += "The runtime environment is too large.\n"
        raise RuntimeError(f"Request failed with status code 500: {said}.")


def test_an_attempt_that_another_submission_took_is_told_with_the_way_out(tmp_path: Path) -> None:
    jobs = jobs_of(Taken(("demo-1", "STOPPED", "/r/demo")))
    match = r"^cannot submit demo-2 .*: its id is taken, .*toolace submit --name demo --follow.*--stop"
    with pytest.raises(ClusterError, match=match):
        jobs.submit("demo", ["run"], place="/r/demo", working_dir=tmp_path)
    with pytest.raises(ClusterError, match=r"^cannot submit other-1 .*8265: ValueError: The runtime .* too large$"):
        jobs.submit("other", ["run"], working_dir=tmp_path)


def test_a_cluster_that_does_not_answer_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.exceptions import RpcError

    monkeypatch.setattr(jobs_module, "KNOCK_S", 0.1)
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "")  # put back afterwards
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ClusterError, match=rf"^cannot reach the cluster at {address}: .*refused.*--address http"):
            Jobs(address)
        taken.listen()

        def client() -> Any:
            raise RpcError("Timed out while waiting for GCS to become available")

        monkeypatch.setattr("ray.job_submission.JobSubmissionClient", client)
        with pytest.raises(ClusterError, match=rf"^cannot reach the cluster at {address}: Timed out.*--address http"):
            Jobs(address)


def test_a_working_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    table = Table()
    with pytest.raises(ConfigError, match=r"nowhere.*--working-dir"):
        jobs_of(table).submit("demo", ["run"], working_dir=tmp_path / "nowhere")
    assert not table.sent


def test_a_table_of_attempts_ends_with_what_failed() -> None:
    table = Table(("demo-1", "STOPPED", ""), ("demo-2", "FAILED", ""))
    text = describe(jobs_of(table).attempts("demo"))
    assert text.splitlines()[0].split() == ["attempt", "status", "started", "ended"]
    assert "demo-1" in text and text.endswith("it broke")


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    table = Table(("demo-1", "STOPPED", "/r/demo"))
    monkeypatch.setattr(jobs_module, "Jobs", lambda address: jobs_of(table))
    return table


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["submit", "--working-dir", str(ROOT), *arguments])


def test_following_ends_as_the_job_does(table: Table) -> None:
    done = invoke("--follow", "--", "run", "--config", "configs/demo.yaml", "--set", "root=/r")
    assert done.exit_code == 1 and done.output == "submitted demo-2\none\ntwo\ndemo-2 is failed\n"
    assert table.sent[0]["metadata"] == {"toolace_place": "/r/demo"}


def test_stopping_and_looking_need_only_the_name(table: Table) -> None:
    assert "demo-1 is stopped" in invoke("--name", "demo", "--stop").output and not table.stopped
    invoke("--", "run", "--config", "configs/demo.yaml", "--set", "root=/r")
    assert "demo-2   RUNNING" in invoke("--name", "demo", "--status").output
    assert "demo-2 is stopped" in invoke("--name", "demo", "--stop").output and table.stopped == ["demo-2"]
    with pytest.raises(ClusterError, match="knows no job of other"):
        raise invoke("--name", "other", "--status").exception


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((), "give the run"),
        (("--name", "demo"), "nothing to do with demo"),
        (("--stop", "--follow", "--name", "demo"), "--stop goes with neither"),
        (("--", "run", "--config", "configs/demo.yaml"), "would be lost"),
        (("--", "evaluate", "--data", "x", "--out", "scores"), "would be lost"),
    ],
)
def test_what_is_refused_before_anything_is_sent(table: Table, arguments: tuple[str, ...], match: str) -> None:
    found = invoke(*arguments)
    assert isinstance(found.exception, ConfigError) and match in str(found.exception)
    assert not table.sent
