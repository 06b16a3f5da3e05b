"""Benchmark folders in the official layouts, made of the synthetic corpus, for a machine without the benchmarks' data.

The values are those of the demo's tools: names, ids, dates, numbers, lists of choices, objects of two keys. Nothing of
the benchmarks is in them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from toolace.calls.schema import Call, Sample, Tool
from toolace.data.synthetic import generate
from toolace.evaluation.benchmarks.acebench import DIALOGUES, ERROR, INCOMPLETE, NORMALS, SPECIALS

_SCHEMA = ("string", "integer", "number", "boolean", "array", "object")
_PYTHON = dict(zip(_SCHEMA, ("string", "integer", "float", "boolean", "array", "dict"), strict=True))
_JAVA = dict(zip(_SCHEMA, ("String", "integer", "double", "boolean", "ArrayList", "HashMap"), strict=True))
_JS = dict(zip(_SCHEMA, ("String", "integer", "float", "Boolean", "array", "dict"), strict=True))


def make_folders(home: Path, rows: int) -> dict[str, Path]:
    """A folder for each benchmark below `home`, with about `rows` rows a category."""
    makers: dict[str, Callable[[Path, int], None]] = {
        "bfcl": _bfcl,
        "acebench": _acebench,
        "apibank": _api_bank,
        "toolalpaca": _tool_alpaca,
        "sealtools": _seal_tools,
    }
    for name, make in makers.items():
        make(home / name, rows)
    return {name: home / name for name in makers}


def _samples(rows: int, wanted: Callable[[Sample], bool], seed: int = 1) -> list[Sample]:
    return list(islice((s for s in generate(40 * rows, seed, profile="demo") if wanted(s)), rows))


def _single(sample: Sample) -> bool:
    return len(sample.reference.calls) == 1 and len(sample.chat.tools) == 1


def _multiple(sample: Sample) -> bool:
    return len(sample.reference.calls) == 1 and len(sample.chat.tools) > 1


def _parallel(sample: Sample) -> bool:
    names = [call.name for call in sample.reference.calls]
    return len(names) > 1 and len(set(names)) == 1


def _parallel_multiple(sample: Sample) -> bool:
    return len({call.name for call in sample.reference.calls}) > 1


def _put(path: Path, lines: Iterable[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def _question(sample: Sample) -> str:
    return sample.chat.messages[-1].content


def _bfcl(folder: Path, rows: int) -> None:
    kinds: dict[str, tuple[Callable[[Sample], bool], dict[str, str]]] = {
        "simple_python": (_single, _PYTHON),
        "simple_java": (_single, _JAVA),
        "simple_javascript": (_single, _JS),
        "multiple": (_multiple, _PYTHON),
        "parallel": (_parallel, _PYTHON),
        "parallel_multiple": (_parallel_multiple, _PYTHON),
        "irrelevance": (_single, _PYTHON),
    }
    for category, (wanted, types) in kinds.items():
        samples = _samples(rows, wanted)
        name = f"BFCL_v4_{category}.json"
        questions = [
            {
                "id": f"{category}_{number}",
                "question": [[{"role": "user", "content": _question(sample)}]],
                "function": [_bfcl_function(tool, types) for tool in sample.chat.tools],
            }
            for number, sample in enumerate(samples)
        ]
        _put(folder / name, questions)
        if category != "irrelevance":
            golds = [[_accepted(call) for call in sample.reference.calls] for sample in samples]
            _put(folder / "possible_answer" / name, [{"id": "", "ground_truth": gold} for gold in golds])


def _bfcl_function(tool: Tool, types: dict[str, str]) -> dict[str, Any]:
    properties = {}
    for key, details in tool.parameters["properties"].items():
        properties[key] = {"type": types[details["type"]], "description": details.get("description", "")}
        if details["type"] == "array":
            properties[key]["items"] = {"type": types[details["items"]["type"]]}
    parameters = {"type": "dict", "properties": properties, "required": tool.parameters.get("required", [])}
    return {"name": tool.name, "description": tool.description, "parameters": parameters}


def _accepted(call: Call) -> dict[str, Any]:
    """The gold's form: a list of acceptable values for each parameter, and for each key of an object."""
    return {
        call.name: {
            key: [{inner: [item] for inner, item in value.items()} if isinstance(value, dict) else value]
            for key, value in call.arguments.items()
        }
    }


