"""How large is the report of 10,000 rows, and how fast does it open?

    python benchmarks/report.py

Makes a run directory with the real stages and a scripted model, as the report's tests do: one round, half of the rows
evaluated with the base and the round's model, half probed. Samples are synthetic, with tools and dialogues lengthened
to the mean of ToolACE's rows (4 KB). Then writes the report, and opens it in headless Chromium several times: `open_s`
is the median time from navigation until the first rows of the table of examples are painted. The last line is one JSON
object.
"""

from __future__ import annotations

import argparse
import base64
import importlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolace.calls.schema import Message, Sample, Tool
from toolace.report.examples import choose
from toolace.report.facts import gather
from toolace.report.page import write_report
from toolace.rounds.stages import corpus_stage, select_stage
from toolace.rounds.summary import SUMMARY, build_summary
from toolace.storage import Store

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0",
)  # fmt: skip
OPENED = """new Promise((done) => {
  const look = () => document.querySelector("#list > li")
    ? requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() / 1000))) : setTimeout(look, 2);
  look();
})"""
FIRST_ROW = """new Promise((done) => {
  const first = document.querySelector("#list details"), began = performance.now();
  first.open = true; first.scrollIntoView();
  const look = () => first.querySelector(".body") ? done((performance.now() - began) / 1000) : setTimeout(look, 2);
  look();
})"""
SEARCH = """new Promise((done) => {
  const box = document.getElementById("f-text"), said = document.getElementById("shown"), began = performance.now();
  box.value = "no such text anywhere"; box.dispatchEvent(new Event("input"));
  const look = () => said.textContent.startsWith("0 of")
    ? done((performance.now() - began) / 1000) : setTimeout(look, 2);
  look();
})"""
WORDS = [a + b + c for a in ("re", "con", "sta", "mo", "li", "tra", "pe", "ou", "fi", "ga")
         for b in ("ver", "ti", "lo", "na", "sue", "ri", "d", "mp", "ck", "sh")
         for c in ("e", "ing", "al", "or", "ed", "ation", "s", "ly", "y", "ent")]  # fmt: skip


EARLIER_TURNS = 4
SPARE = 25
"""Rows more of each half: the scripted model fails for one a shard, and those have no example."""


def lengthen(sample: Sample) -> Sample:
    """A sample with descriptions and earlier turns as long as those of real rows. Its words are drawn evenly, so they
    compress worse than a language does."""
    draw = random.Random(sample.id)

    def text(words: int) -> str:
        return " ".join(draw.choices(WORDS, k=words)).capitalize() + "."

    def longer(tool: Tool) -> Tool:
        properties = tool.parameters.get("properties", {})
        described = {name: {**schema, "description": text(9)} for name, schema in properties.items()}
        parameters = {**tool.parameters, "properties": described}
        return tool.model_copy(update={"description": text(45), "parameters": parameters})

    before = [Message(role="user" if turn % 2 == 0 else "assistant", content=text(35)) for turn in range(EARLIER_TURNS)]
    tools = tuple(longer(tool) for tool in sample.chat.tools)
    chat = sample.chat.model_copy(update={"tools": tools, "messages": (*before, *sample.chat.messages)})
    return sample.model_copy(update={"chat": chat})


def make_run(folder: Path, rows: int) -> Store:
    """A finished run whose report has so many rows: half evaluated, half probed."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    runs = importlib.import_module("report_runs")
    fake = runs.FakeRun(folder, rows=rows // 2 + SPARE, mode="full", evil=False, change=lengthen)
    fake.make_data()
    fake.evaluate("base", 0.4)
    probed = fake.probe(1, "base", 0.4)
    selected, _ = select_stage(fake.run, 1, probed, None)
    corpus, _ = corpus_stage(fake.run, 1, fake.make_data(), probed, selected)
    fake.train("round-1", corpus, steps=400)
    fake.evaluate("round-1", 0.7)
    fake.store.write_json(SUMMARY, build_summary(fake.run, 1, "max_rounds"))
    store: Store = fake.store
    return store


class Tab:
    """A page of a running browser, over the DevTools protocol."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._number = 0

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            answer = json.loads(self._socket.recv(timeout=300))
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result

    def value(self, expression: str) -> Any:
        return self.ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)["result"].get(
            "value"
        )

    def open(self, place: str) -> float:
        """Seconds from navigation until the first rows are painted."""
        self.ask("Page.navigate", url="about:blank")
        self.ask("Page.navigate", url=place)
        while self.value("location.href") != place:
            time.sleep(0.01)
        return float(self.value(OPENED))


