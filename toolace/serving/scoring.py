"""What the model thinks of a draft as the answer to the refine turn, read in one prompt pass.

The summed log-probability is what `accept_margin` compares with that of a new answer. And where each token of the draft
is the model's first choice, greedy decoding would write the draft again: such a round need not be generated. The
prompt's token ids come from the engine's own chat rendering, the draft's from the project's renderer, so the sum is the
one that evaluation takes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolace.engines.models import resolve_model
from toolace.rendering import Renderer
from toolace.serving.config import ServeConfig
from toolace.serving.errors import ApiError

_RENDERED = ("model", "messages", "tools", "chat_template_kwargs")


@dataclass(frozen=True, slots=True)
class DraftQuestion:
    """What the engine replica is asked: a chat request's fields that its prompt is rendered from, and the draft's token
    ids, its end of turn included."""

    model: str | None
    chat: dict[str, Any]
    draft: tuple[int, ...]
    cache_salt: str | None = None


@dataclass(frozen=True, slots=True)
class DraftScore:
    """A draft, its end of turn included, as the answer to a prompt.

    `logprob` is the sum over its tokens, nats at temperature 1; `first_choice` says that no other token was as likely
    anywhere. `prompt_tokens` were read, the draft's included; `version` says by which weights.
    """

    logprob: float
    first_choice: bool
    prompt_tokens: int
    version: str

    @property
    def response(self) -> dict[str, Any]:
        """The parts of a chat completion that count and name this pass."""
        usage = {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": 1,
            "total_tokens": self.prompt_tokens + 1,
            "prompt_tokens_details": None,
        }
        return {"usage": usage, "system_fingerprint": self.version}


Ask = Callable[[DraftQuestion], Awaitable[DraftScore]]
"""`EngineServer.read_draft` of an engine replica."""


class DraftScorer:
    """Scores drafts for one model. Made in the ingress where the settings need it; loads a tokenizer."""

    def __init__(self, config: ServeConfig) -> None:
        model = config.model
        self._renderer = Renderer.from_pretrained(
            resolve_model(model.path), format=model.format, template=model.template
        )

    async def __call__(self, body: Mapping[str, Any], draft: str, ask: Ask) -> DraftScore:
        """Score `draft` as the answer to the chat request `body`."""
        rendered = {key: body[key] for key in _RENDERED if body.get(key) is not None}
        ids = tuple(self._renderer.answer_ids(draft))
        return await ask(DraftQuestion(body.get("model"), rendered, ids, body.get("cache_salt")))


def read_table(table: Sequence[Mapping[int, Any]], prompt_tokens: int, draft: Sequence[int]) -> tuple[float, bool]:
    """(summed log-probability, whether each token is the first choice) from vLLM's table of prompt log-probabilities,
    which has the `prompt_tokens` of the prompt and then those of the draft. Raises a 500 where it has not."""
    if len(table) != prompt_tokens + len(draft):
        raise ApiError(500, "The engine gave no log-probabilities of the prompt.")
    found = []
    for offset, token in enumerate(draft):
        entry = table[prompt_tokens + offset].get(token)
        if entry is None:
            raise ApiError(500, "A token of the draft has no log-probability.")
        found.append(entry)
    return sum(entry.logprob for entry in found), all(entry.rank == 1 for entry in found)
