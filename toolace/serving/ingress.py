"""The ingress deployment: that of `ray.serve.llm`, with chat completions refined before they are answered.

Every other request goes to the library's code. The guard (`toolace.serving.guard`) stands before all routes; the
playground, `/health` and `/metrics` are beside them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from functools import cache, partial
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from ray import serve
from ray.exceptions import RayError
from ray.llm._internal.serve.core.configs.openai_api_models import (
    ErrorResponse,
    OpenAIHTTPException,
    to_model_metadata,
)
from ray.llm._internal.serve.core.ingress.ingress import DEFAULT_ENDPOINTS
from ray.llm._internal.serve.core.ingress.utils import _sanitize_chat_completion_request
from ray.llm._internal.serve.core.protocol import RawRequestInfo
from ray.serve._private.http_util import session_id_from_headers
from ray.serve.exceptions import RayServeException
from ray.serve.llm.ingress import OpenAiIngress, make_fastapi_ingress
from ray.serve.llm.openai_api_models import ChatCompletionRequest, CompletionRequest
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from vllm.exceptions import VLLMClientError

from toolace.serving.app import served_version
from toolace.serving.auth import Keys
from toolace.serving.config import ServeConfig
from toolace.serving.constraints import blamed
from toolace.serving.draining import Drain
from toolace.serving.errors import ApiError, bad_request, deadline_exceeded, from_upstream, generation_failed, misplaced
from toolace.serving.guard import Guard
from toolace.serving.metrics import CONTENT_TYPE, Metrics
from toolace.serving.passes import Outcome
from toolace.serving.playground import add_playground
from toolace.serving.protocol import (
    Plan,
    RefinementOptions,
    check_completion,
    check_json,
    check_token_ids,
    include_usage,
    is_refined,
    make_plan,
    resolve,
)
from toolace.serving.refining import refine_chat
from toolace.serving.scoring import DraftQuestion, DraftScore, DraftScorer
from toolace.serving.streaming import DONE, error_in, stream_passed_on, stream_refined

_ENGINE_ERRORS = (OpenAIHTTPException, VLLMClientError, RayServeException, RayError)
RETRY_S = 0.5
"""Seconds before a pass is sent again: by then a replica whose engine died has ended (`engine.WATCH_S`)."""
EARLY_S = 5.0
"""A streamed answer waits this long before it begins, so that early errors keep their status code, seconds."""


OTHER_PATHS = {
    "embeddings": "/v1/embeddings",
    "score": "/v1/score",
    "tokenize": "/tokenize",
    "detokenize": "/detokenize",
}
"""Routes whose JSON the library reads itself, by the names of its methods."""


@cache
def shared_metrics() -> Metrics:
    """The metrics of this process: guard and ingress count into the same."""
    return Metrics(ray_metrics=True)


@cache
def shared_drain() -> Drain:
    """Whether this process takes new requests."""
    return Drain()


class RefiningIngress(OpenAiIngress):  # type: ignore[misc]  # the library is untyped
    """Chat completions by the refine program, the rest as the library does it."""

    def __init__(self, llm_deployments: Any, model_cards: Any, *, config: dict[str, Any], version: str) -> None:
        super().__init__(llm_deployments, model_cards)
        self._config = ServeConfig.model_validate(config)
        self._version = version
        self._metrics = shared_metrics()
        settings = self._config.refinement
        reads = settings.accept_margin > 0 or settings.check == "prompt"
        self._scorer = DraftScorer(self._config) if reads else None

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Serve calls this when the deployment's `user_config` changes: see `toolace.serving.draining`."""
        shared_drain().on = bool(user_config.get("draining"))

    async def in_flight(self) -> int:
        """Requests that this process is answering; asked through Serve's handle."""
        return self._metrics.in_flight

    async def chat(self, request: Request) -> Response:
        """POST /v1/chat/completions."""
        body = await _json(request)
        plan = make_plan(body, self._config.refinement, self._config.limits)
        await self._get_model_id(body.get("model"))
        if self._config.log_content:
            request.scope.get("state", {}).get("toolace", {})["content"] = {"messages": body["messages"]}
        if not is_refined(body, plan):
            body.pop("refinement", None)
            return await self._pass_through(ChatCompletionRequest, "chat", body, plan.deadline_s, request)
        if not body.get("stream"):
            return JSONResponse(await self._refine(body, plan, request))
        task = asyncio.ensure_future(self._refine(body, plan, request))
        try:
            await asyncio.wait({task}, timeout=EARLY_S)
            if task.done():
                task.result()
        except BaseException:
            task.cancel()
            raise
        return StreamingResponse(stream_refined(lambda: task, include_usage(body)), media_type="text/event-stream")

    async def completions(self, request: Request) -> Response:
        """POST /v1/completions."""
        body = await _json(request)
        check_completion(body, self._config.limits)
        deadline_s = resolve(RefinementOptions(), self._config.refinement).deadline_s
        return await self._pass_through(CompletionRequest, "completions", body, deadline_s, request)

    async def _pass_through(
        self, kind: Any, method: str, body: dict[str, Any], deadline_s: float, request: Request
    ) -> Response:
        """The library's answer, which must begin, and where it is no stream end, before the deadline."""
        if (body.get("n") or 1) > 1 and body.get("temperature") is None and not body.get("use_beam_search"):
            body["temperature"] = 1.0  # the server's default is greedy, and the engine refuses n equal answers
        try:
            async with asyncio.timeout(deadline_s) as limit:
                answer: Response = await self._process_llm_request(_validated(kind, body), method, request)
                if isinstance(answer, StreamingResponse):
                    # The first event is waited for, so that what the engine refuses keeps its status code.
                    events = aiter(answer.body_iterator)
                    first = await anext(events, DONE)
                    if (refused := error_in(first)) is not None:
                        raise blamed(refused, body)
                    answer.body_iterator = stream_passed_on(first, events, partial(blamed, body=body))
                return answer
        except TimeoutError as error:
            if limit.expired():
                raise deadline_exceeded(deadline_s) from None
            raise from_upstream(error) from error
        except _ENGINE_ERRORS as error:
            raise blamed(error, body) from error

    async def health(self) -> Response:
        """GET /health: this process answers; replicas are checked by Serve."""
        return JSONResponse({"status": "ok", "model": self._version})

    async def metrics(self) -> Response:
        """GET /metrics: this ingress replica's own metrics, in Prometheus' text format."""
        return Response(self._metrics.render(), media_type=CONTENT_TYPE)

    async def _refine(self, body: dict[str, Any], plan: Plan, request: Request) -> dict[str, Any]:
        """Drive the refine program with passes on the engine replicas."""
        state: dict[str, Any] = request.scope.get("state", {}).get("toolace", {})

        def count(outcome: Outcome) -> None:
            passes = [(done.prompt_tokens, done.tokens, done.seconds) for done in outcome.passes]
            rounds = len(passes) - 1
            self._metrics.refined(rounds=rounds, stopped=outcome.stopped, changed=outcome.changed, passes=passes)
            state.update(rounds=rounds, stopped=outcome.stopped)

        async def complete(asked: dict[str, Any], seconds: float) -> dict[str, Any]:
            return await self._pass(asked, request)

        async def ask(question: DraftQuestion) -> DraftScore:
            found: DraftScore = await self._first("read_draft", question, request)
            return found

        async def score(asked: dict[str, Any], draft: str) -> DraftScore:
            assert self._scorer is not None
            return await self._scorer(asked, draft, ask)

        answer = await refine_chat(
            body,
            plan,
            complete,
            format=self._config.model.format,
            score=score if self._scorer is not None else None,
            on_end=count,
        )
        if "content" in state:
            state["content"]["answer"] = answer["choices"][0]["message"]
        return answer

    async def _pass(self, body: dict[str, Any], request: Request) -> dict[str, Any]:
        """One generation on an engine replica; the caller bounds its time and maps what it raises."""
        found = await self._first("chat", _validated(ChatCompletionRequest, body), request, body)
        answer: dict[str, Any] = found.model_dump()
        return answer

    async def _first(self, method: str, asked: Any, request: Request, body: dict[str, Any] | None = None) -> Any:
        """The one response of a replica's method. Cancelling it aborts what the engine has not finished."""
        answers = self._get_response(body=asked, call_method=method, raw_request=request)
        try:
            async for answer in answers:
                if isinstance(answer, ErrorResponse):
                    raise blamed(answer.model_dump(), body or {})
                return answer
        except RayError as error:
            if body is not None and generation_failed(error):
                raise blamed(error, body) from error
            raise
        finally:
            await answers.aclose()
        raise ApiError(500, "The engine ended without an answer.")

    async def _get_response(self, *, body: Any, call_method: str, raw_request: Any = None) -> AsyncGenerator[Any, None]:
        """Call an engine replica, and once more where a replica died before it said anything.

        A replica whose engine died ends soon after; the second time comes when it is gone.

        Beside the library's own: who stops waiting, as at a deadline, stops the engine too. Waiting alone is all that
        the library ends, and what nobody waits for is generated to its end.
        """
        for attempt in (1, 2):
            begun = False
            answers = await self._call(body, call_method, raw_request)
            try:
                async for answer in answers:
                    begun = True
                    yield answer
                return
            except (asyncio.CancelledError, GeneratorExit):
                if not begun:
                    answers.cancel()
                raise
            except Exception as error:
                if begun or attempt == 2 or not _replica_died(error):
                    raise
                self._metrics.retried()
            await asyncio.sleep(RETRY_S)

    async def _call(self, body: Any, method: str, request: Any) -> Any:
        """Serve's stream of what a replica's method answers."""
        handle = self._get_configured_serve_handle(await self._get_model_id(body.model))
        if request is not None and (session := session_id_from_headers(request.headers)):
            handle = handle.options(session_id=session)
        told = RawRequestInfo.from_starlette_request(request) if request is not None else None
        return getattr(handle, method).remote(body, told)


