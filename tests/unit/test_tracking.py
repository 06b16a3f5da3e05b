"""Trackers follow a run: nothing twice, nothing lost, and an outage stops nothing."""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from report_runs import FakeRun

from toolace.config import Config, load_config
from toolace.errors import ConfigError
from toolace.rounds.summary import SUMMARY
from toolace.rounds.trackers import check_trackers, make_trackers
from toolace.rounds.tracking import MEMORY, Ending, Entry, Follower, Memory, Tracking, count_entries, follow
from toolace.storage import Stage, Store


class Service:
    """What a tracking service has after some starts of a run: it can be down, and a start can be killed."""

    def __init__(self) -> None:
        self.points: dict[tuple[str, int], float] = {}
        self.numbers: list[int] = []
        self.files: list[list[str]] = []
        self.endings: list[Ending] = []
        self.down = threading.Event()
        self.opened = 0


class Client:
    name, place = "service", "service here"

    def __init__(self, service: Service) -> None:
        self.service = service

    def open(self) -> str:
        self._reach()
        self.service.opened += 1
        return "https://service.example/run"

    def log(self, entries: Sequence[Entry], first: int) -> None:
        self._reach()
        for number, entry in enumerate(entries, start=first):
            self.service.numbers.append(number)
            for key, value in entry.values.items():
                assert (key, entry.step) not in self.service.points, "logged twice"
                self.service.points[key, entry.step] = value

    def finish(self, files: Mapping[str, bytes]) -> None:
        self._reach()
        self.service.files.append(sorted(files))

    def close(self, ending: Ending) -> None:
        self._reach()
        self.service.endings.append(ending)

    def _reach(self) -> None:
        if self.service.down.is_set():
            raise ConnectionError("service.example does not answer")


