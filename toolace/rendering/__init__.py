"""Chat + tools → token ids and loss mask; the refine turn. The only place that knows a chat template."""

from __future__ import annotations

from toolace.rendering.checks import check_template
from toolace.rendering.renderer import Example, Renderer
from toolace.rendering.templates import project_templates
from toolace.rendering.turns import REFINE_INSTRUCTION, openai_messages, refine_turn

__all__ = [
    "REFINE_INSTRUCTION",
    "Example",
    "Renderer",
    "check_template",
    "openai_messages",
    "project_templates",
    "refine_turn",
]
