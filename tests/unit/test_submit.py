"""`toolace submit`: what a command runs, attempts and their numbers, what is refused before anything is sent."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from silent_dashboard import SILENCE, Dashboard, dashboard, once_silent
from typer.testing import CliRunner

from toolace.cli.main import app
from toolace.cli.submit import check_reachable, variables_of, what_runs
from toolace.errors import ClusterError, ConfigError
from toolace.rounds import jobs as jobs_module
from toolace.rounds.jobs import Jobs, describe, job_name, same_place

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
    with pytest.raises(ConfigError, match=r"--env =1: no name"):
        variables_of(["=1"])


def test_settings_beside_the_directory_that_is_copied_are_refused(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    for place in (tmp_path, tmp_path / "inside"):
        (place / "a.yaml").write_text("name: a\nroot: /mnt/runs\n")
    with pytest.raises(ConfigError, match=r"a\.yaml is outside .*inside, .*--working-dir"):
        what_runs(["run", "--config", "../a.yaml"], tmp_path / "inside")
    assert what_runs(["run", "--config", "../inside/a.yaml"], tmp_path / "inside") == ("a", "/mnt/runs/a")
    assert what_runs(["run", "--config", str(tmp_path / "a.yaml")], tmp_path / "inside") == ("a", "/mnt/runs/a")


@pytest.mark.parametrize(("text", "name"), [("my scores/é", "my-scores"), ("a.b_c-1", "a.b_c-1"), ("//", "toolace")])
def test_names_that_ids_can_begin_with(text: str, name: str) -> None:
    assert job_name(text) == name


class Table:
    """A job table as Ray's client shows it. Jobs are given by id, status and place, and the run where it is known."""

    def __init__(self, *jobs: tuple[str, ...]) -> None:
        self.jobs = [self._job(*job) for job in jobs]
        self.sent: list[dict[str, Any]] = []
        self.stopped: list[str] = []

    @staticmethod
    def _job(submission_id: str, status: str, place: str, run: str | None = None) -> Any:
        return SimpleNamespace(
            submission_id=submission_id, status=SimpleNamespace(value=status),
            metadata={"toolace_place": place, **({"toolace_run": run} if run else {})},
            start_time=1000, end_time=None, message="Traceback: it broke" if status == "FAILED" else "",
        )  # fmt: skip

    def list_jobs(self) -> list[Any]:
        return self.jobs

    def submit_job(self, **job: Any) -> str:
        self.sent.append(job)
        metadata = job["metadata"]
        place, run = metadata["toolace_place"], metadata["toolace_run"]
        self.jobs.append(self._job(job["submission_id"], "RUNNING", place, run))
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


def test_a_place_that_a_job_of_another_name_works_on_is_refused(tmp_path: Path) -> None:
    table = Table(("other-1", "RUNNING", "/r/demo", "other"), ("gone-1", "STOPPED", "/r/free", "gone"))
    with pytest.raises(ClusterError, match=r"other-1 is running.*works on /r/demo.*--name other-1 --follow"):
        jobs_of(table).submit("demo", ["run"], place="/r/demo", working_dir=tmp_path)
    assert not table.sent
    assert jobs_of(table).submit("demo", ["run"], place="/r/free", working_dir=tmp_path) == "demo-1"
    assert jobs_of(table).submit("data", ["data"], working_dir=tmp_path) == "data-1", "without a place nothing is known"


def test_an_attempt_of_one_run_is_not_taken_for_another_run(tmp_path: Path) -> None:
    """`demo-2` is the name of a run, and the id of the second attempt of `demo`."""
    table = Table(("demo-1", "STOPPED", "/r/demo", "demo"), ("demo-2", "RUNNING", "/r/demo", "demo"))
    jobs = jobs_of(table)
    assert jobs.latest("demo-2").id == "demo-2", "the id, as long as no run has the name"
    assert jobs.submit("demo-2", ["run"], place="/r/demo-2", working_dir=tmp_path) == "demo-2-1"
    assert jobs.latest("demo-2").id == "demo-2-1" and jobs.latest("demo").id == "demo-2"
    assert [attempt.id for attempt in jobs.attempts("demo")] == ["demo-1", "demo-2"]


def test_metadata_goes_before_the_id() -> None:
    table = Table(("a-1-2", "RUNNING", "/r/a", "a"), ("a-1-3", "STOPPED", "/r/a-1"))
    assert [attempt.id for attempt in jobs_of(table).attempts("a")] == ["a-1-2"]
    assert [attempt.id for attempt in jobs_of(table).attempts("a-1")] == ["a-1-3"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("/mnt/a/demo", "/mnt/a//demo/", True),
        ("/mnt/a/demo", "//mnt/./a/demo", True),
        ("/mnt/a/demo", "file:///mnt/a/demo", True),
        ("s3://b/runs/demo", "s3://b//runs/demo/", True),
        ("s3://b/runs/demo", "/b/runs/demo", False),
        ("/mnt/a/demo", "/mnt/b/demo", False),
        ("", "/mnt/b/demo", False),
    ],
)
def test_places_are_compared_as_directories(one: str, other: str, same: bool) -> None:
    assert same_place(one, other) is same


