"""From a chat to token ids and back, through the tokenizer's chat template and nothing else.

Prompts are tokenised as one string from the template, special tokens in it recognised wherever they stand, because
vLLM's chat endpoint does so. A user who types `<|im_end|>` therefore ends the turn, here as there; what must not
happen has to be filtered before. Answers are tokenised on their own, because an engine appends the ids that it
generates to the ids of the prompt, and special tokens spelt out in an answer are plain text there: a stop token in
the middle of a training target would teach the model to stop.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolace.calls import CallFormat
from toolace.calls.schema import Chat, Message, Tool
from toolace.errors import TemplateError
from toolace.rendering import checks
from toolace.rendering.templates import resolve_template, template_origin, way_out, with_system
from toolace.rendering.turns import answer_text, openai_messages


@dataclass(frozen=True, slots=True)
class Example:
    """A training row: the ids of prompt and target; the loss is on `input_ids[target_start:]`, end of turn included."""

    input_ids: list[int]
    target_start: int

    @property
    def target_tokens(self) -> int:
        """Number of tokens that the loss is taken on."""
        return len(self.input_ids) - self.target_start


class Renderer:
    """Renders chats for one model; made by `Renderer.from_pretrained`, checked when made.

    `format` is how calls are written in answers. `stop_token_ids` end a generation: the template's end of turn first
    (also `end_of_turn_id`), then the model's own end-of-sequence tokens. `template` is the jinja text in use and
    `template_sha` its SHA-256. `template_kwargs` are extra variables for the template, the same as vLLM's
    `chat_template_kwargs` (`{"enable_thinking": False}`).
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        format: CallFormat,
        model: str = "",
        template: str | None = None,
        system: str | None = None,
        eos_token_ids: Iterable[int] = (),
        template_kwargs: Mapping[str, Any] | None = None,
        check: bool = True,
    ) -> None:
        self.tokenizer = tokenizer
        self.format: CallFormat = format
        self.model = model or str(tokenizer.name_or_path)
        self.template_kwargs = dict(template_kwargs or {})
        self.origin = template_origin(template, self.model)
        """What the template is called in messages: the setting where there is one, else the model that brings it."""
        self.template = resolve_template(template, _own_template(tokenizer), self.model)
        if system:
            self.template = with_system(self.template, system)
        # The tokenizer carries the template in use, so that saving it beside a trained model exports both.
        tokenizer.chat_template = self.template
        self.template_sha = hashlib.sha256(self.template.encode()).hexdigest()
        self._checked = False
        self.parallel = checks.renders_parallel_calls(self)
        """Whether the template takes several calls in a past turn; where not, they are handed over as text."""
        self._marks = checks.turn_marks(self)
        self.end_of_turn_id = self._marks.end_id
        own_ends = (*eos_token_ids, tokenizer.eos_token_id)
        ends = (self.end_of_turn_id, *(id for id in own_ends if id is not None))
        self.stop_token_ids: tuple[int, ...] = tuple(dict.fromkeys(ends))
        if check:
            self.check()

    @classmethod
    def from_pretrained(
        cls,
        model: str,
        *,
        format: CallFormat,
        template: str | None = None,
        system: str | None = None,
        template_kwargs: Mapping[str, Any] | None = None,
        check: bool = True,
    ) -> Renderer:
        """Load the tokenizer of `model` (a directory or a hub name) and no weights.

        `template` is a project template's name, the path of a jinja file, or None for the model's own; `system` is a
        system message for chats that have none. Raises `TemplateError` when the tokenizer cannot be loaded, has no
        template, or breaks a property of `check_template`.
        """
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(model)
        except (OSError, ValueError) as error:
            raise TemplateError(
                f"no tokenizer at {model!r}: {str(error).splitlines()[0]} Give a Hugging Face model directory or a "
                "hub name that this machine can reach."
            ) from error
        return cls(
            tokenizer,
            format=format,
            model=model,
            template=template,
            system=system,
            eos_token_ids=_generation_eos(model),
            template_kwargs=template_kwargs,
            check=check,
        )

    def prompt_text(self, chat: Chat) -> str:
        """The prompt as text, up to where the answer begins."""
        return self.render_text(chat, generation_prompt=True)

    def prompt(self, chat: Chat) -> list[int]:
        """The prompt as token ids: what vLLM's chat endpoint feeds its engine for the same messages and tools."""
        return self.encode(self.prompt_text(chat))

    def answer_text(self, message: Message) -> str:
        """The text that the model should produce for an assistant message."""
        return answer_text(message, self.format)

    def answer_ids(self, text: str) -> tuple[int, ...]:
        """Token ids of an answer, with the end-of-turn token: what follows `prompt(chat)` in training and scoring."""
        marks = self._marks
        return (*self.encode_after(marks.anchor, marks.lead + text + marks.trail), marks.end_id)

    def example(self, chat: Chat, target: Message) -> Example:
        """The training row for one answer: `prompt(chat)`, token for token, then `answer_ids` of the target."""
        prompt = self.prompt(chat)
        return Example([*prompt, *self.answer_ids(self.answer_text(target))], len(prompt))

    def decode(self, ids: Iterable[int]) -> str:
        """The text of generated ids, without stop tokens.

        Special tokens are left out, as in vLLM's answers, except for `hermes`, whose `<tool_call>` is a special token
        in some vocabularies (vLLM's parser for that format keeps them for the same reason).
        """
        stops = set(self.stop_token_ids)
        kept = [id for id in ids if id not in stops]
        text: str = self.tokenizer.decode(
            kept, skip_special_tokens=self.format != "hermes", clean_up_tokenization_spaces=False
        )
        return text.removeprefix(self._marks.lead)

    def check(self) -> None:
        """`check_template` for this renderer."""
        checks.check_template(self)
        self._checked = True

    def encode(self, text: str, *, plain: bool = False) -> list[int]:
        """Token ids of a text, no token added; with `plain`, special tokens spelt out in it stay plain text."""
        ids: list[int] = self.tokenizer(
            text, add_special_tokens=False, split_special_tokens=plain, return_attention_mask=False, verbose=False
        )["input_ids"]
        return ids

    def encode_after(self, anchor: str, text: str) -> list[int]:
        """Token ids of a plain text that stands after `anchor`.

        Tokenizers of the sentencepiece kind begin every text with a space of their own, so a text that follows
        another without one has other ids than alone.
        """
        before = self.encode(anchor, plain=True) if anchor else []
        ids = self.encode(anchor + text, plain=True)
        return ids[len(before) :] if ids[: len(before)] == before else self.encode(text, plain=True)

    def render_text(self, chat: Chat, *, generation_prompt: bool) -> str:
        """The template's text of a chat. Raises `TemplateError` with what the template said."""
        messages = openai_messages(chat, self.format, parallel=self.parallel)
        return self.apply(messages, chat.tools, generation_prompt=generation_prompt)

    def apply(self, messages: list[dict[str, Any]], tools: Iterable[Tool], *, generation_prompt: bool) -> str:
        """The template's text of message dictionaries, called as vLLM's chat endpoint calls it."""
        try:
            text: str = self.tokenizer.apply_chat_template(
                messages,
                tools=[tool.openai() for tool in tools] or None,
                tokenize=False,
                add_generation_prompt=generation_prompt,
                **self.template_kwargs,
            )
        except Exception as error:  # a template is a program of its own and may raise anything
            roles = ", ".join(message["role"] for message in messages)
            hint = way_out()
            if self._checked:
                hint = (
                    "It renders the chats that every template is tried on, so look at these turns and their tools "
                    "first, and mend or leave out that row. If all rows fail: " + hint
                )
            raise TemplateError(f"{self.origin} cannot render the turns ({roles}): {error}. {hint}") from error
        return text


def _own_template(tokenizer: Any) -> str | None:
    """The tokenizer's own template; of several named ones that for tool use."""
    own = tokenizer.chat_template
    if isinstance(own, dict):
        own = own.get("tool_use", own.get("default"))
    return own if own is None else str(own)


def _generation_eos(model: str) -> tuple[int, ...]:
    """The end-of-sequence ids of the model's generation config; none where it has no such file."""
    from transformers.utils import cached_file

    file = cached_file(
        model, "generation_config.json", _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )  # fmt: skip
    if file is None:
        return ()
    eos = json.loads(Path(file).read_text(encoding="utf-8")).get("eos_token_id")
    return tuple(eos) if isinstance(eos, list) else (() if eos is None else (int(eos),))
