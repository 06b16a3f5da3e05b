"""The reference engine: `transformers`, one request a step. For small models and to check the others against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from toolace.engines.base import Generate, Generated, ModelIdentity, check_fits, new_tokens
from toolace.errors import EngineError

T = TypeVar("T")


class HFEngine:
    """An `Engine` on `generate`: slow, simple, and independent of what else is pending."""

    def __init__(self, model_dir: str, *, dtype: str, identity: ModelIdentity, threads: int | None = None) -> None:
        import torch
        from transformers import AutoModelForCausalLM, GenerationConfig

        if threads is not None:
            torch.set_num_threads(threads)
        self.identity = identity
        self._max_model_len = identity.max_model_len
        self._waiting: dict[str, Generate] = {}
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=getattr(torch, dtype))
        except (OSError, ValueError, RuntimeError) as error:
            raise EngineError(f"transformers cannot load the model {model_dir}: {error}") from None
        # `generate` fills what a request leaves unset (no stop tokens, for one) from here: the model's own
        # generation_config.json must have no part in it.
        model.generation_config = GenerationConfig()
        self._model: Any = model.eval().to(self._device)

    @property
    def pending(self) -> int:
        return len(self._waiting)

    def submit(self, request: Generate) -> None:
        check_fits(request, self._max_model_len)
        self._waiting[request.id] = request

    def abort(self, request_id: str) -> None:
        self._waiting.pop(request_id, None)

    def step(self) -> list[Generated]:
        if not self._waiting:
            return []
        request = self._waiting.pop(next(iter(self._waiting)))
        try:
            return [self._score(request) if request.score_ids else self._generate(request)]
        except RuntimeError as error:
            raise EngineError(f"the hf engine died on request {request.id}: {error}") from error

    def close(self) -> None:
        self._waiting.clear()
        self._model = None

    def apply(self, read: Callable[[Any], T]) -> T:
        """Call a function with the model (a torch module)."""
        return read(self._model)

    def _score(self, request: Generate) -> Generated:
        import torch

        ids = torch.tensor([[*request.prompt, *request.score_ids]], device=self._device)
        with torch.inference_mode():
            logits = self._model(input_ids=ids).logits[0, len(request.prompt) - 1 : -1].float()
        chosen = logits.log_softmax(-1).gather(1, ids[0, len(request.prompt) :, None])
        return Generated(request.id, finish="score", logprob=float(chosen.sum()))

    def _generate(self, request: Generate) -> Generated:
        import torch
        from transformers import GenerationConfig

        sampling, greedy = request.sampling, request.sampling.temperature == 0
        config = GenerationConfig(
            max_new_tokens=new_tokens(request, self._max_model_len),
            do_sample=not greedy,
            eos_token_id=list(request.stop_token_ids) or None,
            pad_token_id=0,
            return_dict_in_generate=True,
            output_logits=True,
            **(
                {}
                if greedy
                else {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k}
            ),
        )
        prompt = torch.tensor([request.prompt], device=self._device)
        with torch.inference_mode(), torch.random.fork_rng():
            torch.manual_seed(request.seed)
            out = self._model.generate(prompt, attention_mask=torch.ones_like(prompt), generation_config=config)
        ids = out.sequences[0, prompt.shape[1] :].tolist()
        steps = torch.stack(out.logits)[:, 0].float().log_softmax(-1)
        logprob = float(sum(steps[i, token] for i, token in enumerate(ids)))
        stopped = bool(ids) and ids[-1] in request.stop_token_ids
        return Generated(
            request.id, tuple(ids[:-1] if stopped else ids), "stop" if stopped else "length", logprob, len(ids)
        )
