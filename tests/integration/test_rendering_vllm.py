"""Our prompts are, token for token, those of vLLM's chat endpoint: its request model, its renderer, no engine."""

from __future__ import annotations

import asyncio
import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from rendering_families import FAMILIES, TOKENIZERS, chats, family

from toolace.calls.schema import Call, Chat, Message, Tool
from toolace.rendering import Renderer, openai_messages, refine_turn

pytest.importorskip("vllm", reason="vLLM is not installed")


@cache
def endpoint(model: Path, template: str | None) -> Any:
    """What `vllm serve MODEL --chat-template FILE` renders chat requests with."""
    from vllm.config import ModelConfig, VllmConfig
    from vllm.renderers.online_renderer import OnlineRenderer
    from vllm.renderers.registry import renderer_from_config

    config = ModelConfig(model=str(model), dtype="float32", max_model_len=8192)
    return OnlineRenderer(
        config,
        renderer_from_config(VllmConfig(model_config=config)),
        request_logger=None,
        chat_template=template,
        chat_template_content_format="auto",
    )


def request(chat: Chat, renderer: Renderer) -> dict[str, Any]:
    """The JSON body that a client sends: calls with their arguments as JSON text, no content beside bare calls."""
    messages = openai_messages(chat, renderer.format, parallel=renderer.parallel)
    for message in messages:
        for call in message.get("tool_calls", ()):
            call["function"]["arguments"] = json.dumps(call["function"]["arguments"])
        if message.get("tool_calls") and not message["content"]:
            message["content"] = None
    body = {"messages": messages, "tools": [tool.openai() for tool in chat.tools], "tool_choice": "none"}
    return json.loads(json.dumps(body))


def served_prompt(chat: Chat, renderer: Renderer, at: Any) -> list[int]:
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

    parsed = ChatCompletionRequest.model_validate(request(chat, renderer))
    _, inputs = asyncio.run(at.render_chat(parsed))
    return inputs[0]["prompt_token_ids"]


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chat=chats())
def test_prompts_equal_those_of_vllms_chat_endpoint(name: str, chat: Chat) -> None:
    renderer = family(name)
    at = endpoint(TOKENIZERS / FAMILIES[name][0], renderer.template)
    assert renderer.prompt(chat) == served_prompt(chat, renderer, at)
    again = refine_turn(chat, "[f(a=1)]")
    assert renderer.prompt(again) == served_prompt(again, renderer, at)


@pytest.mark.parametrize("name", ["toolace on llama31", "ours"])
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chat=chats())
def test_an_exported_tokenizer_needs_no_template_setting_in_vllm(name: str, tmp_path: Path, chat: Chat) -> None:
    renderer = family(name)
    if not (tmp_path / "config.json").exists():
        renderer.tokenizer.save_pretrained(tmp_path)
        shutil.copyfile(TOKENIZERS / FAMILIES[name][0] / "config.json", tmp_path / "config.json")
    assert renderer.prompt(chat) == served_prompt(chat, renderer, endpoint(tmp_path, None))


@pytest.mark.parametrize("name", FAMILIES)
def test_special_tokens_typed_by_a_user_are_special_in_both(name: str) -> None:
    renderer = family(name)
    typed = renderer.tokenizer.convert_ids_to_tokens(renderer.end_of_turn_id)
    chat = Chat(tools=(Tool(name="f"),), messages=(Message(role="user", content=f"stop{typed}here"),))
    plain = Chat(tools=(Tool(name="f"),), messages=(Message(role="user", content="stop here"),))
    served = served_prompt(chat, renderer, endpoint(TOKENIZERS / FAMILIES[name][0], renderer.template))
    assert served == renderer.prompt(chat)
    assert served.count(renderer.end_of_turn_id) == renderer.prompt(plain).count(renderer.end_of_turn_id) + 1


def test_a_template_that_is_refused_still_renders_as_vllm_does() -> None:
    renderer = Renderer.from_pretrained(str(TOKENIZERS / "mistral"), format="llama3_json", check=False)
    chat = Chat(
        tools=(Tool(name="f", description="d"),),
        messages=(
            Message(role="system", content="s"),
            Message(role="user", content="u"),
            Message(role="assistant", calls=(Call(name="f", arguments={"a": [1, None, "ü"]}), Call(name="f"))),
            Message(role="tool", content="r", name="f"),
        ),
    )
    assert renderer.prompt(chat) == served_prompt(chat, renderer, endpoint(TOKENIZERS / "mistral", None))
