"""What a training stage is made from: settings that change the model are in its key, those of the machine are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from toolace.config import Config, TrainConfig
from toolace.rounds.context import ModelRef, Run
from toolace.rounds.events import EventLog
from toolace.rounds.progress import Progress
from toolace.rounds.train_stage import train_place
from toolace.storage import Store


def key(root: Path, **settings: Any) -> str:
    store = Store(str(root))
    run = Run(Config(), store, EventLog(store), Progress())
    corpus = run.stage("round-1/corpus", {"rows": 1})
    return train_place(run, "round-1", ModelRef("base", "m", "k"), corpus, TrainConfig(**settings)).key


@pytest.mark.parametrize("changed", [{"max_length": 1024}, {"lr": 1e-3}, {"epochs": 1.5}, {"global_batch": 8}])
def test_what_changes_the_model_changes_the_key(tmp_path: Path, changed: dict[str, Any]) -> None:
    assert key(tmp_path, **changed) != key(tmp_path)


@pytest.mark.parametrize("changed", [{"workers": 2}, {"token_budget": 4096}, {"checkpoint_steps": 7}])
def test_what_does_not_change_it_leaves_the_key(tmp_path: Path, changed: dict[str, Any]) -> None:
    assert key(tmp_path, **changed) == key(tmp_path)
