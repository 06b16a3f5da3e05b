"""The properties that a chat template must have, tried on small chats when a renderer is made."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from toolace.calls import parse_calls
from toolace.calls.schema import Call, Chat, Message, Tool
from toolace.errors import ParseError, TemplateError
from toolace.rendering.templates import way_out
from toolace.rendering.turns import openai_messages, refine_turn

if TYPE_CHECKING:
    from toolace.rendering.renderer import Renderer

log = logging.getLogger(__name__)

_CITY = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
_ZONE = {"type": "object", "properties": {"zone": {"type": "string"}}}
_TOOLS = (
    Tool(name="weather_lookup", description="Weather report for a place", parameters=_CITY),
    Tool(name="clock_time", description="Local hour of a zone", parameters=_ZONE),
)
_WEATHER = Call(name="weather_lookup", arguments={"city": "Zürich 北京", "days": 3})
_CLOCK = Call(name="clock_time", arguments={"zone": "CET"})
_RESULT = '{"sky": "overcast", "days": 3}'
_ASK = Chat(tools=_TOOLS, messages=(Message(role="user", content="What is the sky over Zürich like?"),))
_AFTER = _ASK.then(
    Message(role="assistant", calls=(_WEATHER,)), Message(role="tool", content=_RESULT, name="weather_lookup")
)
_LATER = _AFTER.then(
    Message(role="assistant", content="Overcast for three days."), Message(role="user", content="And in Geneva?")
)
_PROBES = {"a first question": _ASK, "a tool result": _AFTER, "a later question": _LATER}
_ANSWERS = (
    Message(role="assistant", content="No tool fits that question."),
    Message(role="assistant", calls=(_WEATHER,)),
    Message(role="assistant", calls=(_WEATHER, _CLOCK)),
)
_MARK = "QUARTZ"


@dataclass(frozen=True, slots=True)
class TurnMarks:
    """What stands around an answer: white space before and after it, and the token that ends the turn.

    `anchor` is the character of the prompt that the answer must be tokenised after, empty where it makes no odds.
    """

    lead: str
    trail: str
    anchor: str
    end_id: int


def _refuse(renderer: Renderer, reason: str) -> NoReturn:
    raise TemplateError(f"{renderer.origin} {reason}. {way_out()}")


def turn_marks(renderer: Renderer) -> TurnMarks:
    """Read off the template how an assistant turn begins and ends. Raises `TemplateError` where a rule is broken."""
    prompt = renderer.prompt_text(_ASK)
    whole = renderer.render_text(_ASK.then(Message(role="assistant", content=_MARK)), generation_prompt=False)
    if not whole.startswith(prompt) or len(whole) <= len(prompt):
        _refuse(
            renderer,
            "renders a prompt that is not the beginning of the finished dialogue, so training would not see what "
            f"inference sees: the prompt ends in {prompt[-40:]!r}, the dialogue has "
            f"{whole[max(0, len(prompt) - 40) : len(prompt)]!r} there",
        )
    lead, found, tail = whole[len(prompt) :].partition(_MARK)
    if not found:
        _refuse(renderer, "drops the text of an assistant turn")
    if lead.strip():
        _refuse(
            renderer,
            f"puts {lead!r} between prompt and answer: it ignores `add_generation_prompt`, so the model "
            "would have to write it",
        )
    trail = tail[: len(tail) - len(tail.lstrip())]
    end = renderer.encode(tail[len(trail) :])[:1]
    if not end or end[0] not in renderer.tokenizer.added_tokens_decoder:
        _refuse(renderer, f"ends an assistant turn with {tail[:20]!r} and no stop token: a generation would not end")
    ids = renderer.encode(whole)[len(renderer.encode(prompt)) :]
    body = lead + _MARK + trail
    after = (anchor for anchor in ("", prompt[-1]) if _follows(renderer, anchor, body, ids))
    return TurnMarks(lead, trail, next(after, ""), end[0])


def _follows(renderer: Renderer, anchor: str, body: str, ids: list[int]) -> bool:
    alone = renderer.encode_after(anchor, body)
    return ids[: len(alone)] == alone


def renders_parallel_calls(renderer: Renderer) -> bool:
    """Whether a past turn may hold several calls (Llama 3.1's own template refuses them)."""
    chat = _ASK.then(Message(role="assistant", calls=(_WEATHER, _CLOCK)), Message(role="tool", content=_RESULT))
    try:
        messages = openai_messages(chat, renderer.format)
        text = renderer.apply(messages, (), generation_prompt=False)
    except TemplateError:
        return False
    return _WEATHER.name in text and _CLOCK.name in text


def check_template(renderer: Renderer) -> None:
    """Try the rules of rendering on small chats; raise `TemplateError` with the first broken one.

    1. training context == inference prompt, token for token, and prompt + answer == the finished dialogue;
    2. the prompt is a strict prefix of the finished dialogue;
    3. the refine turn's prompt begins with the first pass: prompt, draft and end of turn;
    4. tools, calls, tool results and user turns are all in the prompt;
    5. the answer ends in a stop token, and only there;
    6. a template exists (`resolve_template` sees to it);
    7. an answer survives tokenisation: decoded, it parses to the same calls.
    """
    turn_marks(renderer)
    _check_contents(renderer)
    for name, chat in _PROBES.items():
        prompt = renderer.prompt(chat)
        for answer in _ANSWERS:
            _check_answer(renderer, name, chat, prompt, answer)
    for answer in _ANSWERS:
        _check_survival(renderer, answer)
    _warn_of_other_format(renderer)


def _check_contents(renderer: Renderer) -> None:
    text = renderer.prompt_text(_LATER)
    for tool in _TOOLS:
        for part in (tool.name, tool.description, *tool.parameters["properties"]):
            if part not in renderer.prompt_text(_ASK):
                _refuse(renderer, f"leaves out the tools: {part!r} is not in the prompt")
    without = renderer.prompt_text(Chat(messages=_LATER.messages))
    wanted = {
        "the user turn": ("sky over Zürich", text),
        "the call of a past turn": (_WEATHER.name, without),
        "the arguments of a past call": ("city", without),
        "a tool result": ("overcast", text),
        "a past answer": ("Overcast for three days.", text),
    }
    for what, (part, where) in wanted.items():
        if part not in where:
            _refuse(renderer, f"leaves out {what}: {part!r} is not in the prompt")


def _check_answer(renderer: Renderer, name: str, chat: Chat, prompt: list[int], answer: Message) -> None:
    text = renderer.answer_text(answer)
    row = renderer.example(chat, answer)
    if row.input_ids[: row.target_start] != prompt:
        _refuse(renderer, f"renders another context in training than in inference after {name}")
    whole = renderer.encode(
        renderer.render_text(chat.then(Message(role="assistant", content=text)), generation_prompt=False)
    )
    if whole[: len(prompt)] != prompt or len(whole) <= len(prompt):
        _refuse(renderer, f"renders a prompt that is not the beginning of the finished dialogue after {name}")
    if whole[: len(row.input_ids)] != row.input_ids:
        _refuse(
            renderer,
            f"or its tokenizer writes an answer after {name} otherwise than a model generates it: "
            f"{renderer.tokenizer.decode(whole[len(prompt) :])!r} for {text!r}",
        )
    refined = renderer.prompt(refine_turn(chat, text))
    if refined[: len(row.input_ids)] != row.input_ids:
        at = next(i for i, (a, b) in enumerate(zip([*refined, -1], row.input_ids, strict=False)) if a != b)
        _refuse(
            renderer,
            f"does not extend the first pass in the refine turn after {name}: the two part at token {at} of "
            f"{len(row.input_ids)} ({renderer.tokenizer.decode(refined[at : at + 8])!r} for "
            f"{renderer.tokenizer.decode(row.input_ids[at : at + 8])!r}), as with tools or a system message that move "
            "to the last user turn, or past answers that are rewritten",
        )
    stops = [i for i, id in enumerate(row.input_ids) if i >= row.target_start and id in renderer.stop_token_ids]
    if stops != [len(row.input_ids) - 1]:
        _refuse(renderer, f"has stop tokens at {stops} of {len(row.input_ids)} in an answer, not at its end alone")


def _check_survival(renderer: Renderer, answer: Message) -> None:
    text = renderer.answer_text(answer)
    decoded = renderer.decode(renderer.answer_ids(text))
    if decoded.strip() != text:
        raise TemplateError(
            f"the tokenizer of {renderer.model} does not give back the text of an answer: {decoded!r} for {text!r}. "
            "Use a tokenizer that covers unicode, such as a byte-level one."
        )


def _warn_of_other_format(renderer: Renderer) -> None:
    """Say so where the template writes past calls in another format than the one asked of the model."""
    chat = _ASK.then(Message(role="assistant", calls=(_WEATHER,)))
    whole = renderer.render_text(chat, generation_prompt=False)
    prompt = renderer.prompt_text(_ASK)
    try:
        same = whole.startswith(prompt) and _native(renderer, whole[len(prompt) :]) == [_WEATHER]
    except ParseError:
        same = False
    if not same:
        log.warning(
            "%s writes past calls otherwise than format %r does (%r): a model sees one and is "
            "asked for the other. Set `format` to the template's own or `template` to one that fits.",
            renderer.origin, renderer.format, whole[len(prompt) :][:120],
        )  # fmt: skip


def _native(renderer: Renderer, text: str) -> list[Call]:
    end = renderer.tokenizer.convert_ids_to_tokens(turn_marks(renderer).end_id)
    return list(parse_calls(text.partition(end)[0].strip(), format=renderer.format))
