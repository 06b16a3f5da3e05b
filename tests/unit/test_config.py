"""Settings: bounds, unknown keys, overrides, and every shipped file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from toolace.config import MAX_SEED, Config, Section, dump_config, load_config, validate_config
from toolace.errors import ConfigError
from toolace.rounds.compare_plan import seeded
from toolace.serving.config import ServeConfig, load_serve_config
from toolace.training.scratch_config import TinyBaseConfig, load_tiny_base_config

CONFIGS = sorted((Path(__file__).parent.parent.parent / "configs").glob("*.yaml"))
RUN_CONFIGS = [path for path in CONFIGS if not path.stem.startswith(("tiny_base", "serve", "ablations", "bases"))]


@pytest.mark.parametrize("path", RUN_CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_config_is_valid_and_round_trips(path: Path) -> None:
    config = load_config(path)
    assert validate_config(yaml.safe_load(dump_config(config)), "dump") == config


def test_there_are_shipped_configs() -> None:
    recipes = {"llama31-8b-lora-zero2", "qwen25-7b-full-zero3", "llama31-8b-evolve"}
    assert recipes | {"demo", "demo_evolve"} <= {path.stem for path in RUN_CONFIGS}


def test_rounds_can_follow_the_demo_of_evolution() -> None:
    before, after = (load_config(CONFIGS[0].parent / f"{name}.yaml") for name in ("demo_evolve", "demo_evolve_rounds"))
    assert after.model.path == f"{before.run_dir}/evolve-{before.evolve.rounds}/train/model"


def test_evolution_can_follow_the_demo_of_rounds() -> None:
    before, after = (load_config(CONFIGS[0].parent / f"{name}.yaml") for name in ("demo", "demo_rounds_evolve"))
    assert after.model.path == f"{before.run_dir}/round-{before.rounds.max_rounds}/train/model"
    own = load_config(CONFIGS[0].parent / "demo_evolve.yaml")
    assert (after.data, after.evolve, after.train) == (own.data, own.evolve, own.train)


def test_overrides_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("probe: {k: 4, temperature: 0.5}\n")
    config = load_config(file, ["probe.k=16", "data.train.type=files", "data.train.path=x.jsonl", "name=other"])
    assert config.probe.k == 16 and config.probe.temperature == 0.5
    assert config.data.train.type == "files" and config.run_dir == "runs/other"
    assert load_config(None, ["root=~/x", "name=a"]).run_dir == str(Path.home() / "x/a")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("probe.q=4", r"probe\.q: there is no such setting.*draft_draws.*by --set probe\.q\)"),
        ("probe.drafts=4", r"near it: draft_draws"),
        ("data.train.row=4", r"near it: rows \(given: 4, by --set data\.train\.row\)"),
        ("probe=3", r"probe: .*by --set probe\)"),
        ("probe.k=0", r"probe\.k.*given: 0"),
        ("train.zero_stage=4", r"train\.zero_stage"),
        ("nonsense", "section.key=value"),
        ("probe.k=[", r"probe\.k=\[.*as YAML"),
        ("probe={k: 4, k: 8}", "key 'k' is given twice"),
        ("seed.x=1", "seed"),
        ("name=../x", "name"),
        ("probe.draft_draws=9", "draft_draws"),
        ("rollout.min_actors=3", "max_actors"),
        ("data.train.type=web", "data.train"),
        ("rounds.max_rounds=99999999999", r"rounds\.max_rounds"),
        ("train.epochs=1e300", r"train\.epochs"),
        ("data.train.rows=99999999999999999999", r"data\.train"),
        ("evaluate.splits=[test,test]", "names test twice"),
    ],
)
def test_bad_settings_name_the_key(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(None, [override])


def test_what_a_file_has_wrong_is_not_said_of_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("probe: {k: 0}\n")
    with pytest.raises(ConfigError, match=rf"bad settings in {file}:\n  probe\.k: .*\(given: 0\)\n"):
        load_config(file)
    with pytest.raises(ConfigError) as error:
        load_config(file, ["probe.mode=full", "train.epochs=0"])
    lines = str(error.value).splitlines()
    assert lines[0] == f"bad settings in {file} and the command line:"
    assert lines[1].endswith("(given: 0)") and lines[2].endswith("(given: 0, by --set train.epochs)")


def test_an_empty_band_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"select\.low"):
        load_config(None, ["select.rule=band", "select.low=0.5", "select.high=0.5"])


@pytest.mark.parametrize(("text", "message"), [("- 1", "not a mapping"), ("a: [", "YAML"), (None, "not found")])
def test_bad_files_are_named(tmp_path: Path, text: str | None, message: str) -> None:
    file = tmp_path / "bad.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(file)


def test_every_setting_has_a_default() -> None:
    assert Config() == load_config()


def float_settings(section: type[Section], prefix: str = "") -> Iterator[str]:
    """Dotted names of all settings that hold one number with a fraction, in the section and below it."""
    for name, field in section.model_fields.items():
        kinds = (field.annotation, *get_args(field.annotation))
        if float in kinds:
            yield prefix + name
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, Section):
                yield from float_settings(kind, f"{prefix}{name}.")


LOADERS: dict[type[Section], Callable[..., Any]] = {
    Config: load_config,
    ServeConfig: load_serve_config,
    TinyBaseConfig: load_tiny_base_config,
}


@pytest.mark.parametrize("root", LOADERS, ids=lambda root: root.__name__)
def test_no_setting_is_infinite_or_not_a_number(root: type[Section], tmp_path: Path) -> None:
    names = list(float_settings(root))
    assert len(names) > 5
    file = tmp_path / "empty.yaml"
    file.write_text("{}")
    for name in names:
        for value in (".inf", "-.inf", ".nan"):
            with pytest.raises(ConfigError, match=rf"{name.split('.')[-1]}: .*{value.strip('-.')}"):
                LOADERS[root](file, [f"{name}={value}"])


def test_numbers_in_lists_are_finite() -> None:
    with pytest.raises(ConfigError, match=r"evaluate\.margins"):
        load_config(None, ["evaluate.margins=[1.0, .inf]"])


@pytest.mark.parametrize("load", LOADERS.values(), ids=lambda load: load.__name__)
def test_a_file_is_refused_for_what_yaml_would_let_pass(load: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("a: {x: 1}\nseed: 1\nb: 2\nseed: 3\n")
    with pytest.raises(ConfigError, match=r"bad\.yaml.*'seed' is given twice, in line 2 and in line 4"):
        load(file)
    file.write_text("train:\n  lr: 1.0\n  epochs: 2\n  lr: 2.0\n")
    with pytest.raises(ConfigError, match=r"'lr' is given twice, in line 2 and in line 4"):
        load(file)
    for opening, closing in (("[", "]"), ("{a: ", "}")):
        file.write_text("seed: " + opening * 1_000 + closing * 1_000)
        with pytest.raises(ConfigError, match=r"bad\.yaml.*nested too deeply"):
            load(file)
    file.write_text("seed: 2024-13-45\n")
    with pytest.raises(ConfigError, match=r"bad\.yaml"):
        load(file)
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load(tmp_path / "nowhere.yaml")


def test_a_mapping_may_take_over_keys_and_replace_them(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(
        "data:\n  train: &t {type: synthetic, rows: 5}\n  dev: &d {<<: *t, rows: 6}\n  test: {<<: *d, rows: 7}\n"
    )
    data = load_config(file).data
    rows = [source.rows for source in (data.train, data.dev, data.test) if source and source.type == "synthetic"]
    assert rows == [5, 6, 7]


@pytest.mark.parametrize(
    "setting", ["probe.k=true", "train.lr=false", "train.target_tokens=true", "refine.max_rounds=yes"]
)
def test_a_boolean_is_no_number(setting: str) -> None:
    with pytest.raises(ConfigError, match="must be a number"):
        load_config(None, [setting])
    assert load_config(None, ["probe.k=2", "rounds.plain_sft=false"]).probe.k == 2


@pytest.mark.parametrize("path", ["m #1", "2024", "a: b", "[x]", "@x", "null", "~", "{a", "é\u2028"])
def test_a_model_given_as_a_path_is_not_read_as_yaml(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from toolace.cli.stages import stage_settings
    from toolace.serving.app import serve_config

    assert stage_settings(None, ["model.format=hermes"], path).model.path == path
    assert load_serve_config(None, ["port=8001"], {"model.path": path}).model.path == path
    assert serve_config({"model.path": path, "engine.max_num_seqs": "8"}).model.path == path
    with pytest.raises(ConfigError, match="model"):
        stage_settings(None, ["model=5"], path)


def test_seeds_fit_the_libraries_that_take_them() -> None:
    import numpy as np
    import torch

    seed = load_config(None, [f"seed={MAX_SEED}"]).seed
    np.random.RandomState(seed)
    torch.Generator().manual_seed(seed)
    for key in ("seed", "data.train.seed"):
        with pytest.raises(ConfigError, match=rf"{key.replace('data.train.', 'data.train.synthetic.')}: .*less than"):
            load_config(None, [f"{key}=99999999999999999999999"])
    made = seeded(load_config(None, [f"seed={MAX_SEED}"]), MAX_SEED)
    assert validate_config(made.model_dump(mode="json"), "a comparison's run").data.train.seed == 10 * MAX_SEED + 1
    with pytest.raises(ConfigError, match="seed"):
        load_tiny_base_config("configs/tiny_base.yaml", [f"seed={MAX_SEED}"])


@pytest.mark.parametrize("setting", ["evaluate.splits=[]", "train.lora.targets=[]", "train.lora.targets=''"])
def test_an_empty_list_is_refused_where_something_must_be_named(setting: str) -> None:
    with pytest.raises(ConfigError, match=setting.partition("=")[0]):
        load_config(None, [setting])
