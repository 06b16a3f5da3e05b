"""Checkpoints of a training run: written by all workers, visible only when whole, and read back exactly.

A checkpoint is a directory `step-000200/` with DeepSpeed's own files. It exists once `index.json`, replaced in one step
after all workers have written, names it. Random numbers need no state of their own: the loop seeds them anew for every
(seed, step, rank), so a position is all there is to restore.
"""

from __future__ import annotations

from typing import Any

from toolace.errors import TrainingError
from toolace.storage import Store, difference
from toolace.training.engine import TrainEngine
from toolace.training.files import readable, writable

INDEX = "index.json"
_TAG = "state"


class Checkpoints:
    """The checkpoints below one directory. `identity` is what a run must share with a checkpoint to continue it."""

    def __init__(self, store: Store, identity: dict[str, Any], keep: int) -> None:
        self.store = store
        self.identity = identity
        self.keep = keep

    def steps(self) -> list[int]:
        """Positions of the checkpoints, ascending: optimizer steps taken."""
        found: list[int] = self.store.read_json(INDEX)["steps"] if self.store.exists(INDEX) else []
        return found

    def save(self, engine: TrainEngine, step: int) -> None:
        """Write the state after `step` steps. Every rank must call it. Older ones beyond `keep` are deleted."""
        import torch.distributed as dist

        first = engine.worker.rank == 0
        name = _directory(step)
        if first:
            self.store.delete(name)  # What a killed run left there.
        dist.barrier()
        with writable(self.store, name) as place:
            engine.ds.save_checkpoint(
                str(place), tag=_TAG, save_latest=False, exclude_frozen_parameters=self._excludes_frozen(engine)
            )
        dist.barrier()
        if first:
            steps = [*self.steps(), step]
            self.store.write_json(INDEX, {"steps": steps[-self.keep :], "identity": self.identity})
            for old in steps[: -self.keep]:
                self.store.delete(_directory(old))

    def load(self, engine: TrainEngine) -> int:
        """Continue from the latest whole checkpoint: the number of steps already taken, 0 where there is none.

        Raises `TrainingError` when it belongs to another run or another number of workers.
        """
        import torch.distributed as dist

        steps = self.steps()
        if not steps:
            return 0
        self.check()
        name = _directory(steps[-1])
        why: object = "it is incomplete"
        try:
            with readable(self.store, name) as place:
                loaded, _ = engine.ds.load_checkpoint(
                    str(place), tag=_TAG, load_module_strict=not self._excludes_frozen(engine)
                )
        except Exception as error:  # torch and DeepSpeed raise whatever a damaged file leads to
            loaded, why = None, f"{type(error).__name__}: {str(error)[:300]}"
        if loaded is None:
            raise TrainingError(
                f"checkpoint {self.store.at(name)} cannot be read ({why}). Delete {self.store.uri} and run the same "
                "command again to train from the start"
            )
        dist.barrier()
        return steps[-1]

    def check(self) -> None:
        """Raise `TrainingError` when what is there cannot be continued by this run."""
        if self.steps():
            self._check(_directory(self.steps()[-1]), self.store.read_json(INDEX)["identity"])

    def clear(self) -> None:
        """Delete all: the model is published."""
        self.store.delete("")

    def _check(self, name: str, found: dict[str, Any]) -> None:
        if found == self.identity:
            return
        if {**found, "workers": self.identity["workers"]} == self.identity:
            raise TrainingError(
                f"checkpoint {self.store.at(name)} was written by {found['workers']} workers, this run has "
                f"{self.identity['workers']}. Set train.workers={found['workers']} to continue, or delete "
                f"{self.store.uri} to train from the start"
            )
        changes = "\n".join(f"  {line}" for line in difference(found, self.identity))
        raise TrainingError(
            f"checkpoint {self.store.at(name)} belongs to another training run:\n{changes}\n"
            f"Restore the settings and the corpus, or delete {self.store.uri} to train from the start"
        )

    @staticmethod
    def _excludes_frozen(engine: TrainEngine) -> bool:
        return any(not parameter.requires_grad for parameter in engine.ds.module.parameters())


def _directory(step: int) -> str:
    return f"step-{step:06d}"
