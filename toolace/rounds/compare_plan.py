"""A comparison file, and the runs that it asks for: every arm with every seed, pool and model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator

from toolace.config import MAX_SEED, Config, Section, SyntheticSource, validate_config
from toolace.errors import ConfigError
from toolace.rounds.plan import stage_names
from toolace.rounds.record import ROUNDS, MethodName
from toolace.setting_errors import describe_errors
from toolace.settings_file import apply_override, put_setting, read_settings
from toolace.training.scratch_cache import cached_base, checkpoint_folder
from toolace.training.scratch_config import load_tiny_base_config

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.]{0,23}$")]
"""No dash: it joins the names of arm, pool and model to that of a run."""
OWN = ("name", "root", "seed")
"""Settings that the comparison itself gives every run."""
LAST = "last"
RECIPE = "recipe"


class Arm(Section):
    """One arm: what it sets, and which model of its runs is scored."""

    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of its runs, such as `corpus.keep_pairs: false`."""
    scored: str = Field(
        LAST, pattern=r"^(last|base|bootstrap|plain_sft|adaption|decomposed|(round|evolve)-[1-9][0-9]*)$"
    )
    """`last`: the last model of the method; or another model of the run by its directory."""
    method: MethodName | None = None
    """What its runs are; unset: the comparison's."""
    pools: list[str] | None = None
    """Only with these pools; unset: with all."""
    models: list[str] | None = None
    """Only with these models; unset: with all."""


