"""The loss of a micro-batch, as one sum and by what its rows teach."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from toolace.calls.schema import Chat, Message
from toolace.corpus import CorpusRow, RowKind
from toolace.storage import Store
from toolace.training.batches import MicroBatch
from toolace.training.dataset import TokenTable, tokenise
from toolace.training.loop import collate, loss_sum, sum_by_kind, target_logits
from toolace.training.steplog import curves, tenth_by_kind

KINDS: tuple[RowKind, ...] = ("invocation", "adaption", "invocation", "generation")
ROWS = ([3, 1, 4, 1, 5], [9, 2, 6], [5, 3, 5, 8, 9, 7], [9, 3, 2, 3])
STARTS = (2, 1, 5, 2)


class Model(torch.nn.Module):
    """A model that looks at nothing but the token before."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = torch.nn.Parameter(torch.randn(10, 10))

    def forward(self, input_ids: torch.Tensor, use_cache: bool, logits_to_keep: int | None = None) -> Any:
        logits = self.table[input_ids]
        return SimpleNamespace(logits=logits if logits_to_keep is None else logits[:, -logits_to_keep:])


@pytest.fixture
def table(tmp_path: Path) -> TokenTable:
    def rows() -> Iterator[CorpusRow]:
        for number, kind in enumerate(KINDS):
            chat = Chat(messages=(Message(role="user", content=str(number)),))
            target = Message(role="assistant", content="unused")
            yield CorpusRow(id=f"row-{number}", sample_id="s", kind=kind, chat=chat, target=target)

    def render(chat: Chat, target: Message) -> Any:
        number = int(chat.messages[0].content)
        return SimpleNamespace(input_ids=ROWS[number], target_start=STARTS[number])

    store = Store(str(tmp_path))
    tokenise(rows(), render, store, max_length=16)
    return TokenTable.open(store)


@pytest.mark.parametrize("skips_logits", [False, True])
def test_the_loss_by_kind_is_the_loss_of_each_kind_s_target_tokens(table: TokenTable, skips_logits: bool) -> None:
    model, other = Model(), Model()
    assert table.taught == ("adaption", "generation", "invocation")
    batch = collate(table, MicroBatch((2, 0, 1, 3), 6), "cpu")
    total, each = loss_sum(target_logits(model, batch, skips_logits), batch)
    wanted = dict.fromkeys(table.taught, 0.0)
    log_probs = model.table.detach().log_softmax(-1)
    for row, start, kind in zip(ROWS, STARTS, KINDS, strict=True):
        wanted[kind] -= sum(float(log_probs[row[place - 1], row[place]]) for place in range(start, len(row)))
    found = sum_by_kind(each, batch.kinds, 3).tolist()
    assert dict(zip(table.taught, found, strict=True)) == pytest.approx(wanted, abs=1e-5)
    assert not each.requires_grad
    # What is trained on is what it would be without looking at the kinds, to the last bit.
    logits = target_logits(other, batch, skips_logits)
    plain = torch.nn.functional.cross_entropy(logits, batch.labels[batch.labels != -100], reduction="sum")
    total.backward()
    plain.backward()
    assert total.item() == plain.item()
    assert model.table.grad is not None and other.table.grad is not None
    assert torch.equal(model.table.grad, other.table.grad)


def test_an_empty_micro_batch_adds_nothing_and_reaches_every_parameter(table: TokenTable) -> None:
    model = Model()
    batch = collate(table, MicroBatch((), 0), "cpu")
    total, each = loss_sum(target_logits(model, batch, True), batch)
    total.backward()
    assert total.item() == 0 and sum_by_kind(each, batch.kinds, 3).tolist() == [0, 0, 0]
    assert model.table.grad is not None and not model.table.grad.any()


def test_losses_by_kind_are_curves_of_their_own() -> None:
    record = {"step": 3, "loss": 1.5, "lr": 1e-3, "loss_by_kind": {"keep": 1.0, "fix": 2.0}, "rows": 8}
    assert curves(record) == {"loss": 1.5, "lr": 1e-3, "loss_by_kind/keep": 1.0, "loss_by_kind/fix": 2.0}
    assert curves({"step": 3, "loss": 1.5}) == {"loss": 1.5}


def test_first_and_last_losses_are_means_over_a_tenth_of_the_kind_s_steps() -> None:
    records = [{"loss_by_kind": {"keep": float(n)} | ({"fix": n / 2} if n % 8 == 0 else {})} for n in range(40)]
    assert tenth_by_kind(records) == {"fix": 0.0, "keep": np.mean([0, 1, 2, 3])}
    assert tenth_by_kind(records[::-1]) == {"fix": 16.0, "keep": np.mean([36, 37, 38, 39])}
    assert tenth_by_kind([{"loss": 1.0}]) == {}
