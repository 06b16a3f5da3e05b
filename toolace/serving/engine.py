"""The library's vLLM engine with a repair: Ray 2.60 looks for vLLM's tokenizer routes under the name they had before.

Without it `/tokenize` and `/detokenize` are refused as unsupported, and no draft can be scored for `accept_margin`.
"""

from __future__ import annotations

from typing import Any

from ray.llm._internal.serve.engines.vllm.vllm_engine import VLLMEngine


class TokenizingEngine(VLLMEngine):  # type: ignore[misc]  # the library is untyped
    """`VLLMEngine` that also answers `tokenize` and `detokenize`."""

    _app_state: Any
    _oai_serving_tokenization: Any

    async def start(self) -> None:
        """Start the engine and its routes."""
        await super().start()
        if self._oai_serving_tokenization is None:
            self._oai_serving_tokenization = self._app_state.serving_tokenization
