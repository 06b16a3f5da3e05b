"""The library's engine replica with two changes: drafts can be tokenized, and it tells how many prompt tokens wait."""

from __future__ import annotations

from typing import Any

from ray.llm._internal.serve.core.server.llm_server import LLMServer
from ray.llm._internal.serve.engines.vllm.vllm_engine import VLLMEngine

from toolace.serving.scaling import QUEUED_PREFILL_TOKENS


class TokenizingEngine(VLLMEngine):  # type: ignore[misc]  # the library is untyped
    """`VLLMEngine` that also answers `tokenize` and `detokenize`.

    Ray 2.60 looks for vLLM's tokenizer routes under the name they had before, and refuses both as unsupported; no draft
    could be scored then.
    """

    _app_state: Any
    _oai_serving_tokenization: Any
    _engine_client: Any

    async def start(self) -> None:
        """Start the engine and its routes."""
        await super().start()
        if self._oai_serving_tokenization is None:
            self._oai_serving_tokenization = self._app_state.serving_tokenization

    @property
    def queued_prefill_tokens(self) -> int:
        """Prompt tokens of requests that wait for, or are in, their prefill."""
        return int(self._engine_client.output_processor.get_num_queued_tokens())


class EngineServer(LLMServer):  # type: ignore[misc]  # the library is untyped
    """`LLMServer` on `TokenizingEngine` that reports a signal of its own to Serve's autoscaler."""

    _default_engine_cls = TokenizingEngine
    engine: TokenizingEngine

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """What Serve asks of each replica, for custom autoscaling policies."""
        return {QUEUED_PREFILL_TOKENS: self.engine.queued_prefill_tokens}
