"""A cluster of several nodes while a node dies, or while its object storage fails: what comes out is the same."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_runs import ROOT, call, driving, eventually
from moments import EXPORT, STEPS, Moment, Watch, pick, seeds, told
from rollout_fakes import expected, make_samples
from scripted_run import outcome
from training_models import make_model, make_spec, make_tokens

from toolace.rollouts.outputs import read_records
from toolace.storage import Store
from toolace.training.loop import train
from toolace.training.spec import TrainSpec
from toolace.training.steplog import read_steps

pytestmark = [pytest.mark.late(4), pytest.mark.engine, pytest.mark.timeout(900)]
DRIVER = [sys.executable, "tests/cluster_driver.py"]
SCRIPTED = [sys.executable, "tests/scripted_run.py"]
PATHS = {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
ROWS = 60
RECORDS = [expected(sample) for sample in make_samples(ROWS)]
SETTINGS: dict[str, Any] = {"method": "lora", "epochs": 12, "checkpoint_steps": 5, "zero_stage": 2, "lr": 1e-3}
SHORT = 4
"""Epochs, of which each is a checkpoint, where storage fails: by the name of a file, however long there is to go."""


@pytest.fixture
def env(local_cluster: Any, object_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """What a driver on the cluster needs; a node that was lost is replaced afterwards."""
    for name, value in object_server.environment.items():
        monkeypatch.setenv(name, value)
    yield {**local_cluster.environment, **PATHS}
    while sum(node.running() for node in local_cluster.nodes) < 3:
        local_cluster.add(f"worker-{len(local_cluster.nodes)}", 2)


def lose_nodes(cluster: Any, driver: subprocess.Popen[bytes], watch: Watch, log: Path) -> None:
    """The node of each process that comes to a moment of the watch dies there, and another one comes."""
    left = list(watch.at)
    while left:
        eventually(lambda: driver.poll() is not None or any(map(watch.pid, left)), "a process at its moment")
        assert driver.poll() is None, log.read_text()[-3000:]
        moment = next(filter(watch.pid, left))
        left.remove(moment)
        next(node for node in cluster.nodes if watch.pid(moment) in {one.pid for one in node.processes()}).kill()
        cluster.add(f"worker-{len(cluster.nodes)}", 2)


@pytest.mark.parametrize(("method", "kinds"), [("rounds", ["probe"]), ("evolve", ["eval", "evolve"])])
def test_nodes_that_are_lost_while_actors_work_cost_no_record(
    method: Any, kinds: list[str], local_cluster: Any, env: dict[str, str], undisturbed_run: Any, tmp_path: Path
) -> None:
    """A node dies at a moment of its actor that the seed picks, in a stage of each kind."""
    whole, moments = undisturbed_run(method)
    seed = seeds("5")[0]
    at = pick(seed, [moment for moment in moments if moment.victim == "actor"], kinds)
    told(seed, at)
    watch = Watch.of(str(tmp_path / "run"), *at, hold=True)
    (tmp_path / "watch").write_bytes(pickle.dumps(watch))
    log = tmp_path / "log"
    with driving([*SCRIPTED, method, str(tmp_path / "run"), str(tmp_path / "watch")], env, log) as process:
        lose_nodes(local_cluster, process, watch, log)
    assert outcome(str(tmp_path / "run")) == whole


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("training")
    return make_model(folder / "model"), make_tokens(folder / "tokens")


@pytest.fixture(scope="module")
def undisturbed(places: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The same training in one process, without Ray."""
    return trained_alone(places, tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(scope="module")
def short(places: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A shorter one."""
    return trained_alone(places, tmp_path_factory.mktemp("short"), epochs=SHORT)


def trained_alone(places: tuple[Path, Path], out: Path, **changes: Any) -> Store:
    spec = make_spec(*places, out, **{**SETTINGS, **changes})
    train(spec)
    return Store(spec.out)


def assert_same(out: Store, undisturbed: Store) -> None:
    from safetensors.torch import load

    mine, theirs = read_steps(out), read_steps(undisturbed)
    assert [(r["step"], r["rows_key"]) for r in mine] == [(r["step"], r["rows_key"]) for r in theirs]
    assert [r["loss"] for r in mine] == pytest.approx([r["loss"] for r in theirs], abs=1e-4)
    assert out.exists("result.json") and out.exists("model/config.json") and not out.exists("ray")
    one, two = (load(place.read("model/model.safetensors")) for place in (out, undisturbed))
    assert one.keys() == two.keys()
    assert max(float((one[name] - two[name]).abs().max()) for name in two) < 1e-3


def test_nodes_that_are_lost_while_a_model_is_trained_and_published_cost_no_step(
    local_cluster: Any, env: dict[str, str], places: Any, undisturbed: Store, tmp_path: Path
) -> None:
    """On two nodes, one worker on each. The node of one dies after a step beyond the first checkpoint, the node of the
    one that exports at a moment of the export; the seed picks step, rank and moment."""
    seed = seeds("5")[0]
    chance = random.Random(seed)
    step = STEPS.format(rank=chance.randrange(2), step=chance.randrange(5, len(read_steps(undisturbed)) - 5))
    at = tuple(Moment("worker", "round-1/train", what) for what in (step, EXPORT[seed % len(EXPORT)]))
    told(seed, at)
    (tmp_path / "met").mkdir()
    watch = Watch(str(tmp_path), str(tmp_path / "met"), at, hold=True)
    (tmp_path / "watch").write_bytes(pickle.dumps(watch))
    out, log = tmp_path / "round-1/train", tmp_path / "log"
    spec = make_spec(*places, out, workers=2, cpus_per_worker=2, **SETTINGS)
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    with driving([*DRIVER, "train", str(tmp_path), str(tmp_path / "watch")], env, log) as process:
        lose_nodes(local_cluster, process, watch, log)
    assert_same(Store(str(out)), undisturbed)


class Budget:
    """Which requests fail: writes to each of some places, so many times."""

    def __init__(self, times: int, *places: str) -> None:
        self.left = dict.fromkeys(places, times)

    def __call__(self, method: str, path: str) -> bool:
        for place, left in self.left.items():
            if left and place in path and method in ("PUT", "POST"):
                self.left[place] -= 1
                return True
        return False


def test_records_that_object_storage_takes_late(local_cluster: Any, object_server: Any, env: dict[str, str]) -> None:
    place = Store(f"{object_server.bucket('late')}/rollout")
    copy_samples(place)
    budget = Budget(7, "/out/part-00003.parquet", "/out/part-00008.parquet")  # the client itself tries three times
    with object_server.failing(10**9, budget):
        call([*DRIVER, "rollout", place.uri], env)
    assert not any(budget.left.values())
    assert list(read_records(place.at("out"))) == RECORDS


def test_object_storage_that_stays_broken_stops_a_rollout_that_can_go_on(
    local_cluster: Any, object_server: Any, env: dict[str, str]
) -> None:
    place = Store(f"{object_server.bucket('broken')}/rollout")
    copy_samples(place)
    with object_server.failing(10**9, Budget(10**9, "/out/part-00007.parquet")):
        said = call([*DRIVER, "rollout", place.uri], env, code=1)
    assert f"error: cannot write {place.at('out/part-00007.parquet')}" in said and "same command again" in said, said
    done = set(place.list("out"))
    assert done and "part-00007.parquet" not in done
    seen = len(object_server.seen)
    call([*DRIVER, "rollout", place.uri], env)
    assert list(read_records(place.at("out"))) == RECORDS
    written = {path for method, path in object_server.seen[seen:] if method == "POST" and "/out/part-" in path}
    assert not [path for path in written if path.partition("?")[0].rpartition("/")[2] in done]


@pytest.fixture
def joining(ray_local: None, object_server: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What makes `tests/scripted_run.py` a job of this process's Ray: a cluster of nodes would only take longer."""
    import ray

    for name, value in object_server.environment.items():
        monkeypatch.setenv(name, value)
    return ["-", f"cluster.address={ray.get_runtime_context().gcs_address}"]


def test_an_evolve_run_whose_object_storage_fails_for_a_while(
    object_server: Any, joining: list[str], undisturbed_run: Any
) -> None:
    """Files of the driver and of its actors, picked by a seed from those of a round of evolution."""
    whole, moments = undisturbed_run("evolve")
    root = f"{object_server.bucket('evolve')}/runs"
    seed = seeds("5")[0]
    written = [moment for moment in moments if moment.what.endswith("will be written")]
    at = [
        *pick(seed, [moment for moment in written if moment.victim == "actor"], ["evolve"]),
        *pick(seed, [moment for moment in written if moment.victim == "driver"], ["evolve", "train", "corpus"]),
    ]
    told(seed, at)
    budget = Budget(7, *(f"/small/{moment.stage}/{moment.what.partition(' ')[0]}" for moment in at))
    with object_server.failing(10**9, budget):
        call([*SCRIPTED, "evolve", root, *joining], PATHS)
    assert not any(budget.left.values()), budget.left
    assert outcome(root) == whole


def test_an_evolve_run_whose_object_storage_stays_broken_can_go_on(
    object_server: Any, joining: list[str], undisturbed_run: Any
) -> None:
    """A shard of an actor's, then the driver's publishing of what was trained on it, cannot be written however often
    it is tried: each ends the run, and it goes on from there."""
    whole, _ = undisturbed_run("evolve")
    root = f"{object_server.bucket('lost-evolve')}/runs"
    run = Store(f"{root}/small")
    for broken, begun in (("evolve-1/evolve/part-00002.parquet", "evolve"), ("evolve-1/train/done.json", "train")):
        with object_server.failing(10**9, Budget(10**9, f"/small/{broken}")):
            said = call([*SCRIPTED, "evolve", root, *joining], PATHS, code=1)
        assert f"error: cannot write {run.at(broken)}" in said and "same command again" in said, said
        assert run.exists(f"evolve-1/{begun}/begun.json") and not run.exists(f"evolve-1/{begun}/done.json")
        assert not run.exists("lock.json") and not run.exists("summary.json")
    call([*SCRIPTED, "evolve", root, *joining], PATHS)
    assert outcome(root) == whole


def copy_samples(place: Store) -> None:
    from toolace.data.shards import write_shards

    write_shards(make_samples(ROWS), place.sub("samples"), 5)


def training_on(bucket: str, places: tuple[Path, Path], **changes: Any) -> Store:
    """All that a driver needs to train below a bucket, and not for long: model, tokens and settings."""
    place = Store(f"{bucket}/run")
    for name, folder in zip(("model", "tokens"), places, strict=True):
        for file in folder.iterdir():
            place.write(f"{name}/{file.name}", file.read_bytes())
    spec = TrainSpec.model_validate(
        {**make_spec(*places, Path("/nowhere"), **{**SETTINGS, "epochs": SHORT, **changes}).model_dump(),
         "model": place.at("model"), "tokens": place.at("tokens"), "out": place.at("out")}
    )  # fmt: skip
    place.write("spec.json", spec.model_dump_json().encode())
    return place


def test_a_training_whose_object_storage_fails_for_a_while(
    local_cluster: Any, object_server: Any, env: dict[str, str], places: Any, short: Store
) -> None:
    place = training_on(object_server.bucket("train"), places)
    budget = Budget(7, "/out/checkpoints/step-", "/out/checkpoints/index.json", "/out/model/", "/out/result.json")
    with object_server.failing(10**9, budget):
        call([*DRIVER, "train", place.uri], env)
    assert not any(budget.left.values()), budget.left
    assert_same(place.sub("out"), short)
    assert_no_paths_of_this_node(place, places)


def test_object_storage_that_stays_broken_stops_a_training_that_can_go_on(
    local_cluster: Any, object_server: Any, env: dict[str, str], places: Any, short: Store
) -> None:
    """First no checkpoint after the first can be written, then no part of the model that is published."""
    place = training_on(object_server.bucket("lost-train"), places, max_failures=0)
    out = place.sub("out")
    for broken in ("checkpoints/step-000010/", "model/"):
        with object_server.failing(10**9, Budget(10**9, f"/out/{broken}")):
            said = call([*DRIVER, "train", place.uri], env, code=1)
        place_told = out.at(broken).removesuffix("/")
        assert f"error: training in {out.uri} failed" in said and f"cannot write {place_told}" in said, said
        assert said.rstrip().endswith("run the same command again. It continues from the latest checkpoint"), said
        assert (
            out.exists("checkpoints/index.json")
            and not out.exists("result.json")
            and not out.exists("model/config.json")
        )
    seen = len(object_server.seen)
    call([*DRIVER, "train", place.uri], env)
    assert_same(out, short)
    written = [path for method, path in object_server.seen[seen:] if method in ("PUT", "POST")]
    assert not [path for path in written if "/out/checkpoints/step-000005/" in path], "it began anew"


def assert_no_paths_of_this_node(place: Store, places: tuple[Path, Path]) -> None:
    names = [f"{folder}/{name}" for folder in ("out/model", "out/model/adapter") for name in place.list(folder)]
    assert "out/model/adapter/adapter_config.json" in names
    for name in names:
        if name.endswith(".json") and not name.endswith("/tokenizer.json"):
            text = place.read(name).decode()
            assert str(places[0].parent) not in text and "/tmp/" not in text, (name, text)
