"""The rules of rendering, over generated chats and eight pairs of tokenizer and template."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rendering_families import FAMILIES, TOKENIZERS, answers, calls, chats, family, free_text, spelt_specials

from toolace.calls import render_calls
from toolace.calls.schema import Call, Chat, Message, Tool
from toolace.errors import TemplateError
from toolace.rendering import REFINE_INSTRUCTION, Renderer, openai_messages, refine_turn

every_family = pytest.mark.parametrize("name", FAMILIES)
quick = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])

ASK = Chat(
    tools=(Tool(name="find_flight", description="Flights between cities"),),
    messages=(Message(role="user", content="Fly me to Oslo"),),
)


def normal(renderer: Renderer, text: str) -> str:
    """What the tokenizer's normalizer makes of a text: Qwen's composes characters (NFC)."""
    return unicodedata.normalize("NFC", text) if "qwen25" in renderer.model else text


@every_family
@quick
@given(chat=chats(), target=answers)
def test_a_training_row_is_the_inference_prompt_and_the_finished_dialogue(
    name: str, chat: Chat, target: Message
) -> None:
    renderer = family(name)
    prompt, row = renderer.prompt(chat), renderer.example(chat, target)
    assert row.input_ids[: row.target_start] == prompt
    said = Message(role="assistant", content=renderer.answer_text(target))
    whole = renderer.encode(renderer.render_text(chat.then(said), generation_prompt=False))
    assert whole[: len(row.input_ids)] == row.input_ids
    assert row.target_tokens == len(row.input_ids) - len(prompt) > 1


@every_family
@quick
@given(chat=chats(), target=answers)
def test_the_refine_turn_extends_the_first_pass(name: str, chat: Chat, target: Message) -> None:
    renderer = family(name)
    draft = renderer.answer_text(target)
    first = renderer.example(chat, target).input_ids
    second = renderer.prompt(refine_turn(chat, draft))
    assert second[: len(first)] == first
    assert REFINE_INSTRUCTION in renderer.prompt_text(refine_turn(chat, draft))


@every_family
@quick
@given(chat=chats(), draft=st.one_of(free_text, spelt_specials, st.text(alphabet=" \n\r\t\u2028a<>|", max_size=8)))
@example(chat=ASK, draft="\n\nOslo")
@example(chat=ASK, draft="")
def test_whatever_the_draft_the_refine_turn_keeps_the_prompt(name: str, chat: Chat, draft: str) -> None:
    renderer = family(name)
    prompt = renderer.prompt(chat)
    assert renderer.prompt(refine_turn(chat, draft))[: len(prompt)] == prompt


@every_family
@quick
@given(chat=chats())
def test_tools_are_in_the_prompt(name: str, chat: Chat) -> None:
    text = family(name).prompt_text(chat)
    for tool in chat.tools:
        assert tool.name in text
        assert all(parameter in text for parameter in tool.parameters["properties"])


@every_family
@quick
@given(text=st.one_of(free_text, spelt_specials))
@example(text="a<|im_end|>b</s>c<|eot_id|>d")
def test_an_answer_stops_at_its_end_alone_and_decodes_to_itself(name: str, text: str) -> None:
    renderer = family(name)
    ids = renderer.answer_ids(text)
    assert [id in renderer.stop_token_ids for id in ids] == [False] * (len(ids) - 1) + [True]
    assert ids[-1] == renderer.end_of_turn_id
    assert renderer.decode(ids) == normal(renderer, text)


@pytest.mark.parametrize("name", ["toolace on qwen25", "toolace on llama31", "llama2"])
@quick
@given(made=st.lists(calls, min_size=1, max_size=3).map(tuple))
def test_past_calls_in_the_toolace_prompt_are_what_the_model_is_asked_to_write(
    name: str, made: tuple[Call, ...]
) -> None:
    chat = ASK.then(Message(role="assistant", calls=made), Message(role="tool", content="[]"))
    assert render_calls(made, format="pythonic") in family(name).prompt_text(chat)


@pytest.mark.parametrize("name", ["qwen25", "llama31", "ours", "chatml"])
@quick
@given(call=calls)
def test_past_calls_are_written_as_answers_are(name: str, call: Call) -> None:
    renderer = family(name)
    turn = Message(role="assistant", calls=(call,))
    as_calls = renderer.render_text(ASK.then(turn), generation_prompt=False)
    as_text = renderer.render_text(
        ASK.then(Message(role="assistant", content=renderer.answer_text(turn))), generation_prompt=False
    )
    assert as_calls == as_text


def test_special_tokens_that_a_user_types_are_special() -> None:
    renderer = family("qwen25")
    chat = Chat(messages=(Message(role="user", content="stop<|im_end|>here"),))
    plain = Chat(messages=(Message(role="user", content="stop here"),))
    end = renderer.end_of_turn_id
    assert renderer.prompt(chat).count(end) == renderer.prompt(plain).count(end) + 1


def test_special_tokens_of_an_answer_go_unless_they_mark_calls() -> None:
    llama = family("llama31")
    tag = llama.tokenizer.convert_tokens_to_ids("<|python_tag|>")
    assert llama.decode((tag, *llama.answer_ids("{}"))) == "{}"
    hermes = Renderer.from_pretrained(str(TOKENIZERS / "qwen25"), format="hermes")
    hermes.tokenizer.add_tokens(["<tool_call>"], special_tokens=True)
    block = "<tool_call>\n{}\n</tool_call>"
    assert hermes.decode(hermes.encode(block)) == block


def test_stop_tokens_are_the_end_of_turn_then_the_models_own() -> None:
    renderer = family("llama31")
    tokens = renderer.tokenizer.convert_ids_to_tokens(list(renderer.stop_token_ids))
    assert tokens == ["<|eot_id|>", "<|end_of_text|>", "<|eom_id|>"]


def test_the_toolace_system_prompt_is_that_of_the_toolace_rows() -> None:
    text = family("toolace on qwen25").prompt_text(ASK)
    functions = (
        '[{"name": "find_flight", "description": "Flights between cities", '
        '"parameters": {"type": "object", "properties": {}}}]'
    )
    system = (
        "You are an expert in composing functions. You are given a question and a set of possible functions. \n"
        "Based on the question, you will need to make one or more function/tool calls to achieve the purpose. \n"
        "If none of the function can be used, point it out. If the given question lacks the parameters required by "
        "the function,\nalso point it out. You should only return the function call in tools call sections.\n"
        f"Here is a list of functions in JSON format that you can invoke:\n{functions}. \n"
        "Should you decide to return the function call(s). \n"
        "Put it in the format of [func1(params_name=params_value, params_name2=params_value2...), func2(params)]\n\n"
        "NO other text MUST be included."
    )
    assert text == (
        f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\nFly me to Oslo<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_chats_own_system_message_follows_the_toolace_prompt() -> None:
    chat = Chat(tools=ASK.tools, messages=(Message(role="system", content="Be brief."), *ASK.messages))
    assert "NO other text MUST be included.\n\nBe brief.<|im_end|>" in family("toolace on qwen25").prompt_text(chat)


def test_several_past_calls_are_text_where_the_template_refuses_them() -> None:
    renderer = family("llama31")
    assert not renderer.parallel
    made = (Call(name="find_flight", arguments={"to": "Oslo"}), Call(name="find_flight", arguments={"to": "Rome"}))
    chat = ASK.then(Message(role="assistant", calls=made), Message(role="tool", content="[]"))
    assert render_calls(made, format="llama3_json") in renderer.prompt_text(chat)


def test_tool_results_answer_the_open_call_of_their_name() -> None:
    first, second = Call(name="a"), Call(name="b")
    chat = ASK.then(
        Message(role="assistant", calls=(first, second)),
        Message(role="tool", content="of b", name="b"),
        Message(role="tool", content="of a"),
        Message(role="assistant", calls=(first,)),
        Message(role="tool", content="again", name="unknown"),
        Message(role="tool", content="unasked"),
    )
    turns = openai_messages(chat, "pythonic")
    assert [call["id"] for turn in turns for call in turn.get("tool_calls", [])] == [
        "call00000",
        "call00001",
        "call00002",
    ]
    answered = {turn["content"]: turn["tool_call_id"] for turn in turns if turn["role"] == "tool"}
    assert answered == {"of b": "call00001", "of a": "call00000", "again": "call00002", "unasked": "call00003"}


def test_text_stands_above_calls_in_one_answer() -> None:
    message = Message(role="assistant", content="Looking.", calls=(Call(name="f", arguments={"a": 1}),))
    assert family("ours").answer_text(message) == "Looking.\n[f(a=1)]"


def test_a_system_setting_is_for_chats_without_one() -> None:
    path = str(TOKENIZERS / "qwen25")
    renderer = Renderer.from_pretrained(path, format="hermes", system='Say "hi" — {{ a\\b }} 🙂')
    assert renderer.prompt_text(ASK).startswith('<|im_start|>system\nSay "hi" — {{ a\\b }} 🙂')
    own = Chat(messages=(Message(role="system", content="Mine."), *ASK.messages))
    assert renderer.prompt_text(own).startswith("<|im_start|>system\nMine.<|im_end|>")
    assert renderer.template_sha != family("qwen25").template_sha


def test_an_exported_tokenizer_renders_the_same_with_stock_transformers(tmp_path) -> None:
    from transformers import AutoTokenizer

    renderer = family("toolace on llama31")
    renderer.tokenizer.save_pretrained(tmp_path)
    stock = AutoTokenizer.from_pretrained(tmp_path)
    ids = stock.apply_chat_template(
        openai_messages(ASK, "pythonic"),
        tools=[tool.openai() for tool in ASK.tools],
        add_generation_prompt=True,
        return_dict=False,
    )
    assert ids == renderer.prompt(ASK)


def test_template_variables_reach_the_template() -> None:
    path = str(TOKENIZERS / "llama31")
    renderer = Renderer.from_pretrained(path, format="llama3_json", template_kwargs={"date_string": "1 Jan 2030"})
    assert "Today Date: 1 Jan 2030" in renderer.prompt_text(ASK)


@pytest.mark.parametrize(
    ("model", "template", "reason"),
    [
        ("no/such/folder/here", None, "no tokenizer at"),
        (str(TOKENIZERS / "qwen25"), "nameless", "there is no chat template 'nameless'"),
        (str(TOKENIZERS / "tiny"), None, "has no chat template.*chatml.*toolace_system"),
        (str(TOKENIZERS / "tiny"), "toolace_system", "builds on the model's own"),
    ],
)
def test_what_cannot_be_loaded_is_refused(model: str, template: str | None, reason: str) -> None:
    with pytest.raises(TemplateError, match=reason):
        Renderer.from_pretrained(model, format="pythonic", template=template)


def qwen(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


OWN = (TOKENIZERS / "qwen25" / "chat_template.jinja").read_text(encoding="utf-8")
ANSWER = 'message.role + "\\n" + message.content + "<|im_end|>\\n"'
BROKEN = {
    "no tools": (qwen(OWN, "if tools", "if false"), "leaves out the tools: 'weather_lookup'"),
    "tools by name only": (qwen(OWN, "tool | tojson", "tool.function.name"), "leaves out the tools: 'Weather report"),
    "no calls": (qwen(OWN, "in message.tool_calls", "in []"), "leaves out the call of a past turn"),
    "no tool results": (
        qwen(OWN, "<tool_response>\\n\" + message.content", "<tool_response>\\n\""),
        "leaves out a tool result",
    ),
    "no generation prompt": (qwen(OWN, "if add_generation_prompt", "if false"), "ignores `add_generation_prompt`"),
    "thinking opened in the prompt alone": (
        qwen(OWN, 'assistant\\n" }}{%- endif -%}\n', 'assistant\\n<think>\\n\\n</think>\\n\\n" }}{%- endif -%}\n'),
        "not the beginning of the finished dialogue",
    ),
    "another context once answered": (
        qwen(OWN, "careful assistant.", 'careful assistant." + ("" if add_generation_prompt else "!") + "'),
        "not the beginning of the finished dialogue",
    ),
    "another context once answered, after tool results": (
        qwen(OWN, '"\\n<tool_response>', '("" if add_generation_prompt else "!") + "\\n<tool_response>'),
        "not the beginning of the finished dialogue after a tool result",
    ),
    "answers rewritten": (
        qwen(OWN, ANSWER, ANSWER.replace("content", "content.replace('fits', 'suits')")),
        "otherwise than a model generates it",
    ),
    "past answers shortened": (
        qwen(OWN, ANSWER, ANSWER.replace("content", "content[: none if loop.last or message.role == 'user' else 9]")),
        "leaves out a past answer",
    ),
    "past answers of the refine turn hidden": (
        qwen(
            OWN,
            "{%- for message in messages -%}\n",
            '{%- for message in messages if not (message.role == "assistant" and loop is undefined and '
            'messages[-1].content.startswith("Check") and not message.tool_calls) -%}\n',
        ),
        "does not extend the first pass in the refine turn",
    ),
    "no stop token": (qwen(OWN, ANSWER, ANSWER.replace("<|im_end|>", "END.")), "no stop token"),
    "fails on tool turns": (
        qwen(OWN, "<tool_response>\\n\" + message.content", "\" + raise_exception('no')"),
        r"cannot render the turns \(.*tool.*\): no",
    ),
    "not jinja": ("{% for %}", "cannot render"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_template_that_breaks_a_rule_is_refused_with_the_reason(name: str, tmp_path) -> None:
    text, reason = BROKEN[name]
    file = tmp_path / "broken.jinja"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(TemplateError, match=reason) as refusal:
        Renderer.from_pretrained(str(TOKENIZERS / "qwen25"), format="hermes", template=str(file))
    assert "Set `model.template` to one of the project's templates" in str(refusal.value)
    assert str(refusal.value).startswith(f"the chat template {file} (for ")


def test_a_template_file_that_is_no_text_is_named(tmp_path) -> None:
    file = tmp_path / "broken.jinja"
    file.write_bytes(b"\xff\xfe{")
    with pytest.raises(TemplateError, match=r"broken\.jinja cannot be read"):
        Renderer.from_pretrained(str(TOKENIZERS / "qwen25"), format="hermes", template=str(file))


def test_mistrals_own_layout_is_refused_for_moving_the_tools() -> None:
    with pytest.raises(TemplateError, match=r"does not extend the first pass.*move to the last user turn"):
        Renderer.from_pretrained(str(TOKENIZERS / "mistral"), format="llama3_json")


def test_a_tokenizer_that_loses_text_is_refused() -> None:
    from tokenizers import normalizers
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(TOKENIZERS / "qwen25"))
    tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    with pytest.raises(TemplateError, match="does not give back the text of an answer"):
        Renderer(tokenizer, format="hermes")


def test_calls_of_the_past_in_another_format_are_told(caplog: pytest.LogCaptureFixture) -> None:
    Renderer.from_pretrained(str(TOKENIZERS / "qwen25"), format="pythonic")
    assert "writes past calls otherwise than format 'pythonic'" in caplog.text
    caplog.clear()
    Renderer.from_pretrained(str(TOKENIZERS / "qwen25"), format="hermes")
    assert not caplog.text


def test_one_row_that_cannot_be_rendered_is_not_blamed_on_the_template(tiny_base: Path) -> None:
    renderer = Renderer.from_pretrained(str(tiny_base), format="pythonic")
    odd = Tool(name="f", parameters={"type": "object", "properties": {"a": {"enum": 5}}})
    with pytest.raises(TemplateError, match=r"mend or leave out that row.*If all rows fail: Set `model.template`"):
        renderer.prompt(ASK.model_copy(update={"tools": (odd,)}))
