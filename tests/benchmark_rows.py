"""Small benchmark folders in the official layouts, with contents of our own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

API_TOOL = {
    "name": "BookTable",
    "description": "Books a table.",
    "input_parameters": {
        "place": {"type": "str", "description": ""},
        "seats": {"type": "int", "description": ""},
        "guests": {"type": "list", "description": ""},
    },
    "output_parameters": {},
}
API_REQUEST = "API-Request: [BookTable(place='Blue Oar', seats='3', guests='['Ann', 'Bo']')]"


def api_bank_row(number: int, expected: str = API_REQUEST, file: str = "BookTable.jsonl") -> dict[str, Any]:
    """A row of API-Bank's level files."""
    return {
        "file": file,
        "id": number,
        "instruction": "Generate an API request.\nAPI descriptions:\n" + json.dumps(API_TOOL),
        "input": "User: A table for three at the Blue Oar.\nGenerate API Request:\n",
        "expected_output": expected,
    }


def tool_alpaca_api(answers: Sequence[Sequence[tuple[str, str]]]) -> dict[str, Any]:
    """An API of ToolAlpaca, with one instruction for each golden answer of (action, input)."""
    body = {"type": "object", "properties": {"note": {"$ref": "#/components/schemas/Note"}}, "required": ["note"]}
    spec = {
        "paths": {
            "/boats": {
                "get": {
                    "operationId": "findBoat",
                    "description": "Find a boat.",
                    "parameters": [
                        {"name": "name", "in": "query", "required": True, "schema": {"type": "string"}},
                        {"name": "page", "in": "query", "schema": {"type": "integer"}},
                    ],
                },
                "post": {
                    "operationId": "logBoat",
                    "summary": "Log a note.",
                    "parameters": [{"name": "boatId", "in": "path", "required": True, "schema": {"type": "string"}}],
                    "requestBody": {"content": {"application/json": {"schema": body}}},
                },
            }
        },
        "components": {"schemas": {"Note": {"type": "string", "description": "What to note"}}},
    }
    golden = [[{"Action": name, "Action_Input": text} for name, text in answer] for answer in answers]
    return {
        "Name": "Boats",
        "Documentation": json.dumps(spec),
        "Instructions": [f"Do number {index}." for index in range(len(answers))],
        "Golden_Answers": golden,
    }


def seal_row(row_id: str, answer: str) -> dict[str, Any]:
    """A row of Seal-Tools' fine-tuning files."""
    tools = [
        {
            "api_name": name,
            "api_description": "",
            "parameters": {"kind": {"type": "str", "description": ""}, "count": {"type": "int", "description": ""}},
            "required": ["kind"],
            "responses": {"found": {"type": "str", "description": ""}},
        }
        for name in ("findHerd", "sellHerd")
    ]
    human = f'Choose.\nInput:\napi_list = {tools!r}\ntask_instruction = "Find the cows."\nOutput:\n'
    return {"id": row_id, "conversations": [{"from": "human", "value": human}, {"from": "gpt", "value": answer}]}


ACE_FUNCTIONS = [
    {
        "name": "SetLamp",
        "description": "Sets a lamp.",
        "parameters": {
            "type": "object",
            "properties": {
                "room": {"type": "string"},
                "level": {"type": "integer"},
                "warm": {"type": "boolean"},
                "days": {"type": "array", "items": {"type": "string"}},
                "plan": {"type": "object", "properties": {"from": {"type": "string"}, "hours": {"type": "integer"}}},
            },
            "required": ["room"],
        },
    },
    {
        "name": "Ring",
        "description": "Rings.",
        "parameters": {"type": "object", "properties": {"who": {"type": "string"}}},
    },
]
ACE_GOLD = {"room": "Attic", "level": 40, "warm": True, "days": ["Monday"], "plan": {"from": "7 pm", "hours": 2}}


def ace_row(row_id: str, question: str = "user: Light the attic.", **more: Any) -> dict[str, Any]:
    """A row of ACEBench."""
    return {"id": row_id, "question": question, "function": ACE_FUNCTIONS, "time": "2031-05-02, Friday", **more}


def write_ace(folder: Path, category: str, rows: Sequence[Mapping[str, Any] | str], golds: Mapping[str, Any]) -> None:
    """A category's files: rows (or raw lines), and the answers by id."""
    (folder / "possible_answer").mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    answers = [json.dumps({"id": row_id, "ground_truth": truth}) for row_id, truth in golds.items()]
    (folder / f"data_{category}.json").write_text("\n".join(lines) + "\n")
    (folder / "possible_answer" / f"data_{category}.json").write_text("\n".join(answers) + "\n")


def write_json(path: Path, value: Any) -> Path:
    """A JSON file in a folder that is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path
