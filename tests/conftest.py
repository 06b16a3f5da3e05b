"""Shared fixtures. The environment is set before anything imports ray."""

from __future__ import annotations

import importlib.util
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.update(
    RAY_AUTH_MODE="disabled",
    RAY_DATA_DISABLE_PROGRESS_BARS="1",
    RAY_TRAIN_HEALTH_CHECK_INTERVAL_S="0.2",
    RAY_USAGE_STATS_ENABLED="0",
    TOKENIZERS_PARALLELISM="false",
    DS_ACCELERATOR="cpu",
    RAY_worker_niceness="0",  # 15 where nothing is said, and then other tests' processes come first
    RAY_worker_register_timeout_seconds="600",  # 60; sixteen workers that start at once on a busy machine take longer
)

import pytest
from hypothesis import HealthCheck, settings

from toolace.threads import share_cores

share_cores()

# Clusters of several nodes, their clients and engines are in one process tree: as vLLM and Ray advise, not 1,024.
_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
_most = 65_536 if _hard == resource.RLIM_INFINITY else min(_hard, 65_536)
resource.setrlimit(resource.RLIMIT_NOFILE, (max(_soft, _most), _hard))

# How long an example takes says how busy the machine is, and nothing of the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parent.parent


MINUTES = float(os.environ.get("TOOLACE_TEST_MINUTES", "inf"))
"""After so many of them no test that is marked `late` begins."""
_BEGUN = time.monotonic()


TOGETHER = {
    "tests/cluster/test_submitting.py": "cluster",
    "tests/cluster/test_manifests.py": "cluster",
    "tests/faults/test_cluster_faults.py": "cluster",
    "tests/faults/test_rounds_killed.py": "cluster",
    "tests/integration/test_evolve.py": "cluster",
    "tests/integration/test_compare_run.py": "compared",
    "tests/integration/test_rounds.py": "compared",
}
"""Modules that share fixtures which take minutes: where several processes run the tests, one runs them all."""


def group_of(nodeid: str) -> str:
    """What a process runs without another in between: a module, or several of them."""
    module = nodeid.partition("::")[0]
    return TOGETHER.get(module, module)


