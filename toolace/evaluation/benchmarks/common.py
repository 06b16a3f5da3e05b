"""What several benchmarks share: reading files and calls, comparing values, counting precision, recall and F1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from toolace.calls.formats import Answer, CallFormat, parse_answer
from toolace.calls.literals import UnreadableError, read_value
from toolace.calls.schema import Call, Chat, canonical_json
from toolace.data.records import RowError, parse_json, shorten
from toolace.errors import DataError
from toolace.evaluation.benchmarks.base import BenchmarkRow, Execute, RowVerdict

_OTHER_FORMATS: tuple[CallFormat, ...] = ("hermes", "llama3_json")
_COUNTED = ("name", "argument", "api", "parameter")
"""What benchmarks take precision and recall of."""
_WHOLE = 2**53
"""Floats up to here hold every integer."""
_LONG = 10_000
"""Bits of an integer that Python would refuse to write in decimal (4,300 digits are its limit)."""


class AsWritten:
    """A benchmark whose rules read what the model wrote, and whose calls nothing executes."""

    def scored_text(self, row: BenchmarkRow, text: str, format: CallFormat) -> str:
        """The text as it is."""
        return text

    def backends(self, format: CallFormat) -> Execute | None:
        """None."""
        return None

    def left_out(self, folder: Path, verdicts: Sequence[RowVerdict], sizes: Mapping[str, int]) -> list[str]:
        """Nothing beyond the scores that are None."""
        return []


def find_file(folder: Path, names: Iterable[str], below: Iterable[str] = ()) -> Path | None:
    """The first file with one of these names in `folder` or in one of the folders `below` it."""
    places = [folder, *(folder / place for place in below)]
    return next((path for place in places for name in names if (path := place / name).is_file()), None)


def nothing_found(benchmark: str, folder: Path, names: Iterable[str]) -> DataError:
    """The error for a folder that holds none of a benchmark's files."""
    what = f"{folder} holds none of the files of {benchmark}" if folder.is_dir() else f"there is no folder {folder}"
    return DataError(f"{what}. Looked for: {', '.join(names)}. Give --data the folder in the official layout")


def read_list(path: Path) -> list[Any]:
    """A JSON file that holds a list. Raises `DataError`."""
    try:
        entries = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}. Fetch the file again") from None
    if not isinstance(entries, list):
        raise DataError(f"{path} holds {shorten(entries)} where a list of rows is expected. Fetch the file again")
    return entries


def read_lines(path: Path) -> list[Any]:
    """A JSON Lines file; a line that is not JSON stays as its `ValueError`, an empty one too but for those at the end.
    Raises `DataError`."""
    try:
        lines = path.read_bytes().rstrip().splitlines()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}. Check the file") from None
    entries: list[Any] = []
    for line in lines:
        try:
            entries.append(parse_json(line) if line.strip() else ValueError("an empty line"))
        except ValueError as error:
            entries.append(error)
    return entries


def build_rows(
    path: Path,
    entries: Sequence[Any],
    place: Callable[[Mapping[str, Any]], tuple[str | None, str]],
    make: Callable[[Mapping[str, Any]], tuple[Chat, Any]],
) -> list[BenchmarkRow]:
    """The entries of a file as rows. None is lost: one that `make` refuses has its reason as `problem`.

    `place` gives an entry's official id and its category, for faulty entries too; without an id, file and position are
    the id. `make` gives chat and gold, or raises `RowError`.
    """
    rows = []
    seen: set[str] = set()
    for number, entry in enumerate(entries):
        raw = entry if isinstance(entry, Mapping) else {}
        row_id, category = place(raw)
        row_id = row_id or f"{path.stem}[{number}]"
        problem, chat, gold = None, Chat(), None
        try:
            if not isinstance(entry, Mapping):
                raise RowError(f"bad_row: {entry if isinstance(entry, ValueError) else shorten(entry)}")
            chat, gold = make(entry)
            if row_id in seen:
                raise RowError(f"bad_row: the id {row_id!r} is given twice")
        except ValueError as error:  # RowError, or text that UTF-8 cannot hold
            problem = f"{path}, row {number} ({row_id}): {error}"
        row_id = f"{row_id}#{number}" if row_id in seen else row_id
        seen.add(row_id)
        rows.append(BenchmarkRow(row_id, category, chat, raw, gold, problem))
    return rows


