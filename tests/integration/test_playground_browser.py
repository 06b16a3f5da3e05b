"""The playground in a real browser, under its own policy: rounds, changes, errors, hostile texts, code to copy."""

from __future__ import annotations

import ast
import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from playground_server import BROWSER, EVIL, KEY, Endpoint, call, completion, step

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint().running() as running:
        yield running


ROUNDS = """
const models = [...$("model").options].map((option) => option.textContent);
seen.started = { status: text("status"), tools: text("tools-state"), models };
seen.narrow = overflow();
const marks = () => all(".round").map((round) => ({
  title: round.querySelector("h3").textContent,
  chips: [...round.querySelectorAll(".head .chip")].map((chip) => chip.textContent),
  meta: round.querySelector(".meta").textContent,
  folded: round.querySelector("details") !== null,
  rows: [...round.querySelectorAll(".arguments tr")].filter((row) => row.className !== "same")
    .map((row) => [row.className, ...[".sign", "th", "td:last-child"].map((at) => row.querySelector(at).textContent)]),
  calls: [...round.querySelectorAll(".call")].map((call) => [call.className, call.querySelector("code").textContent]),
}));
type("rounds", "3"); type("deadline", "9000"); $("mode").value = "fixed";
$("mode").dispatchEvent(new Event("change"));
$("query").focus();
$("query").dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", ctrlKey: true, bubbles: true }));
seen.asking = [text("status"), $("stop").disabled];
await idle();
seen.rounds = marks();
seen.status = text("status"); seen.why = document.querySelector(".why").textContent;
seen.in_view = $("answer").getBoundingClientRect().top < innerHeight * 0.6 && scrollY > 0;
seen.costs = all(".costs tbody tr, .costs tfoot tr").map((row) => [...row.children].map((cell) => cell.textContent));
seen.final = document.querySelector(".final").textContent;
seen.result = text("result");
seen.overflow = overflow();
seen.boxes = all("main *").filter((node) => node.getBoundingClientRect().right > innerWidth + 1)
  .filter((node) => !node.closest(".scroll, .unseen")).map((node) => node.tagName + "." + node.className);
seen.curl = text("curl"); seen.python = text("python");
await ask();
seen.big = marks()[1];
seen.rejected = marks()[2];
await ask();
seen.unscored = marks().map((round) => round.chips);
$("mode").value = "off"; $("mode").dispatchEvent(new Event("change"));
await ask();
seen.plain = [text("status"), document.querySelector(".final").textContent, marks().length];
"""


