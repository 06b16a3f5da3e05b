// Drawing of answers, rounds, costs and errors. Texts reach the page as text nodes only: nothing in them can be markup.
import { countChanges, diffCalls } from "./playground_diff.js";

export const el = (name, attributes = {}, ...children) => {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== null) node.setAttribute(key, value);
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
};
export const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
const chip = (text, kind = "") => el("span", { class: `chip ${kind}` }, text);
const SIGNS = { added: "+", removed: "\u2212", changed: "~", same: "" };
const sign = (mark) => mark === "same" ? el("span", { class: "sign" })
  : el("span", { class: `sign ${mark}` }, el("span", { "aria-hidden": "true" }, SIGNS[mark]), el("span", { class: "unseen" }, `${mark}: `));
const time = (ms) => ms >= 10000 ? `${(ms / 1000).toFixed(1)} s` : `${ms >= 100 ? Math.round(ms) : ms.toFixed(1)} ms`;
const number = (value) => typeof value === "number" && Number.isFinite(value) ? value : null;

/** Why refinement ended, in a sentence. */
export function reason(stopped, rounds) {
  const round = `round ${rounds}`;
  const sentences = {
    unchanged: `The model repeated its answer in ${round}, so there was nothing left to change.`,
    cycle: `The answer of ${round} is one that came before its draft: more rounds would go in a circle.`,
    margin: `The model does not prefer its answer of ${round} clearly enough to the draft, so the draft stays.`,
    max_rounds: `No more rounds were allowed: ${round} was the last and still changed the answer.`,
    fixed: `${rounds === 1 ? "The one round asked for is" : `All ${rounds} rounds asked for are`} done; fixed mode stops for nothing else.`,
    direct: "No round was asked for: this is the model's first answer.",
    no_call: "The first answer calls no tool, and this server leaves such answers alone.",
    context: "The next question is longer than the model's context: this is the last good answer.",
    deadline: "The deadline passed before the refinement was done: this is the last good answer.",
    error: "A later pass failed on the server: this is the last good answer.",
  };
  return Object.hasOwn(sentences, stopped) ? sentences[stopped] : `The server says: ${stopped}.`;
}

const row = (item) => {
  const value = [];
  if (item.mark === "changed") value.push(el("del", {}, item.was), el("span", { class: "to" }, " \u2192 "), el("ins", {}, item.value));
  else if (item.mark === "removed") value.push(el("del", {}, item.value));
  else if (item.mark === "added") value.push(el("ins", {}, item.value));
  else value.push(item.value);
  return el("tr", { class: item.mark }, el("td", { class: "mark" }, sign(item.mark)), el("th", { scope: "row" }, item.path), el("td", {}, value));
};
const call = (item) => el("div", { class: `call ${item.mark}` },
  el("p", { class: "function" }, sign(item.mark), el("code", {}, item.name || "(no name)")),
  item.rows.length ? el("table", { class: "arguments" }, el("tbody", {}, item.rows.map(row))) : el("p", { class: "hint" }, "no arguments"));

const words = (before, text) => {
  const old = (before ?? "").trim(), now = (text ?? "").trim();
  if (!now && !old) return null;
  if (before === null || old === now) return el("pre", { class: "box" }, now);
  return el("pre", { class: "box" }, [["removed", "del", old], ["added", "ins", now]].filter(([, , part]) => part)
    .map(([mark, tag, part]) => el("span", { class: "line" }, sign(mark), el(tag, {}, part))));
};

const step = (one, before, index, rejected) => {
  const calls = one.tool_calls ?? [], old = before ? before.tool_calls ?? [] : null;
  const drawn = diffCalls(old, calls);
  const counts = countChanges(drawn);
  const texts = before && (one.content ?? "").trim() !== (before.content ?? "").trim();
  const chips = Object.entries(counts).filter(([, count]) => count).map(([mark, count]) => chip(`${SIGNS[mark]} ${count} ${mark}`, mark));
  if (texts) chips.push(chip("~ text changed", "changed"));
  if (before && !chips.length) chips.push(chip("= unchanged", "good"));
  if (!before) chips.push(chip(calls.length ? plural(calls.length, "call") : "no call"));
  if (rejected) chips.push(chip("\u00d7 not taken", "bad"));
  const cost = [number(one.ms) !== null ? time(one.ms) : null, number(one.tokens) !== null ? plural(one.tokens, "token") : null];
  const changed = Object.values(counts).some(Boolean) || texts;
  const body = [drawn.map(call), words(before ? before.content ?? "" : null, one.content)];
  if (!drawn.length && !(one.content ?? "").trim() && !texts) body.push(el("p", { class: "hint" }, "(empty answer)"));
  return el("li", { class: "round", "data-changed": before ? String(changed) : null },
    el("div", { class: "head" }, el("h3", {}, index ? `Round ${index}` : "First answer"), chips,
      el("span", { class: "meta" }, cost.filter(Boolean).join(" · "))),
    // An unchanged round repeats what stands above it: folded, so that what changed stands out.
    before && !changed ? el("details", {}, el("summary", {}, "Show the same answer"), body) : body);
};