def test_a_place_written_otherwise_is_refused_too(tmp_path: Path) -> None:
    table = Table(("demo-1", "RUNNING", "/mnt/a/demo", "demo"))
    with pytest.raises(ClusterError, match="demo-1 is running"):
        jobs_of(table).submit("demo", ["run"], place="/mnt/a//demo/", working_dir=tmp_path)


def test_of_runs_in_several_places_the_one_that_is_meant() -> None:
    table = Table(("demo-1", "RUNNING", "/mnt/a/demo", "demo"), ("demo-2", "RUNNING", "/mnt/b/demo", "demo"),
                  ("demo-3", "FAILED", "/mnt/a/demo", "demo"))  # fmt: skip
    jobs = jobs_of(table)
    assert jobs.latest("demo", "/mnt/a//demo").id == "demo-1" and jobs.latest("demo", "/mnt/b/demo").id == "demo-2"
    listed = r"demo-1 \(running\) on /mnt/a/demo, demo-2 \(running\) on /mnt/b/demo"
    with pytest.raises(ClusterError, match=rf"several jobs of demo are at work: {listed}\. .*--name demo-2.*after --"):
        jobs.latest("demo")
    with pytest.raises(ClusterError, match=rf"no job of demo that works on /mnt/c/demo\. It knows {listed}.*--name"):
        jobs.latest("demo", "/mnt/c/demo")
    jobs.stop("demo-2")
    assert jobs.latest("demo").id == "demo-1", "the one at work, not the last one"


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

        class Client:
            def __init__(self) -> None:
                raise RpcError("Timed out while waiting for GCS to become available")

        monkeypatch.setattr("ray.job_submission.JobSubmissionClient", Client)
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
    assert text.splitlines()[0].split() == ["attempt", "status", "started", "ended", "place"]
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
    assert table.sent[0]["metadata"] == {"toolace_run": "demo", "toolace_place": "/r/demo"}


def test_stopping_and_looking_need_only_the_name(table: Table) -> None:
    assert "demo-1 is stopped" in invoke("--name", "demo", "--stop").output and not table.stopped
    invoke("--", "run", "--config", "configs/demo.yaml", "--set", "root=/r")
    assert "demo-2   RUNNING" in invoke("--name", "demo", "--status").output
    assert "demo-2 is stopped" in invoke("--name", "demo", "--stop").output and table.stopped == ["demo-2"]
    with pytest.raises(ClusterError, match="knows no job of other"):
        raise invoke("--name", "other", "--status").exception


def test_stopping_and_looking_take_the_run_that_the_command_names(table: Table) -> None:
    for root in ("/mnt/a", "/mnt/b"):
        assert "submitted" in invoke("--", *run_in(root)).output
    assert [job["metadata"]["toolace_place"] for job in table.sent] == ["/mnt/a/demo", "/mnt/b/demo"]
    said = invoke("--status", "--", *run_in("/mnt/b")).output
    assert "demo-3   RUNNING" in said and "/mnt/b/demo" in said and "demo-2" not in said
    assert "demo-2   RUNNING" in invoke("--status", "--name", "demo").output
    for action in ("--stop", "--follow"):
        with pytest.raises(ClusterError, match="several jobs of demo are at work"):
            raise invoke(action, "--name", "demo").exception
    assert not table.stopped
    assert "demo-2 is stopped" in invoke("--stop", "--", *run_in("/mnt/a/")).output and table.stopped == ["demo-2"]
    assert "demo-3 is stopped" in invoke("--stop", "--name", "demo").output


def run_in(root: str) -> list[str]:
    return ["run", "--config", "configs/demo.yaml", "--set", f"root={root}"]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((), "give the run"),
        (("--", "submit", "--name", "demo", "--status"), "a job cannot submit"),
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


def job(status: str) -> dict[str, Any]:
    """A job as a dashboard tells of it."""
    return {"type": "SUBMISSION", "submission_id": "demo-1", "status": status, "entrypoint": "x",
            "metadata": {"toolace_run": "demo", "toolace_place": "/r/demo"}}  # fmt: skip


JOB, LOG = "GET /api/jobs/demo-1", "GET /api/jobs/demo-1/logs/tail"


@pytest.fixture
def own_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "")  # put back afterwards
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")


