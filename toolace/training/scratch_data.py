"""Corpus of the tiny base model as token batches: tokenizer, curriculum, check-and-correct exercises."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import jinja2
import jinja2.sandbox
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from toolace.calls.definitions import render_definition, render_definitions
from toolace.calls.schema import Chat, Message, Sample
from toolace.data.synthetic import generate
from toolace.data.synthetic_damage import answer_text, corrupt
from toolace.evolution.subtasks import adaption_chat, first_query, generation_chat
from toolace.rendering import refine_turn
from toolace.training.scratch_config import TinyBaseConfig

END = "<|im_end|>"
SPECIAL = ("<|endoftext|>", "<|im_start|>", END)
LITTLE_WORDS = (
    "a about and are as at be by can could for from have i in is it like me my no not of on or please should "
    "that the then this to up use using want was we when where with would you"
)
STEP = 32
"""Batches have lengths that are multiples of this."""
CHUNK = 4096
"""Rows made, sorted by length and cut into batches at a time."""


def template() -> str:
    """The chat template of the tiny base model."""
    return (files("toolace") / "templates" / "tiny_pythonic.jinja").read_text(encoding="utf-8")


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


class Renderer:
    """The chat template without the tokenizer around it: a tenth of the time a row."""

    def __init__(self) -> None:
        environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
        environment.globals["raise_exception"] = _raise
        self._template = environment.from_string(template())

    def prompt(self, chat: Chat) -> str:
        messages = [_openai(m) for m in chat.messages]
        tools = [t.openai() for t in chat.tools]
        return self._template.render(messages=messages, tools=tools, add_generation_prompt=True)


def _openai(message: Message) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.calls:
        turn["tool_calls"] = [{"function": {"name": c.name, "arguments": c.arguments}} for c in message.calls]
    return turn


def train_tokenizer(config: TinyBaseConfig) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer whose words look the same wherever they stand.

    A space is a token of its own, except after a little word or punctuation, where it belongs to that token. So a
    value has the same tokens in a sentence, in a schema and between quotes, and copying it is copying tokens. Digits
    are single tokens for the same reason. A parameter's type in a signature is one token, to keep prompts short.
    """
    tokenizer = Tokenizer(models.BPE())
    pattern = "|".join(
        (
            r": (?:string|integer|number|boolean)\b",
            r"_id\b",
            rf"(?i:\b(?:{LITTLE_WORDS.replace(' ', '|')})) (?=\S)",
            r"\p{L}+",
            r"\d",
            r"[^\s\p{L}\d]+ ?",
            r"\s",
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    renderer = Renderer()
    seed, count = config.seed + 1, config.tokenizer_rows
    rows = [*generate(count, seed, profile="base"), *generate(count // 3, seed, profile="demo")]
    texts = [renderer.prompt(s.chat) + answer_text(s.reference) for s in rows]
    if config.define_share:
        texts += [render_definitions(s.chat.tools) for s in generate(count // 6, seed, profile="base-documented")]
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=SPECIAL[0],
        additional_special_tokens=[SPECIAL[1]],
        chat_template=template(),
        clean_up_tokenization_spaces=False,
        model_max_length=config.max_positions,
    )


@dataclass(frozen=True, slots=True)
class Batch:
    """`ids`: int64 [rows, length], padded on the right. `places`: positions in the flattened `ids` whose next token
    is in an answer; `targets`: those tokens, -100 for the places that only fill up the shape. Shapes are few, because
    each new one costs a CPU seconds of preparation."""

    ids: torch.Tensor
    places: torch.Tensor
    targets: torch.Tensor

    def to(self, device: str) -> Batch:
        """The batch on a device."""
        return Batch(self.ids.to(device), self.places.to(device), self.targets.to(device))


def exercise(sample: Sample, rng: random.Random, wrong: float) -> Sample:
    """The sample as a check-and-correct exercise: a right or damaged draft, the refine turn, the same reference."""
    draft = corrupt(sample, rng) if rng.random() < wrong else answer_text(sample.reference)
    return sample.model_copy(update={"chat": refine_turn(sample.chat, draft)})


@dataclass(frozen=True, slots=True)
class Row:
    """Token ids, and the places (position, next token) that the loss is taken over."""

    ids: list[int]
    places: list[int]
    targets: list[int]


Texts = list[tuple[str, bool]]
"""A row: its parts, and whether each is a target."""


class Corpus:
    """Endless batches; the position (`state`, `load_state`) makes a resumed run see what an undisturbed one would."""

    def __init__(self, config: TinyBaseConfig, tokenizer: PreTrainedTokenizerFast) -> None:
        self._config, self._tokenizer, self._renderer = config, tokenizer, Renderer()
        self._left: dict[int, list[Row]] = {}
        self.chunk = 0
        self.rows = 0

    def batches(self, progress: float) -> Iterator[Batch]:
        """The batches of the next chunk of rows, for a run that is `progress` (0..1) along."""
        config = self._config
        rng = random.Random(f"{config.seed}/{self.chunk}")
        easy = max(0.0, 1 - progress / config.easy_until) if config.easy_until else 0.0
        first = self.chunk * CHUNK
        sources = {name: generate(CHUNK, config.seed, profile=name, start=first) for name in ("base", "base-easy")}
        documented = generate(CHUNK, config.seed, profile="base-documented", start=first)
        texts: list[Texts] = []
        for _ in range(CHUNK):
            if config.define_share and rng.random() < config.define_share:
                texts.append(self._defining(next(documented), rng))
                continue
            sample = next(sources["base-easy" if rng.random() < easy else "base"])
            checked = exercise(sample, rng, config.check_wrong) if rng.random() < config.check_share else None
            texts.append(self._calling(sample, checked))
        self.chunk += 1
        self.rows += len(texts)
        rows = [row for row in self._rows(texts) if len(row.ids) <= config.max_positions]
        buckets: dict[int, list[Row]] = {}
        for row in rows:
            buckets.setdefault(-(-len(row.ids) // STEP) * STEP, []).append(row)
        groups = []
        for length in sorted(buckets):
            rows = self._left.pop(length, []) + buckets[length]
            size = max(1, config.batch_tokens // length)
            groups += [(length, rows[i : i + size]) for i in range(0, len(rows) - size + 1, size)]
            self._left[length] = rows[len(rows) - len(rows) % size :]
        rng.shuffle(groups)
        for length, group in groups:
            yield self._batch(length, group)

    def _calling(self, sample: Sample, checked: Sample | None) -> Texts:
        """A call; of a check-and-correct exercise a right draft is a target too: one row then teaches the answer, and
        that a right one is kept."""
        prompt, answer = self._renderer.prompt(sample.chat), answer_text(sample.reference) + END
        if checked is None:
            return [(prompt, False), (answer, True)]
        check = self._renderer.prompt(checked.chat)
        right = check.startswith(prompt + answer)
        draft = [(prompt, False), (answer, True), (check[len(prompt + answer) :], False)]
        return [*(draft if right else [(check, False)]), (answer, True)]

    def _defining(self, sample: Sample, rng: random.Random) -> Texts:
        """A call, or one of the sub-tasks that come before calling."""
        what, tools, query = rng.randrange(3), sample.chat.tools, first_query(sample)
        if what == 0 or query is None or not sample.reference.calls:
            return self._calling(sample, None)
        if what == 1:
            tool = rng.choice(tools)
            chat, answer = adaption_chat(tool.description), render_definition(tool)
        else:
            chat, answer = generation_chat(query), render_definitions(tools)
        return [(self._renderer.prompt(chat), False), (answer + END, True)]

    def _rows(self, texts: list[Texts]) -> list[Row]:
        encoded = iter(self._tokenizer.backend_tokenizer.encode_batch([t for parts in texts for t, _ in parts]))
        rows = []
        for parts in texts:
            row = Row([], [], [])
            for _, target in parts:
                ids = next(encoded).ids
                if target:
                    row.places.extend(range(len(row.ids) - 1, len(row.ids) - 1 + len(ids)))
                    row.targets.extend(ids)
                row.ids.extend(ids)
            rows.append(row)
        return rows

    def _batch(self, length: int, group: list[Row]) -> Batch:
        ids = torch.full((len(group), length), self._tokenizer.pad_token_id)
        places: list[int] = []
        targets: list[int] = []
        for i, row in enumerate(group):
            ids[i, : len(row.ids)] = torch.tensor(row.ids)
            places += (i * length + place for place in row.places)
            targets += row.targets
        fill = -len(places) % 256
        return Batch(ids, torch.tensor(places + [0] * fill), torch.tensor(targets + [-100] * fill))