@contextmanager
def browser() -> Iterator[Tab]:
    """Headless Chromium with a fresh profile."""
    from websockets.sync.client import connect

    with tempfile.TemporaryDirectory() as profile:
        command = [str(BROWSER), *OPTIONS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            told = Path(profile) / "DevToolsActivePort"
            until = time.monotonic() + 120
            while not (told.is_file() and told.read_text().count("\n")):
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError("Chromium did not start")
                time.sleep(0.05)
            port, path = told.read_text().split("\n")[:2]
            with connect(f"ws://127.0.0.1:{port}{path}", max_size=None) as socket:
                target = Tab(socket).ask("Target.createTarget", url="about:blank")["targetId"]
            with connect(f"ws://127.0.0.1:{port}/devtools/page/{target}", max_size=None) as socket:
                yield Tab(socket)
        finally:
            process.terminate()
            process.wait(30)


def pictures(tab: Tab, place: str, folder: Path) -> None:
    """Screenshots of the head of the page and of its examples, at both widths and in both schemes."""
    folder.mkdir(parents=True, exist_ok=True)
    for width, mobile in ((1280, False), (390, True)):
        for scheme in ("light", "dark"):
            tab.ask("Emulation.setDeviceMetricsOverride", width=width, height=1400, deviceScaleFactor=1, mobile=mobile)
            tab.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            tab.open(place)
            for name in ("top", "examples"):
                if name == "examples":
                    tab.value(FIRST_ROW)
                shot = tab.ask("Page.captureScreenshot", format="png")["data"]
                (folder / f"{width}-{scheme}-{name}.png").write_bytes(base64.b64decode(shot))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000, help="rows in the table of examples")
    parser.add_argument("--times", type=int, default=5, help="how often the page is opened")
    parser.add_argument("--run", type=Path, help="keep the run here, or measure the report of the one that is here")
    parser.add_argument("--pictures", type=Path, help="also write screenshots into this folder")
    options = parser.parse_args()
    if BROWSER is None:
        raise SystemExit("no Chromium on this machine: install one, as `chromium` or `google-chrome` on the PATH")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that the browser ends too
    with tempfile.TemporaryDirectory() as folder:
        place = options.run or Path(folder)
        store = Store(str(place / "fake"))
        if not store.exists(SUMMARY):
            began = time.perf_counter()
            store = make_run(place, options.rows)
            print(f"run made in {time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)
        began = time.perf_counter()
        page = Path(write_report(store)).resolve()
        build_s = time.perf_counter() - began
        print(f"built in {build_s:.2f} s", file=sys.stderr, flush=True)
        size = os.path.getsize(page)
        count = choose(gather(store)).count
        with browser() as tab:
            tab.ask("Page.enable")
            opened = [tab.open(page.as_uri()) for _ in range(options.times)]
            print(f"opened in {', '.join(f'{seconds:.3f}' for seconds in opened)} s", file=sys.stderr)
            print(f"first row unfolded in {tab.value(FIRST_ROW):.3f} s", file=sys.stderr)
            print(f"all texts searched in {tab.value(SEARCH):.3f} s", file=sys.stderr)
            if options.pictures:
                pictures(tab, page.as_uri(), options.pictures)
    open_s = statistics.median(opened)
    print(json.dumps({"rows": count, "bytes": size, "build_s": round(build_s, 2), "open_s": round(open_s, 3)}))


if __name__ == "__main__":
    main()
