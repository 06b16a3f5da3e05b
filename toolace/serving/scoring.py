"""How much the model prefers a draft: its summed log-probability as the answer to the refine turn, in one prompt pass.

`accept_margin` compares it with the log-probability of the new answer. The prompt's token ids come from the engine's
own chat rendering, the draft's from the project's renderer, so the sum is the one that evaluation takes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from toolace.engines.models import resolve_model
from toolace.rendering import Renderer
from toolace.serving.config import ServeConfig
from toolace.serving.errors import ApiError, from_upstream

Ask = Callable[[str, Any], Awaitable[Any]]
"""A method of the engine replica (`tokenize`, `completions`) and the library's request object -> its response."""

_RENDERED = ("model", "messages", "tools", "chat_template_kwargs")


class DraftScorer:
    """Scores drafts for one model. Made in the ingress when the settings have an accept margin; loads a tokenizer."""

    def __init__(self, config: ServeConfig) -> None:
        model = config.model
        self._renderer = Renderer.from_pretrained(
            resolve_model(model.path), format=model.format, template=model.template
        )

    async def __call__(self, body: Mapping[str, Any], draft: str, ask: Ask) -> float:
        """The summed log-probability (nats, temperature 1) of `draft` and its end of turn as the answer to `body`."""
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
        table = response["choices"][0].get("prompt_logprobs")
        if table is None or len(table) != len(prompt) + len(answer):
            raise ApiError(500, "The engine gave no log-probabilities of the prompt.")
        return sum(_logprob(at, token) for at, token in zip(table[len(prompt) :], answer, strict=True))


def _logprob(entry: Mapping[Any, Any], token: int) -> float:
    found = entry.get(token, entry.get(str(token)))
    if found is None:
        raise from_upstream({"error": {"message": "a token of the prompt has no log-probability", "code": 500}})
    return float(found["logprob"])
