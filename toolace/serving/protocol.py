"""The API's own part: the request and response field `refinement`, and what is checked at the door.

vLLM validates the rest of a chat request. Checked here is what this server reads itself, what it replaces before
vLLM sees it (`stream_options`, for one), and what would make vLLM or Ray fail where the client is at fault.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from toolace.calls.literals import MAX_DEPTH, check_depth
from toolace.refinement.program import Stopped
from toolace.serving.config import Check, LimitSettings, Mode, RefinementSettings
from toolace.serving.constraints import check_constraints, constraint_of
from toolace.serving.errors import ApiError, bad_request
from toolace.serving.tools import check_tool_choice, check_tools, kind

ServedStopped = Stopped | Literal["deadline", "error"]
"""Why refinement of a served request ended: as in the program, or

- `deadline`: the request's time was over; the answer is the last good one
- `error`: a later pass failed; the answer is the last good one
"""

_ABOVE = "integer_above_max_value"
MAX_SEED = 2**63 - 1
"""The engine's."""
MAX_TOKEN_ID = 2**32 - 1
"""Tokenizers look no greater number up."""
MAX_STOPS = 4
"""Texts of `stop`. As OpenAI's."""
MAX_LENGTH_PENALTY = 10.0
"""Of beam search; the engine raises the length of an answer to it."""
_RENDERERS_OWN = frozenset(
    (
        "add_generation_prompt",
        "chat_template",
        "continue_final_message",
        "conversation",
        "documents",
        "kwargs",
        "max_length",
        "messages",
        "padding",
        "return_assistant_tokens_mask",
        "return_dict",
        "return_tensors",
        "self",
        "tokenize",
        "tokenizer",
        "tokenizer_kwargs",
        "tools",
        "truncation",
    )
)


class RefinementOptions(BaseModel):
    """The request field `refinement`: all optional, null means unset. OpenAI clients send it through `extra_body`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    mode: Mode | None = None
    max_rounds: int | None = Field(None, ge=0)
    deadline_ms: int | None = Field(None, ge=1)
    return_rounds: bool | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What one request gets: its options over the server's settings.

    `deadline_s` counts from the start of the request. `refine_text` false leaves a first answer without calls alone.
    """

    mode: Mode = "adaptive"
    max_rounds: int = 5
    deadline_s: float = 600.0
    return_rounds: bool = False
    accept_margin: float = 0.0
    check: Check = "generate"
    refine_text: bool = True


class RefinementStep(BaseModel):
    """One answer; the first is the direct one.

    `text` is what the model wrote, before calls are read out of it; of calls that the engine made itself, their form in
    the model's format. `tokens` were generated, `prompt_tokens` read, of which `cached_tokens` were in the engine's
    prefix cache. `checked`: the draft was read and found to be what the model would write again, instead of being
    written.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    content: str | None
    tool_calls: list[dict[str, Any]]
    text: str
    tokens: int
    prompt_tokens: int
    cached_tokens: int
    checked: bool
    ms: float


class Refinement(BaseModel):
    """The response field `refinement`.

    `rounds` counts the refinement passes that were made. `model` says which weights answered. `steps` has every answer
    in order, where the request asked for it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rounds: int
    stopped: ServedStopped
    model: str
    steps: list[RefinementStep] | None = None


def check_completion(body: Any, limits: LimitSettings | None = None) -> None:
    """Check the body of a text completion as far as an engine would suffer from it. Raises a 400 naming the field."""
    if not isinstance(body, dict):
        raise bad_request(None, f"must be a JSON object, got {kind(body)}")
    check_json(body)
    check_constraints(body)
    _check_sampling(body, limits or LimitSettings())


def make_plan(body: Any, settings: RefinementSettings, limits: LimitSettings | None = None) -> Plan:
    """Check a chat request's body and say what it gets. Raises a 400 that names the field, for any JSON value."""
    options = check_body(body)
    _check_sampling(body, limits or LimitSettings())
    return resolve(options, settings)


def is_refined(body: Mapping[str, Any], plan: Plan) -> bool:
    """Whether the request is refined: it has tools that may be called and wants one answer, from its beginning.

    Continuing the client's own last message, or repeating it, has no answer to check. Nor has a text that must follow
    a grammar (`response_format`, `structured_outputs`): it is no call, whatever stands in it.
    """
    return (
        plan.mode != "off"
        and bool(body.get("tools"))
        and body.get("tool_choice") != "none"
        and (body.get("tool_choice") not in (None, "auto") or constraint_of(body) is None)
        and body.get("n") in (None, 1)
        and not body.get("continue_final_message")
        and not body.get("echo")
        and body.get("add_generation_prompt") is not False
    )