def bind_ingress(config: ServeConfig, llm_config: Any, engine: Any) -> Any:
    """The application: the ingress over one engine deployment."""
    model_id = llm_config.model_id
    endpoints = {
        **DEFAULT_ENDPOINTS,
        **{name: _checked(path) for name, path in OTHER_PATHS.items()},
        "health": lambda app: app.get("/health"),
        "metrics": lambda app: app.get("/metrics"),
    }
    deployment = serve.deployment(
        make_fastapi_ingress(RefiningIngress, endpoint_map=endpoints, app=make_app(config)),
        name="ingress",
        num_replicas=config.ingress_replicas,
        # The guard refuses what is above, in OpenAI's shape; Serve's own limits stand behind it, in plain text.
        max_ongoing_requests=2 * config.ingress_concurrency + 64,
        max_queued_requests=config.ingress_concurrency + 64,
        max_surge_percent=100,
        graceful_shutdown_timeout_s=config.replicas.drain_s,
        ray_actor_options={"num_cpus": 1},
    )
    return deployment.bind(
        llm_deployments={model_id: engine},
        model_cards={model_id: to_model_metadata(model_id, llm_config)},
        config=config.model_dump(mode="json"),
        version=served_version(config),
    )


def make_app(config: ServeConfig) -> FastAPI:
    """FastAPI with the guard before all routes and errors in OpenAI's shape; the routes come from the ingress."""
    app = FastAPI(title="toolace", docs_url=None, redoc_url=None)
    app.add_middleware(_GuardHere, config=config.model_dump(mode="json"))
    # Outermost, since it is added last: pages of other origins can read refusals too. Keys are headers, not cookies.
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(config.allowed_origins),
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["x-request-id", "retry-after"],
    )
    # A handler of `Exception` would stand outside the guard, which answers what none of these is.
    for kind in (ApiError, RequestValidationError, HTTPException, *_ENGINE_ERRORS):
        app.add_exception_handler(kind, _answer_error)
    if config.playground:
        add_playground(app)
    return app


