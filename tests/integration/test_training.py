"""Training on real engines: a tiny random model, DeepSpeed, one process or two."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from training_models import make_model, make_spec, make_tokens

from toolace.errors import TrainingError
from toolace.storage import Store
from toolace.training.checkpoint import Checkpoints
from toolace.training.dataset import TokenTable
from toolace.training.engine import build_engine, close_engine, gather_weights, start_worker, stop_worker
from toolace.training.export import write_model
from toolace.training.loop import checkpoints_of, finished, plan_run, run_steps, train
from toolace.training.spec import TrainSpec
from toolace.training.steplog import read_steps

pytestmark = pytest.mark.engine
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokens(tmp_path_factory.mktemp("tokens"))


@pytest.fixture(scope="module")
def reference(model: Path, tokens: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainSpec:
    """A finished run: full training, fp32, no ZeRO, one worker."""
    spec = make_spec(model, tokens, tmp_path_factory.mktemp("reference"))
    train(spec)
    return spec


def losses(spec: TrainSpec) -> list[float]:
    return [record["loss"] for record in read_steps(Store(spec.out))]


def consumed(spec: TrainSpec) -> list[tuple[int, str]]:
    return [(record["step"], record["rows_key"]) for record in read_steps(Store(spec.out))]


def exported(spec: TrainSpec) -> dict[str, Any]:
    from safetensors.torch import load_file

    found: dict[str, Any] = load_file(Path(spec.out) / "model" / "model.safetensors")
    return found


def furthest(one: Mapping[str, Any], two: Mapping[str, Any]) -> float:
    """The largest difference of two sets of weights."""
    assert one.keys() == two.keys()
    return max(float((one[name].float() - two[name].float()).abs().max()) for name in one)


def by_kind(spec: TrainSpec) -> list[Any]:
    return [pytest.approx(record["loss_by_kind"], abs=1e-4) for record in read_steps(Store(spec.out))]


def losses_of(model: Path, table: TokenTable, rows: Any) -> dict[str, float]:
    """The mean loss of a model on the target tokens of some rows, by kind: row by row, without any padding."""
    import torch
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    found: dict[str, list[float]] = {}
    for row in rows:
        ids, start = torch.from_numpy(table.row(int(row)).astype("int64")), int(table.starts[row])
        with torch.no_grad():
            log_probs = loaded(input_ids=ids[None]).logits[0].log_softmax(-1)
        each = [-float(log_probs[place - 1, ids[place]]) for place in range(start, len(ids))]
        found.setdefault(table.kinds[int(row)], []).extend(each)
    return {kind: sum(each) / len(each) for kind, each in found.items()}


def test_training_learns_and_publishes(reference: TrainSpec, tokens: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    result = finished(reference)
    assert result is not None
    assert result.last_loss < result.first_loss - 0.3
    assert result.steps == 10
    assert result.rows == 80
    table = TokenTable.open(Store(str(tokens)))
    assert result.target_tokens == 2 * int(table.targets.sum())
    rows = plan_run(reference, table).steps[0]
    first = read_steps(Store(reference.out))[0]
    assert first["loss_by_kind"] == pytest.approx(losses_of(Path(reference.model), table, rows), abs=1e-5)
    assert list(result.last_loss_by_kind) == ["direct", "fix", "keep"]
    assert all(last < result.first_loss_by_kind[kind] - 0.3 for kind, last in result.last_loss_by_kind.items())
    folder = Path(reference.out)
    assert sorted(path.name for path in folder.iterdir()) == ["model", "result.json", "steps.jsonl", "tensorboard"]
    loaded = AutoModelForCausalLM.from_pretrained(result.model)
    assert loaded.dtype.is_floating_point
    assert loaded.generation_config is not None
    text = "get_weather(city='Oslo')"
    base, own = (AutoTokenizer.from_pretrained(place) for place in (reference.model, result.model))
    assert own(text).input_ids == base(text).input_ids
    assert own.chat_template == base.chat_template


def test_a_finished_run_is_not_trained_again(reference: TrainSpec) -> None:
    def fail(record: Mapping[str, Any]) -> None:
        raise AssertionError("a step was taken")

    assert train(reference, fail) == finished(reference)
    other = reference.model_copy(update={"seed": 7})
    with pytest.raises(TrainingError, match="finished training run with other settings"):
        train(other)


@pytest.mark.parametrize("budget", [64, 4096])
def test_batch_layout_changes_nothing(
    model: Path, tokens: Path, tmp_path: Path, reference: TrainSpec, budget: int
) -> None:
    spec = make_spec(model, tokens, tmp_path, token_budget=budget)
    train(spec)
    assert consumed(spec) == consumed(reference)
    assert losses(spec) == pytest.approx(losses(reference), abs=2e-5)
    assert [record["loss_by_kind"] for record in read_steps(Store(spec.out))] == by_kind(reference)
    assert furthest(exported(spec), exported(reference)) < 2e-4


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
@pytest.mark.parametrize("method", ["full", "lora"])
def test_stages_agree_and_the_export_is_the_trained_model(
    model: Path, tokens: Path, tmp_path: Path, reference: TrainSpec, stage: int, method: str
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    spec = make_spec(
        model, tokens, tmp_path / "out", zero_stage=stage, method=method, lr=1e-2 if method == "lora" else 3e-3
    )
    table = TokenTable.open(Store(spec.tokens))
    plan = plan_run(spec, table)
    worker = start_worker(spec)
    try:
        engine = build_engine(spec, worker)
        run_steps(spec, engine, table, plan, 0, checkpoints_of(spec, table, plan, 1))
        ids = torch.from_numpy(table.row(0).astype("int64"))[None]
        engine.ds.eval()
        with torch.no_grad():
            trained = engine.ds(input_ids=ids).logits
        weights = gather_weights(engine)
        close_engine(engine)
    finally:
        stop_worker(worker)
    assert weights is not None
    (tmp_path / "model").mkdir()
    write_model(spec, weights, tmp_path / "model")
    with torch.no_grad():
        loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model")(input_ids=ids).logits
        base = AutoModelForCausalLM.from_pretrained(model)(input_ids=ids).logits
    assert float((trained - loaded).abs().max()) < 2e-5
    assert float((trained - base).abs().max()) > 1e-2
    if method == "full":
        assert losses(spec) == pytest.approx(losses(reference), abs=2e-5)
    else:
        from safetensors.torch import load_file

        adapter = load_file(tmp_path / "model" / "adapter" / "adapter_model.safetensors")
        assert all(value.ndim == 2 and value.numel() > 0 for value in adapter.values())


@pytest.mark.parametrize("stage", [0, 2])
def test_bf16_follows_fp32(model: Path, tokens: Path, tmp_path: Path, reference: TrainSpec, stage: int) -> None:
    import torch

    spec = make_spec(model, tokens, tmp_path, precision="bf16", zero_stage=stage)
    train(spec)
    assert losses(spec) == pytest.approx(losses(reference), abs=0.02)
    assert {value.dtype for value in exported(spec).values()} == {torch.bfloat16}
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["dtype"] == "bfloat16"


def test_gradient_checkpointing_changes_nothing(
    model: Path, tokens: Path, tmp_path: Path, reference: TrainSpec
) -> None:
    spec = make_spec(model, tokens, tmp_path, gradient_checkpointing=True)
    train(spec)
    assert losses(spec) == pytest.approx(losses(reference), abs=1e-6)


class Stop(Exception):
    """Ends a run in the middle."""


def interrupted(spec: TrainSpec, after: int) -> None:
    def stop(record: Mapping[str, Any]) -> None:
        if record["step"] == after:
            raise Stop

    with pytest.raises(Stop):
        train(spec, stop)


@pytest.mark.parametrize(
    ("stage", "method", "precision"),
    [(0, "full", "fp32"), (1, "lora", "bf16"), (2, "full", "fp32"), (2, "lora", "fp32"), (3, "lora", "fp32")],
)
def test_resume_is_exact(model: Path, tokens: Path, tmp_path: Path, stage: int, method: str, precision: str) -> None:
    """With dropout in the adapters, so that random numbers count too."""
    settings: dict[str, Any] = {
        "zero_stage": stage,
        "method": method,
        "precision": precision,
        "checkpoint_steps": 3,
        "lora": {"rank": 4, "alpha": 8, "dropout": 0.2},
    }
    straight = make_spec(model, tokens, tmp_path / "straight", **settings)
    train(straight)
    resumed = make_spec(model, tokens, tmp_path / "resumed", **settings)
    interrupted(resumed, after=7)
    place = Store(str(tmp_path / "resumed" / "checkpoints"))
    assert Checkpoints(place, {}, 1).steps() == [6]
    assert sorted(path.name for path in (tmp_path / "resumed" / "checkpoints").iterdir()) == [
        "index.json",
        "step-000006",
    ]
    steps: list[int] = []
    train(resumed, lambda record: steps.append(record["step"]))
    assert steps == [6, 7, 8, 9]
    assert consumed(resumed) == consumed(straight)
    assert losses(resumed) == losses(straight)
    assert furthest(exported(resumed), exported(straight)) == 0
    assert not (tmp_path / "resumed" / "checkpoints").exists()


def test_resume_refuses_another_world_or_run(model: Path, tokens: Path, tmp_path: Path) -> None:
    spec = make_spec(model, tokens, tmp_path / "out", checkpoint_steps=2)
    interrupted(spec, after=3)
    table = TokenTable.open(Store(spec.tokens))
    plan = plan_run(spec, table)
    with pytest.raises(TrainingError, match=r"written by 1 workers, this run has 2. Set train.workers=1"):
        checkpoints_of(spec, table, plan, 2).check()
    hotter = make_spec(model, tokens, tmp_path / "out", checkpoint_steps=2, lr=1.0)
    with pytest.raises(TrainingError, match=r"settings.lr: 0.003 -> 1.0"):
        train(hotter)


def test_a_deleted_model_is_made_again(model: Path, tokens: Path, tmp_path: Path) -> None:
    spec = make_spec(model, tokens, tmp_path / "run", epochs=1)
    first = train(spec)
    assert first is not None and train(spec) == first
    weights = (Path(first.model) / "model.safetensors").read_bytes()
    (Path(first.model) / "model.safetensors").unlink()
    again = train(spec)
    assert again is not None and (Path(again.model) / "model.safetensors").read_bytes() == weights


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_checkpoint_is_named_with_the_way_out(model: Path, tokens: Path, tmp_path: Path, damage: str) -> None:
    spec = make_spec(model, tokens, tmp_path / "run", checkpoint_steps=2)
    interrupted(spec, after=3)
    (step,) = (tmp_path / "run" / "checkpoints").glob("step-*")
    if damage == "gone":
        shutil.rmtree(step)
    for file in step.rglob("*.pt"):
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(TrainingError, match=r"checkpoint .*step-000002 cannot be read .*Delete .*checkpoints"):
        train(spec)


def test_divergence_is_an_error_and_publishes_nothing(model: Path, tokens: Path, tmp_path: Path) -> None:
    spec = make_spec(model, tokens, tmp_path, lr=1e30, warmup_ratio=0)
    with pytest.raises(TrainingError, match=r"the loss is (nan|inf).* at step \d+"):
        train(spec)
    assert not (tmp_path / "model").exists()
    assert finished(spec) is None


def test_missing_model_and_tokens_are_named(tokens: Path, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"no model at .*nowhere"):
        train(make_spec(tmp_path / "nowhere", tokens, tmp_path / "out"))
    with pytest.raises(TrainingError, match=r"no tokenised corpus in .*nothing"):
        train(make_spec(tmp_path / "nowhere", tmp_path / "nothing", tmp_path / "out"))


@pytest.mark.parametrize("stage", [2, 3])
def test_two_workers_under_torchrun_agree_with_one(
    model: Path, tokens: Path, tmp_path: Path, reference: TrainSpec, stage: int
) -> None:
    """A small budget: many micro-batches, of which both workers must have equally many."""
    spec = make_spec(model, tokens, tmp_path / "out", zero_stage=stage, workers=2, token_budget=64)
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    command += ["-m", "toolace.training.torchrun", "--spec", str(tmp_path / "spec.json")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.strip().splitlines()[-1])["workers"] == 2
    assert consumed(spec) == consumed(reference)
    assert losses(spec) == pytest.approx(losses(reference), abs=2e-5)
    assert [record["loss_by_kind"] for record in read_steps(Store(spec.out))] == by_kind(reference)
    assert furthest(exported(spec), exported(reference)) < 2e-4


def test_vllm_serves_the_export(tokens: Path, tmp_path: Path) -> None:
    """The canary, computed by transformers, is what vLLM gives."""
    pytest.importorskip("vllm", reason="the inference engine is not installed: make install")
    from toolace.config import EngineConfig, ModelConfig
    from toolace.engines import open_engine

    model = make_model(tmp_path / "base", hidden=64)
    result = train(make_spec(model, tokens, tmp_path / "out", method="lora", lr=1e-2))
    assert result is not None
    served = ModelConfig(path=result.model, max_model_len=256)
    engine = open_engine(served, EngineConfig(kv_cache_gib=0.1, max_num_seqs=8), threads=1)
    try:
        assert engine.identity.verified == "canary"
    finally:
        engine.close()