@pytest.hookimpl(optionalhook=True)  # xdist's
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):  # type: ignore[misc]  # the library is untyped
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return Groups(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Unit tests first: they tell in seconds, and some want a process in which no Ray runs yet. Late ones last. Where
    several processes share the work, the longest group has one of them to itself from the start."""
    distributed = "PYTEST_XDIST_WORKER" in os.environ

    def place(item: pytest.Item) -> tuple[bool, bool, int]:
        late = item.get_closest_marker("late")
        unit = item.path.is_relative_to(ROOT / "tests" / "unit")
        longest = distributed and group_of(item.nodeid) == "cluster"
        return not longest, not unit, late.args[0] if late else 0

    items.sort(key=place)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("late") and time.monotonic() - _BEGUN > MINUTES * 60:
        pytest.skip(f"a late one: the {MINUTES:g} minutes of TOOLACE_TEST_MINUTES are over")


class _Telling:
    """Says in a line why a test failed, when it fails: the summary comes an hour later, or not at all."""

    def __init__(self, reporter: Any) -> None:
        self._reporter = reporter

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            why = next((line for line in report.longreprtext.splitlines() if line.startswith("E ")), "E")
            self._reporter.write_line(f"\n{report.nodeid} ({report.when}):{why[1:300]}", red=True)


@pytest.hookimpl(trylast=True)  # the reporter is there
def pytest_configure(config: pytest.Config) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        config.pluginmanager.register(_Telling(reporter), "telling")


@pytest.fixture(scope="session")
def ray_local(request: pytest.FixtureRequest) -> Iterator[None]:
    """One Ray for the whole test session: four logical CPUs, whatever the machine has, so that nothing deadlocks. Jobs
    that join it find the S3 server of the tests."""
    import ray

    from toolace.ray_start import start_ray

    has_server = importlib.util.find_spec("moto") is not None
    storage = request.getfixturevalue("object_server").environment if has_server else {}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in storage.items():
            patch.setenv(name, value)
        start_ray(
            otherwise="run it on an idle one",
            num_cpus=4,
            include_dashboard=False,
            object_store_memory=120 * 2**20,
            log_to_driver=False,
            # Workers import the package and the helper modules of the tests, as this process does.
            runtime_env={"env_vars": {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}},
        )
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def undisturbed_run(ray_local: None, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any], Any]:
    """Runs of `tests/scripted_run.py` by method, made once: what each left, and the moments at which it could die."""
    import scripted_run
    from moments import Watch

    made: dict[str, Any] = {}

    def make(method: Any) -> Any:
        if method not in made:
            root = tmp_path_factory.mktemp(method)
            watch = Watch.of(str(root))
            scripted_run.run(method, str(root), watch)
            made[method] = (scripted_run.outcome(str(root)), watch.met())
        return made[method]

    return make


@pytest.fixture(scope="session")
def reference(ray_local: None, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The small run of `tests/cluster_runs.py` with the real engines, in this process, undisturbed: its directory."""
    import io

    from cluster_runs import SMALL

    from toolace.config import load_config
    from toolace.rounds.driver import run_rounds
    from toolace.rounds.progress import Progress
    from toolace.storage import Store

    root = tmp_path_factory.mktemp("reference")
    run_rounds(load_config(ROOT / "configs" / "demo.yaml", [*SMALL, f"root={root}"]), Progress(io.StringIO()))
    return Store(str(root / "demo"))


@dataclass(frozen=True)
class Evolution:
    """A small run of evolution, first without rounds, then with one: its directory, the summary of the first part and
    what that said, times of its files, and the error that the round ends with."""

    run: Path
    summary: dict[str, Any]
    said: str
    written: dict[Path, int]
    error: Exception


@pytest.fixture(scope="session")
def evolution(ray_local: None, tmp_path_factory: pytest.TempPathFactory) -> Evolution:
    """The small evolution of `tests/cluster_runs.py` with the real engines, in this process."""
    import io

    from cluster_runs import EVOLUTION

    from toolace.config import load_config
    from toolace.errors import TrainingError
    from toolace.rounds.evolve import run_evolve
    from toolace.rounds.progress import Progress

    root, out = tmp_path_factory.mktemp("evolution"), io.StringIO()
    config = ROOT / "configs" / "demo_evolve.yaml"
    settings = [*EVOLUTION, f"root={root}"]
    summary = run_evolve(load_config(config, [*settings, "evolve.rounds=0"]), Progress(out))
    written = {path: path.stat().st_mtime_ns for path in root.rglob("*.parquet")}
    with pytest.raises(TrainingError) as error:
        run_evolve(load_config(config, [*settings, "evolve.rounds=1"]), Progress(io.StringIO()))
    return Evolution(root / "demo-evolve", summary, out.getvalue(), written, error.value)


@dataclass(frozen=True)
class Compared:
    """A small comparison of two arms: where it is, what it is, its runs as they were planned, and its outcome."""

    place: Path
    comparison: Any
    runs: list[Any]
    plan: dict[str, Any]
    outcome: dict[str, Any]


@pytest.fixture(scope="session")
def compared(ray_local: None, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    """Two runs of rounds with the real engines, in this process: the second one's corpus is another."""
    import io

    from cluster_runs import COMPARISON

    from toolace.rounds.compare import compare
    from toolace.rounds.compare_dry import count_plan
    from toolace.rounds.compare_plan import load_comparison, plan_runs
    from toolace.rounds.progress import Progress

    root = tmp_path_factory.mktemp("compared")
    (root / "two.yaml").write_text(COMPARISON.format(base=ROOT / "configs" / "demo.yaml", root=root))
    comparison = load_comparison(root / "two.yaml")
    runs = plan_runs(comparison)
    plan = count_plan(runs, None)
    return Compared(root / "two", comparison, runs, plan, compare(comparison, Progress(io.StringIO())))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real rows from other projects, beside this one; not part of it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no ../shared/data beside the project: real rows from other projects are not shipped")
    return folder


@pytest.fixture(scope="session")
def tiny_base() -> Path:
    """The shipped tiny base model."""
    return ROOT / "toolace" / "assets" / "tiny_base"


@pytest.fixture(scope="session")
def object_server() -> Iterator[Any]:
    """An S3 server, for the whole test session."""
    pytest.importorskip("moto", reason="the S3 server of the tests: pip install 'toolace[dev]'")
    from object_server import ObjectServer

    server = ObjectServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def local_cluster(object_server: Any) -> Iterator[Any]:
    """One Ray cluster of several nodes for the whole test session, as `cluster/local.sh up` makes it."""
    sys.path.insert(0, str(ROOT / "cluster"))
    from local_cluster import LocalCluster

    place = Path(tempfile.mkdtemp(prefix="tc-", dir="/tmp"))  # short, for the sockets below it
    cluster = LocalCluster(place / "c")
    cluster.up(2, 2, {**object_server.environment, "TOOLACE_CACHE": str(place / "cache"), "RAY_worker_niceness": "0"})
    yield cluster
    nodes = list(cluster.nodes)
    cluster.down()
    assert not [process for node in nodes for process in node.processes()], "down ends all that up started"
    shutil.rmtree(place, ignore_errors=True)