class _GuardHere(Guard):
    """The guard, made in the replica: keys are read there and the metrics are those of its process."""

    def __init__(self, app: Any, config: dict[str, Any]) -> None:
        settings = ServeConfig.model_validate(config)
        # Serve's proxy puts a request id that the client sent on the answer itself.
        keys = Keys.from_settings(settings.auth)
        super().__init__(app, settings, keys, shared_metrics(), echo_id=False, drain=shared_drain())


async def _answer_error(request: Request, error: Exception) -> Response:
    if isinstance(error, RequestValidationError):
        first = (error.errors() or [{}])[0]
        parts = [part for part in first.get("loc", ())[1:] if "[" not in str(part)]
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).removeprefix(".")
        if first.get("type") == "json_invalid":
            known = bad_request(None, "is not valid JSON")
        else:
            known = bad_request(where or None, f"is wrong: {first.get('msg', 'invalid')}")
    else:
        known = error if isinstance(error, ApiError) else from_upstream(error)
    return JSONResponse(known.body(), status_code=known.status, headers=known.headers)


def _checked(path: str) -> Callable[[FastAPI], Any]:
    """A POST route of the library's whose body is looked at first."""

    async def check(request: Request) -> None:
        body = await _json(request)
        check_json(body)
        check_token_ids(body)

    return lambda app: app.post(path, dependencies=[Depends(check)])


async def _json(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError):
        raise bad_request(None, "is not valid JSON") from None


def _validated(kind: Any, body: dict[str, Any]) -> Any:
    """The library's request object. Raises a 400 that names the field."""
    try:
        asked = kind.model_validate(body)
        # Sanitizing reads contents and calls, which pydantic has left unread.
        return _sanitize_chat_completion_request(asked) if kind is ChatCompletionRequest else asked
    except VLLMClientError as error:
        raise from_upstream(error) from None
    except ValidationError as error:
        raise misplaced(error.errors(include_url=False, include_input=False), body) from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:  # it expected less
        where = "messages" if "Validating message" in str(error) else None
        raise bad_request(where, "cannot be read: a part is not of a form that it may have") from None


def _replica_died(error: BaseException) -> bool:
    """Whether the engine's replica went away: the same request can be answered by another."""
    return from_upstream(error).status == 503 and not isinstance(error, ApiError)
