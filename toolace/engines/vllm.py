"""The default engine: vLLM's step loop, so that a program's next question joins the running batch.

In this process on CPU and on one GPU; vLLM starts worker processes itself for tensor parallelism above 1.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from toolace.config import EngineConfig
from toolace.engines.base import Generate, Generated, ModelIdentity, check_fits, new_tokens
from toolace.errors import EngineError
from toolace.stack import INSTALL, broken

T = TypeVar("T")
CPU_BLOCK_SIZE = 32
"""Tokens of a KV cache block on CPU, the smallest that its fast kernels take."""


def engine_options(engine: EngineConfig, *, max_model_len: int, gpu: bool) -> dict[str, Any]:
    """vLLM's engine arguments that rollouts and serving share: what was evaluated is what is served."""
    options: dict[str, Any] = {
        "max_model_len": max_model_len,
        "max_num_seqs": engine.max_num_seqs,
        "tensor_parallel_size": engine.tensor_parallel,
        "enable_prefix_caching": engine.prefix_caching,
        "enforce_eager": (not gpu) if engine.enforce_eager is None else engine.enforce_eager,
        # The model's own sampling defaults have no part in it.
        "generation_config": "vllm",
    }
    block_size = engine.block_size or (None if gpu else CPU_BLOCK_SIZE)
    if block_size is not None:
        options["block_size"] = block_size
    if gpu:
        options["gpu_memory_utilization"] = engine.gpu_memory_utilization
    else:
        options["kv_cache_memory_bytes"] = int(engine.kv_cache_gib * 2**30)
        # A seeded request that is prefilled in pieces kills vLLM 0.29 on CPU ("CPU Generator does not use offset").
        options["enable_chunked_prefill"] = False
        options["max_num_batched_tokens"] = max(max_model_len, 2048)
    return options