def _acebench(folder: Path, rows: int) -> None:
    for category in (*NORMALS, *SPECIALS):
        samples = _samples(rows, _parallel if "parallel" in category else _single)
        lines, golds = [], []
        for number, sample in enumerate(samples):
            row_id = f"{category}_{number // 3}_{number % 3}" if category in DIALOGUES else f"{category}_{number}"
            functions = [tool.openai()["function"] for tool in sample.chat.tools]
            lines.append({"id": row_id, "question": f"user: {_question(sample)}", "function": functions, "time": ""})
            golds.append({"id": row_id, "ground_truth": _ace_gold(category, sample)})
        _put(folder / f"data_{category}.json", lines)
        _put(folder / "possible_answer" / f"data_{category}.json", golds)


def _ace_gold(category: str, sample: Sample) -> Any:
    calls = sample.reference.calls
    name, arguments = calls[0].name, calls[0].arguments
    if category == INCOMPLETE:
        return {name: list(arguments)[:1]}
    if category == ERROR:
        return {key: [str(value)] for key, value in list(arguments.items())[:1]}
    if category in SPECIALS:
        return "The user's request goes beyond the functions."
    if len(calls) == 1:
        return {name: arguments}
    return {f"{call.name}_{number}": call.arguments for number, call in enumerate(calls, 1)}


def _texts(arguments: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in arguments.items():
        yield key, value if isinstance(value, str) else json.dumps(value)


def _api_bank(folder: Path, rows: int) -> None:
    for level in (1, 2):
        lines = []
        for number, sample in enumerate(_samples(rows, _single, seed=level)):
            tool, call = sample.chat.tools[0], sample.reference.calls[0]
            described = {
                "name": tool.name,
                "description": tool.description,
                "input_parameters": {key: {"type": "str"} for key in tool.parameters["properties"]},
            }
            given = ", ".join(f"{key}={text!r}" for key, text in _texts(call.arguments))
            lines.append(
                {
                    "file": f"rows-{level}.jsonl",
                    "id": number,
                    "instruction": "Generate an API request.\nAPI descriptions:\n" + json.dumps(described),
                    "input": f"User: {_question(sample)}\nGenerate API Request:\n",
                    "expected_output": f"API-Request: [{call.name}({given})]",
                }
            )
        _write(folder / f"level-{level}-api.json", lines)


def _tool_alpaca(folder: Path, rows: int) -> None:
    for seed, file in enumerate(("eval_simulated.json", "eval_real.json")):
        apis = []
        for number, sample in enumerate(_samples(2 * rows, lambda s: bool(s.reference.calls), seed)):
            golden = [
                {
                    "Action": call.name,
                    "Action_Input": json.dumps(_dependent(call.arguments) if number % 2 else call.arguments),
                }
                for call in sample.reference.calls
            ]
            apis.append(
                {
                    "Name": "API",
                    "Documentation": json.dumps(
                        {"paths": {f"/{tool.name}": _path(tool) for tool in sample.chat.tools}}
                    ),
                    "Instructions": [_question(sample)],
                    "Golden_Answers": [golden],
                }
            )
        _write(folder / file, apis)


def _dependent(arguments: dict[str, Any]) -> dict[str, Any]:
    """The first value is left to what another call returns."""
    return {key: "${found by search}" if n == 0 else value for n, (key, value) in enumerate(arguments.items())}


def _path(tool: Tool) -> dict[str, Any]:
    parameters = [
        {"name": key, "in": "query", "schema": schema} for key, schema in tool.parameters["properties"].items()
    ]
    return {"get": {"operationId": tool.name, "description": tool.description, "parameters": parameters}}


def _seal_tools(folder: Path, rows: int) -> None:
    for seed, category in enumerate(("test_in_domain", "test_out_domain", "dev"), 1):
        lines = []
        for number, sample in enumerate(_samples(rows, lambda s: bool(s.reference.calls), seed)):
            tools = [
                {
                    "api_name": tool.name,
                    "api_description": tool.description,
                    "parameters": {key: {"type": "str", "description": ""} for key in tool.parameters["properties"]},
                    "required": tool.parameters.get("required", []),
                    "responses": {"found": {"type": "str", "description": ""}},
                }
                for tool in sample.chat.tools
            ]
            human = f'Choose.\nInput:\napi_list = {tools!r}\ntask_instruction = "{_question(sample)}"\nOutput:\n'
            answer = [
                {"api": call.name, "parameters": call.arguments, "responses": ["API_call_0"]}
                for call in sample.reference.calls
            ]
            turns = [{"from": "human", "value": human}, {"from": "gpt", "value": repr(answer)}]
            lines.append({"id": f"{category}_{number}", "conversations": turns})
        _write(folder / f"{category}.json", lines)


def _write(path: Path, entries: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(entries), encoding="utf-8")