def jobs_at(one: Dashboard, limit_s: float = 0.3, gone_s: float = 0.5) -> Jobs:
    """The jobs of a dashboard that has told its version, with limits for what it is asked then."""
    jobs = Jobs(one.address, gone_s=gone_s, look_s=0.1)
    jobs._client.limit_s = limit_s
    return jobs


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("own_address")
def test_a_silent_dashboard_is_told_at_once(tmp_path: Path) -> None:
    with dashboard(version=SILENCE) as one:
        silent = rf"the dashboard at {one.address} did not answer GET /api/version within 0\.3 s"
        match = rf"^cannot reach the cluster at {one.address}: {silent}. Check .*memory.*--address"
        with pytest.raises(ClusterError, match=match):
            Jobs(one.address, limit_s=0.3)


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("own_address")
@pytest.mark.parametrize(
    ("act", "match"),
    [
        (lambda jobs: jobs.latest("demo"), r"list the jobs of .* GET /api/jobs/ within 0\.3 s"),
        (lambda jobs: jobs.submit("demo", ["run"], working_dir=ROOT / "docs"), r"list the jobs of .*0\.3 s"),
        (lambda jobs: jobs.stop("demo-1"), r"stop demo-1 .* POST .*/stop within 0\.3 s.*demo-1 may still be at work"),
        (lambda jobs: jobs.wait("demo-1"), r"look at demo-1 .* GET .*/demo-1 within .*, and nothing else for 0\.5 s"),
        (
            lambda jobs: jobs.follow("demo-1", print),
            r"follow demo-1 .*, and nothing else for 0\.5 s.*demo-1 may still be at work: .*--name demo-1 .*--follow",
        ),
    ],
    ids=["look", "submit", "stop", "wait", "follow"],
)
def test_a_dashboard_that_falls_silent_ends_every_request(act: Any, match: str) -> None:
    with dashboard() as one, pytest.raises(ClusterError, match=f"^cannot {match}"):
        act(jobs_at(one))


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("own_address")
@pytest.mark.parametrize("said", [{}, [], None, {"version": 4}], ids=repr)
def test_what_is_not_a_dashboard_is_told(said: Any) -> None:
    with dashboard(version=said) as one:
        match = rf"^cannot reach the cluster at {one.address}: .*not Ray's dashboard.*--address http://HEAD:8265"
        with pytest.raises(ClusterError, match=match):
            Jobs(one.address)
    with dashboard({"GET /api/jobs/": None}) as one, pytest.raises(ClusterError, match="not Ray's dashboard"):
        jobs_at(one, 30).latest("demo")


@pytest.mark.usefixtures("own_address")
def test_an_address_that_is_no_dashboards_is_told() -> None:
    with pytest.raises(ConfigError, match=r"ftp://x is none: --address http://HEAD:8265"):
        Jobs("ftp://x")


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("own_address")
def test_a_submission_without_an_answer_may_have_been_taken(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    from ray._private.runtime_env.packaging import get_uri_for_directory

    package = get_uri_for_directory(str(tmp_path), True).replace("://", "/")
    with dashboard({"GET /api/jobs/": [], f"GET /api/packages/{package}": {}}) as one:
        match = r"^cannot submit demo-1 .* POST /api/jobs/ within 1 s\. It may have been taken .*--name demo --status"
        with pytest.raises(ClusterError, match=match):
            jobs_at(one, 1).submit("demo", ["run"], working_dir=tmp_path)


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("own_address")
def test_a_silence_that_passes_ends_no_waiting() -> None:
    with dashboard({JOB: once_silent(job("SUCCEEDED"))}) as one:
        assert jobs_at(one, 1, 30).wait("demo-1").status == "SUCCEEDED"
        assert one.asked.count(JOB) == 2


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("own_address")
def test_a_log_that_never_comes_ends_when_the_job_has() -> None:
    """As long as it runs it is looked after, and that is all: a job may be silent for as long as it likes."""
    shown: list[str] = []
    with dashboard({JOB: lambda before: job("RUNNING" if before < 9 else "FAILED")}) as one:
        ended = jobs_at(one, 30, 30).follow("demo-1", shown.append)
        assert (ended.status, ended.number, ended.place) == ("FAILED", 1, "/r/demo")
        assert LOG in one.asked and one.asked.count(JOB) > 9
    assert shown == ["(no more of its log comes: ray job logs demo-1 shows it)\n"]


class Broken(Table):
    """A job table whose logs break off."""

    async def tail_job_logs(self, submission_id: str) -> AsyncIterator[str]:
        from aiohttp import ClientPayloadError

        yield "one\n"
        raise ClientPayloadError("not all of it came")


def test_a_log_that_breaks_off_is_an_error_that_leaves_the_job_alone() -> None:
    shown: list[str] = []
    match = r"^cannot follow demo-1 .*its log broke off: ClientPayloadError: not all.*demo-1 may still be at work"
    with pytest.raises(ClusterError, match=match):
        jobs_of(Broken(("demo-1", "RUNNING", "/r/demo"))).follow("demo-1", shown.append)
    assert shown == ["one\n"]
