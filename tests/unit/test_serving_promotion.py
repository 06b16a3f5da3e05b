"""Choosing a model, the declared application, promotion and rollback against a fake of Serve's REST client."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from silent_dashboard import SILENCE, Dashboard, dashboard

from toolace.config import Config, ModelConfig, dump_config
from toolace.errors import ConfigError, ServingError
from toolace.serving.app import llm_config, model_fingerprint, serve_config, served_version
from toolace.serving.config import ServeConfig, load_serve_config
from toolace.serving.local import declared
from toolace.serving.models import choose_model, require_on_hub
from toolace.serving.promotion import KEPT, check_address, connect, current, promote, rollback

ROOT = Path(__file__).parent.parent.parent


def make_model(folder: Path, word: str = "one") -> str:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"word": word}))
    (folder / "model.safetensors").touch()
    return str(folder)


def make_run(root: Path, *stages: str, name: str = "demo") -> str:
    run = root / name
    run.mkdir()
    config = Config.model_validate({"name": name, "model": {"format": "hermes", "max_model_len": 512}})
    (run / "run.json").write_text("{}")
    (run / "config.yaml").write_text(dump_config(config))
    for stage in stages:
        make_model(run / stage / "train" / "model", stage)
        (run / stage / "train" / "done.json").write_text("{}")
    return str(run)


def test_a_run_gives_its_newest_finished_round(tmp_path: Path) -> None:
    run = make_run(tmp_path, *(f"round-{number}" for number in range(1, 11)), "bootstrap")
    make_model(tmp_path / "demo" / "round-11" / "train" / "model")  # not finished
    chosen = choose_model(run + "/", ModelConfig(format="pythonic"))
    assert (chosen.name, chosen.label) == ("demo", "round-10")
    assert chosen.model.path == f"{run}/round-10/train/model"
    assert (chosen.model.format, chosen.model.max_model_len) == ("hermes", 512)


@pytest.mark.parametrize(("which", "label"), [("2", "round-2"), ("round-2", "round-2"), ("bootstrap", "bootstrap")])
def test_a_round_can_be_named(tmp_path: Path, which: str, label: str) -> None:
    run = make_run(tmp_path, "round-1", "round-2", "round-3", "bootstrap")
    assert choose_model(f"{run}/{which}").label == label


@pytest.mark.parametrize(("which", "label"), [("", "evolve-2"), ("/2", "evolve-2"), ("/evolve-1", "evolve-1"),
                                              ("/decomposed", "decomposed"), ("/adaption", "adaption")])  # fmt: skip
def test_an_evolved_model_can_be_named(tmp_path: Path, which: str, label: str) -> None:
    run = make_run(tmp_path, "evolve-1", "evolve-2", "adaption", "decomposed")
    assert choose_model(run + which).label == label
    with pytest.raises(ServingError, match=r"no trained model '3'\. There is: evolve-1, evolve-2, adaption, decomp"):
        choose_model(f"{run}/3")


def test_a_directory_takes_the_defaults(tmp_path: Path) -> None:
    path = make_model(tmp_path / "qwen" / "train" / "model")
    chosen = choose_model(path, ModelConfig(format="hermes"))
    assert (chosen.name, chosen.label, chosen.model.format, chosen.model.path) == ("qwen", "", "hermes", path)
    assert choose_model("Qwen/Qwen2.5-7B-Instruct").name == "Qwen2.5-7B-Instruct"
    assert choose_model("builtin:tiny_base").name == "tiny_base"


def test_a_hub_name_that_cannot_be_had_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ServingError, match=r"no model at nobody/nothing: .* on the hub: .*make demo"):
        require_on_hub("nobody/nothing")
    require_on_hub("builtin:tiny_base")


def test_what_is_no_model_is_refused_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    for near in ("runs/demo", "models/mine"):  # not taken for names on the hub
        with pytest.raises(ServingError, match=rf"no model and no run at {near}.*make demo"):
            choose_model(near)
    with pytest.raises(ServingError, match=r"no model and no run at .*nothing.*make demo"):
        choose_model(str(tmp_path / "nothing"))
    make_model(tmp_path / "half")
    (tmp_path / "half" / "model.safetensors").unlink()
    with pytest.raises(ServingError, match=r"no weights in .*half: .* no file that ends in \.safetensors"):
        choose_model(str(tmp_path / "half"))
    with pytest.raises(ServingError, match=r"no finished round yet.*bootstrap"):
        choose_model(make_run(tmp_path, "bootstrap"))
    with pytest.raises(ServingError, match=r"no trained model 'round-7'. There is: bootstrap"):
        choose_model(str(tmp_path / "demo" / "round-7"))


class FakeServe:
    """Serve's state: what is declared is what runs, with a status for each step asked."""

    def __init__(self, *applications: dict[str, Any], statuses: tuple[str, ...] = ("DEPLOYING", "RUNNING")) -> None:
        self.declared = {one["name"]: one for one in applications}
        self.statuses, self.asked = statuses, 0
        self.deployed: list[dict[str, Any]] = []

    def get_serve_details(self) -> dict[str, Any]:
        status = self.statuses[min(self.asked, len(self.statuses) - 1)]
        self.asked += 1
        return {
            "applications": {
                name: {"status": status, "message": "line\nno weights", "deployed_app_config": copy.deepcopy(one)}
                for name, one in self.declared.items()
            }
        }

    def deploy_applications(self, config: dict[str, Any]) -> None:
        self.deployed.append(config)
        self.declared = {one["name"]: one for one in config["applications"]}
        self.asked = 0


