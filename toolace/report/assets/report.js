"use strict";
// All texts of the run reach the page through textContent only, so nothing in them can become markup.
(() => {
  const data = JSON.parse(document.getElementById("rows").textContent);
  const PAGE = 25;
  const $ = (id) => document.getElementById(id);
  const filters = { class: $("f-class"), kind: $("f-kind"), error: $("f-error"), text: $("f-text") };
  const list = $("list"), more = $("more"), shown = $("shown");
  let index = [], found = [], open = 0, searches = 0;

  // Everything but the frame of the page is packed (see embedding.py) and unpacked when it is wanted.
  const unpack = async (text) => {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).json();
  };
  const placed = (sizes) => sizes.flatMap((size, block) => Array.from({ length: size }, (_, within) => [block, within]));
  const rowPlaces = placed(data.sizes), toolPlaces = placed(data.tools.map(() => data.tools_block));
  const reader = (packed, places) => {
    const kept = new Map();
    return async (number) => {
      const [block, within] = places[number];
      if (!kept.has(block)) kept.set(block, unpack(packed[block]));
      return (await kept.get(block))[within];
    };
  };
  const rowAt = reader(data.rows, rowPlaces), toolAt = reader(data.tools, toolPlaces);

  const el = (name, attributes = {}, ...children) => {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    for (const child of children.flat()) if (child !== null && child !== undefined) node.append(child);
    return node;
  };
  const chip = (text, kind = "") => el("span", { class: "chip " + kind }, text);
  const verdict = (right, error) => chip(right ? "right" : "wrong" + (error ? ": " + error : ""), right ? "good" : "bad");
  const box = (text) => text ? el("pre", { class: "box" }, text) : el("pre", { class: "box empty" }, "(empty)");
  const part = (title, ...children) => el("div", {}, el("h3", {}, title), ...children);
  const label = (row) => row.set + ": " + row.class;

  const fill = (select, values) => {
    select.append(new Option("all", ""));
    for (const [value, count] of values) select.append(new Option(`${value} (${count})`, value));
  };
  const count = (get) => {
    const counts = new Map();
    for (const row of index) for (const value of get(row)) counts.set(value, (counts.get(value) || 0) + 1);
    return [...counts].sort((a, b) => a[0] < b[0] ? -1 : 1);
  };
  const words = (row) => {
    const steps = (row.chain || []).map((step) => step.text || (step.changes || []).map((c) => c[1]).join(""));
    const drawn = (row.probes || []).flatMap((probe) => probe.answers.map((answer) => answer[0]));
    const made = (row.evolved || []).flatMap((one) => [one.written, ...one.made, ...one.answers.map((answer) => answer[0])]);
    const chat = row.chat.map((turn) => turn[1]);
    return [row.id, row.source, row.reference, ...chat, ...steps, ...drawn, ...made].join("\n").toLowerCase();
  };
  const texts = new Map();
  const wordsOf = (block) => {
    if (!texts.has(block)) texts.set(block, unpack(data.rows[block]).then((rows) => rows.map(words)));
    return texts.get(block);
  };
  const pretty = (text) => {
    try { return JSON.stringify(JSON.parse(text), null, 2); } catch (error) { return text; }
  };
  // An element that is filled the first time it is opened.
  const folded = (summary, make) => {
    const details = el("details", {}, summary);
    details.addEventListener("toggle", async () => {
      if (!details.open || details.children.length > 1) return;
      const place = el("p", { class: "said" }, "…");
      details.append(place);
      place.replaceWith(...await make());
    });
    return details;
  };

  const step = (one, number) => {
    const said = el("p", { class: "said" }, number ? `round ${number} ` : "direct ", verdict(one.right, one.error),
      one.rejected ? chip("rejected by the margin") : null, one.same ? "unchanged" : null, one.detail ? " " + one.detail : null);
    if (one.same) return el("div", {}, said);
    if (!one.changes) return el("div", {}, said, box(one.text));
    const marked = one.changes.map(([mark, text]) => mark ? el(mark > 0 ? "ins" : "del", {}, text) : text);
    return el("div", {}, said, el("pre", { class: "box" }, marked));
  };
  const table = (head, rows) => el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": head.join(", ") },
    el("table", { class: "words" },
      el("thead", {}, el("tr", {}, head.map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell, i) => el(i ? "td" : "th", i ? {} : { scope: "row" }, cell)))))));
  const probe = (one) => {
    const rate = one.stopped ? `${one.c} of ${one.n} draws right, stopped early (${one.k} planned)` : `${one.c} of ${one.k} draws right`;
    return part(`Probe of round ${one.round}: ${one.label}, ${rate}`, one.answers.map(([text, times, right, error, cut, draft]) =>
      el("div", {}, el("p", { class: "said" }, `${times} × `, verdict(right, error), cut ? chip("cut at the token limit") : null,
        draft ? chip("draft") : null), box(text))),
    one.left ? el("p", { class: "said" }, `${one.left} more distinct answers`) : null);
  };
  const evolved = (one) => part(`Evolution ${one.round}: ${one.n} of ${one.k} votes drawn`,
    el("p", { class: "said" }, one.reason ? chip("dropped: " + one.reason, "bad") : chip("accepted", "good"),
      one.right === null ? null : verdict(one.right, "not the hidden answer"),
      one.relevant === null ? null : chip(one.relevant ? "hidden answer can be called" : "hidden answer cannot be called"),
      one.detail || null),
    el("p", { class: "said" }, `Candidate tools (${one.made.length})`),
    one.made.length ? one.made.map((text) => box(pretty(text))) : box(one.written),
    one.answers.map(([text, votes, taken]) =>
      el("div", {}, el("p", { class: "said" }, `${votes} × `, taken ? chip("taken", "good") : null), box(text))),
    one.left ? el("p", { class: "said" }, `${one.left} more distinct answers`) : null);
  const body = (row) => {
    const mark = (right) => right === null ? "failed" : verdict(right);
    return el("div", { class: "body" },
      part("Dialogue", row.chat.map(([role, text]) => el("div", {}, el("p", { class: "said" }, role), box(text)))),
      folded(el("summary", {}, `${row.evolved ? "Hidden tools" : "Tools"} (${row.tools.length})`),
        async () => (await Promise.all(row.tools.map(toolAt))).map((text) => box(pretty(text)))),
      part(row.evolved ? "Hidden reference" : "Reference", box(row.reference)),
      row.chain ? part(`Answers of ${row.by}, refined`, row.chain.map(step)) : null,
      row.arms ? part(`Ways of answering, ${row.by}`, table(["way", "verdict", "rounds", "ended", "calls", "tokens"],
        row.arms.map(([name, right, error, rounds, stopped, calls, tokens]) =>
          [name.replace("adaptive", "refined").replace("_", " "), verdict(right, error), rounds, stopped.replace("_", " "), calls, tokens]))) : null,
      row.models ? part("All models", table(["model", "direct", "refined"],
        row.models.map(([name, direct, refined]) => [name, mark(direct), mark(refined)]))) : null,
      (row.probes || []).map(probe),
      (row.evolved || []).map(evolved),
      el("p", { class: "said" }, `id ${row.id}`, row.source ? `, from ${row.source}` : ""));
  };
  const item = (number) => {
    const row = index[number];
    const kind = { repaired: "good", right: "good", "accepted, right": "good",
      regressed: "bad", wrong: "bad", "accepted, wrong": "bad" }[row.class] || "";
    return el("li", {}, folded(el("summary", {}, chip(label(row), kind), el("span", { class: "query" }, row.query),
      el("span", { class: "meta" }, row.kind)), async () => [body(await rowAt(number))]));
  };

  const grow = () => {
    list.append(...found.slice(open, open + PAGE).map(item));
    const first = list.children[open];
    open = Math.min(open + PAGE, found.length);
    more.hidden = open >= found.length;
    shown.textContent = `${found.length} of ${data.count} embedded examples match; ${open} are listed.`;
    return first;
  };
  const search = async () => {
    const mine = ++searches;
    const text = filters.text.value.trim().toLowerCase();
    let matches = index.map((row, number) => number).filter((number) => {
      const row = index[number];
      return (!filters.class.value || label(row) === filters.class.value)
        && (!filters.kind.value || row.kind === filters.kind.value)
        && (!filters.error.value || row.errors.includes(filters.error.value));
    });
    if (text) {
      shown.textContent = "Searching…";
      const having = [];
      for (const number of matches) {
        const [block, within] = rowPlaces[number];
        const said = await wordsOf(block);
        if (mine !== searches) return; // another search has begun
        if (said[within].includes(text)) having.push(number);
      }
      matches = having;
    }
    found = matches;
    open = 0;
    list.replaceChildren();
    grow();
  };
  for (const control of Object.values(filters)) control.addEventListener("input", search);
  document.querySelector(".filters").addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", () => { const first = grow(); if (first) first.querySelector("summary").focus(); });
  unpack(data.index).then((rows) => {
    index = rows.map(([set, outcome, kind, errors, query]) => ({ set, class: outcome, kind, errors, query }));
    fill(filters.class, count((row) => [label(row)]));
    fill(filters.kind, count((row) => [row.kind]));
    fill(filters.error, count((row) => row.errors));
    return search();
  }).catch(() => { shown.textContent = "The examples need a newer browser: this one cannot unpack them (DecompressionStream)."; });
})();
