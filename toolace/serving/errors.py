"""Errors that a client sees: OpenAI's shape and codes, and nothing of the server's inside.

    {"error": {"message": str, "type": str, "param": str | null, "code": str | null}}

`ApiError` is not in the tree of `toolace.errors`: it is the answer to one request, not a fault of the program.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

logger = logging.getLogger(__name__)

DEADLINE_EXCEEDED = "deadline_exceeded"
"""Code of every error that means: the time for the request is over."""
_RETRY_AFTER_S = 1.0
_MAX_MESSAGE = 2000  # letters; a longer one is the client's own input, repeated
_MAX_FIELD = 200  # letters of a field's name, which holds names that the client chose

_TYPES = {408: "timeout_error", 429: "rate_limit_error", 504: "timeout_error"}
_CODES = {
    401: "invalid_api_key",
    404: "not_found",
    408: DEADLINE_EXCEEDED,
    413: "request_too_large",
    429: "rate_limit_exceeded",
    499: "cancelled",
    500: "internal_error",
    503: "unavailable",
    504: DEADLINE_EXCEEDED,
}
_MESSAGES = {
    400: "The model's server refused the request.",
    401: "A valid API key is needed.",
    404: "There is no such model or path.",
    408: "The request took too long.",
    413: "The request is too large.",
    429: "The server is busy. Try again later.",
    499: "The request was cancelled.",
    503: "No replica of the model can answer now. Try again later.",
    504: "The request took too long.",
}
_INTERNAL = "The server failed to answer. The request id in the response headers finds the reason in its log."

# Exceptions of Ray and vLLM by the name of their class or a base of it, so that this module needs neither.
_BUSY = {"BackPressureError", "PendingCallsLimitExceeded"}
_CANCELLED = {"CancelledError", "TaskCancelledError", "RequestCancelledError"}
_TIMEOUT = {"TimeoutError", "GetTimeoutError"}
_DEAD = {
    "ActorUnschedulableError",
    "AsyncioActorExit",
    "DeploymentUnavailableError",
    "EngineDeadError",
    "LocalRayletDiedError",
    "NodeDiedError",
    "ObjectLostError",
    "RayActorError",
    "ReplicaUnavailableError",
    "RpcError",
    "TaskUnschedulableError",
    "WorkerCrashedError",
}
_GENERATION_ERRORS = ("GenerationError", "RayTaskError(GenerationError)")
_GENERATION_FAILED = "Internal server error"  # vLLM's whole message of its GenerationError
_BAD_REQUEST = {"ValidationError", "RequestValidationError", "VLLMValidationError", "VLLMClientError"}

_INSIDE = re.compile(
    r"Traceback \(most|\bFile \"|\bray::|\bRay\w*Error\b|\bpid=\d|\b(?:Replica|Deployment|Actor)\w*\(|\bsys\.\w"
)
_PATH = re.compile(r"(?<![\w:/.\-])(?:~|file://)?/(?!v1/)[\w.@+~-]+(?:/[\w.@+~-]+)+/?")
_WRAPPED = re.compile(r"\AMessage: (.*?), Internal exception: .*\Z", re.DOTALL)
_REQUEST_ID = re.compile(r"\s*\(Request ID: [^)]*\)")
_PARAMETER = re.compile(r"\s*\(parameter=([\w.\[\]]{1,80})(?:, value=.*)?\)\Z", re.DOTALL)
_LEADING = re.compile(r"\A([a-z][a-z_]*)(?:=\S+)? (?:must|cannot|should|is)\b")
"""The name that a message of vLLM's begins with where it gives none beside; only those of `_FIELDS` are fields."""
_FIELDS = frozenset(
    (
        *("n", "best_of", "temperature", "top_p", "top_k", "min_p", "stop", "stop_token_ids", "seed"),
        *("presence_penalty", "frequency_penalty", "repetition_penalty", "min_tokens", "max_tokens"),
        *("logprobs", "top_logprobs", "prompt_logprobs", "allowed_token_ids", "bad_words", "logit_bias"),
        *("truncate_prompt_tokens", "response_format", "structured_outputs", "tool_choice", "prompt", "suffix"),
    )
)
_ABOUT = {
    **dict.fromkeys(("chat template", "chat_template"), "chat_template"),
    **dict.fromkeys(("out of vocabulary", "at least one prompt", "prompt cannot be empty"), "prompt"),
    "multimodal": "messages",
}
"""What a message of vLLM's speaks of without naming the field."""
_TOO_LONG = re.compile(r"maximum\s+(?:context|model)\s+length")
"""What vLLM's messages about a prompt that does not fit have in common."""
_PYDANTIC_LINK = re.compile(r"\s*For further information visit \S+")