def resolve(options: RefinementOptions, settings: RefinementSettings) -> Plan:
    """The options over the server's settings. Raises a 400 that names the field and the cap where one is above it."""
    rounds = settings.max_rounds if options.max_rounds is None else options.max_rounds
    if rounds > settings.max_rounds_cap:
        message = f"is {rounds}; this server takes at most {settings.max_rounds_cap}"
        raise bad_request("refinement.max_rounds", message, _ABOVE)
    deadline = options.deadline_ms or settings.deadline_ms or settings.deadline_cap_ms
    if deadline > settings.deadline_cap_ms:
        message = f"is {deadline} ms; this server takes at most {settings.deadline_cap_ms} ms"
        raise bad_request("refinement.deadline_ms", message, _ABOVE)
    return Plan(
        mode=options.mode or settings.mode,
        max_rounds=rounds,
        deadline_s=deadline / 1000,
        return_rounds=bool(options.return_rounds),
        accept_margin=settings.accept_margin,
        check=settings.check,
        refine_text=settings.refine_text,
    )


def check_body(body: Any) -> RefinementOptions:
    """Check a chat request's body, refined or not, and read its `refinement` field. Raises a 400 naming the field."""
    if not isinstance(body, dict):
        raise bad_request(None, f"must be a JSON object, got {kind(body)}")
    check_json(body)
    _check_messages(body.get("messages"))
    names = check_tools(body.get("tools"))
    check_tool_choice(body.get("tool_choice"), names)
    check_constraints(body)
    _check_template(body.get("chat_template_kwargs"))
    _check_type(body, "model", str, "a string")
    _check_stop(body.get("stop"))
    _check_seed(body)
    for field in ("stream", "parallel_tool_calls", "logprobs", "continue_final_message", "echo"):
        _check_type(body, field, bool, "true or false")
    _check_type(body, "add_generation_prompt", bool, "true or false")
    _check_stream_options(body)
    return read_options(body)


def read_options(body: Mapping[str, Any]) -> RefinementOptions:
    """The request field `refinement`. Raises a 400 that names the part at fault."""
    given = body.get("refinement")
    if given is None:
        return RefinementOptions()
    if not isinstance(given, dict):
        raise bad_request("refinement", f"must be an object, got {kind(given)}")
    try:
        return RefinementOptions.model_validate(given)
    except ValidationError as error:
        raise _bad_option(error) from None


def include_usage(body: Mapping[str, Any]) -> bool:
    """Whether a stream ends with a usage chunk."""
    return bool((body.get("stream_options") or {}).get("include_usage"))


def _bad_option(error: ValidationError) -> ApiError:
    first = error.errors(include_url=False)[0]
    field = ".".join(["refinement", *map(str, first["loc"])])
    if first["type"] == "extra_forbidden":
        known = ", ".join(RefinementOptions.model_fields)
        return bad_request(field, f"is not known; known are: {known}", "unknown_parameter")
    return bad_request(field, f"is wrong: {first['msg'][0].lower()}{first['msg'][1:]}")


def check_json(value: Any, field: str | None = None) -> None:
    """Raises a 400 for what JSON texts allow, but renderers, tokenizers and Ray's serialisation do not take."""
    if not check_depth(value):
        raise bad_request(field, f"is nested deeper than {MAX_DEPTH} levels")
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise bad_request(field, "holds half a surrogate pair, which is not valid Unicode") from None
    except ValueError:
        raise bad_request(field, "holds a number that JSON cannot hold (NaN, Infinity, or too many digits)") from None


def _check_sampling(body: dict[str, Any], limits: LimitSettings) -> None:
    """How many answers are asked for, and what the engine computes with unchecked."""
    given, most = body.get("prompt"), limits.answers
    texts = len(given) if isinstance(given, list) and given and not isinstance(given[0], int) else 1
    for field in ("n", "best_of"):
        _check_type(body, field, int, "an integer")
        asked = body.get(field) or 1
        if asked > most:
            found = asked if asked < 1e15 else "too large"
            raise bad_request(field, f"is {found}; a request may ask for {most} answers", _ABOVE)
        if asked * texts > most:
            message = f"has {texts} texts, for {asked} answers each; a request may ask for {most} answers"
            raise bad_request("prompt", message, _ABOVE)
    penalty = body.get("length_penalty")
    if penalty is not None and not (type(penalty) in (int, float) and abs(penalty) <= MAX_LENGTH_PENALTY):
        allowed = f"a number from -{MAX_LENGTH_PENALTY:g} to {MAX_LENGTH_PENALTY:g}"
        raise bad_request("length_penalty", f"must be {allowed}: lengths are raised to it")


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list):
        raise bad_request("messages", f"must be a list of messages, got {kind(messages)}")
    if not messages:
        raise bad_request("messages", "must have at least one message")
    for i, message in enumerate(messages):
        if not isinstance(message, dict):
            raise bad_request(f"messages[{i}]", f"must be an object, got {kind(message)}")
        if not isinstance(message.get("role"), str):
            raise bad_request(f"messages[{i}].role", f"must be a string, got {kind(message.get('role'))}")
        content = message.get("content")
        if content is not None and not isinstance(content, str | list):
            raise bad_request(f"messages[{i}].content", f"must be a string or a list of parts, got {kind(content)}")
        for j, part in enumerate(content if isinstance(content, list) else ()):
            _check_part(part, f"messages[{i}].content[{j}]")
        calls = message.get("tool_calls")
        if calls is not None and not isinstance(calls, list):
            raise bad_request(f"messages[{i}].tool_calls", f"must be a list, got {kind(calls)}")
        for j, call in enumerate(calls or ()):
            _check_call(call, f"messages[{i}].tool_calls[{j}]")


