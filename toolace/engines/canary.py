"""Proof that an engine serves the weights that were asked for.

An export writes `canary.json` beside the weights: a prompt, its greedy continuation and that continuation's summed
log-probability, computed by `transformers` in float32. An engine repeats it at start. A model without the file is
compared by slices of its weight matrices instead, where the engine lets them be read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toolace.engines.base import Engine, Generate, Generated
from toolace.errors import EngineError
from toolace.rollouts.program import Sampling

FILE = "canary.json"

SUM_TOLERANCE = {"float32": 0.01, "bfloat16": 0.05}
"""Nats a token by which an engine's log-probability may differ: float32 kernels differ by about 1e-5, bfloat16 by
some 1e-2."""
TIE = {"float32": 0.02, "bfloat16": 0.5}
"""Greedy continuations are compared up to the first token whose lead over the runner-up (nats) is below this."""

_MATRICES = ("self_attn.o_proj.weight", "mlp.down_proj.weight")
_SIDE = 8


def write_canary(model_dir: str | Path, prompts: Sequence[Sequence[int]], *, max_tokens: int = 24) -> None:
    """Write `canary.json` for an exported model: call it once after the export, with one or a few real prompts (ids).

    Loads the model with `transformers` in float32 on the CPU.
    """
    import torch
    from transformers import AutoModelForCausalLM

    folder = Path(model_dir)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    cases = []
    for prompt in prompts:
        ids = torch.tensor([list(prompt)])
        answer: list[int] = []
        leads: list[float] = []
        logprob = 0.0
        with torch.inference_mode():
            cache = None
            for _ in range(max_tokens):
                out = model(input_ids=ids, past_key_values=cache, use_cache=True)
                cache = out.past_key_values
                best = out.logits[0, -1].float().log_softmax(-1).topk(2)
                token = int(best.indices[0])
                answer.append(token)
                leads.append(round(float(best.values[0] - best.values[1]), 4))
                logprob += float(best.values[0])
                ids = torch.tensor([[token]])
        cases.append({"prompt": list(prompt), "answer": answer, "leads": leads, "logprob": round(logprob, 6)})
    text = json.dumps({"version": 1, "cases": cases}) + "\n"
    temporary = folder / f".{FILE}.tmp"
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(folder / FILE)


def check_canary(engine: Engine, model_dir: str | Path, *, dtype: str) -> bool:
    """Repeat the model's canary on a fresh engine; False where the model has none.

    Raises `EngineError` naming the model and both values when they differ.
    """
    path = Path(model_dir) / FILE
    if not path.is_file():
        return False
    try:
        cases = json.loads(path.read_text(encoding="utf-8"))["cases"]
        expected = [(tuple(c["prompt"]), tuple(c["answer"]), c["leads"], float(c["logprob"])) for c in cases]
    except (ValueError, KeyError, TypeError) as error:
        raise EngineError(
            f"{path} is damaged ({error!r}). Export the model again, or set engine.canary=false"
        ) from None
    room = engine.identity.max_model_len - 1
    expected = [case for case in expected if len(case[0]) + len(case[1]) <= room]
    if not expected:
        return False
    requests = []
    for i, (prompt, answer, _, _) in enumerate(expected):
        requests.append(Generate(f"canary-score-{i}", prompt, Sampling(), score_ids=answer))
        requests.append(Generate(f"canary-greedy-{i}", prompt, Sampling(max_tokens=len(answer))))
    found = _run(engine, requests)
    for i, (_, answer, leads, logprob) in enumerate(expected):
        score = found[f"canary-score-{i}"].logprob
        allowed = SUM_TOLERANCE.get(dtype, SUM_TOLERANCE["bfloat16"]) * len(answer)
        if score is None or not abs(score - logprob) <= allowed:
            raise _different(path, f"log-probability {score} where {logprob} was recorded (tolerance {allowed:.2f})")
        tie = TIE.get(dtype, TIE["bfloat16"])
        sure = next((n for n, lead in enumerate(leads) if lead < tie), len(answer))
        greedy = found[f"canary-greedy-{i}"].token_ids
        if greedy[:sure] != answer[:sure]:
            raise _different(path, f"greedy answer {list(greedy[:sure])} where {list(answer[:sure])} was recorded")
    return True


def check_weights(model: Any, model_dir: str | Path, *, layers: int = 4) -> bool:
    """Compare corners of weight matrices with the model's safetensors files; False where that cannot be done.

    `model` is the engine's torch module. Its attention output and MLP down projections of a few layers, which keep
    their names and shapes in every engine, are applied to unit vectors: that reads packed weights too.
    """
    import torch
    from safetensors import safe_open

    files = sorted(Path(model_dir).glob("*.safetensors"))
    where: dict[str, Path] = {}
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            where.update((name, file) for name in tensors.keys() if name.endswith(_MATRICES))  # noqa: SIM118
    names = sorted(where)
    modules = dict(model.named_modules())
    some = next(model.parameters())
    compared = 0
    for name in names[:: max(1, len(names) // (layers * len(_MATRICES)))]:
        module = modules.get(name.removesuffix(".weight"))
        if module is None or getattr(module, "bias", None) is not None:
            continue
        with safe_open(where[name], framework="pt") as tensors:
            part = tensors.get_slice(name)
            width = part.get_shape()[1]
            wanted = part[:_SIDE, :_SIDE].float()
        with torch.inference_mode():
            out = module(torch.eye(_SIDE, width, dtype=some.dtype, device=some.device))
        found = (out[0] if isinstance(out, tuple) else out)[:, :_SIDE].T.float().cpu()
        # bfloat16 keeps 8 bits: the engine may hold the file's values rounded to it.
        wrong = (found - wanted).abs() > 0.01 * wanted.abs() + 1e-6
        if wrong.any():
            have, want = found[wrong][0].item(), wanted[wrong][0].item()
            raise _different(Path(model_dir), f"{name} holds {have:.6g} where its file has {want:.6g}")
        compared += 1
    return compared > 0


def _run(engine: Engine, requests: Sequence[Generate]) -> dict[str, Generated]:
    for request in requests:
        engine.submit(request)
    found: dict[str, Generated] = {}
    while len(found) < len(requests):
        for answer in engine.step():
            found[answer.id] = answer
    return found


def _different(path: Path, what: str) -> EngineError:
    return EngineError(
        f"the engine does not serve the weights of {path.parent if path.name == FILE else path}: {what}. "
        "Export the model again if its files were changed by hand; engine.canary=false skips this check"
    )
