"""Reading settings from YAML; what is ambiguous or broken is refused with its place named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from toolace.errors import ConfigError


class _Loader(yaml.SafeLoader):
    """Plain YAML in which a mapping has each key once; of several the library's own loader keeps the last."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # Here, and not where the mapping is made: by then `<<` has mixed in the keys of other mappings.
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            line = key.start_mark.line + 1
            if (key.tag, key.value) in lines:
                first = lines[key.tag, key.value]
                raise yaml.YAMLError(f"the key {key.value!r} is given twice, in line {first} and in line {line}")
            lines[key.tag, key.value] = line
        return node


def parse_yaml(text: str, origin: str) -> Any:
    """A YAML document as plain data. Raises `ConfigError` that begins with `origin`."""
    try:
        return yaml.load(text, Loader=_Loader)
    except RecursionError:
        raise ConfigError(f"{origin} cannot be read as YAML: it is nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date or a number that cannot be
        raise ConfigError(f"{origin} cannot be read as YAML: {error}") from None


def read_settings(path: str | Path, kind: str = "config file") -> dict[str, Any]:
    """The settings in a YAML file; an empty file has none. Raises `ConfigError`; `kind` names the file in it."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"{kind} not found: {path}. Give the path of a YAML file, such as configs/demo.yaml"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{kind} {path} cannot be read: {error}") from None
    loaded = parse_yaml(text, f"{kind} {path}")
    if loaded is not None and not isinstance(loaded, dict):
        raise ConfigError(f"{kind} {path} holds a {type(loaded).__name__}, not a mapping of settings")
    return loaded or {}


def apply_override(data: dict[str, Any], override: str) -> None:
    """Set one `a.b=c` in nested data. Raises `ConfigError` for text that is not such a pair."""
    key, sep, text = override.partition("=")
    if not sep or not key.strip():
        raise ConfigError(f"--set {override!r}: write it as section.key=value, such as probe.k=4")
    value = parse_yaml(text, f"the value of --set {override!r}")
    put_setting(data, key.strip(), value, f"--set {override!r}")


def put_setting(data: dict[str, Any], key: str, value: Any, origin: str) -> None:
    """Set `a.b` in nested data; `origin` begins the message of a `ConfigError`."""
    node = data
    *parents, last = key.split(".")
    for parent in parents:
        child = node[parent] = {} if node.get(parent) is None else node[parent]
        if not isinstance(child, dict):
            raise ConfigError(f"{origin}: {parent} is {child!r}, not a section")
        node = child
    node[last] = value
