"""The library's engine replica, which also reads drafts and tells how many prompt tokens wait."""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import AsyncGenerator
from typing import Any

from ray.llm._internal.serve.core.configs.openai_api_models import ErrorInfo, ErrorResponse
from ray.llm._internal.serve.core.server.llm_server import LLMServer
from ray.llm._internal.serve.engines.vllm.vllm_engine import VLLMEngine
from vllm import SamplingParams
from vllm.entrypoints.serve.tokenize.protocol import TokenizeChatRequest
from vllm.exceptions import VLLMClientError
from vllm.inputs import tokens_input

from toolace.engines.models import SPEECH, fingerprint
from toolace.errors import ServingError
from toolace.serving.scaling import QUEUED_PREFILL_TOKENS
from toolace.serving.scoring import DraftQuestion, DraftScore, read_table

WATCH_S = 0.2
"""Seconds between looks at whether the engine lives."""
logger = logging.getLogger("toolace.serving")


class TokenizingEngine(VLLMEngine):  # type: ignore[misc]  # the library is untyped
    """`VLLMEngine` that also answers `tokenize` and `detokenize`, reads drafts, and takes one process less on a CPU.

    Ray 2.60 looks for vLLM's tokenizer routes under the name they had before, and refuses both as unsupported.
    """

    llm_config: Any
    _app_state: Any
    _oai_serving_tokenization: Any
    _engine_client: Any

    async def start(self) -> None:
        """Start the engine and its routes.

        Ray prepares a replica's nodes first, each in a process that imports vLLM for it: this is an eighth of a start
        on two cores, and does nothing for a directory or a name on the hub, which vLLM finds by itself.
        """
        source = self.llm_config.model_loading_config.model_source
        if isinstance(source, str) and "://" not in source:
            self.llm_config.get_or_create_callback().ctx.run_init_node = False
        await super().start()
        if self._oai_serving_tokenization is None:
            self._oai_serving_tokenization = self._app_state.serving_tokenization

    def _start_async_llm_engine(self, vllm_engine_args: Any, vllm_engine_config: Any, placement_group: Any) -> Any:
        """Run the model in the engine's own process where that is its only worker.

        On a CPU, Ray has the worker be a process of its own, for vLLM binds its threads to cores when it starts one.
        They are not bound here, and a process less is an import of vLLM less at every start.
        """
        parallel = vllm_engine_config.parallel_config
        if parallel.distributed_executor_backend == "mp" and parallel.world_size == 1:
            parallel.distributed_executor_backend = "uni"
        return super()._start_async_llm_engine(vllm_engine_args, vllm_engine_config, placement_group)

    async def read_draft(self, question: DraftQuestion) -> AsyncGenerator[DraftScore | ErrorResponse, None]:
        """The score of a draft, in one prompt pass that generates one token more than is used."""
        prompt: list[int] = []
        async for told in self.tokenize(TokenizeChatRequest.model_validate(question.chat)):
            if isinstance(told, ErrorResponse):
                yield told
                return
            prompt = told.tokens
        salt = {"cache_salt": question.cache_salt} if question.cache_salt else {}
        asked = tokens_input([*prompt, *question.draft], **salt)
        # The table is flat, as in evaluation: vLLM makes no object for each token of the prompt.
        sampling = SamplingParams(
            max_tokens=1, temperature=0.0, prompt_logprobs=0, flat_logprobs=True, detokenize=False
        )
        done = None
        try:
            async for output in self._engine_client.generate(asked, sampling, f"draft-{uuid.uuid4().hex}"):
                done = output
        except (ValueError, VLLMClientError) as error:  # prompt and draft are longer than the context
            yield ErrorResponse(error=ErrorInfo(message=str(error), type="BadRequestError", code=400))
            return
        logprob, first_choice = read_table((done and done.prompt_logprobs) or (), len(prompt), question.draft)
        version = str(self.llm_config.engine_kwargs["fingerprint_value"])
        yield DraftScore(logprob, first_choice, len(prompt) + len(question.draft), version)

    @property
    def dead(self) -> bool:
        """Whether the engine's process has ended, or has stopped giving answers."""
        return bool(self._engine_client.errored)

    @property
    def queued_prefill_tokens(self) -> int:
        """Prompt tokens of requests that wait for, or are in, their prefill."""
        return int(self._engine_client.output_processor.get_num_queued_tokens())


class EngineServer(LLMServer):  # type: ignore[misc]  # the library is untyped
    """`LLMServer` on `TokenizingEngine` that gives Serve's autoscaler a signal of its own, and ends with its engine."""

    _default_engine_cls = TokenizingEngine
    engine: TokenizingEngine

    async def start(self) -> None:
        """Start the engine, if the model's files are still those that were put in place.

        Raises:
            ServingError: the files have changed since; answers would carry the name of other weights.
        """
        source = self._llm_config.model_loading_config.model_source
        version = str(self._llm_config.engine_kwargs["fingerprint_value"])
        if isinstance(source, str) and version.rpartition("@")[2] != (found := fingerprint(source, SPEECH)[:12]):
            raise ServingError(
                f"the files of {source} have changed since {version} was put in place (now {found}). "
                "`toolace promote` serves them as they are"
            )
        await super().start()
        self._watch = asyncio.create_task(self._end_with_engine())

    async def _end_with_engine(self) -> None:
        """End this process once its engine has.

        Serve would ask a replica three times in half a minute before it takes it for broken, and until then send it
        more than the others, for it is done with every request at once. A process that has ended is known at once.
        """
        while not self.engine.dead:
            await asyncio.sleep(WATCH_S)
        logger.error("the engine has ended, and with it this replica; Serve starts another one")
        os._exit(1)

    async def read_draft(
        self, question: DraftQuestion, raw_request_info: Any = None
    ) -> AsyncGenerator[DraftScore | ErrorResponse, None]:
        """What the model thinks of a draft; a stream of one, as the ingress asks for everything."""
        async for found in self.engine.read_draft(question):
            yield found

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """What Serve asks of each replica, for custom autoscaling policies."""
        return {QUEUED_PREFILL_TOKENS: self.engine.queued_prefill_tokens}