def _check_part(part: Any, at: str) -> None:
    """A part of a message's content. Of its types only text is looked into: what others the model takes, it says."""
    if isinstance(part, str):
        return
    if not isinstance(part, dict):
        raise bad_request(at, f"must be an object, got {kind(part)}")
    if not isinstance(part.get("type", ""), str):
        raise bad_request(f"{at}.type", f"must be a string, got {kind(part.get('type'))}")
    if part.get("type") == "text" and not isinstance(part.get("text"), str):
        raise bad_request(f"{at}.text", f"must be a string, got {kind(part.get('text'))}")


def _check_call(call: Any, at: str) -> None:
    """A call of an earlier turn."""
    if not isinstance(call, dict):
        raise bad_request(at, f"must be an object, got {kind(call)}")
    function = call.get("function")
    if not isinstance(function, dict):
        raise bad_request(f"{at}.function", f"must be an object, got {kind(function)}")
    for field in ("name", "arguments"):
        if not isinstance(function.get(field), str):
            raise bad_request(f"{at}.function.{field}", f"must be a string, got {kind(function.get(field))}")
    _check_arguments(function["arguments"], f"{at}.function.arguments")


def _check_arguments(text: str, at: str) -> None:
    """Arguments of an earlier call: JSON within the JSON. The renderer takes none for what is no JSON at all."""
    try:
        check_json(json.loads(text), at)
    except json.JSONDecodeError:
        return
    except RecursionError:
        raise bad_request(at, f"is nested deeper than {MAX_DEPTH} levels") from None
    except ValueError:
        raise bad_request(at, "holds a number of too many digits") from None


def _check_template(given: Any) -> None:
    """Arguments of the chat template; those that the renderer itself passes cannot be given."""
    if given is None:
        return
    if not isinstance(given, dict):
        raise bad_request("chat_template_kwargs", f"must be an object, got {kind(given)}")
    if taken := sorted(_RENDERERS_OWN & given.keys()):
        raise bad_request(f"chat_template_kwargs.{taken[0]}", "is given to the chat template by the server itself")


def _check_type(body: dict[str, Any], field: str, wanted: type, what: str) -> None:
    value = body.get(field)
    if value is not None and type(value) is not wanted:  # a bool is an int to isinstance
        raise bad_request(field, f"must be {what}, got {kind(value)}")


def _check_stop(stop: Any) -> None:
    if stop is None or isinstance(stop, str):
        return
    if not isinstance(stop, list) or not all(isinstance(text, str) for text in stop):
        raise bad_request("stop", f"must be a string or a list of strings, got {kind(stop)}")
    if len(stop) > MAX_STOPS:
        raise bad_request("stop", f"has {len(stop)} texts; it may have {MAX_STOPS}", _ABOVE)


def _check_seed(body: dict[str, Any]) -> None:
    _check_type(body, "seed", int, "an integer")
    seed = body.get("seed")
    if seed is not None and not -MAX_SEED - 1 <= seed <= MAX_SEED:
        raise bad_request("seed", f"must be between {-MAX_SEED - 1} and {MAX_SEED}")


def check_token_ids(body: Any) -> None:
    """Token ids to write as text. Raises a 400 for those that no tokenizer can look up."""
    tokens = body.get("tokens") if isinstance(body, dict) else None
    for i, token in enumerate(tokens if isinstance(tokens, list) else ()):
        if isinstance(token, int) and token > MAX_TOKEN_ID:
            raise bad_request(f"tokens[{i}]", f"is above {MAX_TOKEN_ID}, the last that a token id can be", _ABOVE)


def _check_stream_options(body: dict[str, Any]) -> None:
    options = body.get("stream_options")
    if options is None:
        return
    if not isinstance(options, dict):
        raise bad_request("stream_options", f"must be an object, got {kind(options)}")
    if not body.get("stream"):
        raise bad_request("stream_options", "needs stream to be true")
    usage = options.get("include_usage")
    if usage is not None and type(usage) is not bool:
        raise bad_request("stream_options.include_usage", f"must be true or false, got {kind(usage)}")