class Comparison(Section):
    """A comparison file. Later settings win: base < `settings` < model < pool < arm < seed."""

    name: str = Field("comparison", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    root: str = "runs"
    method: MethodName = ROUNDS
    """What its runs are: rounds of ToolACE-R, or `evolve`, the stages of ToolACE-DEV."""
    base: str
    """The settings file of a run; a relative path is looked up beside the comparison file."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of all runs, over those of `base`."""
    seeds: list[Annotated[int, Field(ge=0, le=MAX_SEED)]] = Field([1, 2, 3], min_length=1)
    """Each seeds a run of its own: draws, training, and the data of synthetic sources (see `seeded`)."""
    pools: dict[Name, dict[str, Any]] = Field({"clean": {}}, min_length=1)
    """Name and settings of each pool."""
    models: dict[Name, str | dict[str, Any]] = Field({"tiny_base": "builtin:tiny_base"}, min_length=1)
    """Name and path of each base model, or settings where the path alone is not enough. `recipe` among them is a
    recipe of a tiny base model, whose path in the cache is filled in."""
    arms: dict[Name, Arm] = Field(min_length=1)
    reference: str
    """The arm that the others are compared with."""

    @field_validator("arms", mode="before")
    @classmethod
    def read_arms(cls, value: Any) -> Any:
        """An arm without anything is one with the settings of `base`."""
        return {key: {} if arm is None else arm for key, arm in value.items()} if isinstance(value, dict) else value

    @field_validator("pools", mode="before")
    @classmethod
    def read_pools(cls, value: Any) -> Any:
        return {key: {} if pool is None else pool for key, pool in value.items()} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def validate_names(self) -> Comparison:
        if self.reference not in self.arms:
            raise ValueError(f"reference {self.reference!r} is no arm: use one of {', '.join(self.arms)}")
        for name, arm in self.arms.items():
            for given, known, what in ((arm.pools, self.pools, "pool"), (arm.models, self.models, "model")):
                for one in given or ():
                    if one not in known:
                        raise ValueError(f"arm {name} names the {what} {one!r}: use one of {', '.join(known)}")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds {self.seeds} has a seed twice")
        return self

    @property
    def home(self) -> str:
        """The comparison's directory: root/name."""
        return f"{self.root.rstrip('/')}/{self.name}"


@dataclass(frozen=True)
class PlannedRun:
    """One run of a comparison."""

    arm: str
    pool: str
    model: str
    seed: int
    scored: str
    config: Config
    method: MethodName = ROUNDS

    @property
    def key(self) -> str:
        """The arm's name in the outcome: arm/pool/model."""
        return f"{self.arm}/{self.pool}/{self.model}"


def load_comparison(path: str | Path, overrides: Sequence[str] = ()) -> Comparison:
    """Read a comparison file and apply `a.b=c` overrides of its own keys (such as `settings.train.epochs=1`).

    Raises `ConfigError` naming the key, the value and what is allowed.
    """
    data = read_settings(path, "comparison file")
    for override in overrides:
        apply_override(data, override)
    if not isinstance(data.get("base"), str):
        raise ConfigError(f"{path}: `base` must name a settings file, such as demo.yaml beside it")
    data["base"] = str(Path(path).parent / data["base"])
    models = data.get("models")
    for model in models.values() if isinstance(models, dict) else ():
        if isinstance(model, dict) and isinstance(model.get(RECIPE), str):
            model[RECIPE] = str(Path(path).parent / model[RECIPE])
    try:
        return Comparison.model_validate(data)
    except ValidationError as error:
        told = describe_errors(error, Comparison, overrides)
        raise ConfigError(f"bad settings in {path}:\n{told}\nSee docs/comparisons.md.") from None


def plan_runs(comparison: Comparison) -> list[PlannedRun]:
    """All runs, seed by seed, in the order of the file. Raises `ConfigError` for settings that cannot be."""
    models = {name: _model_settings(name, given) for name, given in comparison.models.items()}
    return [
        _plan_run(comparison, models, arm, pool, model, seed)
        for seed in comparison.seeds
        for model in comparison.models
        for pool in comparison.pools
        for arm, given in comparison.arms.items()
        if (given.pools is None or pool in given.pools) and (given.models is None or model in given.models)
    ]


def _model_settings(name: str, given: str | dict[str, Any]) -> dict[str, Any]:
    """The settings that a model stands for. Raises `ConfigError` for a recipe whose base is not trained yet."""
    if isinstance(given, str):
        return {"model.path": given}
    if RECIPE not in given:
        return given
    recipe = given[RECIPE]
    if not isinstance(recipe, str):
        raise ConfigError(
            f"models.{name}.recipe is {recipe!r}: give the file of a recipe, such as tiny_base_small.yaml"
        )
    config = load_tiny_base_config(recipe)
    folder = cached_base(config)
    if folder is None:
        raise ConfigError(
            f"models.{name}: the base of {recipe} is not trained: {checkpoint_folder(config)} is not there. Train it "
            f"once: python ray_jobs/train_base.py --config {recipe}"
        )
    return {"model.path": str(folder)} | {key: value for key, value in given.items() if key != RECIPE}


def _plan_run(
    comparison: Comparison, models: Mapping[str, Mapping[str, Any]], arm: str, pool: str, model: str, seed: int
) -> PlannedRun:
    scored = comparison.arms[arm].scored
    layers: dict[str, Mapping[str, Any]] = {
        "settings": comparison.settings,
        f"models.{model}": models[model],
        f"pools.{pool}": comparison.pools[pool],
        f"arms.{arm}.settings": comparison.arms[arm].settings,
    }
    data = read_settings(comparison.base)
    for origin, settings in layers.items():
        for key, value in leaves(settings):
            if (own := key.split(".")[0]) in OWN:
                raise ConfigError(f"{origin} sets {key}: the comparison gives every run its own {own}")
            put_setting(data, key, value, origin)
    data |= {"name": f"{arm}-{pool}-{model}-seed{seed}", "root": f"{comparison.home}/runs", "seed": seed}
    config = seeded(validate_config(data, f"{comparison.base} with {', '.join(layers)}"), seed)
    method = comparison.arms[arm].method or comparison.method
    if scored not in (LAST, *models_of(config, method)):
        raise ConfigError(
            f"arms.{arm} scores {scored}, which its runs (method {method}) do not make: they make "
            f"{', '.join(models_of(config, method))}"
        )
    return PlannedRun(arm, pool, model, seed, scored, config, method)


def models_of(config: Config, method: MethodName) -> list[str]:
    """The models of a run that goes through all its rounds, by their directories, in their order."""
    names = (name.rpartition("/") for name in stage_names(config, method))
    return list(dict.fromkeys(model for model, _, part in names if part == "train" or model == "base"))


def leaves(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(`a.b`, value) of nested settings. A mapping with a `type` is a source, and is taken whole."""
    for key, value in settings.items():
        if isinstance(value, dict) and value and "type" not in value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def seeded(config: Config, seed: int) -> Config:
    """The config with the seeds of synthetic sources: 10 seed + 1, 2, 3 for train, dev and test.

    Sources that are not given follow the training source, as in any run; files stay the same for every seed.
    """
    changed = {
        name: source.model_copy(update={"seed": 10 * seed + number})
        for number, name in enumerate(("train", "dev", "test"), start=1)
        if isinstance(source := getattr(config.data, name), SyntheticSource)
    }
    return config.model_copy(update={"data": config.data.model_copy(update=changed)})