def faulty(row: BenchmarkRow) -> RowVerdict:
    """The verdict on a row whose files are faulty. How much its gold held nobody knows: in what precision and recall
    count, it is one missed of each kind."""
    return RowVerdict(row.id, row.category, False, "bad_row", row.problem or "", {f"{k}_gold": 1.0 for k in _COUNTED})


def not_text(verdict: RowVerdict) -> RowVerdict:
    """The verdict on an output that is no text but steps of turns, from that on an empty text."""
    return replace(verdict, correct=False, error="not_text", detail="expected one text, got steps of turns")


def read_calls(text: str) -> Answer:
    """An answer in any of the call formats. Never raises; without a call, the reading as `pythonic` is given."""
    first = answer = parse_answer(text)
    for format in _OTHER_FORMATS:
        if answer.calls or "{" not in text:
            break
        answer = parse_answer(text, format)
    return answer if answer.calls else first


Keyed = tuple[str, dict[str, str | tuple[str]]]
"""A call's name and the keys (`value_key`) of its arguments."""


def keyed(calls: Iterable[Call], *, literals: bool = False) -> list[Keyed]:
    """Calls ready for comparing; an argument that is an empty string counts as not given (Hammer's rule)."""
    return [
        (call.name, {key: value_key(value, literals) for key, value in call.arguments.items() if value != ""})
        for call in calls
    ]


def value_key(value: Any, literals: bool = False) -> str | tuple[str]:
    """Equal for values that read the same: 3, 3.0 and "3" are; the keys of objects may stand in any order.

    `literals`: a string that is a whole list or object in Python or JSON syntax stands for that list or object.
    """
    if isinstance(value, str):
        text = value.strip()
        if literals and text[:1] in ("[", "{"):
            try:
                read, end = read_value(text, 0)
            except UnreadableError:
                return text
            if end == len(text):
                return value_key(read)
        return text
    if isinstance(value, float) and value.is_integer() and abs(value) <= _WHOLE:
        return str(int(value))
    if isinstance(value, Mapping | list | tuple):
        return (canonical_json(_texts(value)),)
    if isinstance(value, int) and value.bit_length() > _LONG:
        return hex(value)
    return str(value)


