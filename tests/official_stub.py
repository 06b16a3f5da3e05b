"""A stand-in for the official checker's environment: a small package with the names that the child imports.

A step is a JSON list of Python expressions, which see the one backend as `box`; a dialogue is right where its results
and what is in the box are the gold's.
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
    "constants/executable_backend_config": (
        "CLASS_FILE_PATH_MAPPING = {'Absent': 'bfcl_eval.absent', 'Box': 'bfcl_eval.box'}\n"
    ),
    "box": """
class Box:
    def __init__(self, held=None):
        self.held, self._private = held, object()

    def put(self, value):
        self.held = value

    def __eq__(self, other):
        return isinstance(other, Box) and self.held == other.held
""",
    "eval_checker/__init__": "",
    "eval_checker/multi_turn_eval/__init__": "",
    "eval_checker/multi_turn_eval/multi_turn_utils": """
import inspect, sys, time

from bfcl_eval.box import Box

boxes, count = {}, []


def is_empty_execute_response(calls):
    return not calls


def execute_multi_turn_func_call(
    func_call_list, config, classes, model_name, name, long_context=False, is_evaL_run=False
):
    results = []
    box = boxes.setdefault(model_name, Box())
    for call in func_call_list:
        try:
            results.append(str(eval(call, globals() | {"box": box, "config": config, "long": long_context})))
        except Exception as error:
            results.append(f"Error during execution: {error}")
    return results, {"Box": box}
""",
    "eval_checker/multi_turn_eval/multi_turn_checker": """
from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_utils import execute_multi_turn_func_call


def run(step, entry, model):
    return execute_multi_turn_func_call(
        func_call_list=step, config=entry["initial_config"], classes=[], model_name=model, name=entry["id"]
    )


def multi_turn_checker(turns, gold, entry, category, model):
    for steps, wanted in zip(turns, gold, strict=True):
        found, boxes = [], None
        for step in steps:
            results, boxes = run(step, entry, model)
            found += results
        results, right = run(wanted, entry, model + "_ground_truth")
        if found != results:
            return {"valid": False, "error_type": f"multi_turn:{category}", "error_message": "not the gold"}
        if boxes is not None and boxes["Box"] != right["Box"]:
            return {"valid": False, "error_type": "multi_turn:state", "error_message": "another state"}
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
