"""Chat + tools → token ids and loss mask; the refine turn. The only place that knows a chat template."""

from __future__ import annotations

from toolace.calls.schema import Chat, Message

REFINE_INSTRUCTION = (
    "Check the answer above. If it is right, repeat it unchanged. If not, give the corrected one. The answer only."
)
"""The user turn that asks for a check of the draft (the papers' own prompt is not public; this one is ours)."""


def refine_turn(chat: Chat, draft: str) -> Chat:
    """The chat that asks the model to check its own answer.

    `draft` is the raw text of the first answer: it stays an assistant turn, letter by letter, so that the prompt of
    the second pass begins with the tokens of the first pass and its KV cache is used again.
    """
    return chat.then(Message(role="assistant", content=draft), Message(role="user", content=REFINE_INSTRUCTION))