def _texts(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _texts(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_texts(item) for item in value]
    return value_key(value)


def compare(calls: Sequence[Keyed], gold: Sequence[Keyed]) -> tuple[str | None, str]:
    """Whether calls are the gold's, in any order: error kind and sentence, `(None, "")` where they are.

    Where they differ, the kind is that of the first gold call that none equals, beside the first spare call of its
    name.
    """
    if len(calls) != len(gold):
        return "wrong_count", f"expected {len(gold)} call(s), got {len(calls)}"
    spare = list(calls)
    missed = []
    for entry in gold:
        if entry in spare:
            spare.remove(entry)
        else:
            missed.append(entry)
    if not missed:
        return None, ""
    name, arguments = missed[0]
    got = next((given for other, given in spare if other == name), None)
    if got is None:
        return "wrong_func_name", f"expected {name!r}, got {spare[0][0]!r}"
    for key, value in arguments.items():
        if key not in got:
            return "missing_param", f"{name}: {key!r} is missing"
        if got[key] != value:
            return "value_error", f"{name}.{key}: expected {_shown(value):.80}, got {_shown(got[key]):.80}"
    return "unexpected_param", f"{name}: {next(key for key in got if key not in arguments)!r} is not expected"


def _shown(key: str | tuple[str]) -> str:
    return key if isinstance(key, str) else key[0]


def judge_calls(
    row: BenchmarkRow, answer: Answer, gold: Sequence[Call], *, said: str, literals: bool = False
) -> RowVerdict:
    """The verdict by `compare`; its parts count names and arguments (tool, parameter and value together).

    `said` is the text that the answer was read from. `name_hits`, `name_predicted`, `name_gold` and the same of
    `argument`: what is predicted hits at most as often as the gold has it. An answer without a readable call, an empty
    one too, counts as one predicted call (Hammer's rule), `[]` as none.
    """
    calls, wanted = keyed(answer.calls, literals=literals), keyed(gold, literals=literals)
    parts: dict[str, float] = {}
    if answer.calls:
        error, detail = compare(calls, wanted)
    else:
        error = "no_call" if answer.error is None else "decoder_failed"
        detail = answer.error or f"expected {len(gold)} call(s), got none"
    if error is None:  # equal calls: every name and argument hits
        given = float(sum(len(arguments) for _, arguments in wanted))
        parts |= dict.fromkeys(("name_hits", "name_predicted", "name_gold"), float(len(wanted)))
        parts |= dict.fromkeys(("argument_hits", "argument_predicted", "argument_gold"), given)
    else:
        parts |= _counts("name", [name for name, _ in calls], [name for name, _ in wanted])
        parts |= _counts("argument", _triples(calls), _triples(wanted))
        if not calls and (answer.error is not None or answer.text or not said.strip()):
            parts["name_predicted"] = 1.0
    return RowVerdict(row.id, row.category, error is None, error, detail, parts)


def _triples(calls: Sequence[Keyed]) -> list[Any]:
    return [(name, key, value) for name, arguments in calls for key, value in arguments.items()]


def _counts(kind: str, predicted: Sequence[Any], gold: Sequence[Any]) -> dict[str, float]:
    hits = (Counter(predicted) & Counter(gold)).total()
    return {f"{kind}_hits": hits, f"{kind}_predicted": len(predicted), f"{kind}_gold": len(gold)}


def f1_scores(verdicts: Iterable[RowVerdict], kind: str) -> dict[str, float]:
    """Micro precision, recall and F1 of a kind from the verdicts' parts; 0 where there is nothing to divide by."""
    hits = predicted = gold = 0.0
    for verdict in verdicts:
        parts = verdict.parts or {}
        hits += parts.get(f"{kind}_hits", 0)
        predicted += parts.get(f"{kind}_predicted", 0)
        gold += parts.get(f"{kind}_gold", 0)
    precision, recall = hits / predicted if predicted else 0.0, hits / gold if gold else 0.0
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return {f"{kind}_precision": precision, f"{kind}_recall": recall, f"{kind}_f1": f1}


def group_scores(
    verdicts: Iterable[RowVerdict],
    sizes: Mapping[str, int],
    groups: Mapping[str, Sequence[str]],
    measure: Callable[[Sequence[RowVerdict]], Mapping[str, float]],
) -> dict[str, float | None]:
    """`group/score` for each group of categories that is at hand; None where not all its rows have a verdict."""
    by_category: dict[str, list[RowVerdict]] = {}
    for verdict in verdicts:
        by_category.setdefault(verdict.category, []).append(verdict)
    scores: dict[str, float | None] = {}
    for group, categories in groups.items():
        here = [category for category in categories if sizes.get(category)]
        if not here:
            continue
        chosen = [verdict for category in here for verdict in by_category.get(category, [])]
        whole = len(chosen) == sum(sizes[category] for category in here)
        for score, value in measure(chosen).items():
            scores[f"{group}/{score}"] = value if whole else None
    return scores


def accuracy(verdicts: Sequence[RowVerdict]) -> float:
    """Share of correct verdicts; 0 where there are none."""
    return sum(verdict.correct for verdict in verdicts) / len(verdicts) if verdicts else 0.0