class ApiError(Exception):
    """The answer to a request that failed: an HTTP status and OpenAI's error object.

    `type` and `code` follow from the status unless given. `param` names the field at fault, such as
    `tools[1].function.name`. `retry_after` is in seconds.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str | None = None,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type or _TYPES.get(status) or ("invalid_request_error" if status < 500 else "server_error")
        self.param = param
        self.code = code or _CODES.get(status)
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        details = {"type": self.type, "param": self.param, "code": self.code, "retry_after": self.retry_after}
        return _restore, (self.status, self.message, details)

    def body(self) -> dict[str, Any]:
        """The response's JSON body."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> dict[str, str]:
        """Headers that go with the response: `Retry-After`, in whole seconds, where it is known."""
        return {} if self.retry_after is None else {"Retry-After": str(max(1, math.ceil(self.retry_after)))}


def bad_request(param: str | None, message: str, code: str | None = None) -> ApiError:
    """400: the body's field `param` (None: the body) is wrong; the message begins with its name."""
    if param is not None and len(param) > _MAX_FIELD:
        param = param[:_MAX_FIELD] + "..."
    return ApiError(400, f"{param or 'the request body'} {message}", param=param, code=code or "invalid_value")


def misplaced(errors: Sequence[Mapping[str, Any]], body: Any) -> ApiError:
    """The 400 for pydantic's errors about a body, by the path of the first one as the client wrote it.

    Of a message that is no kind of message, pydantic tells what is wrong for each kind: those of another role do not
    count, nor do the names of its own types in a path.
    """
    others = {tuple(error["loc"][:-1]) for error in errors if error["loc"][-1:] == ("role",)}
    error = next((one for one in errors if not any(one["loc"][: len(arm)] == arm for arm in others)), errors[0])
    place, value = "", body
    for part in error["loc"]:
        if isinstance(value, dict) and part in value:
            place += f".{part}" if place else str(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            place += f"[{part}]"
        else:
            continue
        value = value[part]
    if error["type"] == "missing":
        place += f".{error['loc'][-1]}" if place else str(error["loc"][-1])
    return bad_request(place or None, f"is wrong: {error['msg']}")


def deadline_exceeded(deadline_s: float) -> ApiError:
    """504: the time for the whole request passed before there was an answer."""
    return ApiError(504, f"The deadline of {deadline_s * 1000:.0f} ms passed before the first answer.")


def from_upstream(failure: BaseException | Mapping[str, Any]) -> ApiError:
    """The client's view of what an engine replica, or the way to it, came back with.

    `failure` is an exception or an error response as a dictionary (`{"error": {"message", "type", "param", "code"}}`,
    where vLLM's `code` is the HTTP status). Messages of 4xx errors are kept, less paths and inner text; others get a
    fixed one, and what is not foreseen is logged with its traceback.
    """
    if isinstance(failure, ApiError):
        return failure
    if isinstance(failure, Mapping):
        inner = failure.get("error")
        error = inner if isinstance(inner, Mapping) else failure
        return _with_status(_status(error.get("code")), error.get("message"), error.get("param"))
    chain = list(_chain(failure))
    for exception in chain:
        if isinstance(exception, ApiError):
            return exception
        names = {base.__name__ for base in type(exception).__mro__}
        if names & _BUSY:
            wait = getattr(exception, "retry_after_s", None)
            wait = float(wait) if isinstance(wait, int | float) else None
            return ApiError(429, _MESSAGES[429], code="overloaded", retry_after=wait or _RETRY_AFTER_S)
        if names & _CANCELLED:
            return _with_status(499, None, None)
        if names & _DEAD:
            return _with_status(503, None, None)
        if names & _TIMEOUT:
            return _with_status(504, None, None)
    for exception in chain:
        status = getattr(exception, "status_code", None)  # starlette's and ray.llm's HTTP exceptions, vLLM's errors
        if isinstance(status, int):
            message = getattr(exception, "message", None) or getattr(exception, "detail", None)
            return _with_status(_status(status), message, getattr(exception, "parameter", None))
        if {base.__name__ for base in type(exception).__mro__} & _BAD_REQUEST:
            return _with_status(400, str(exception), getattr(exception, "parameter", None))
    logger.error("a request failed for an unforeseen reason", exc_info=failure)
    return ApiError(500, _INTERNAL)


def generation_failed(failure: BaseException | Mapping[str, Any]) -> bool:
    """Whether the engine gave up a request in the middle, as it does where a grammar cannot be compiled or followed."""
    if isinstance(failure, Mapping):
        inner = failure.get("error")
        error = inner if isinstance(inner, Mapping) else failure
        return error.get("message") == _GENERATION_FAILED
    return any(
        type(exception).__name__.startswith(_GENERATION_ERRORS)
        or getattr(exception, "message", "") == _GENERATION_FAILED
        for exception in _chain(failure)
    )


def too_long(error: ApiError) -> bool:
    """Whether the engine refused a request because it is longer than the model's context."""
    return error.status == 400 and _TOO_LONG.search(error.message) is not None


def scrub(message: object, otherwise: str) -> str:
    """The message without paths, request ids and links; `otherwise` where it tells of the server's inside or nothing.

    vLLM's own messages ("max_tokens must be at least 1, got 0") come through unchanged.
    """
    if not isinstance(message, str):
        return otherwise
    if wrapped := _WRAPPED.match(message):
        message = wrapped.group(1)
    message = _PYDANTIC_LINK.sub("", _REQUEST_ID.sub("", message)).strip()
    if not message or _INSIDE.search(message):
        return otherwise
    message = _PATH.sub("<path>", message)
    return message if len(message) <= _MAX_MESSAGE else message[:_MAX_MESSAGE] + "..."


def _with_status(status: int, message: object, param: object) -> ApiError:
    retry_after = _RETRY_AFTER_S if status in (429, 503) else None
    param = param if isinstance(param, str) else None
    if param is None:
        param = _named(str(message))
    if status >= 500:
        return ApiError(status, _MESSAGES.get(status, _INTERNAL), code=_CODES.get(status), retry_after=retry_after)
    code = "model_not_found" if status == 404 and "model" in str(message).lower() else None
    text = scrub(message, _MESSAGES.get(status, _MESSAGES[400]))
    return ApiError(status, text, param=param, code=code, retry_after=retry_after)


def _named(message: str) -> str | None:
    """The field that a message of vLLM's is about, where only the text came through."""
    if found := _PARAMETER.search(message):
        return found.group(1)
    for about, field in _ABOUT.items():
        if about in message.lower():
            return field
    found = _LEADING.match(message)
    return found.group(1) if found and found.group(1) in _FIELDS else None


def _status(code: object) -> int:
    """An HTTP error status from an error's `code`; what is none is a fault of the server."""
    if isinstance(code, str) and code.isascii() and code.isdigit():
        code = int(code[:4])
    if isinstance(code, bool) or not isinstance(code, int) or not 400 <= code < 600:
        return 500
    return 400 if code == 422 else code  # OpenAI answers a body that does not fit with 400


def _chain(exception: BaseException) -> Iterator[BaseException]:
    """The exception and what caused it: Ray wraps an actor's exception and keeps it as `cause`."""
    seen: set[int] = set()
    current: object = exception
    while isinstance(current, BaseException) and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = getattr(current, "cause", None) or current.__cause__


def _restore(status: int, message: str, details: dict[str, Any]) -> ApiError:
    return ApiError(status, message, **details)