def steps(stage: Stage, number: int) -> None:
    lines = [
        {"step": n, "loss": 2.0 - n / 100, "loss_by_kind": {"fix": 1.0}, "lr": 1e-3, "target_tokens_per_s": 900.0}
        for n in range(number)
    ]
    stage.store.write("steps.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())


def events(store: Store) -> list[dict[str, Any]]:
    return [json.loads(line) for line in store.read("events.jsonl").decode().splitlines()]


def followed(fake: FakeRun, service: Service) -> Any:
    return follow(lambda _: [Client(service)], fake.store, fake.run.events, fake.run.progress.say, "begun")


def test_a_resumed_run_logs_what_is_missing_and_nothing_twice(tmp_path: Path) -> None:
    fake, service = FakeRun(tmp_path, rows=12), Service()
    stage = Stage(fake.store, "round-1/train", {"corpus": "a"})
    with pytest.raises(SystemExit), followed(fake, service) as tracking:
        steps(stage, 300)
        tracking.steps_made(stage)
        raise SystemExit(143)
    assert service.endings == ["stopped"]
    assert [step for key, step in service.points if key == "round-1/train/loss"] == list(range(300))
    first = json.loads((tmp_path / "fake" / MEMORY).read_text())["id"]
    for _ in range(2):
        steps(stage, 450)
        fake.store.write_json(SUMMARY, {"rounds": []})
        with followed(fake, service) as tracking:
            tracking.stage_done(stage, {"steps": 450, "target_tokens": 9000, "seconds": 3.5})
    assert [step for key, step in service.points if key == "round-1/train/loss"] == list(range(450))
    assert service.points["round-1/train/loss_by_kind/fix", 449] == 1.0
    assert service.points["train/target_tokens", 1] == 9000
    assert service.numbers == list(range(451)), "every entry keeps its number"
    assert service.files == [["config.yaml", SUMMARY]], "the same outcome is not logged again"
    assert service.endings == ["stopped", "finished", "finished"]
    assert json.loads((tmp_path / "fake" / MEMORY).read_text())["id"] == first


def test_an_outage_is_an_event_and_all_is_logged_when_it_is_over(tmp_path: Path) -> None:
    fake, service = FakeRun(tmp_path, rows=12), Service()
    service.down.set()
    memory = Memory(fake.store, "begun")
    follower = Follower(Client(service), memory, fake.run.events, fake.run.progress.say, retry_s=0.01)
    tracking = Tracking(memory, [follower])
    stage = Stage(fake.store, "round-2/select", {})
    tracking.stage_done(stage, {"selected": 5, "probed": 12, "labels": {"solved": 5, "unsolved": 7}})
    while not any(event["event"] == "tracker_failed" for event in events(fake.store)):
        threading.Event().wait(0.01)
    service.down.clear()
    tracking.close("finished")
    assert service.points["select/selected", 2] == 5 and service.points["select/label_solved", 2] == 5
    found = [event for event in events(fake.store) if event["event"].startswith("tracker_")]
    assert [event["event"] for event in found] == ["tracker_failed", "tracker_opened"], "told once, not at every try"
    assert found[0]["tracker"] == "service" and "does not answer" in found[0]["error"]


def test_a_service_that_stays_down_ends_nothing(tmp_path: Path) -> None:
    fake, service = FakeRun(tmp_path, rows=12), Service()
    service.down.set()
    with followed(fake, service) as tracking:
        tracking.stage_done(Stage(fake.store, "round-1/select", {}), {"selected": 1, "probed": 2})
    assert service.points == {} and any(event["event"] == "tracker_failed" for event in events(fake.store))
    service.down.clear()
    with followed(fake, service) as tracking:
        tracking.stage_done(Stage(fake.store, "round-1/select", {}), {"selected": 1, "probed": 2})
    assert service.points["select/selected", 1] == 1


def test_a_stage_made_anew_gets_curves_of_its_own(tmp_path: Path) -> None:
    fake, service = FakeRun(tmp_path, rows=12), Service()
    for tokens in (100, 200, 100):
        with followed(fake, service) as tracking:
            tracking.stage_done(Stage(fake.store, "plain_sft/train", {"tokens": tokens}), {"target_tokens": tokens})
    assert service.points == {
        ("plain_sft/train/target_tokens", 0): 100,
        ("again_1/plain_sft/train/target_tokens", 0): 200,
    }


def test_what_is_logged_of_each_stage() -> None:
    scores = {"direct": 0.5, "adaptive": 0.75, "repairs": 3, "regressions": 1, "by_kind": {"x": {}}}
    (entry,) = count_entries("round-3/eval-test", {"scores": scores}, 0)
    assert (entry.axis, entry.step) == ("round", 3)
    assert entry.values == {"test/direct": 0.5, "test/adaptive": 0.75, "test/repairs": 3, "test/regressions": 1}
    (base,) = count_entries("base/eval-dev", {"scores": scores}, 0)
    assert base.step == 0 and "dev/direct" in base.values
    (plain,) = count_entries("plain_sft/eval-test", {"scores": scores}, 0)
    assert "plain_sft/test/direct" in plain.values
    (probe,) = count_entries("round-1/probe", {"draws": 70, "draws_full": 80, "rows": 10, "solved": 4}, 0)
    assert probe.values == {"probe/draws": 70, "probe/draws_full": 80, "probe/rows": 10, "probe/solved": 4}
    counts = {"queries": 9, "accepted": 4, "rejected": {"tie": 5}, "accepted_right": None, "errors": {}}
    (evolved,) = count_entries("evolve-2/evolve", counts, 0)
    assert (evolved.step, evolved.values) == (2, {"evolve/queries": 9, "evolve/accepted": 4})
    (tasks,) = count_entries("decomposed/tasks-test", {"scores": {"tools_valid": 0.5, "reasons": {"called": 1}}}, 0)
    assert (tasks.step, tasks.values) == (0, {"decomposed/tasks/tools_valid": 0.5})
    (data,) = count_entries("data", {"train": 5, "quarantined": {"bad_json": 2}}, 0)
    assert data.values == {"data/train": 5, "data/quarantined": 2}


def test_a_tracker_that_is_not_installed_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    tracking = Config.model_validate({"tracking": {"mlflow": {"uri": "http://127.0.0.1:9"}}}).tracking
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"mlflow is not installed.*pip install 'toolace\[tracking\]'"):
        check_trackers(tracking)
    check_trackers(Config().tracking)


def test_no_password_in_settings() -> None:
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_PASSWORD") as found:
        load_config(overrides=["tracking.mlflow.uri=https://me:hidden@mlflow.example"])
    assert "hidden" not in str(found.value)
    assert load_config(overrides=["tracking.wandb.project=x"]).tracking.wandb is not None


