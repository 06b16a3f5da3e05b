"""Chat templates by name: the files in `toolace/templates`, how they build on one another, and a model's own.

A line `{% include "NAME" %}` in a template is replaced by the text of that project template, and
`{% include "model" %}` by the model's own. The result is one plain jinja text, so an exported model renders the same
in stock transformers and vLLM, which have no includes.
"""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

from toolace.errors import TemplateError

_INCLUDE = re.compile(r"\{%-?\s*include\s+\"([\w.-]+)\"\s*-?%\}\n?")


def project_templates() -> list[str]:
    """Names of the templates that the package ships (those that begin with `_` are only parts of others)."""
    files = resources.files("toolace").joinpath("templates").iterdir()
    names = (file.name.removesuffix(".jinja") for file in files if file.name.endswith(".jinja"))
    return sorted(name for name in names if not name.startswith("_"))


def way_out() -> str:
    """The last sentence of every refusal."""
    return (
        f"Set `model.template` to one of the project's templates ({', '.join(project_templates())}) or to the path of "
        "a jinja file."
    )


def template_origin(template: str | None, model: str) -> str:
    """What a message calls the template that `resolve_template` gives for the same two."""
    return f"the chat template of {model}" if template is None else f"the chat template {template} (for {model})"


def resolve_template(template: str | None, own: str | None, model: str) -> str:
    """The jinja text to render with.

    `template` is a project template's name, the path of a jinja file, or None for the model's `own`. Raises
    `TemplateError` where there is none, or where a template builds on an own one that the model does not have.
    """
    if template is None:
        if own is None:
            raise TemplateError(f"the tokenizer of {model} has no chat template. {way_out()}")
        return own
    return _expand(_read(template), own, model, template)


def with_system(text: str, system: str) -> str:
    """A template that puts a system message in front of chats that have none."""
    message = f'{{"role": "system", "content": {json.dumps(system, ensure_ascii=False)}}}'
    front = f'{{%- if messages[0].role != "system" %}}{{% set messages = [{message}] + messages %}}{{% endif -%}}'
    return f"{front}\n{text}"


def _read(name: str) -> str:
    if re.fullmatch(r"\w+", name):
        file = resources.files("toolace").joinpath("templates", f"{name}.jinja")
        if file.is_file():
            return file.read_text(encoding="utf-8")
    path = Path(name)
    if not path.is_file():
        raise TemplateError(f"there is no chat template {name!r}: no such name and no such file. {way_out()}")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise TemplateError(f"the chat template {name} cannot be read: {error}. {way_out()}") from None


def _expand(text: str, own: str | None, model: str, name: str) -> str:
    def replace(match: re.Match[str]) -> str:
        part = match.group(1)
        if part != "model":
            return _expand(_read(part), own, model, name)
        if own is None:
            raise TemplateError(
                f"template {name!r} builds on the model's own, and the tokenizer of {model} has none. {way_out()}"
            )
        return own

    return _INCLUDE.sub(replace, text)
