"""Chats as the message dictionaries that chat templates and OpenAI-compatible endpoints take; the refine turn."""

from __future__ import annotations

from typing import Any

from toolace.calls import CallFormat, render_calls
from toolace.calls.schema import Chat, Message

REFINE_INSTRUCTION = (
    "Check the answer above. If it is right, repeat it unchanged. If not, give the corrected one. The answer only."
)
"""The user turn that asks for a check of the draft (the papers' own prompt is not public; this one is ours)."""


def refine_turn(chat: Chat, draft: str) -> Chat:
    """The chat that asks the model to check its own answer.

    `draft` is the raw text of the first answer: it stays an assistant turn, letter by letter, so that the prompt of
    the second pass begins with the tokens of the first pass and its KV cache is used again. Only white space around
    it goes: a leading newline would merge with the newline that ends many generation prompts into one other token.
    """
    turn = Message(role="assistant", content=draft.strip())
    return chat.then(turn, Message(role="user", content=REFINE_INSTRUCTION))


def answer_text(message: Message, format: CallFormat) -> str:
    """The text that a model writes to say `message`: its content, its calls in `format`, or one above the other."""
    if not message.calls:
        return message.content
    calls = render_calls(message.calls, format=format)
    return f"{message.content}\n{calls}" if message.content else calls


def openai_messages(chat: Chat, format: CallFormat, *, parallel: bool = True) -> list[dict[str, Any]]:
    """The turns of a chat as a chat template sees them behind an OpenAI-compatible endpoint.

    Calls become `tool_calls` with `arguments` as a dictionary, which is what vLLM makes of the endpoint's JSON string
    before it renders. Their ids count up from `call00000`: nine letters and digits, the form that Mistral's templates
    insist on. A tool turn answers the first call still open that bears its name, or else the first still open.
    With `parallel` false a turn of several calls is handed over as text in `format`, for templates that refuse it.
    """
    messages: list[dict[str, Any]] = []
    open_calls: list[tuple[str, str]] = []
    n_calls = 0
    for message in chat.messages:
        turn: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.name is not None:
            turn["name"] = message.name
        if message.calls:
            ids = [f"call{n_calls + i:05d}" for i in range(len(message.calls))]
            n_calls += len(ids)
            open_calls = [(call.name, id) for call, id in zip(message.calls, ids, strict=True)]
            if len(message.calls) > 1 and not parallel:
                turn["content"] = answer_text(message, format)
            else:
                turn["tool_calls"] = [
                    {"id": id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                    for call, id in zip(message.calls, ids, strict=True)
                ]
        if message.role == "tool":
            match = next((pair for pair in open_calls if pair[0] == message.name), next(iter(open_calls), None))
            if match is not None:
                open_calls.remove(match)
            turn["tool_call_id"] = match[1] if match is not None else f"call{n_calls:05d}"
            n_calls += match is None
        messages.append(turn)
    return messages
