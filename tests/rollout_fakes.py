"""A byte-level codec, answers and programs for rollouts without a model; importable by Ray workers."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from toolace.calls.schema import Chat, Message, Sample, Tool
from toolace.config import EngineConfig, ModelConfig, RolloutConfig
from toolace.data.shards import write_shards
from toolace.engines import Generate, ScriptedEngine
from toolace.rollouts.program import Program, Request, Sampling, ask, draw_seed
from toolace.rollouts.worker import RolloutWorker
from toolace.storage import Store

SCRIPTED: dict[str, Any] = {"model": ModelConfig(), "engine": EngineConfig(kind="scripted")}


class ByteCodec:
    """One token a byte; the prompt is the last user turn."""

    stop_token_ids = (0,)

    def prompt(self, chat: Chat) -> list[int]:
        return list(chat.messages[-1].content.encode())

    def answer_ids(self, text: str) -> list[int]:
        return [*text.encode(), 0]

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(ids).decode()


def ids(text: str) -> tuple[int, ...]:
    return tuple(text.encode())


def shout(request: Generate) -> tuple[int, ...]:
    """The prompt in capitals, then the seed: an answer that depends on all that it should depend on."""
    return ids(f"{bytes(request.prompt).decode().upper()} {request.seed}")


def user(text: str, *tools: Tool) -> Chat:
    return Chat(tools=tools, messages=(Message(role="user", content=text),))


def make_samples(n: int, prefix: str = "r") -> Iterator[Sample]:
    for i in range(n):
        tool = Tool(name=f"tool_{i % 3}")
        yield Sample(
            id=f"{prefix}{i}", chat=user(f"question {i}", tool), reference=Message(role="assistant", content="yes")
        )


def put_samples(folder: Path, n: int, *, shard_rows: int, prefix: str = "r") -> str:
    """Samples on disk; returns their place."""
    write_shards(make_samples(n, prefix), Store(str(folder)), shard_rows)
    return str(folder)


def two_turns(sample: Sample) -> Program[dict[str, Any]]:
    """A draw, a question about it, and a score."""
    first = yield from ask(Request(sample.chat, Sampling(temperature=1.0), seed=draw_seed(0, sample.id, 0)))
    again, score = yield (Request(user(first.text)), Request(sample.chat, score="abc"))
    return {"first": first.text, "again": again.text, "score": score.logprob}


def expected(sample: Sample) -> dict[str, Any]:
    """What `two_turns` returns on the scripted engine."""
    first = f"{sample.chat.messages[0].content.upper()} {draw_seed(0, sample.id, 0)}"
    return {"id": sample.id, "first": first, "again": f"{first.upper()} 0", "score": -2.0}


def bad_seven(sample: Sample) -> Program[dict[str, Any]]:
    """As `two_turns`, but one sample in ten fails."""
    if sample.id.endswith("7"):
        raise ValueError(f"no program for {sample.id}")
    return two_turns(sample)


def count_one(record: dict[str, Any]) -> dict[str, float]:
    return {"letters": len(record["first"])}


def no_answer(request: Generate) -> tuple[int, ...]:
    raise RuntimeError(f"nothing to say about prompt {len(request.prompt)}")


class KillOnce:
    """Answers as `shout`, but kills its own process once, at a given question."""

    def __init__(self, flag: Path, at: str) -> None:
        self.flag, self.at = flag, at

    def __call__(self, request: Generate) -> tuple[int, ...]:
        if bytes(request.prompt).decode() == self.at and not self.flag.exists():
            self.flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return shout(request)


class HangAt:
    """Answers as `shout`, but never comes to an answer of some questions."""

    def __init__(self, *questions: str) -> None:
        self.questions = questions

    def __call__(self, request: Generate) -> tuple[int, ...]:
        if bytes(request.prompt).decode() in self.questions:
            threading.Event().wait()
        return shout(request)


def scripted_worker(script: Any, *, rows_in_flight: int = 4, max_model_len: int = 200) -> RolloutWorker:
    return RolloutWorker(
        ScriptedEngine(script, max_model_len=max_model_len), ByteCodec(), rows_in_flight=rows_in_flight
    )


def small_rollout(**changes: Any) -> RolloutConfig:
    return RolloutConfig(**{"rows_in_flight": 8, "shard_rows": 5, "no_progress_s": 60, **changes})