const bar = (value, most) => {
  const inner = el("span", { class: "bar" });
  inner.style.width = `${most > 0 ? Math.max(2, (100 * value) / most) : 0}%`;
  return el("td", { class: "bars", "aria-hidden": "true" }, inner);
};
const costs = (steps, usage, wall) => {
  const sum = (key) => steps.reduce((total, one) => total + (number(one[key]) ?? 0), 0);
  const most = Math.max(...steps.map((one) => number(one.ms) ?? 0));
  const cell = (value, how = (count) => count.toLocaleString("en")) => el("td", {}, number(value) === null ? "\u2013" : how(value));
  const cached = number(usage?.prompt_tokens_details?.cached_tokens);
  return [
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Latency and tokens" }, el("table", { class: "costs" },
      el("thead", {}, el("tr", {}, ["Round", "Time", "", "Generated", "Prompt"].map((name) =>
        name ? el("th", { scope: "col" }, name) : el("td", { class: "bars" })))),
      el("tbody", {}, steps.map((one, index) => el("tr", {}, el("th", { scope: "row" }, index ? `Round ${index}` : "First"),
        cell(one.ms, time), bar(number(one.ms) ?? 0, most), cell(one.tokens), cell(one.prompt_tokens)))),
      el("tfoot", {}, el("tr", {}, el("th", { scope: "row" }, "In all"), cell(sum("ms"), time), el("td", { class: "bars" }),
        cell(usage?.completion_tokens ?? sum("tokens")), cell(usage?.prompt_tokens ?? sum("prompt_tokens")))))),
    el("p", { class: "hint" }, `Tokens generated and tokens of the prompt. The browser waited ${time(wall)}`,
      cached ? `; ${cached.toLocaleString("en")} prompt tokens came from the prefix cache.` : "."),
  ];
};
const raw = (title, value) => el("details", { class: "raw" }, el("summary", {}, title),
  el("pre", { class: "box", tabindex: "0", role: "region", "aria-label": title }, JSON.stringify(value, null, 2)));

// The last answer is not the accepted one where the margin speaks against it, or where it could not be scored.
const taken = (steps, message, stopped) => {
  const key = (one) => JSON.stringify([(one.tool_calls ?? []).map((called) => called.function), one.content ?? null]);
  const last = steps.length - 1;
  if (last && stopped === "margin") return last - 1;
  return last && key(steps[last]) !== key(message) && key(steps[last - 1]) === key(message) ? last - 1 : last;
};

/** Draws a response into `place` and returns its summary for the status line. */
export function showAnswer(place, response, { wall, request, id }) {
  const message = response.choices?.[0]?.message ?? {};
  const info = response.refinement ?? null;
  const given = Array.isArray(info?.steps) && info.steps.length ? info.steps : null;
  const steps = given ?? [{
    content: message.content ?? null, tool_calls: message.tool_calls ?? [], ms: info ? null : wall,
    tokens: response.usage?.completion_tokens, prompt_tokens: response.usage?.prompt_tokens,
  }];
  const accepted = taken(steps, message, info?.stopped);
  const rounds = number(info?.rounds) ?? 0;
  const summary = info ? `${plural(rounds, "round")}, stopped: ${String(info.stopped).replaceAll("_", " ")}` : "One answer, not refined";
  const why = info ? reason(String(info.stopped), rounds)
    : `The server did not refine this answer${request.tools?.length ? "" : ": no tools were given"}.`;
  const final = diffCalls(null, message.tool_calls ?? []);
  const cut = response.choices?.[0]?.finish_reason === "length";
  place.replaceChildren(
    el("p", { class: "why" }, why),
    el("div", { class: "final" }, final.map(call), words(null, message.content),
      final.length || message.content ? null : el("p", { class: "hint" }, "(empty answer)")),
    cut ? el("p", { class: "warn" }, "The answer was cut at the token limit.") : "",
    el("p", { class: "hint" }, `Answered by ${info?.model ?? response.model ?? "an unnamed model"}`, id ? [" · request ", el("code", {}, id)] : null),
    el("h3", { class: "part" }, "Rounds"),
    el("p", { class: "legend", hidden: steps.length > 1 ? null : "" }, "Against the round before: ",
      ["added", "removed", "changed"].map((mark) => chip(`${SIGNS[mark]} ${mark}`, mark))),
    el("ol", { class: "rounds" }, steps.map((one, index) =>
      step(one, index ? steps[index - 1] : null, index, index > accepted))),
    el("h3", { class: "part" }, "Latency and tokens"), ...costs(steps, response.usage, wall), raw("Raw response", response));
  return `${summary}.`;
}

/** Seconds that a `Retry-After` header asks to wait, from seconds or a date; null where it asks for nothing. */
export function retryAfter(header, now) {
  if (header === null || header.trim() === "") return null;
  const seconds = /^\d+$/.test(header.trim()) ? Number(header) : (Date.parse(header) - now) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, Math.ceil(seconds)) : null;
}

const TITLES = {
  400: "The server refuses this request", 401: "An API key is needed", 403: "This key may not do that",
  404: "Not found", 408: "Out of time", 413: "The request is too large", 429: "Too many requests", 503: "The server is busy", 504: "Out of time",
};

/** Draws an error in OpenAI's shape, or what came in its place. `status` 0: no response at all. */
export function showError(place, { status, error, wait, id }) {
  const title = status ? TITLES[status] ?? (status >= 500 ? "The server failed" : "The request failed") : error.title;
  const details = [["type", error.type], ["code", error.code], ["field", error.param], ["request", id]].filter(([, value]) => value !== null && value !== undefined && value !== "");
  place.replaceChildren(el("div", { class: "warn" },
    el("p", {}, el("strong", {}, title), status ? ` (${status})` : ""),
    el("p", { class: "message" }, String(error.message ?? "The server gave no message.")),
    details.length ? el("p", { class: "details" }, details.map(([name, value], index) => [index ? " · " : "", `${name}: `, el("code", {}, String(value))])) : "",
    wait === null ? "" : el("p", { class: "wait" })));
}
