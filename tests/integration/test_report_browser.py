"""The report in a real browser: its script runs under its own policy, filters work, hostile texts stay texts."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from report_evolved import FakeEvolution
from report_runs import EVIL, FakeRun

from toolace.report import write_report
from toolace.report.embedding import unpack_page
from toolace.report.examples import choose
from toolace.report.facts import gather
from toolace.storage import Store

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--window-size=390,800", "--dump-dom",
)  # fmt: skip
HELPERS = """
const seen = {};
const set = (id, value) => {
  const control = document.getElementById(id);
  control.value = value;
  control.dispatchEvent(new Event("input"));
};
const status = () => document.getElementById("shown").textContent;
const until = async (ready) => { while (!ready()) await new Promise((again) => setTimeout(again, 5)); };
const items = () => document.querySelectorAll("#list > li").length;
"""
STEPS = (
    HELPERS
    + """
(async () => {
await until(() => items() > 0);
seen.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
document.getElementById("more").click();
seen.after_more = items();
seen.focused = document.activeElement === document.querySelectorAll("#list > li summary")[25];
const tenth = document.querySelectorAll("#list > li")[10];
tenth.querySelector("details").open = true; tenth.scrollIntoView();
seen.under_the_bar = document.querySelector("nav").getBoundingClientRect().bottom - tenth.getBoundingClientRect().top;
set("f-class", "test: repaired"); seen.repaired = status();
document.querySelector("#list details").open = true;
set("f-class", ""); set("f-error", "no_call"); seen.no_call = status();
set("f-error", ""); set("f-text", "EVIL-2<");
await until(() => status().includes("match"));
seen.evil = status();
const first = document.querySelector("#list details"); first.open = true;
await until(() => first.querySelector(".body"));
seen.body = first.textContent;
const tools = first.querySelector(".body details"); tools.open = true;
await until(() => tools.querySelector("pre"));
seen.tools = tools.textContent;
seen.images = document.images.length;
document.title = "seen" + JSON.stringify(seen);
})();
"""
)
EVOLVED_STEPS = (
    HELPERS
    + """
const opened = async () => {
  const first = document.querySelector("#list details"); first.open = true;
  await until(() => first.querySelector(".body"));
  return first.textContent;
};
(async () => {
await until(() => items() > 0);
seen.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
set("f-error", "tie"); seen.tied = status(); seen.tie = await opened();
set("f-error", ""); set("f-class", "query: accepted, right"); seen.accepted = status(); seen.body = await opened();
set("f-class", ""); set("f-text", "no tools.");
await until(() => status().includes("match"));
seen.unread = items();
await opened();
seen.images = document.images.length;
document.title = "seen" + JSON.stringify(seen);
})();
"""
)

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return FakeRun(tmp_path_factory.mktemp("browser")).finish()


def dom(page: Path, profile: Path) -> str:
    command = [str(BROWSER), *OPTIONS, f"--user-data-dir={profile}", "--virtual-time-budget=2000", page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=True).stdout


def test_script_runs_under_the_policy_of_the_page(run: Store, tmp_path: Path) -> None:
    found = dom(Path(write_report(run)), tmp_path / "profile")
    assert found.count("<li><details>") == 25
    assert "embedded examples match; 25 are listed." in found
    assert "<title>fake · run report</title>" in found


def seen_by(page: str, steps: str, tmp_path: Path) -> dict[str, Any]:
    """What `steps`, which end with `seen` in the title, find in a page; its own policy would not let them run."""
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    changed = tmp_path / "page.html"
    changed.write_text(page.replace("</body>", f"<script>{steps}</script></body>"), encoding="utf-8")
    title = re.search(r"<title>seen(.*?)</title>", dom(changed, tmp_path / "profile"), re.DOTALL)
    assert title is not None
    found: dict[str, Any] = json.loads(html.unescape(title[1]))
    return found


def test_filters_and_keyboard(run: Store, tmp_path: Path) -> None:
    page = Path(write_report(run)).read_text(encoding="utf-8")
    seen = seen_by(page, STEPS, tmp_path)
    rows, _ = unpack_page(choose(gather(run)).json())
    repaired = sum(row["class"] == "repaired" for row in rows)
    no_call = sum("no_call" in row["errors"] for row in rows)
    assert seen["overflow"] <= 0
    assert (seen["after_more"], seen["focused"]) == (50, True)
    assert seen["under_the_bar"] <= 0
    assert seen["repaired"].startswith(f"{repaired} of {len(rows)} ") and repaired > 0
    assert seen["no_call"].startswith(f"{no_call} of {len(rows)} ") and no_call > 0
    assert seen["evil"].startswith("1 of ")
    assert EVIL in seen["body"] and seen["images"] == 0
    assert "look_up" in seen["tools"]


def test_queries_of_evolution_unfold(tmp_path: Path) -> None:
    fake = FakeEvolution(tmp_path)
    fake.evolve_all()
    seen = seen_by(Path(write_report(fake.store)).read_text(encoding="utf-8"), EVOLVED_STEPS, tmp_path)
    rows, _ = unpack_page(choose(gather(fake.store)).json())
    tied = [row for row in rows if "tie" in row["errors"]]
    accepted = [row for row in rows if row["class"] == "accepted, right"]
    assert seen["overflow"] <= 0
    assert seen["tied"].startswith(f"{len(tied)} of {len(rows)} ") and tied
    assert seen["accepted"].startswith(f"{len(accepted)} of {len(rows)} ") and accepted
    assert "dropped: tie" in seen["tie"]
    for text in ("Hidden tools (", "Hidden reference", "Evolution 1: ", "Evolution 2: ", "Candidate tools (", "taken"):
        assert text in seen["body"]
    assert accepted[0]["reference"] in seen["body"] and '"parameters": {' in seen["body"]
    assert seen["unread"] and seen["images"] == 0
