"""The other side of the agreement: runs in bfcl-eval's own environment and gives the official verdicts.

    .agreement/venv/bin/python benchmarks/agreement/official.py DATA < outputs.jsonl > verdicts.jsonl

In: `{"id", "category", "output"}` a line (`output` a text, in multi-turn a list of steps for each turn); out, in the
same order: `{"valid", "error_type"}`, or `{"crash"}` where the official checker raises (it then has no verdict). The
official functions are called as they are, from the package; only what they import and never use in scoring is
replaced: model handlers, pandas and the like. They evaluate arithmetic in model output, and the calls of multi-turn
rows, so give this script no output that you would not run.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

MODEL = "model"  # no underscore, so that nothing renames it


class _Anything(ModuleType):
    """A module that has every name; none of them is ever called."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return SimpleNamespace


def load_official() -> tuple[Any, Any]:
    """(the module `eval_runner`, a handler that decodes as prompt-mode models do)."""
    os.environ["BFCL_PROJECT_ROOT"] = tempfile.mkdtemp(prefix="bfcl-")  # the package makes folders on import
    for name in ("pandas", "numpy", "dotenv", "tqdm", "bfcl_eval.model_handler.base_handler"):
        sys.modules[name] = _Anything(name)
    sys.modules["dotenv"].load_dotenv = lambda *_, **__: False  # type: ignore[attr-defined]
    config = ModuleType("bfcl_eval.constants.model_config")
    config.MODEL_CONFIG_MAPPING = {MODEL: SimpleNamespace(underscore_to_dot=False)}  # type: ignore[attr-defined]
    sys.modules[config.__name__] = config
    eval_runner: Any = importlib.import_module("bfcl_eval.eval_checker.eval_runner")
    decoders: Any = importlib.import_module("bfcl_eval.model_handler.utils")
    handler = SimpleNamespace(
        decode_ast=lambda result, language, has_tool_call_tag: decoders.default_decode_ast_prompting(
            result, language, has_tool_call_tag
        ),
        decode_execute=lambda result, has_tool_call_tag: decoders.default_decode_execute_prompting(
            result, has_tool_call_tag
        ),
    )
    return eval_runner, handler


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


class Official:
    def __init__(self, folder: Path) -> None:
        self.runner, self.handler = load_official()
        self.folder = folder
        self.entries: dict[str, dict[str, tuple[dict[str, Any], Any]]] = {}
        self.judged = 0

    def entry(self, category: str, row_id: str) -> tuple[dict[str, Any], Any]:
        if category not in self.entries:
            name = f"BFCL_v4_{category}.json"
            questions = read_lines(self.folder / name)
            answers: list[Any] = [None] * len(questions)
            if "relevance" not in category:
                answers = [answer["ground_truth"] for answer in read_lines(self.folder / "possible_answer" / name)]
            pairs = zip(questions, answers, strict=True)
            self.entries[category] = {question["id"]: (question, gold) for question, gold in pairs}
        return self.entries[category][row_id]

    def judge_turns(self, category: str, row_id: str, output: Any) -> dict[str, Any]:
        """A dialogue's verdict. The backends stay in globals under the model's name: each has a name of its own."""
        entry, gold = self.entry(category, row_id)
        self.judged += 1
        model = f"{MODEL}{self.judged}x"
        result = self.runner._evaluate_single_multi_turn_entry(
            self.handler, row_id, output, gold, entry, model, category
        )
        backends = sys.modules[self.runner.multi_turn_checker.__globals__["execute_multi_turn_func_call"].__module__]
        for name in [name for name in vars(backends) if name.startswith(model)]:
            delattr(backends, name)
        return {"valid": result["valid"], "error_type": None if result["valid"] else result["error"]["error_type"]}

    def judge(self, category: str, row_id: str, output: Any) -> dict[str, Any]:
        entry, gold = self.entry(category, row_id)
        runner = self.runner
        try:
            with contextlib.redirect_stdout(sys.stderr):  # the JavaScript converter prints
                if category.startswith("multi_turn"):
                    return self.judge_turns(category, row_id, output)
                if "relevance" in category:
                    result = runner._evaluate_single_relevance_entry(
                        self.handler, row_id, output, entry, MODEL, category
                    )
                else:
                    language, format = runner.Language.PYTHON, runner.ReturnFormat.PYTHON
                    if category == "simple_java":
                        language, format = runner.Language.JAVA, runner.ReturnFormat.JAVA
                    elif category == "simple_javascript":
                        language, format = runner.Language.JAVASCRIPT, runner.ReturnFormat.JAVASCRIPT
                    result = runner._evaluate_single_ast_entry(
                        self.handler, row_id, output, gold, entry, MODEL, category, language, format
                    )
        except Exception as error:
            return {"crash": f"{type(error).__name__}: {error!s:.100}"}
        return {"valid": bool(result["valid"]), "error_type": None if result["valid"] else result["error_type"]}


def main() -> None:
    official = Official(Path(sys.argv[1]))
    for line in sys.stdin:
        row = json.loads(line)
        print(json.dumps(official.judge(row["category"], row["id"], row["output"])), flush=False)


if __name__ == "__main__":
    main()
