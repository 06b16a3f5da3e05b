"""A stand-in for the official checker's environment: a small package with the names that the child imports.

A step is a JSON list of Python expressions; a dialogue is right where its calls are the gold's.
"""

from __future__ import annotations

import sys
from pathlib import Path

from toolace.evaluation.benchmarks import bfcl_process

FILES = {
    "__init__": "",
    "model_handler/__init__": "",
    "model_handler/utils": "from json import loads as default_decode_execute_prompting\n",
    "constants/__init__": "",
    "constants/executable_backend_config": "CLASS_FILE_PATH_MAPPING = {'Absent': 'bfcl_eval.absent'}\n",
    "eval_checker/__init__": "",
    "eval_checker/multi_turn_eval/__init__": "",
    "eval_checker/multi_turn_eval/multi_turn_utils": """
import inspect, sys, time

count = []


def is_empty_execute_response(calls):
    return not calls


def execute_multi_turn_func_call(calls, config, classes, model, name, long_context=False, is_evaL_run=False):
    results = []
    for call in calls:
        try:
            results.append(str(eval(call, globals() | {"config": config, "long": long_context})))
        except Exception as error:
            results.append(f"Error during execution: {error}")
    return results, {}
""",
    "eval_checker/multi_turn_eval/multi_turn_checker": """
from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_utils import execute_multi_turn_func_call


def multi_turn_checker(turns, gold, entry, category, model):
    for steps, wanted in zip(turns, gold, strict=True):
        for step in steps:
            execute_multi_turn_func_call(step, {}, [], model, entry["id"])
        if [call for step in steps for call in step] != wanted:
            return {"valid": False, "error_type": f"multi_turn:{category}", "error_message": "not the gold"}
    if wanted == ["raise"]:
        raise AssertionError("no verdict")
    return {"valid": True}
""",
}


def write_stub(folder: Path, version: str = bfcl_process.VERSION, seconds: int = 200) -> list[str]:
    """Write the package, and give the command that runs the child with it: 1 s of CPU for a request."""
    for name, text in FILES.items():
        path = folder / "bfcl_eval" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    about = folder / f"bfcl_eval-{version}.dist-info" / "METADATA"
    about.parent.mkdir()
    about.write_text(f"Metadata-Version: 2.1\nName: bfcl-eval\nVersion: {version}\n")
    script = Path(bfcl_process.__file__).with_name("bfcl_child.py")
    code = (
        f"import runpy, sys\nsys.path.insert(0, {str(folder)!r})\nsys.argv = ['child', '1', '{seconds}', '2048']\n"
        f"runpy.run_path({str(script)!r}, run_name='__main__')"
    )
    return [sys.executable, "-P", "-B", "-c", code]