def prepare_environment(engine: EngineConfig, *, threads: int | None, gpu: bool) -> dict[str, str]:
    """Environment variables that vLLM must find when it is first imported.

    Multiprocessing off runs the engine in this process; compilation off makes a CPU engine start in a second or two.
    Threads are not bound to cores: several engines, or an engine and other work, may share a machine.
    """
    variables = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0" if engine.tensor_parallel == 1 else "1",
        # Worker processes of tensor parallelism: a forked one cannot use CUDA that its parent has looked at.
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": os.environ.get("VLLM_LOGGING_LEVEL", "ERROR"),
    }
    if not gpu:
        variables["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
        if engine.enforce_eager is not False:
            variables["TORCHDYNAMO_DISABLE"] = "1"
    if threads is not None:
        variables["OMP_NUM_THREADS"] = str(threads)
    return variables


class VLLMEngine:
    """An `Engine` on `vllm.v1.engine.llm_engine.LLMEngine`. Use it from one thread only."""

    def __init__(
        self,
        model_dir: str,
        engine: EngineConfig,
        *,
        dtype: str,
        identity: ModelIdentity,
        threads: int | None = None,
    ) -> None:
        import torch

        max_model_len = identity.max_model_len
        gpu = torch.cuda.is_available()
        os.environ.update(prepare_environment(engine, threads=threads, gpu=gpu))
        try:
            from vllm import EngineArgs, SamplingParams
            from vllm.inputs import tokens_input
            from vllm.sampling_params import RequestOutputKind
            from vllm.v1.engine.llm_engine import LLMEngine
        except ImportError as error:
            raise EngineError(f"vLLM cannot be imported ({error}). To install it: {INSTALL}") from None
        except RuntimeError as error:  # torch refuses operators of a torchvision that was built for another one
            raise EngineError(broken(error)) from error
        if threads is not None and not gpu:
            torch.set_num_threads(threads)
        options: dict[str, Any] = {
            "model": model_dir,
            "dtype": dtype,
            "skip_tokenizer_init": True,  # token ids in and out
            "disable_log_stats": True,
            "use_tqdm_on_load": False,
            **engine_options(engine, max_model_len=max_model_len, gpu=gpu),
        }
        try:
            self._engine: Any = LLMEngine.from_engine_args(EngineArgs(**options))
        except Exception as error:  # whatever vLLM raises at start, it has not started
            raise EngineError(
                f"vLLM cannot start on the model {model_dir}: {type(error).__name__}: {error}. "
                "Look at engine.* and model.max_model_len, or run `toolace doctor`"
            ) from error
        self.identity = identity
        self._max_model_len = max_model_len
        self._requests: dict[str, Generate] = {}
        self._internal: dict[str, str] = {}
        self._sampling_params = SamplingParams
        self._tokens_input = tokens_input
        self._final_only = RequestOutputKind.FINAL_ONLY

    @property
    def pending(self) -> int:
        return len(self._requests)

    def submit(self, request: Generate) -> None:
        check_fits(request, self._max_model_len)
        sampling = request.sampling
        options: dict[str, Any] = {"detokenize": False, "output_kind": self._final_only, "ignore_eos": True}
        if request.score_ids:
            options |= {"temperature": 0.0, "max_tokens": 1, "prompt_logprobs": 0, "flat_logprobs": True}
        else:
            options |= {
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "top_k": sampling.top_k,
                "max_tokens": new_tokens(request, self._max_model_len),
                "stop_token_ids": list(request.stop_token_ids),
            }
            if sampling.temperature == 0:
                # Only greedy answers are asked for their log-probability: it costs a softmax over the vocabulary.
                options |= {"logprobs": 0, "flat_logprobs": True}
            else:
                options["seed"] = request.seed
        prompt = self._tokens_input([*request.prompt, *request.score_ids])
        try:
            self._internal[request.id] = self._engine.add_request(request.id, prompt, self._sampling_params(**options))
        except ValueError as error:
            raise EngineError(f"request {request.id}: vLLM refuses it: {error}") from None
        self._requests[request.id] = request

    def abort(self, request_id: str) -> None:
        if self._requests.pop(request_id, None) is not None:
            self._engine.abort_request([self._internal.pop(request_id)], internal=True)

    def step(self) -> list[Generated]:
        if not self._requests:
            return []
        try:
            outputs = self._engine.step()
        except Exception as error:
            raise EngineError(f"vLLM died with {len(self._requests)} requests open: {error}") from error
        return [self._finished(output) for output in outputs if output.finished and output.request_id in self._requests]

    def close(self) -> None:
        """Free the engine's memory and its worker processes."""
        import gc

        from vllm.distributed import cleanup_dist_env_and_memory

        if self._engine is not None:
            self._engine.engine_core.shutdown()
            self._engine = None
            self._requests.clear()
            gc.collect()
            cleanup_dist_env_and_memory()

    def apply(self, read: Callable[[Any], T]) -> T:
        """Call a function with the model (a torch module); only where the engine runs in this process."""
        value: T = self._engine.apply_model(read)[0]
        return value

    def _finished(self, output: Any) -> Generated:
        request = self._requests.pop(output.request_id)
        del self._internal[request.id]
        if request.score_ids:
            table = output.prompt_logprobs
            start = len(request.prompt)
            pairs = ((table[start + i], token) for i, token in enumerate(request.score_ids))
            return Generated(request.id, finish="score", logprob=sum(at[token].logprob for at, token in pairs))
        answer = output.outputs[0]
        ids = tuple(answer.token_ids)
        if answer.finish_reason not in ("stop", "length"):
            return Generated(request.id, ids, "error", error=f"vLLM ended the request: {answer.finish_reason}")
        stopped = bool(ids) and ids[-1] in request.stop_token_ids
        return Generated(
            request.id,
            ids[:-1] if stopped else ids,
            "stop" if stopped else "length",
            answer.cumulative_logprob,
            len(ids),
        )