def app_of(config: ServeConfig) -> dict[str, Any]:
    application: dict[str, Any] = declared(config)["applications"][0]
    return application


@pytest.fixture
def models(tmp_path: Path) -> tuple[str, str]:
    return make_model(tmp_path / "old", "old"), make_model(tmp_path / "new", "new")


def endpoint(path: str) -> ServeConfig:
    settings = [f"model.path={path}", "model_id=tools", "replicas.max_replicas=3"]
    return load_serve_config(None, [*settings, f"fingerprint={model_fingerprint(ModelConfig(path=path))!r}"])


def test_promotion_changes_the_model_and_nothing_else(models: tuple[str, str]) -> None:
    old, new = models
    other = {"name": "other", "import_path": "x:y", "route_prefix": "/o"}
    api = FakeServe(app_of(endpoint(old)), other)
    said: list[str] = []
    version = promote(api, choose_model(new), say=said.append)
    now = current(api)
    assert now.model.path == new and now.model_id == "tools" and now.replicas.max_replicas == 3
    assert version == served_version(now) and version.startswith("tools/new@")
    assert [one.model.path for one in now.previous] == [old]
    assert api.declared["other"] == other, "an application left out of the declaration would be deleted"
    assert said[0].endswith(f"-> {version}") and said[-1] == "running"


def test_rollback_goes_back_step_by_step(models: tuple[str, str], tmp_path: Path) -> None:
    old, new = models
    third = make_model(tmp_path / "third", "third")
    api = FakeServe(app_of(endpoint(old)))
    first = served_version(current(api))
    promote(api, choose_model(new))
    promote(api, choose_model(third))
    assert rollback(api).startswith("tools/new@") and rollback(api) == first
    with pytest.raises(ServingError, match="nothing to roll back to"):
        rollback(api)


