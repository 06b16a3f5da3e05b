"""Which samples are learnt from and which are kept for evolution, and the training rows of each stage.

    learning half        adaption rows of its tools; generation and invocation rows jointly (stage 2)
    hidden half          queries: the chat without tools, no reference
    a round              (q -> T^) and ((dialogue, T^) -> a*) of the accepted queries, and a replay of stage-2 rows

What goes where is decided by hashes of the seed, first queries and ids, so it does not depend on order, shards or
restarts.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from math import floor

from toolace.calls.schema import Chat, Message, Sample
from toolace.config import CallFormat, EvolveConfig
from toolace.corpus import CorpusRow, in_share, rank
from toolace.errors import RolloutError
from toolace.evolution.program import EvolveRecord, calls_of
from toolace.evolution.subtasks import first_query, generated_row, generation_row, invocation_row


def is_hidden(sample: Sample, config: EvolveConfig, seed: int) -> bool:
    """Whether a training sample is kept for evolution.

    Samples with the same first query are of the same half: a dialogue gives a sample a turn, and its later turns show
    the tools and the calls of its first.
    """
    return in_share(seed, f"query\x00{first_query(sample) or sample.id}", config.held_out)


def learning_samples(samples: Iterable[Sample], config: EvolveConfig, seed: int) -> Iterator[Sample]:
    """The samples that stages 1 and 2 learn from."""
    return (sample for sample in samples if not is_hidden(sample, config, seed))


def hidden_samples(
    samples: Iterable[Sample], config: EvolveConfig, seed: int, left_out: Counter[str] | None = None
) -> Iterator[Sample]:
    """The samples whose queries are evolved on, tools and references as they are: for scores only.

    Left out, and counted under `begun_dialogue`, are those whose dialogue has gone on: their earlier turns hold calls
    of the hidden tools, which a query without tools must not show.
    """
    for sample in samples:
        if not is_hidden(sample, config, seed):
            continue
        if all(message.role in ("system", "user") for message in sample.chat.messages):
            yield sample
        elif left_out is not None:
            left_out["begun_dialogue"] += 1


def hide(sample: Sample) -> Sample:
    """The query of a sample: its chat without tools, no reference."""
    return sample.model_copy(
        update={
            "chat": Chat(messages=sample.chat.messages),
            "reference": Message(role="assistant"),
            "group": "",  # samples with the same tools have the same group
        }
    )


def decomposed_rows(
    samples: Iterable[Sample], config: EvolveConfig, seed: int, left_out: Counter[str]
) -> Iterator[CorpusRow]:
    """The rows of stage 2.

    What gives no generation row is counted in `left_out` by reason, generation rows that an earlier turn of the same
    dialogue gave under `same_query`, and rows that the mix leaves out under `mix`.
    """
    made: set[bytes] = set()
    for sample in samples:
        generation = generation_row(sample, left_out) if config.generation else None
        if generation is not None:
            text = f"{generation.chat.messages[0].content}\x00{generation.target.content}"
            same = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
            if same in made:
                left_out["same_query"] += 1
                generation = None
            made.add(same)
        shares = ((generation, config.mix.generation), (invocation_row(sample), config.mix.invocation))
        for row, share in shares:
            if row is not None and in_share(seed, row.id, share):
                yield row
            elif row is not None:
                left_out["mix"] += 1


def accepted_rows(record: EvolveRecord, query: Sample, format: CallFormat) -> tuple[CorpusRow, CorpusRow]:
    """The generation and the invocation row of an accepted query, both over the tools that the model made."""
    if record.id != query.id or record.reason is not None:
        raise RolloutError(f"query {query.id} was joined with the evolve record of {record.id} ({record.reason})")
    answer = CorpusRow(
        id=f"{query.id}/invocation",
        sample_id=query.id,
        kind="invocation",
        chat=Chat(tools=record.tools, messages=query.chat.messages),
        target=Message(role="assistant", calls=calls_of(record, format)),
    )
    return generated_row(query.id, record.query, record.tools), answer


def replayed(rows: Iterable[CorpusRow], wanted: int, seed: int, round: int, accepted: int) -> frozenset[str]:
    """Ids of `wanted` pseudo-random rows of stage 2, others in each round; of all rows where there are not so many.

    A round accepts calls only. Invocation rows whose answer is no call are therefore replayed so that they have the
    share s among the round's invocation rows that they have in stage 2 (ours); otherwise a model forgets that sometimes
    no tool fits. Of `wanted` rows that are q such rows and wanted - q others, of which the share r are invocation:

        q = s (accepted + q + r (wanted - q)), so q = s (accepted + r wanted) / (1 - s (1 - r))

    and at most all of them, which many accepted rows ask for.
    """
    others: list[tuple[int, str]] = []
    texts: list[tuple[int, str]] = []
    calls = 0
    for row in rows:
        text = row.kind == "invocation" and not row.target.calls
        (texts if text else others).append((rank(seed, f"{round}\x00{row.id}"), row.id))
        calls += row.kind == "invocation" and not text
    quota = len(texts)
    if others and texts:
        s, r = len(texts) / (len(texts) + calls), calls / len(others)
        quota = min(len(texts), floor(s * (accepted + r * wanted) / (1 - s * (1 - r)) + 0.5)) if r else len(texts)
    quota = max(min(quota, wanted), wanted - len(others))
    chosen = heapq.nsmallest(quota, texts) + heapq.nsmallest(wanted - quota, others)
    return frozenset(row_id for _, row_id in chosen)
