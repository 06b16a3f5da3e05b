"""Which errors of a training worker are told at once, and which a restart may cure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from training_models import make_spec

from toolace.errors import StorageError, TrainingError
from toolace.training import launch

FULL = OSError(28, "No space left on device")


def fails_with(error: BaseException, monkeypatch: pytest.MonkeyPatch, folder: Path, **settings: Any) -> str | None:
    def train(spec: Any) -> None:
        raise error

    monkeypatch.setattr(launch, "train", train)
    spec = make_spec(folder / "model", folder / "tokens", folder / "out", **settings)
    return launch._worker({"spec": spec.model_dump(mode="json")})


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (TrainingError("the loss is nan"), "the loss is nan"),
        (caused(StorageError("cannot write model: no room"), FULL), "cannot write model: no room"),
        (FULL, "No space left on device. Free some space, then run the same command again"),
        (RuntimeError("IoError(Os { code: 28, message: 'No space left on device' })"), "Free some space"),
    ],
)
def test_what_a_restart_would_meet_again_is_told_at_once(
    error: Exception, told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answer = fails_with(error, monkeypatch, tmp_path)
    assert answer is not None and told in answer
    with pytest.raises(type(error)):  # of several workers one may not leave the others waiting
        fails_with(error, monkeypatch, tmp_path, workers=2)


@pytest.mark.parametrize("error", [RuntimeError("lost"), StorageError("timed out"), OSError(5, "I/O error")])
def test_what_a_restart_may_cure_is_raised(error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(type(error), match=str(error.args[-1])):
        fails_with(error, monkeypatch, tmp_path)