def test_the_models_before_are_forgotten_one_by_one(models: tuple[str, str]) -> None:
    api = FakeServe(app_of(endpoint(models[0])))
    for _ in range(KEPT):
        for path in reversed(models):
            promote(api, choose_model(path))
    before = [one.model.path for one in current(api).previous]
    assert before == list(models) * (KEPT // 2)


def test_replicas_are_added_before_any_goes_and_take_no_endless_queue() -> None:
    pytest.importorskip("vllm", reason="ray.serve.llm needs it")
    config = load_serve_config(
        None, ["model.path=builtin:tiny_base", "replicas.max_ongoing_requests=5", "replicas.max_queued_requests=7"]
    )
    deployment = llm_config(config).deployment_config
    assert deployment["max_surge_percent"] == 100, "a promotion starts new replicas beside the old ones"
    assert (deployment["max_ongoing_requests"], deployment["max_queued_requests"]) == (5, 7)


def test_a_model_that_fails_is_taken_back(models: tuple[str, str]) -> None:
    old, new = models
    api = FakeServe(app_of(endpoint(old)), statuses=("DEPLOYING", "DEPLOYING", "DEPLOY_FAILED"))
    before = current(api)
    api.asked = 0
    with pytest.raises(ServingError, match=r"did not become healthy: no weights\. tools@\w+ serves on"):
        promote(api, choose_model(new))
    assert len(api.deployed) == 2 and current(api) == before


STATE, DECLARE = "GET /api/serve/applications/", "PUT /api/serve/applications/"


def state(path: str, status: str = "RUNNING", **changes: Any) -> dict[str, Any]:
    """What a dashboard tells of an endpoint with a model."""
    config = endpoint(path).model_copy(update=changes)
    return {"applications": {"toolace": {"status": status, "message": "", "deployed_app_config": app_of(config)}}}


@pytest.fixture
def without_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")


def limited(one: Dashboard, limit_s: float = 30) -> Any:
    """A client of a dashboard that has told its version, with a limit for what it is asked then."""
    api: Any = connect(one.address)
    api.limit_s = limit_s
    return api


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("without_token")
def test_a_dashboard_that_says_nothing_is_told(models: tuple[str, str]) -> None:
    with dashboard(version=SILENCE) as one:
        silent = rf"the dashboard at {one.address} did not answer GET /api/ray/version within 0\.3 s"
        with pytest.raises(ServingError, match=rf"^cannot reach Ray Serve at {one.address}: {silent}\. .*--address"):
            connect(one.address, limit_s=0.3)
    with dashboard() as one:
        match = rf"^the dashboard at {one.address} did not answer {STATE} within 0\.3 s\. Look at the head"
        for act in (current, rollback, lambda api: promote(api, choose_model(models[1]))):
            with pytest.raises(ServingError, match=match):
                act(limited(one, 0.3))
        assert DECLARE not in one.asked


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("without_token")
def test_the_limit_of_a_promotion_bounds_the_whole(models: tuple[str, str]) -> None:
    """Whatever a request may take: the limit of a request is half a minute here."""
    old, new = models
    with dashboard() as one, pytest.raises(ServingError, match=rf"did not answer {STATE} within 0\.\d+ s"):
        rollback(limited(one), timeout_s=0.5)
    with dashboard({STATE: lambda before: state(old) if before < 2 else SILENCE}) as one:
        match = (
            rf"^tools/new@\w+ was sent, and what became of it is not known: .* {DECLARE} within .*"
            rf"tools@\w+ could not be put back either: .* {STATE} within .*`serve config` shows"
        )
        with pytest.raises(ServingError, match=match):
            promote(limited(one), choose_model(new), timeout_s=4)


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("without_token")
def test_a_declaration_without_an_answer_is_taken_back(models: tuple[str, str]) -> None:
    old, new = models
    with dashboard({STATE: state(old), DECLARE: lambda before: {} if before else SILENCE}) as one:
        match = rf"^tools/new@\w+ did not become healthy: .* {DECLARE} within 2 s\. tools@\w+ serves on$"
        with pytest.raises(ServingError, match=match):
            promote(limited(one, 2), choose_model(new))
        assert one.asked.count(DECLARE) == 2


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("without_token")
def test_a_silence_that_passes_ends_no_promotion(models: tuple[str, str]) -> None:
    old, new = models
    steps = [state(old), state(old), state(old, "DEPLOYING"), SILENCE]
    with dashboard({STATE: lambda before: [*steps, state(old)][min(before, 4)], DECLARE: {}}) as one:
        assert promote(limited(one, 2), choose_model(new)).startswith("tools/new@")
        assert one.asked.count(DECLARE) == 1


def test_the_same_model_is_refused_unless_again(models: tuple[str, str]) -> None:
    old, _ = models
    api = FakeServe(app_of(endpoint(old)))
    with pytest.raises(ServingError, match=r"serves tools@.* already"):
        promote(api, choose_model(old))
    assert promote(api, choose_model(old), again=True).startswith("tools@")
    assert not api.deployed


def test_other_weights_in_the_same_place_are_another_model(models: tuple[str, str]) -> None:
    old, new = models
    api = FakeServe(app_of(endpoint(old)))
    first = served_version(current(api))
    (Path(old) / "model.safetensors").write_bytes(b"other")
    assert served_version(current(api)) == first, "what is served, not what lies on the disk"
    second = promote(api, choose_model(old))
    assert second != first and second == served_version(current(api))
    with pytest.raises(ServingError, match=r"cannot roll back: the files of .*old have changed since .*promote"):
        rollback(api)
    promote(api, choose_model(new))
    assert rollback(api) == second
    (Path(old) / "chat_template.jinja").write_text("other words")
    assert promote(api, choose_model(old)) not in {first, second}


def test_an_application_declared_without_a_fingerprint_gets_one(models: tuple[str, str]) -> None:
    old, new = models
    api = FakeServe(app_of(endpoint(old).model_copy(update={"fingerprint": None})))
    promote(api, choose_model(old))
    assert current(api).fingerprint == model_fingerprint(ModelConfig(path=old)) and len(api.deployed) == 1
    api = FakeServe(app_of(endpoint(old).model_copy(update={"fingerprint": None})))
    promote(api, choose_model(new))
    (Path(old) / "model.safetensors").write_bytes(b"overwritten")
    with pytest.raises(ServingError, match="cannot roll back"):
        rollback(api)


def test_an_endpoint_that_is_not_there_is_named(models: tuple[str, str]) -> None:
    with pytest.raises(ServingError, match="no application runs on this cluster"):
        promote(FakeServe(), choose_model(models[1]))
    with pytest.raises(ServingError, match=r"no declared application 'toolace'.*there is: other"):
        current(FakeServe({"name": "other"}))


def test_addresses() -> None:
    assert check_address("local") == "http://127.0.0.1:8265"
    assert check_address("https://ray.example:443") == "https://ray.example:443"
    with pytest.raises(ConfigError, match="no dashboard address"):
        check_address("ray.example:8265")


def test_the_shipped_serve_config_is_valid() -> None:
    from ray.serve.schema import ServeDeploySchema

    data = yaml.safe_load((ROOT / "configs" / "serve.yaml").read_text())
    schema = ServeDeploySchema.model_validate(data)
    config = serve_config(schema.applications[0].args)
    # Of the package, so that it can be deployed from any directory.
    assert schema.applications[0].import_path == "toolace.serving.app:build_app" and config.model_id == "tiny"


def test_flat_arguments_of_serve_run() -> None:
    config = serve_config({"model.path": "x", "refinement.max_rounds": "2", "port": 8001})
    assert (config.model.path, config.refinement.max_rounds, config.port) == ("x", 2, 8001)
    with pytest.raises(ConfigError, match=r"refinement\.modes"):
        serve_config({"refinement.modes": "off"})
