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

Ask = Callable[[str, Any], Awaitable[Any]]
"""A method of the engine replica (`tokenize`, `completions`) and the library's request object -> its response."""

_RENDERED = ("model", "messages", "tools", "chat_template_kwargs")


@dataclass(frozen=True, slots=True)
class DraftScore:
    """A draft, its end-of-turn token included, as the answer to a prompt.

    `logprob` is the sum over its tokens, nats at temperature 1; `first_choice` says that no other token was as likely
    anywhere. `response` is the engine's completion: its usage, and which weights answered.
    """

    logprob: float
    first_choice: bool
    response: Mapping[str, Any]


class DraftScorer:
    """Scores drafts for one model. Made in the ingress where the settings need it; loads a tokenizer."""

    def __init__(self, config: ServeConfig) -> None:
        model = config.model
        self._renderer = Renderer.from_pretrained(
            resolve_model(model.path), format=model.format, template=model.template
        )

    async def __call__(self, body: Mapping[str, Any], draft: str, ask: Ask) -> DraftScore:
        """Score `draft` as the answer to the chat request `body`."""
        from ray.serve.llm.openai_api_models import CompletionRequest
        from vllm.entrypoints.serve.tokenize.protocol import TokenizeChatRequest

        rendered = {key: body[key] for key in _RENDERED if body.get(key) is not None}
        prompt: list[int] = (await ask("tokenize", TokenizeChatRequest.model_validate(rendered))).tokens
        answer = self._renderer.answer_ids(draft)
        request = {
            "model": body.get("model"),
            "prompt": [*prompt, *answer],
            "max_tokens": 1,
            "temperature": 0.0,
            "prompt_logprobs": 0,
        }
        response = (await ask("completions", CompletionRequest.model_validate(request))).model_dump()
        return read_score(response, len(prompt), answer)


def read_score(response: Mapping[str, Any], prompt_tokens: int, answer: Sequence[int]) -> DraftScore:
    """The score in a completion whose prompt was `prompt_tokens` and then `answer`; a 500 where there is none."""
    table = response["choices"][0].get("prompt_logprobs")
    if table is None or len(table) != prompt_tokens + len(answer):
        raise ApiError(500, "The engine gave no log-probabilities of the prompt.")
    found = [_entry(at, token) for at, token in zip(table[prompt_tokens:], answer, strict=True)]
    return DraftScore(
        sum(float(entry["logprob"]) for entry in found), all(entry.get("rank") == 1 for entry in found), response
    )


def _entry(at: Mapping[Any, Any], token: int) -> Mapping[str, Any]:
    found = at.get(token, at.get(str(token)))
    if found is None:
        raise ApiError(500, "A token of the prompt has no log-probability.")
    entry: Mapping[str, Any] = found
    return entry
