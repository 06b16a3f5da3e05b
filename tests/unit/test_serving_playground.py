"""The playground's files: served whole, under a strict policy, with no other host in them; samples that are true."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from toolace.calls.schema import OPENAI_NAME
from toolace.data.synthetic_tools import universe
from toolace.serving.playground import CONTENT_TYPES, PAGE, POLICY, Asset, add_playground, asset, fresh

FOLDER = Path(__file__).resolve().parents[2] / "toolace" / "serving" / "assets"
SINKS = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "localStorage")


def file(name: str) -> Asset:
    found = asset(name)
    assert found is not None
    return found


def text(name: str) -> str:
    return file(name).body.decode()


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[str] = []
        self.last = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.last = tag

    def handle_data(self, data: str) -> None:
        if self.last in ("script", "style") and data.strip():
            self.inside.append(data)


@pytest.fixture(scope="module")
def client():
    from fastapi import FastAPI
    from starlette.testclient import TestClient

    app = FastAPI()
    add_playground(app)
    return TestClient(app)


def test_every_file_of_the_folder_is_served_and_nothing_else() -> None:
    assert {path.name for path in FOLDER.iterdir() if path.name.startswith("playground")} == set(CONTENT_TYPES)
    assert asset("../config.py") is None and asset("") is None


def test_policy_lets_in_own_files_only() -> None:
    rules = dict(rule.split(" ", 1) for rule in POLICY.split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == rules["frame-ancestors"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == rules["img-src"] == "'self'"
    assert rules["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in POLICY and "*" not in POLICY


@pytest.mark.parametrize("path", ["/", "/playground"])
def test_page_with_its_headers(client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200 and answer.content == file(PAGE).body
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-cache"
    assert int(answer.headers["content-length"]) == len(file(PAGE).body)
    assert client.head(path).headers["etag"] == answer.headers["etag"]


@pytest.mark.parametrize("name", sorted(CONTENT_TYPES))
def test_file_with_its_headers(client, name: str) -> None:
    answer = client.get(f"/playground/{name}")
    assert answer.status_code == 200 and answer.content == (FOLDER / name).read_bytes()
    assert answer.headers["content-type"] == CONTENT_TYPES[name]
    assert answer.headers["content-security-policy"] == POLICY and answer.headers["x-content-type-options"] == "nosniff"


def test_unchanged_file_is_not_sent_again(client) -> None:
    tag = client.get("/").headers["etag"]
    again = client.get("/", headers={"If-None-Match": f'"other", W/{tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert again.headers["content-security-policy"] == POLICY
    assert client.get("/", headers={"If-None-Match": '"other"'}).status_code == 200
    assert fresh(tag, "*") and not fresh(tag, None) and not fresh(tag, "")


@pytest.mark.parametrize(
    "name", ["nothing.js", "..%2fconfig.py", "%2e%2e/config.py", "playground.html%00", "PLAYGROUND.JS"]
)
def test_unknown_file_is_an_error_in_the_api_shape(client, name: str) -> None:
    answer = client.get(f"/playground/{name}")
    assert answer.status_code == 404
    assert b"import" not in answer.content
    if "/" not in name.replace("%2f", "/"):
        assert answer.json()["error"]["code"] == "not_found"


def test_only_get_and_head(client) -> None:
    assert client.post("/").status_code == 405


def test_page_asks_no_other_host_and_holds_no_inline_code() -> None:
    page = Tags(text(PAGE))
    assert page.inside == []
    for tag, attributes in page.tags:
        assert tag not in ("style", "iframe", "object", "embed", "base", "img")
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in ("src", "href", "action"):
            target = attributes.get(name) or "#"
            assert target.startswith("#") or target.removeprefix("playground/") in CONTENT_TYPES, target
    for name in CONTENT_TYPES:
        found = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", text(name).lower()))
        assert found <= {"http://www.w3.org"}, (name, found)
        assert "@import" not in text(name) and "url(" not in text(name)


def test_scripts_use_no_sink_that_makes_markup_or_code() -> None:
    for name in CONTENT_TYPES:
        if name.endswith(".js"):
            for sink in SINKS:
                assert sink not in text(name), (name, sink)


def test_scripts_import_served_files() -> None:
    for name in CONTENT_TYPES:
        if name.endswith(".js"):
            for target in re.findall(r'^import .* from "(.*)";$', text(name), re.MULTILINE):
                assert target.removeprefix("./") in CONTENT_TYPES


def test_every_control_has_a_label_and_ids_are_unique() -> None:
    page = Tags(text(PAGE))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    labels = {attributes.get("for") for tag, attributes in page.tags if tag == "label"}
    controls = {a["id"] for tag, a in page.tags if tag in ("select", "textarea", "input")}
    assert controls - labels == {"keep"}  # inside its label
    named = [(a.get("aria-describedby"), a.get("aria-labelledby")) for _, a in page.tags]
    assert {name for pair in named for name in pair if name} <= set(ids)
    # A control with a name would put its value into the URL if the form were ever sent.
    assert not [a for _, a in page.tags if "name" in a and a["name"] not in ("viewport", "color-scheme")]


def test_samples_are_valid_tools_and_those_of_the_corpus_are_its_own() -> None:
    samples = json.loads(text("playground_samples.json"))
    assert len({sample["id"] for sample in samples}) == len(samples) >= 5
    corpus = {tool.tool.name: tool.tool.openai() for tool in universe("house", "test").tools}
    ours = 0
    for sample in samples:
        assert sample["title"] and sample["note"] and len(sample["queries"]) >= 4
        names = [tool["function"]["name"] for tool in sample["tools"]]
        assert len(names) == len(set(names)) and all(OPENAI_NAME.match(name) for name in names)
        for tool in sample["tools"]:
            parameters = tool["function"]["parameters"]
            assert tool["type"] == "function" and parameters["type"] == "object"
            assert set(parameters["required"]) <= set(parameters["properties"])
        if "corpus" in sample["note"]:
            ours += 1
            assert sample["tools"] == [corpus[name] for name in names]
    assert ours == 2


def test_files_are_part_of_the_package() -> None:
    settings = (FOLDER.parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert '"serving/assets/*"' in settings
