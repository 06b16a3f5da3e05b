"""What a training computes with: settled once, by the processor or the GPU that it will have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from toolace import processor
from toolace.config import TrainConfig
from toolace.processor import native_bf16
from toolace.rounds.memory import ModelSize, training_memory
from toolace.training.spec import TrainSpec

X86 = "processor\t: 0\nflags\t\t: fpu sse2 avx2{more}\nbugs\t\t: none\n"


@pytest.fixture
def cpuinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A way to say what the processor is."""

    def of(text: str | None) -> None:
        place = tmp_path / "cpuinfo"
        place.unlink(missing_ok=True)
        if text is not None:
            place.write_text(text)
        monkeypatch.setattr(processor, "CPUINFO", place)
        native_bf16.cache_clear()

    yield of
    native_bf16.cache_clear()


def spec(**settings: Any) -> TrainSpec:
    return TrainSpec(model="m", tokens="t", out="o", settings=TrainConfig(**settings))


@pytest.mark.parametrize(
    ("text", "native"),
    [
        (X86.format(more=" avx512f avx512_bf16 amx_tile"), True),
        (X86.format(more=" amx_bf16"), True),
        (X86.format(more=" avx512f avx512bw"), False),
        (X86.format(more=""), False),
        ("processor\t: 0\nFeatures\t: fp asimd i8mm bf16\n", True),
        ("processor\t: 0\nFeatures\t: fp asimd ebf16x\n", False),
        ("", False),
        (None, False),
    ],
)
def test_what_the_processor_computes(cpuinfo: Any, text: str | None, native: bool) -> None:
    cpuinfo(text)
    assert native_bf16() is native
    expected = "bf16" if native else "fp32"
    assert spec().settings.precision == spec(precision="auto").settings.precision == expected
    assert TrainSpec(model="m", tokens="t", out="o").settings.precision == expected


def test_what_is_named_stays(cpuinfo: Any) -> None:
    cpuinfo(X86.format(more=""))
    assert spec(precision="bf16").settings.precision == "bf16"
    assert spec(gpus_per_worker=0.5).settings.precision == "bf16", "of a GPU's workers"


def test_it_is_settled_where_the_training_is_started(cpuinfo: Any) -> None:
    """A worker with another processor computes the same, and what was begun is known by it."""
    cpuinfo(X86.format(more=" avx512_bf16"))
    sent, key = spec().model_dump_json(), spec().key
    cpuinfo(X86.format(more=""))
    assert TrainSpec.model_validate_json(sent).settings.precision == "bf16"
    assert TrainSpec.model_validate_json(sent).key == key == spec(precision="bf16").key != spec().key
    assert spec().made_from()["settings"]["precision"] == "fp32"


def test_memory_is_of_what_will_be_computed_with(cpuinfo: Any) -> None:
    size = ModelSize(parameters=8_000_000_000, origin="here", kv_values=65_536, linear=())
    cpuinfo(X86.format(more=""))
    assert training_memory(TrainConfig(), size) == training_memory(TrainConfig(precision="fp32"), size)
    cpuinfo(X86.format(more=" avx512_bf16"))
    assert training_memory(TrainConfig(), size) == training_memory(TrainConfig(precision="bf16"), size)
