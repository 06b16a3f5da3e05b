"""Answers of many kinds made from gold answers: right ones, nearly right ones and broken ones. Deterministic.

A mutation is a function from a row, its gold calls and a random generator (seeded by row and kind) to model text, or
None where it does not apply to the row.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from answers import Answer, gold_calls, java_text, python_text, render, render_call

from toolace.evaluation.benchmarks.base import BenchmarkRow

Calls = list[Answer]
Mutation = Callable[[BenchmarkRow, Calls, random.Random], str | None]
MUTATIONS: dict[str, Mutation] = {}


def outputs(row: BenchmarkRow) -> Iterator[tuple[str, str]]:
    """(kind of mutation, model text) for each kind that applies to the row."""
    for kind, mutate in MUTATIONS.items():
        text = mutate(row, gold_calls(row), random.Random(f"{row.id}/{kind}"))
        if text is not None:
            yield kind, text


def mutation(function: Mutation) -> Mutation:
    MUTATIONS[function.__name__] = function
    return function


def _changed_value(row: BenchmarkRow, calls: Calls, rng: random.Random, wanted: Any, change: Any) -> str | None:
    """The calls with one value of the type `wanted` changed; `change` gives the new value."""
    places = [
        (number, key) for number, call in enumerate(calls) for key, value in call.arguments.items() if wanted(value)
    ]
    if not places:
        return None
    number, key = rng.choice(places)
    calls[number].arguments[key] = change(calls[number].arguments[key])
    return render(row, calls)


def _value_mutation(name: str, wanted: Callable[[Any], bool], change: Callable[[Any], Any]) -> None:
    MUTATIONS[name] = lambda row, calls, rng: _changed_value(row, calls, rng, wanted, change)


def _text_mutation(name: str, change: Callable[[str], str]) -> None:
    MUTATIONS[name] = lambda row, calls, rng: change(render(row, calls))


def _is(*types: type) -> Callable[[Any], bool]:
    return lambda value: type(value) in types


def _full(*types: type) -> Callable[[Any], bool]:
    return lambda value: type(value) in types and len(value) > 0


@mutation
def gold(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    return render(row, calls)


@mutation
def other_choice(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    return render(row, gold_calls(row, choice=1))


@mutation
def last_choice(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    return render(row, gold_calls(row, choice=99))


@mutation
def wrong_name(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    calls[-1] = Answer(calls[-1].name + "_x", calls[-1].arguments)
    return render(row, calls)


@mutation
def name_case(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    return render(row, [Answer(call.name.swapcase(), call.arguments) for call in calls])


@mutation
def name_underscored(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    if "." not in calls[0].name:
        return None
    return render(row, [Answer(call.name.replace(".", "_"), call.arguments) for call in calls])


@mutation
def name_with_space(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    return render(row, [Answer("get " + call.name, call.arguments) for call in calls])


@mutation
def other_function(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    names = [function["name"] for function in row.raw["function"] if function["name"] != calls[0].name]
    return render(row, [Answer(rng.choice(names), calls[0].arguments), *calls[1:]]) if names else None


@mutation
def dropped_argument(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    call = rng.choice(calls)
    if not call.arguments:
        return None
    del call.arguments[rng.choice(list(call.arguments))]
    return render(row, calls)


@mutation
def dropped_arguments(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    return render(row, [Answer(call.name, {}) for call in calls])


@mutation
def extra_argument(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    rng.choice(calls).arguments["zz_extra"] = 1
    return render(row, calls)


@mutation
def extra_known_argument(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    """A parameter of the schema that the gold leaves out."""
    for function in row.raw["function"]:
        missing = [key for key in function["parameters"]["properties"] if key not in calls[0].arguments]
        if function["name"] == calls[0].name and missing:
            calls[0].arguments[missing[0]] = "x"
            return render(row, calls)
    return None


@mutation
def renamed_argument(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    call = calls[-1]
    if not call.arguments:
        return None
    old = rng.choice(list(call.arguments))
    renamed = {key + "2" if key == old else key: value for key, value in call.arguments.items()}
    return render(row, [*calls[:-1], Answer(call.name, renamed)])


@mutation
def argument_order(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    return render(row, [Answer(call.name, dict(reversed(call.arguments.items()))) for call in calls])


@mutation
def repeated_argument(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    text = render_call(row, calls[0])
    return f"[{text[:-1]}, {text[text.index('(') + 1 :]}]" if calls[0].arguments else None


@mutation
def positional_arguments(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    return "[" + ", ".join(f"{c.name}({', '.join(map(python_text, c.arguments.values()))})" for c in calls) + "]"


@mutation
def positional_name(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    text = render_call(row, calls[0])
    return f"[{text.replace('(', '(value, ', 1)}]" if calls[0].arguments else None


@mutation
def starred_arguments(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    return "[" + ", ".join(f"{call.name}(**{call.arguments!r})" for call in calls) + "]"


_value_mutation("number_as_text", _is(int, float), str)
_value_mutation("number_changed", _is(int, float), lambda value: value + 1)
_value_mutation("number_negated", _is(int, float), lambda value: -value - 1)
_value_mutation("float_for_int", _is(int), float)
_value_mutation("int_for_float", _is(float), int)
_value_mutation("bool_for_number", _is(int, float), bool)
_value_mutation("number_for_bool", _is(bool), int)
_value_mutation("bool_as_text", _is(bool), lambda value: str(value).lower())
_value_mutation("bool_changed", _is(bool), lambda value: not value)
_value_mutation("text_upper_case", _full(str), str.upper)
_value_mutation("text_punctuation", _full(str), lambda value: " ".join(value).replace("a", "a-") + "._^*/,")
_value_mutation("text_other_punctuation", _full(str), lambda value: value + "!")
_value_mutation("text_quotes", _full(str), lambda value: value[:1] + "'" + value[1:] + '"')
_value_mutation("text_changed", _is(str), lambda value: value + " x")
_value_mutation("text_empty", _full(str), lambda value: "")
_value_mutation("text_accented", _full(str), lambda value: "é" + value + "日本")
_value_mutation("text_escaped", _full(str), lambda value: value + "\n\t\\d")
_value_mutation("text_as_list", _full(str), lambda value: [value])
_value_mutation("number_as_list", _is(int, float), lambda value: [value])
_value_mutation("text_for_anything", lambda value: True, lambda value: "something else")
_value_mutation("number_for_anything", lambda value: True, lambda value: 7)
_value_mutation("list_for_anything", lambda value: True, lambda value: ["a", 1])
_value_mutation("object_for_anything", lambda value: True, lambda value: {"a": 1})
_value_mutation("none_for_anything", lambda value: True, lambda value: None)
_value_mutation("list_reversed", _full(list), lambda value: value[::-1])
_value_mutation("list_shorter", _full(list), lambda value: value[:-1])
_value_mutation("list_longer", _full(list), lambda value: [*value, value[-1]])
_value_mutation("list_empty", _full(list), lambda value: [])
_value_mutation("list_as_tuple", _is(list), tuple)
_value_mutation("list_as_text", _is(list), repr)
_value_mutation("list_item_alone", _full(list), lambda value: value[0])
_value_mutation("list_items_as_text", _full(list), lambda value: [str(item) for item in value])
_value_mutation("list_items_upper_case", _full(list), lambda value: [str(item).upper() + "." for item in value])
_value_mutation("list_item_changed", _full(list), lambda value: [*value[:-1], "zz"])
_value_mutation("list_items_float", _full(list), lambda v: [float(i) if isinstance(i, int) else i for i in v])
_value_mutation("list_nested", _full(list), lambda value: [value])
_value_mutation("object_extra_key", _is(dict), lambda value: {**value, "zz": 1})
_value_mutation("object_key_dropped", _full(dict), lambda value: dict(list(value.items())[1:]))
_value_mutation("object_value_changed", _full(dict), lambda value: {**value, next(iter(value)): "zz"})
_value_mutation(
    "object_text_case", _full(dict), lambda v: {k: i.upper() if isinstance(i, str) else i for k, i in v.items()}
)
_value_mutation("object_value_lists", _full(dict), lambda value: {key: [item] for key, item in value.items()})
_value_mutation("object_empty", _full(dict), lambda value: {})
_value_mutation("object_as_text", _is(dict), json.dumps)


@mutation
def bare_names(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    """Texts that are identifiers, without their quotes."""
    given = [
        (
            call.name,
            [f"{k}={v if isinstance(v, str) and v.isidentifier() else repr(v)}" for k, v in call.arguments.items()],
        )
        for call in calls
    ]
    return "[" + ", ".join(f"{name}({', '.join(arguments)})" for name, arguments in given) + "]"


def _written(expression: Callable[[Any], str], wanted: Callable[[Any], bool] = lambda value: True) -> Mutation:
    """One value written as an expression."""

    def mutate(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
        keys = [key for key, value in calls[0].arguments.items() if wanted(value)]
        if not keys:
            return None
        key = rng.choice(keys)
        rest = {name: value for name, value in calls[0].arguments.items() if name != key}
        first = render_call(row, Answer(calls[0].name, rest))
        first = f"{first[:-1]}{', ' if rest else ''}{key}={expression(calls[0].arguments[key])})"
        return "[" + ", ".join([first, *(render_call(row, call) for call in calls[1:])]) + "]"

    return mutate


MUTATIONS["arithmetic"] = _written(lambda value: f"{value} - 1 + 1", _is(int, float))
MUTATIONS["arithmetic_product"] = _written(lambda value: f"2 * ({value} / 2)", _is(int, float))
MUTATIONS["additions_200"] = _written(lambda value: f"{value}{' + 0' * 200}", _is(int, float))
MUTATIONS["additions_600"] = _written(lambda value: f"{value}{' + 0' * 600}", _is(int, float))
MUTATIONS["text_joined_200"] = _written(lambda value: f"{value!r}{' + str()' * 200}", _is(str))
MUTATIONS["long_power"] = _written(lambda value: f"{value} + 2**8000 // 2**8001", _is(int, float))
MUTATIONS["long_number"] = _written(lambda value: "2**8000", _is(int, float))
MUTATIONS["long_digits"] = _written(lambda value: "[" + "7" * 4000 + ", 1]")
MUTATIONS["more_digits"] = _written(lambda value: "[" + "7" * 5000 + "]")
MUTATIONS["in_brackets_200"] = _written(lambda value: "(" * 200 + f"{value!r}" + ")" * 200)
MUTATIONS["in_brackets_400"] = _written(lambda value: "(" * 400 + f"{value!r}" + ")" * 400)
MUTATIONS["nested_new_600"] = _written(lambda value: "new A(" * 600 + "1" + ")" * 600)
MUTATIONS["arithmetic_unknown"] = _written(lambda value: f"x + {value!r}")
MUTATIONS["arithmetic_zero"] = _written(lambda value: f"{value} / 0", _is(int, float))
MUTATIONS["object_unpacked"] = _written(
    lambda value: f"{{{next(iter(value))!r}: 'zz', **{value!r}}} | {{}}", _full(dict)
)
MUTATIONS["object_unpacked_wrong"] = _written(lambda value: f"{{**{value!r}, **{{'zz': 1}}}} | {{}}", _full(dict))
MUTATIONS["text_joined"] = _written(lambda value: f"{value[:1]!r} + {value[1:]!r}", _is(str))
MUTATIONS["text_side_by_side"] = _written(lambda value: f"{value[:1]!r} {value[1:]!r}", _is(str))
MUTATIONS["text_formatted"] = _written(lambda value: f"f{value!r}", _is(str))
MUTATIONS["text_raw"] = _written(lambda value: f"r{value!r}", _is(str))
MUTATIONS["signed"] = _written(lambda value: f"+{value}", _is(int, float))
MUTATIONS["not_value"] = _written(lambda value: f"not {value}", _is(bool))
MUTATIONS["nested_call"] = _written(lambda value: "g(x=1)")
MUTATIONS["nested_call_positional"] = _written(lambda value: "g( 1,x )")
MUTATIONS["attribute"] = _written(lambda value: "Unit.KM")
MUTATIONS["subscript"] = _written(lambda value: "values[ 0 ]")
MUTATIONS["lambda_value"] = _written(lambda value: "lambda x: x")
MUTATIONS["ellipsis"] = _written(lambda value: "...")
MUTATIONS["json_words"] = _written(lambda value: "true")
MUTATIONS["null"] = _written(lambda value: "null")
MUTATIONS["conditional"] = _written(lambda value: f"{value!r} if x else 1")
MUTATIONS["comprehension"] = _written(lambda value: "[x for x in y]")
MUTATIONS["set_value"] = _written(lambda value: "{1, 2}")
MUTATIONS["in_brackets"] = _written(lambda value: f"({value!r})")
MUTATIONS["java_list"] = _written(lambda v: java_text(v, {"type": "ArrayList", "items": {"type": "String"}}), _is(list))
MUTATIONS["java_new"] = _written(lambda value: 'new Foo( 1, "a b", x.y( z ) )')
MUTATIONS["java_array"] = _written(lambda value: 'new String[] { "a", "b" }')
MUTATIONS["js_object"] = _written(lambda value: "{a: 1, 'b': [true, \"x\"], c: {d: y}}")
MUTATIONS["arrow"] = _written(lambda value: "(x, y) => x + y")
MUTATIONS["function_value"] = _written(lambda value: "function (x) { return x; }")


@mutation
def calls_reversed(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    return render(row, calls[::-1]) if len(calls) > 1 else None


@mutation
def calls_shuffled(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    rng.shuffle(calls)
    return render(row, calls) if len(calls) > 1 else None


@mutation
def call_twice(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    return render(row, [*calls, calls[0]])


@mutation
def call_in_place_of_another(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    return render(row, [calls[0], *calls[:-1]]) if len(calls) > 1 else None


@mutation
def call_dropped(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    return render(row, calls[:-1])


@mutation
def calls_on_lines(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    return "\n".join(render_call(row, call) for call in calls)


@mutation
def calls_with_semicolons(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    return "; ".join(render_call(row, call) for call in calls) + ";"


@mutation
def calls_in_choices(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    """Acceptable values of each gold call taken by turns: where choices overlap, the greedy pairing matters."""
    others = gold_calls(row, choice=1)
    return render(row, [*others[:1], *calls[1:]][::-1]) if len(calls) > 1 else None


@mutation
def json_calls(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    return json.dumps([{"name": call.name, "arguments": call.arguments} for call in calls])


@mutation
def json_one_key(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    return json.dumps([{call.name: call.arguments} for call in calls])


@mutation
def python_spelling(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    """Python literals, whatever the language of the category."""
    given = [(c.name, ", ".join(f"{k}={v!r}" for k, v in c.arguments.items())) for c in calls]
    return "[" + ", ".join(f"{name}({arguments})" for name, arguments in given) + "]"


@mutation
def arguments_on_lines(row: BenchmarkRow, calls: Calls, rng: random.Random) -> str | None:
    return render(row, calls).replace(", ", ",\n    ").replace("(", "(\n    ", 1)


_text_mutation("prose_before", lambda text: f"Here is the call you need: {text}")
_text_mutation("prose_before_on_a_line", lambda text: f"I will call the function.\n{text}")
_text_mutation("prose_after", lambda text: f"{text}\nThis gives the result.")
_text_mutation("prose_after_on_a_line", lambda text: f"{text} I hope it helps!")
_text_mutation("prose_alone", lambda text: "I am sorry, none of the functions can be used here.")
_text_mutation("prose_with_a_call", lambda text: f"You could use {text[1:-1]} for that.")
_text_mutation("prose_of_two_words", lambda text: f"Hello world {text[1:-1]}")
_text_mutation("prose_of_steps", lambda text: f"Action: {text[1:-1]}\nObservation:")
_text_mutation("twice_on_lines", lambda text: f"{text[1:-1]}\n{text[1:-1]}")
_text_mutation("import_before", lambda text: f"import java.util.*;\n\n{text[1:-1]};")
_text_mutation(
    "in_a_class", lambda text: f"public class A {{ public static void main(String[] a) {{ {text[1:-1]}; }} }}"
)
_text_mutation("thrown", lambda text: f"throw {text[1:-1]}")
_text_mutation("tried", lambda text: f"try {{ {text[1:-1]}; }} catch (Exception e) {{ }}")
_text_mutation("in_a_comprehension", lambda text: f"[{text[1:-1]} for x in y]")
_text_mutation("on_a_condition", lambda text: f"[{text[1:-1]} if x else y]")
_text_mutation("byte_order_mark", lambda text: f"\ufeff{text[1:-1]}")
_text_mutation("unbreakable_spaces", lambda text: text.replace(", ", ",\u00a0"))
_text_mutation("hyphenated_argument", lambda text: text.replace("=", "-x=", 1))
_text_mutation("one_word", lambda text: "Sorry")
_text_mutation("fence", lambda text: f"```\n{text}\n```")
_text_mutation("fence_python", lambda text: f"```python\n{text}\n```")
_text_mutation("fence_java", lambda text: f"```java\n{text[1:-1]}\n```")
_text_mutation("fence_javascript", lambda text: f"```javascript\n{text[1:-1]}\n```")
_text_mutation("backticks", lambda text: f"`{text}`")
_text_mutation("no_brackets", lambda text: text[1:-1])
_text_mutation("no_opening_bracket", lambda text: text[1:])
_text_mutation("no_closing_bracket", lambda text: text[:-1])
_text_mutation("no_closing_parenthesis", lambda text: text[:-2] + "]")
_text_mutation("extra_parenthesis", lambda text: text[:-1] + ")]")
_text_mutation("double_brackets", lambda text: f"[{text}]")
_text_mutation("tuple_brackets", lambda text: f"({text[1:-1]})")
_text_mutation("quoted_list", lambda text: f"'{text}'")
_text_mutation("trailing_comma", lambda text: text[:-1] + ",]")
_text_mutation("comma_in_call", lambda text: text[:-2] + ",)]")
_text_mutation("cut_in_half", lambda text: text[: len(text) // 2])
_text_mutation("cut_at_the_end", lambda text: text[:-3])
_text_mutation("blank_space", lambda text: f" \n {text.replace('(', ' ( ').replace('=', ' = ')} \n")
_text_mutation("tab_before", lambda text: f"\t{text}\t")
_text_mutation("tool_call_tag", lambda text: f"<tool_call>{text}</tool_call>")
_text_mutation("special_token", lambda text: f"<|python_tag|>{text}")
_text_mutation("assignment", lambda text: f"result = {text[1:-1]}")
_text_mutation("printed", lambda text: f"print({text[1:-1]})")
_text_mutation("comment_after", lambda text: f"{text}  # the call")
_text_mutation("comment_inside", lambda text: f"{text[:-1]} // the call\n]")
_text_mutation("semicolon", lambda text: f"{text[:-1]};]")
_text_mutation("single_quotes", lambda text: text.replace('"', "'"))
_text_mutation("double_quotes", lambda text: text.replace("'", '"'))
_text_mutation("curly_quotes", lambda text: text.replace('"', "”").replace("'", "’"))
_text_mutation("colon_for_equals", lambda text: text.replace("=", ": "))
_text_mutation("null_byte", lambda text: text[:-2] + "\0" + text[-2:])
_text_mutation("empty_list", lambda text: "[]")
_text_mutation("empty_text", lambda text: "")
_text_mutation("empty_object", lambda text: "[{}]")
_text_mutation("call_in_brackets_600", lambda text: "(" * 600 + text[1:-1] + ")" * 600)
_text_mutation("call_in_a_sum_600", lambda text: text[1:-1] + " + 1" * 600)
_text_mutation("number_alone", lambda text: "42")