def test_each_round_with_its_changes(endpoint: Endpoint, tmp_path: Path) -> None:
    kept = {"to": {"name": "Ana", "mail": "a@b.org"}, "days": [1, 2]}
    first = step(call("look_up", q=EVIL, limit=5, old=EVIL, **kept), call("gone", x=1), content=EVIL)
    second = step(
        call("look_up", q=EVIL, limit=7, new=EVIL, to={"name": "Eva", "mail": "a@b.org"}, days=[1, 2]),
        call(EVIL, y="it's", z=1),
        tokens=1234,
        ms=250,
    )
    unscored = completion(step(call("f", id=1)), step(call("f", id=2)), stopped="deadline")
    unscored["choices"][0]["message"]["tool_calls"] = [call("f", id=1)]
    endpoint.answers = [
        (200, {}, completion(first, second, second, model=EVIL)),
        # Two integers that one double holds: still a change.
        (
            200,
            {},
            completion(
                step(call("f", id=9007199254740992)),
                step(call("f", id=9007199254740993)),
                step(call("f", id=1, more={})),
                stopped="margin",
            ),
        ),
        # The deadline came while the last answer was to be scored: the one before it is the accepted one.
        (200, {}, unscored),
        (
            200,
            {},
            {
                "model": "tiny",
                "choices": [{"message": {"role": "assistant", "content": f"Hello {EVIL}"}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
            },
        ),
    ]
    seen = endpoint.drive(ROUNDS, tmp_path, "390,800")
    assert seen["problems"] == [] and seen["pwned"] is None and seen["images"] == 0 and seen["scripts"] == 2
    assert seen["started"]["models"] == ["tiny", EVIL]
    assert seen["started"]["tools"].startswith("4 tools: create_music_playlist, ")
    assert seen["narrow"] <= 0 and seen["overflow"] <= 0 and seen["boxes"] == []
    assert seen["asking"] == ["Asking…", False] and seen["in_view"]

    direct, round_1, round_2 = seen["rounds"]
    assert direct["title"] == "First answer" and direct["chips"] == ["2 calls"] and direct["rows"] == []
    assert direct["meta"] == "100 ms · 20 tokens"
    assert round_1["chips"] == ["+ 2 added", "− 2 removed", "~ 2 changed", "~ text changed"]
    assert round_1["calls"] == [["call changed", "look_up"], ["call added", EVIL], ["call removed", "gone"]]
    quoted = json.dumps(EVIL)
    assert round_1["rows"] == [
        ["changed", "~changed: ", "limit", "5 → 7"],
        ["added", "+added: ", "new", quoted],
        ["changed", "~changed: ", "to.name", '"Ana" → "Eva"'],
        ["removed", "−removed: ", "old", quoted],
        ["added", "+added: ", "y", '"it\'s"'],
        ["added", "+added: ", "z", "1"],
        ["removed", "−removed: ", "x", "1"],
    ]
    assert (round_2["chips"], round_2["folded"], round_2["rows"]) == (["= unchanged"], True, [])
    assert seen["status"] == "2 rounds, stopped: unchanged."
    assert "repeated its answer in round 2" in seen["why"]
    assert seen["costs"] == [
        ["First", "100 ms", "", "20", "200"],
        ["Round 1", "250 ms", "", "1,234", "200"],
        ["Round 2", "250 ms", "", "1,234", "200"],
        ["In all", "600 ms", "", "2,488", "600"],
    ]
    assert EVIL in seen["final"] and f"Answered by {EVIL}" in seen["result"]
    assert seen["big"]["rows"] == [["changed", "~changed: ", "id", "9007199254740992 → 9007199254740993"]]
    assert seen["rejected"]["chips"] == ["+ 1 added", "~ 1 changed", "× not taken"]
    assert seen["unscored"] == [["1 call"], ["~ 1 changed", "× not taken"]]
    assert seen["plain"] == ["One answer, not refined.", f"Hello {EVIL}", 1]

    headers, body = endpoint.requests[0]
    assert "authorization" not in headers
    assert body["model"] == "tiny" and body["messages"] == [{"role": "user", "content": body["messages"][0]["content"]}]
    assert body["refinement"] == {"mode": "fixed", "max_rounds": 3, "deadline_ms": 9000, "return_rounds": True}
    assert body["tools"][0]["function"]["name"] == "create_music_playlist"
    assert endpoint.requests[3][1]["refinement"] == {"mode": "off"}
    # The code that is shown makes the request that was made.
    words = shlex.split(seen["curl"].replace("\\\n", " "))
    assert words[:2] == ["curl", f"{endpoint.url}/v1/chat/completions"]
    assert json.loads(words[words.index("-d") + 1]) == body
    assert keywords(seen["python"]) == {**{k: v for k, v in body.items() if k != "refinement"}, "extra_body": {
        "refinement": body["refinement"]
    }}  # fmt: skip


def keywords(code: str) -> dict[str, object]:
    """The arguments of the `create` call in a Python snippet."""
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    create = next(c for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr == "create")
    return {keyword.arg or "": ast.literal_eval(keyword.value) for keyword in create.keywords}


ERRORS = """
seen.models = [$("model").textContent, text("key-hint")];
const wait = () => document.querySelector(".wait")?.textContent ?? null;
const error = () => ({ text: text("error"), wait: wait(), status: text("status") });
await ask();
seen.unauthorized = { ...error(), focus: document.activeElement.id, invalid: $("key").getAttribute("aria-invalid") };
type("key", "two words"); await ask();
seen.odd = text("key-hint");
type("key", KEY);
await until(() => $("model").value === "tiny");
seen.unkept = JSON.stringify({ ...sessionStorage });
await ask(); seen.answered = text("status");
await ask(); seen.busy = error();
await ask(); seen.broken = error();
await ask(); seen.strange = error();
$("ask").click(); $("stop").focus(); $("stop").click(); await idle();
seen.stopped = [text("status"), text("error"), document.activeElement.id, $("stop").disabled];
$("keep").click(); seen.kept = { ...sessionStorage };
$("keep").click(); seen.dropped = JSON.stringify({ ...sessionStorage });
seen.where = location.href;
seen.code = text("curl") + text("python");
"""


def test_errors_keys_and_stop(endpoint: Endpoint, tmp_path: Path) -> None:
    def error(message: str, **more: str | None) -> dict[str, object]:
        return {"error": {"message": message, "type": "some_error", "param": None, "code": None, **more}}

    endpoint.keyed = True
    endpoint.answers = [
        (401, {}, error(f"Give a key. {EVIL}", code="invalid_api_key")),
        (200, {}, completion(step(call("f", a=1)))),
        (
            429,
            {"Retry-After": "70", "X-Request-Id": "req-7"},
            error("Slow down.", code="rate_limit_exceeded", param="messages"),
        ),
        (502, {}, f"<html>{EVIL}</html>"),
        (200, {}, "no JSON"),
        (0, {}, None),
    ]
    seen = endpoint.drive(f"const KEY = {json.dumps(KEY)};\n{ERRORS}", tmp_path)
    assert seen["problems"] == [] and seen["pwned"] is None and seen["images"] == 0
    assert seen["models"] == ["needs an API key", "This server asks for an API key."]
    unauthorized = seen["unauthorized"]
    assert "An API key is needed (401)" in unauthorized["text"] and f"Give a key. {EVIL}" in unauthorized["text"]
    assert "code: invalid_api_key" in unauthorized["text"]
    assert (unauthorized["focus"], unauthorized["invalid"]) == ("key", "true")
    assert "a header cannot carry" in seen["odd"]
    assert seen["answered"] == "0 rounds, stopped: unchanged."
    assert (
        "Too many requests (429)" in seen["busy"]["text"] and "field: messages · request: req-7" in seen["busy"]["text"]
    )
    assert (
        seen["busy"]["wait"] == "The server asks to wait: 70 seconds left." and seen["busy"]["status"] == "No answer."
    )
    assert "The server failed (502)" in seen["broken"]["text"] and EVIL in seen["broken"]["text"]
    assert seen["broken"]["wait"] is None
    assert "This is no chat completion" in seen["strange"]["text"]
    assert seen["stopped"] == ["Stopped. The request was given up.", "", "ask", True]

    assert seen["unkept"] == seen["dropped"] == "{}" and list(seen["kept"].values()) == [KEY]
    assert KEY not in seen["where"] and not any(KEY in url for url in endpoint.urls)
    assert KEY not in seen["code"] and "$TOOLACE_API_KEY" in seen["code"]
    assert [headers.get("authorization") for headers, _ in endpoint.requests] == [None, *[f"Bearer {KEY}"] * 5]


MISTAKES = """
const state = (value) => { type("tools", value); return text("tools-state"); };
seen.states = TEXTS.map(state);
seen.invalid = $("tools").getAttribute("aria-invalid");
$("ask").click();
seen.refused = [document.activeElement.id, $("tools").selectionStart, text("status"), text("curl")];
seen.right = state(RIGHT);
seen.valid = $("tools").getAttribute("aria-invalid");
$("tidy").click(); seen.tidy = $("tools").value;
type("query", "   "); $("ask").click(); seen.empty = [document.activeElement.id, text("query-state")];
type("query", "What?"); type("rounds", "1.5"); $("ask").click();
seen.rounds = [document.activeElement.id, text("how-state")];
type("rounds", "");
$("sample").selectedIndex = 2; $("sample").dispatchEvent(new Event("change"));
$("example").selectedIndex = 2; $("example").dispatchEvent(new Event("change"));
seen.sample = [text("tools-state"), $("query").value];
seen.python = (type("query", "it's \\"5\\" \\\\ ü 😀\\nline"), text("python")); seen.curl = text("curl");
const { retryAfter, reason } = await import("/playground/playground_show.js");
seen.waits = ["7", "", "soon", "Thu, 01 Jan 1970 00:00:10 GMT"].map((header) => retryAfter(header, 4000));
seen.reasons = STOPS.map((stopped) => reason(stopped, 2));
const { diffCalls } = await import("/playground/playground_diff.js");
const call = (name, text) => ({ function: { name, arguments: text } });
const rows = (one) => one.rows.filter((row) => row.mark !== "same");
seen.swapped = diffCalls(
  [call("f", '{"a": 1, "b": {"x": 1}}'), call("g", "{}")], [call("g", "{}"), call("f", '{"b": {"x": 1.0}, "a": 1}')],
).map((one) => one.mark);
seen.twins = diffCalls(
  [call("f", '{"a": 1, "b": 1}'), call("f", '{"a": 2, "b": 2}')],
  [call("f", '{"a": 2, "b": 3}'), call("f", '{"a": 1, "b": 1}')],
).map((one) => rows(one).map((row) => `${row.path} ${row.was}>${row.value}`));
seen.equal_first = diffCalls(
  [call("f", '{"a": 1, "b": 2}'), call("f", '{"a": 1}')], [call("f", '{"a": 1}'), call("f", '{"a": 1, "c": 1}')],
).map((one) => one.mark);
seen.odd = rows(diffCalls([call("f", '{"__proto__": 1, "a.b": 1, "a": {"b": 1}}')], [call("f", "[1")])[0])
  .map((row) => `${row.mark} ${row.path}`);
"""


def test_tools_are_checked_and_the_mistake_has_a_place(endpoint: Endpoint, tmp_path: Path) -> None:
    def tool(**function: object) -> str:
        return json.dumps([{"type": "function", "function": {"name": "f", **function}}])

    texts = {
        '[\n  {"type": "function",\n   "function": {"name": "f",}}]': 'Line 3, column 28: a comma with no key after it',
        "[{'type': 1}]": 'Line 1, column 3: expected a key in double quotes, found “\'”',
        "[1": 'Line 1, column 3: expected "," or "]", found the end',
        '[{"a": "x\ny"}]': "Line 1, column 8: a text that does not end, or holds a line break or a bad \\ in it",
        "[01]": 'Line 1, column 2: expected a value, found “0”',
        '{"a": 1, "a": 2}': 'Line 1, column 10: the key "a" stands twice in one object',
        "[] []": 'Line 1, column 4: expected nothing more, found “[”',
        "[" * 200: "Line 1, column 102: nested deeper than 100 levels",
        '{"tools": []}': "Line 1, column 1: tools must be a list: [ … ]",
        '[\n{"type": "tool", "function": {}}]': 'Line 2, column 10: tools[0].type must be "function"',
        '[{"name": "f"}]': 'Line 1, column 2: tools[0] lacks "type": "function"',
        '[{"type": "function"}]': 'Line 1, column 2: tools[0] lacks "function"',
        tool(name="a b"): "Line 1, column 44: tools[0].function.name must be 1 to 64 letters, digits, _ or -",
        tool(description=5): "Line 1, column 64: tools[0].function.description must be a text",
        tool(parameters=[]): "Line 1, column 63: tools[0].function.parameters must be a JSON Schema object",
        tool(parameters={"type": "array"}): 'Line 1, column 72: tools[0].function.parameters.type must be "object"',
        tool(parameters={"properties": {"x": 1}}): "Line 1, column 84: tools[0].function.parameters.properties.x "
        'must be a schema, such as {"type": "string"}',
        tool(parameters={"required": "x"}): "Line 1, column 76: tools[0].function.parameters.required must be a list "
        "of names",
        "": "No tools: the answer is not refined.",
        '[{"type": "function", "function": {"name": "f"}}, {"type": "function", "function": {"name": "f"}}]': (
            "Line 1, column 93: tools[1].function.name is taken: two tools are called f"
        ),
    }  # fmt: skip
    right = '[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"__proto__":{}}}}}]'
    stops = [
        "unchanged",
        "cycle",
        "margin",
        "max_rounds",
        "fixed",
        "direct",
        "no_call",
        "context",
        "deadline",
        "error",
        "toString",
    ]
    given = f"const TEXTS = {json.dumps(list(texts))}, RIGHT = {json.dumps(right)}, STOPS = {json.dumps(stops)};\n"
    seen = endpoint.drive(given + MISTAKES, tmp_path)
    assert seen["problems"] == []
    assert dict(zip(texts, seen["states"], strict=True)) == texts
    assert seen["invalid"] == "true" and seen["valid"] == "false"
    assert seen["refused"] == ["tools", 92, "Nothing asked yet.", "The tools hold a mistake: no request to show."]
    assert seen["right"] == "1 tool: f" and json.loads(seen["tidy"]) == json.loads(right) and "\n" in seen["tidy"]
    assert seen["empty"] == ["query", "Type a question first."]
    assert seen["rounds"] == ["rounds", "Rounds must be a whole number of at least 0, or empty."]
    assert seen["sample"][0] == "3 tools: get_forecast, get_history, set_warning"
    assert seen["sample"][1].startswith("Compare the temperature and the sun")
    asked = 'it\'s "5" \\ ü 😀\nline'
    assert keywords(seen["python"])["messages"] == [{"role": "user", "content": asked}]
    words = shlex.split(seen["curl"].replace(" \\\n", " "))
    assert json.loads(words[words.index("-d") + 1])["messages"][0]["content"] == asked
    assert endpoint.requests == []
    assert seen["waits"] == [7, None, None, 6]
    assert len(set(seen["reasons"])) == len(stops) and seen["reasons"][-1] == "The server says: toString."
    assert seen["swapped"] == ["same", "same"]
    assert seen["equal_first"] == ["same", "changed"]
    assert seen["twins"] == [["b 2>3"], []]
    removed = ['removed "a.b"', "removed __proto__", "removed a.b"]
    assert sorted(seen["odd"]) == ["added (not a JSON object)", *removed]