def with_trackers(fake: FakeRun, tracking: dict[str, Any]) -> Any:
    config = Config.model_validate({**fake.config.model_dump(), "tracking": tracking})
    fake.run.config = fake.config = config
    trackers = partial(make_trackers, config, fake.store)
    return follow(trackers, fake.store, fake.run.events, fake.run.progress.say, "begun")


def test_mlflow_has_every_point_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="mlflow-skinny is not installed: pip install 'toolace[tracking]'")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    uri = (tmp_path / "store").as_uri()
    fake = FakeRun(tmp_path, rows=12)
    with with_trackers(fake, {"mlflow": {"uri": uri, "experiment": "tests"}}) as fake.run.tracking:
        fake.finish(steps=30)
    (tmp_path / "fake" / MEMORY).unlink()  # as if it had been killed before it remembered anything
    again = FakeRun(tmp_path, rows=12)
    with with_trackers(again, {"mlflow": {"uri": uri, "experiment": "tests"}}) as again.run.tracking:
        again.finish(steps=30)
    client = MlflowClient(tracking_uri=uri)
    (run,) = client.search_runs([client.get_experiment_by_name("tests").experiment_id])
    assert run.info.status == "FINISHED" and run.info.run_name == "fake"
    assert run.data.params["probe.k"] == "4" and run.data.params["tracking.mlflow.uri"] == uri
    history = client.get_metric_history(run.info.run_id, "round-2/train/loss")
    wanted = [json.loads(line) for line in fake.store.read("round-2/train/steps.jsonl").decode().splitlines()]
    assert [(m.step, m.value) for m in history] == [(line["step"], line["loss"]) for line in wanted]
    scores = {n: fake.store.read_json(f"round-{n}/eval-test/done.json")["counts"]["scores"] for n in (1, 2)}
    direct = {m.step: m.value for m in client.get_metric_history(run.info.run_id, "test/direct")}
    assert set(direct) == {0, 1, 2} and direct[2] == scores[2]["direct"]
    assert len(client.get_metric_history(run.info.run_id, "test/repairs")) == 3
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"config.yaml", SUMMARY}


def test_wandb_offline_goes_on_under_one_id(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed: pip install 'toolace[tracking]'")
    fake = FakeRun(tmp_path, rows=12)
    tracking = {"wandb": {"project": "tests", "mode": "offline"}}
    with pytest.raises(RuntimeError), with_trackers(fake, tracking) as fake.run.tracking:
        fake.evaluate("base", 0.2)
        raise RuntimeError("the engine died")
    again = FakeRun(tmp_path, rows=12)
    with with_trackers(again, tracking) as again.run.tracking:
        again.finish(steps=30)
    files = sorted((tmp_path / "fake" / "wandb").glob("offline-run-*/*.wandb"))
    run_id = json.loads((tmp_path / "fake" / MEMORY).read_text())["id"]
    assert len(files) == 2 and {file.name for file in files} == {f"run-{run_id}.wandb"}
    rows = [row for file in files for row in history(file)]
    numbers = [row["_step"] for row in rows]
    assert numbers == list(range(len(rows))), "the points go on where the first start ended, each once"
    losses = [row["round-2/train/loss"] for row in rows if "round-2/train/loss" in row]
    assert len(losses) == 30
    assert [row["round"] for row in rows if "test/direct" in row] == [0, 1, 2]


def history(file: Path) -> list[dict[str, Any]]:
    """The rows of an offline run, as the client wrote them."""
    from wandb.proto import wandb_internal_pb2

    rows = []
    for data in log_records(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.HasField("history"):
            items = {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            rows.append(items | {"_step": record.history.step.num})
    return rows


def log_records(data: bytes, block: int = 32768) -> Iterator[bytes]:
    """The records of a LevelDB log (blocks of fragments: checksum, length, kind) behind a file header of 7 bytes."""
    place, record = 7, b""
    while place < len(data):
        if block - place % block < 7:
            place += block - place % block
            continue
        length, kind = struct.unpack_from("<4xHB", data, place)
        record += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last fragment
            yield record
            record = b""
