"""The model card of an exported model, in the format of the Hugging Face hub: YAML front matter, then Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import yaml

from toolace.corpus import RowKind
from toolace.engines.models import looks_local
from toolace.report.evolution import TASK_SCORES
from toolace.report.facts import UNREADABLE, RunFacts, arm_order, gather, label_of
from toolace.storage import Store

CARD = "README.md"
PAPER, EVOLUTION_PAPER = "arXiv:2504.01400", "arXiv:2505.07512"
SINGLE = "model"
"""The name of the model that `toolace train` makes."""
SYNTHETIC = "synthetic tools"
"""The data that the package makes itself."""
WAYS = {
    SINGLE: "supervised fine-tuning on a corpus that was given to `toolace train`",
    "plain_sft": "plain supervised fine-tuning on the whole pool: the baseline of its run",
    "bootstrap": "plain supervised fine-tuning on a small random part of the pool: the start of the rounds",
    "adaption": f"documentation adaption (stage 1 of ToolACE-DEV, {EVOLUTION_PAPER}): to write the full definition of "
    "a tool from its description",
    "decomposed": f"decomposed tool learning (stage 2 of ToolACE-DEV, {EVOLUTION_PAPER}): to make candidate tools for "
    "a query and to call tools, jointly",
    "evolve": f"self-evolution (stage 3 of ToolACE-DEV, {EVOLUTION_PAPER}): on calls over tools that its predecessor "
    "made itself, chosen by a majority vote and by rules, and on a replay of the rows of stage 2",
    "round": f"model-aware training with self-refinement (ToolACE-R, {PAPER}): only samples that suit its "
    "predecessor's ability, and pairs that teach it to keep right drafts and to fix wrong ones",
}
"""How a model was trained, by its name without the number of its round."""


@dataclass(frozen=True)
class CardFacts:
    """What a card tells about a model. All but names may be missing.

    `model` is the model's name in its run (see `toolace.report.facts.ModelFacts`), `base` the model that training
    started from, in words; `origin` is the base model at the start of it all, where `base` is not that (see `name_of`
    for both). `corpus` has the rows by kind, `train` the counts of the training stage, `settings` the training
    settings, `versions` package versions. `data` is what it was trained on, `tests` by split what it was evaluated on;
    `scores` are the evaluations by split (dumps of `toolace.evaluation.metrics.Scores`), `tasks` the scores of the
    sub-tasks, `evolved` the counts of the queries of its round of evolution.
    """

    run: str
    model: str
    base: str
    format: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    corpus: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tasks: Mapping[str, Any] = field(default_factory=dict)
    evolved: Mapping[str, Any] = field(default_factory=dict)
    data: str = ""
    tests: Mapping[str, str] = field(default_factory=dict)
    seed: int | None = None
    toolace: str = ""
    revision: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    origin: str = ""


def card_facts(run: Store | RunFacts, model: str) -> CardFacts:
    """The facts of one model of a run, as far as its stages are done. Raises `StorageError` for no run directory."""
    facts = gather(run) if isinstance(run, Store) else run
    config, attempt = facts.config, (facts.attempts[-1] if facts.attempts else {})
    found = facts.model(model)
    settings = config.get("model", {})
    start = origin = name_of(settings.get("path", ""))
    if before := _before(facts, model):
        start = f"{label_of(before)} of the same run, itself from {start}"
    sources = config.get("data", {})
    train = sources.get("train") or {}
    return CardFacts(
        run=facts.name,
        model=model,
        base=start,
        format=settings.get("format", ""),
        settings=config.get("train", {}),
        corpus=found.corpus if found else {},
        train=found.train if found else {},
        scores=found.evaluations if found else {},
        tasks=found.tasks if found else {},
        evolved=found.evolved if found else {},
        data=_named(train),
        tests={split: _named(sources.get(split) or train) for split in ("dev", "test")},
        seed=config.get("seed"),
        toolace=attempt.get("toolace", ""),
        revision=attempt.get("revision"),
        versions=attempt.get("versions", {}),
        origin=origin,
    )


def name_of(place: str) -> str:
    """What a model or data is called where nobody knows this machine and its buckets: what is on the hub, or ships
    with the package, as it is, all else by the last part of its place."""
    if place.startswith("hf://") or not looks_local(place):
        return place
    return place.rstrip("/").rpartition("/")[2]


def _named(source: Mapping[str, Any]) -> str:
    """A source of samples in words."""
    if source.get("type") == "synthetic":
        return SYNTHETIC
    path: str = source.get("path", "")
    return path if path.startswith("hf://") else path.rstrip("/").rpartition("/")[2]


def _before(facts: RunFacts, model: str) -> str:
    """The model of the same run that a model was trained from; empty where that is the base."""
    name, _, number = model.partition("-")
    method = "evolve" if name in ("adaption", "decomposed", "evolve") else "rounds"
    if facts.config.get(method, {}).get("start") != "previous":
        return ""
    if number and int(number) > 1:
        return f"{name}-{int(number) - 1}"
    before = {"round": "bootstrap", "decomposed": "adaption", "evolve": "decomposed"}.get(name, "")
    return before if facts.model(before) else ""


def model_card(facts: CardFacts) -> str:
    """The text of the card."""
    parts = [
        "---\n" + yaml.safe_dump(_front_matter(facts), sort_keys=False, allow_unicode=True) + "---\n",
        f"# {_plain(facts.run)}: {_plain(label_of(facts.model))}\n",
        _what(facts),
        "## Use\n",
        f"The model answers in the `{facts.format}` call format. Prompts must be rendered with the chat template in "
        "this directory; the tools go through its `tools` argument. `toolace refine` asks again with each answer as "
        "the draft until the model repeats it (adaptive self-refinement).\n",
    ]
    if facts.scores:
        scores = (_scores(split, scores) for split, scores in facts.scores.items())
        parts += ["## Evaluation\n", *scores, _tasks(facts.tasks)]
    else:
        parts += ["## Evaluation\n", "Not evaluated when this card was written.\n"]
    parts += ["## Training\n", _training(facts), "## Limits\n", _limits()]
    return "\n".join(part for part in parts if part)


def write_model_card(model_dir: Store, facts: CardFacts) -> str:
    """Write the card as `README.md` of a model directory, unless it is there already; returns its place."""
    text = model_card(facts).encode()
    if not (model_dir.exists(CARD) and model_dir.read(CARD) == text):
        model_dir.write(CARD, text)
    return model_dir.at(CARD)


def write_model_cards(run: Store) -> list[str]:
    """Write the cards of all models whose training is done, with their evaluations so far; returns their places.

    A card that cannot be written keeps no other from it; the first such error is raised when all were tried.
    """
    facts = gather(run)
    done = [model.name for model in facts.models if f"{model.name}/train" in facts.stages]
    names = [name for name in done if run.exists(f"{name}/train/model/config.json")]
    places: list[str] = []
    errors: list[Exception] = []
    for name in names:
        try:
            places.append(write_model_card(run.sub(f"{name}/train/model"), card_facts(facts, name)))
        except UNREADABLE as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return places


def _front_matter(facts: CardFacts) -> dict[str, Any]:
    matter: dict[str, Any] = {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["tool-calling", "function-calling", "toolace"],
    }
    origin = facts.origin or facts.base
    if origin.count("/") == 1 and not looks_local(origin):
        matter["base_model"] = origin  # a hub name; the hub refuses local places here
    if origin.startswith("builtin:") and facts.data == SYNTHETIC:
        matter["license"] = "apache-2.0"  # weights and data are this package's; of others the licence is not known
    results = [
        {
            "task": {"type": "text-generation", "name": "Tool calling"},
            "dataset": {"type": "toolace", "name": facts.tests.get(split) or facts.data or facts.run, "split": split},
            "metrics": [
                {"type": "exact_match", "name": f"Exact match, {name}", "value": round(scores[arm], 4)}
                for arm, name in (("direct", "direct"), ("adaptive", "adaptive refinement"))
            ],
        }
        for split, scores in facts.scores.items()
    ]
    if results:
        matter["model-index"] = [{"name": f"{facts.run}-{facts.model}", "results": results}]
    return matter


def _what(facts: CardFacts) -> str:
    method = WAYS.get(facts.model.partition("-")[0], WAYS["round"])
    return f"A tool-calling language model, trained from `{_code(facts.base)}` by {method}.\n"


def _scores(split: str, scores: Mapping[str, Any]) -> str:
    lines = [
        f"{split.capitalize()} split, {scores['n']:,} rows, exact match of calls, greedy decoding"
        + (f"; failed rows, counted as wrong: {scores['errors']:,}" if scores["errors"] else "")
        + ":\n",
        "| way of answering | accuracy | repairs | regressions | calls a query | tokens a query |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {_cell(name.replace('_', ' '))} | {arm['accuracy']:.1%} | {arm['repairs']} | {arm['regressions']} "
        f"| {arm['mean_calls']:.2f} | {arm['mean_tokens']:.1f} |"
        for name, arm in ((name, scores["arms"][name]) for name in arm_order(scores["arms"]))
    ]
    return "\n".join(lines) + "\n"


def _tasks(tasks: Mapping[str, Any]) -> str:
    told = [f"{what} {tasks[name]:.1%}" for name, what in TASK_SCORES.items() if tasks.get(name) is not None]
    return f"Sub-tasks on the test split: {', '.join(told)}.\n" if told else ""


def _training(facts: CardFacts) -> str:
    settings, train, corpus = facts.settings, facts.train, facts.corpus
    method = settings.get("method", "")
    if method == "lora":
        method = f"LoRA, rank {settings.get('lora', {}).get('rank', '?')}, merged; the adapter is in `adapter/`"
    kinds = [kind for kind in get_args(RowKind) if corpus.get(kind)]
    rows = ", ".join(f"{corpus[kind]:,} {kind}" for kind in kinds)
    if corpus.get("replay"):
        rows += f"; {corpus['replay']:,} of them replayed"
    losses = train.get("last_loss_by_kind", {})
    by_kind = ", ".join(f"{losses[kind]:.4f} {kind}" for kind in kinds if kind in losses)
    accepted, queries = (facts.evolved.get(name) for name in ("accepted", "queries"))
    versions = ", ".join(f"{name} {version}" for name, version in facts.versions.items())
    table = {
        "run": facts.run,
        "data": facts.data,
        "queries accepted": f"{accepted:,} of {queries:,}" if queries is not None else "",
        "rows": rows,
        "method": "all weights" if method == "full" else method,
        "optimizer steps": _count(train.get("steps")),
        "target tokens": _count(train.get("target_tokens")),
        "last loss": f"{train['last_loss']:.4f} nats a target token" if "last_loss" in train else "",
        "last losses by what rows teach": by_kind if len(losses) > 1 else "",
        "learning rate": f"{settings['lr']:g}, {settings.get('schedule', '')}" if "lr" in settings else "",
        "rows a step": _count(settings.get("global_batch")),
        "precision": train.get("precision") or settings.get("precision", ""),
        "seed": "" if facts.seed is None else str(facts.seed),
        "toolace": " ".join(part for part in (facts.toolace, facts.revision and f"at {facts.revision}") if part),
        "versions": versions,
    }
    lines = ["| | |", "| --- | --- |", *(f"| {name} | {_cell(text)} |" for name, text in table.items() if text)]
    return "\n".join(lines) + "\n"


def _limits() -> str:
    text = (
        "Accuracies are of this run's own splits and say nothing about other tools, languages or prompts. The model "
        "can call a tool wrongly or without need: check calls before they act. The licences of the base model and of "
        "the training data apply."
    )
    return text + "\n"


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else ""


def _plain(text: str) -> str:
    return " ".join(text.split())


def _code(text: str) -> str:
    return _plain(text).replace("`", "'")


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")
