// The playground: reads the form, asks the endpoint, shows the rounds. The API key stays in memory, in the tab's
// session storage if asked, and in the Authorization header; it is never part of a URL or of the shown code.
import { plural, retryAfter, showAnswer, showError } from "./playground_show.js";
import { lineAndColumn, Mistake, readTools } from "./playground_tools.js";

const $ = (id) => document.getElementById(id);
// The page stands at the root or at `playground` below it, so the API is beside it, whatever prefix both have.
const BASE = new URL("v1", document.baseURI).href;
const STORED = "toolace-api-key";
let samples = [], busy = null, waiting = 0, ticking = 0;

// ---- tools

const current = () => {
  try {
    return { tools: readTools($("tools").value), mistake: null };
  } catch (mistake) {
    if (!(mistake instanceof Mistake)) throw mistake;
    return { tools: null, mistake };
  }
};
const checkTools = () => {
  const { tools, mistake } = current();
  const state = $("tools-state");
  state.classList.toggle("bad-text", mistake !== null);
  $("tools").setAttribute("aria-invalid", String(mistake !== null));
  if (mistake) {
    const { line, column } = lineAndColumn($("tools").value, mistake.at);
    state.textContent = `Line ${line}, column ${column}: ${mistake.message}`;
  } else {
    const names = tools.map((tool) => tool.function.name).join(", ");
    state.textContent = tools.length ? `${plural(tools.length, "tool")}: ${names}` : "No tools: the answer is not refined.";
  }
  showCode();
  return { tools, mistake };
};
const flat = (value) => {
  if (Array.isArray(value)) return `[${value.map(flat).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  return `{${Object.entries(value).filter(([, one]) => one !== undefined).map(([key, one]) => `${JSON.stringify(key)}: ${flat(one)}`).join(", ")}}`;
};
const compact = (value, indent = 0) => {
  const text = flat(value);
  if (text.length + indent <= 76 || typeof value !== "object" || value === null) return text;
  const pad = " ".repeat(indent + 2), end = " ".repeat(indent);
  if (Array.isArray(value)) return `[\n${value.map((one) => pad + compact(one, indent + 2)).join(",\n")}\n${end}]`;
  return `{\n${Object.entries(value).filter(([, one]) => one !== undefined).map(([key, one]) => `${pad}${JSON.stringify(key)}: ${compact(one, indent + 2)}`).join(",\n")}\n${end}}`;
};
const useSample = (sample) => {
  $("note").textContent = sample.note;
  $("tools").value = compact(sample.tools);
  $("example").replaceChildren(new Option("choose a question", ""), ...sample.queries.map((text) => new Option(text, text)));
  $("query").value = sample.queries[0];
  $("example").value = sample.queries[0];
  checkTools();
};

// ---- the request

const field = (id, least, name) => {
  const text = $(id).value.trim();
  if ($(id).validity.badInput || (text && !(/^\d+$/.test(text) && Number(text) >= least && Number.isSafeInteger(Number(text)))))
    throw new Mistake(`${name} must be a whole number of at least ${least}, or empty.`, id);
  return text ? Number(text) : undefined;
};
const build = (tools) => {
  const mode = $("mode").value;
  const refinement = { mode, max_rounds: field("rounds", 0, "Rounds"), deadline_ms: field("deadline", 1, "The deadline"), return_rounds: true };
  const messages = [{ role: "user", content: $("query").value }];
  return { model: $("model").value, messages, ...(tools.length ? { tools } : {}), refinement: mode === "off" ? { mode } : refinement };
};
const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const python = (value, indent = 0) => {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const pad = " ".repeat(indent + 4), end = " ".repeat(indent), list = Array.isArray(value);
  const parts = (deeper) => list ? value.map((one) => python(one, deeper))
    : Object.entries(value).filter(([, one]) => one !== undefined).map(([key, one]) => `${JSON.stringify(key)}: ${python(one, deeper)}`);
  const [open, close] = list ? "[]" : "{}";
  const line = `${open}${parts(0).join(", ")}${close}`;
  if (!line.includes("\n") && line.length + indent <= 76) return line;
  return `${open}\n${parts(indent + 4).map((part) => pad + part).join(",\n")},\n${end}${close}`;
};
const curlCode = (body, keyed) => [
  `curl ${quote(`${BASE}/chat/completions`)} \\`, "  -H 'Content-Type: application/json' \\",
  ...(keyed ? ['  -H "Authorization: Bearer $TOOLACE_API_KEY" \\'] : []), `  -d ${quote(compact(body))}`,
].join("\n");
const pythonCode = (body, keyed) => {
  const { refinement, ...rest } = body;
  const given = Object.entries(rest).map(([name, value]) => `    ${name}=${python(value, 4)},`);
  return [
    ...(keyed ? ["import os", ""] : []), "from openai import OpenAI", "",
    `client = OpenAI(base_url=${JSON.stringify(BASE)}, api_key=${keyed ? 'os.environ["TOOLACE_API_KEY"]' : '"none"'})`,
    "response = client.chat.completions.create(", ...given, `    extra_body={"refinement": ${python(refinement, 4)}},`, ")",
    "print(response.choices[0].message.tool_calls)", 'print((response.model_extra or {}).get("refinement"))',
  ].join("\n");
};
const showCode = () => {
  const { tools } = current();
  let body = null, why = "The tools hold a mistake: no request to show.";
  try {
    if (tools) body = build(tools);
  } catch (mistake) {
    why = mistake.message;
  }
  const keyed = $("key").value !== "";
  $("curl").textContent = body ? curlCode(body, keyed) : why;
  $("python").textContent = body ? pythonCode(body, keyed) : why;
  for (const button of document.querySelectorAll("[data-copy]")) button.disabled = body === null;
};

// ---- key and models

const headers = () => ($("key").value ? { Authorization: `Bearer ${$("key").value}` } : {});
const hint = (text, bad) => {
  $("key-hint").textContent = text;
  $("key-hint").classList.toggle("bad-text", bad);
  $("key").setAttribute("aria-invalid", String(bad));
};
const keyIsSendable = () => {
  if (/^[\x21-\x7e]*$/.test($("key").value)) return true;
  hint("The key holds a space or a character that a header cannot carry.", true);
  return false;
};
const remember = () => {
  try {
    if ($("keep").checked && $("key").value) sessionStorage.setItem(STORED, $("key").value);
    else sessionStorage.removeItem(STORED);
  } catch {
    hint("This browser keeps nothing for this page: the key is forgotten on reload.", false);
  }
};
const loadModels = async () => {
  const chosen = $("model").value;
  const none = (text) => $("model").replaceChildren(new Option(text, ""));
  if (!keyIsSendable()) return;
  try {
    const response = await fetch(`${BASE}/models`, { headers: headers(), cache: "no-store", referrerPolicy: "no-referrer" });
    if (response.status === 401) {
      none("needs an API key");
      hint($("key").value ? "The server does not know this key." : "This server asks for an API key.", true);
      return;
    }
    if (!response.ok) throw new Error(String(response.status));
    const ids = (await response.json()).data.map((model) => String(model.id));
    if (!ids.length) throw new Error("empty");
    $("model").replaceChildren(...ids.map((id) => new Option(id, id)));
    if (ids.includes(chosen)) $("model").value = chosen;
    hint("", false);
  } catch {
    none("models could not be listed");
  } finally {
    showCode();
  }
};

// ---- asking

const say = (text) => { $("status").textContent = text; };
const setBusy = (controller) => {
  busy = controller;
  $("ask").setAttribute("aria-disabled", String(controller !== null));
  if (controller === null && document.activeElement === $("stop")) $("ask").focus();
  $("stop").disabled = controller === null;
  $("result").setAttribute("aria-busy", String(controller !== null));
  clearInterval(ticking);
  $("clock").hidden = controller === null;
  if (controller) {
    const start = performance.now();
    const tick = () => { $("clock").textContent = `${((performance.now() - start) / 1000).toFixed(1)} s`; };
    tick();
    ticking = setInterval(tick, 100);
  }
};
const countDown = (seconds) => {
  clearInterval(waiting);
  const line = $("error").querySelector(".wait");
  const until = Date.now() + seconds * 1000;
  const tick = () => {
    const left = Math.max(0, Math.ceil((until - Date.now()) / 1000));
    line.textContent = left ? `The server asks to wait: ${plural(left, "second")} left.` : "You can ask again.";
    if (!left) clearInterval(waiting);
  };
  // The alert is read out once; the seconds that follow are not.
  line.setAttribute("aria-live", "off");
  tick();
  waiting = setInterval(tick, 1000);
};
const fail = (status, error, wait = null, id = null) => {
  showError($("error"), { status, error, wait, id });
  if (wait !== null) countDown(wait);
  say("No answer.");
  if (status === 401) {
    hint($("key").value ? "The server does not take this key." : "This server asks for an API key.", true);
    $("key").focus();
  }
  if (status === 404) loadModels();
};
const refuse = (id, place, text) => {
  $(place).textContent = text;
  $(id).setAttribute("aria-invalid", "true");
  $(id).focus();
};
const prepared = () => {
  const { tools, mistake } = checkTools();
  if (mistake) {
    $("editor").open = true;
    $("tools").focus();
    $("tools").setSelectionRange(mistake.at, Math.min(mistake.at + 1, $("tools").value.length));
    // Lines are not wrapped, so the line's number gives its height.
    const { line } = lineAndColumn($("tools").value, mistake.at);
    $("tools").scrollTop = (line - 4) * Number.parseFloat(getComputedStyle($("tools")).lineHeight);
    return null;
  }
  for (const id of ["query", "rounds", "deadline"]) $(id).setAttribute("aria-invalid", "false");
  $("query-state").textContent = $("how-state").textContent = "";
  if (!$("query").value.trim()) return refuse("query", "query-state", "Type a question first."), null;
  try {
    return build(tools);
  } catch (bad) {
    return refuse(bad.at, "how-state", bad.message), null;
  }
};
const inView = () => $("answer").getBoundingClientRect().top < window.innerHeight * 0.6;
const ask = async () => {
  if (busy || !keyIsSendable()) return;
  const request = prepared();
  if (!request) return;
  clearInterval(waiting);
  const controller = new AbortController();
  setBusy(controller);
  $("error").replaceChildren();
  $("result").replaceChildren();
  say("Asking…");
  if (!inView()) $("answer").scrollIntoView({ block: "start" });
  const start = performance.now();
  try {
    const response = await fetch(`${BASE}/chat/completions`, {
      method: "POST", headers: { "Content-Type": "application/json", ...headers() }, body: JSON.stringify(request),
      signal: controller.signal, cache: "no-store", referrerPolicy: "no-referrer",
    });
    const text = await response.text();
    const wall = performance.now() - start;
    const id = response.headers.get("X-Request-Id");
    let data = null;
    try {
      data = JSON.parse(text);
    } catch {
      data = null;
    }
    if (!response.ok) {
      const error = data?.error && typeof data.error === "object" ? data.error : { message: text.slice(0, 2000) || null };
      fail(response.status, error, retryAfter(response.headers.get("Retry-After"), Date.now()), id);
    } else if (!Array.isArray(data?.choices)) {
      fail(0, { title: "This is no chat completion", message: text.slice(0, 2000) });
    } else {
      say(showAnswer($("result"), data, { wall, request, id }));
    }
  } catch (problem) {
    if (controller.signal.aborted) say("Stopped. The request was given up.");
    else fail(0, { title: "The server did not answer", message: `The connection failed. Is the server still running? (${problem.message})` });
  } finally {
    setBusy(null);
  }
};

// ---- copying

const copy = async (id, button) => {
  const place = $(id);
  try {
    await navigator.clipboard.writeText(place.textContent);
    $("copied").textContent = "Copied.";
  } catch {
    // Pages that came over plain HTTP have no clipboard.
    getSelection().selectAllChildren(place);
    $("copied").textContent = document.execCommand("copy") ? "Copied." : "Selected: copy it with the keyboard.";
  }
  button.focus();
};

// ---- wiring

$("form").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
$("stop").addEventListener("click", () => { if (busy) busy.abort(); });
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing) {
    event.preventDefault();
    ask();
  }
});
$("sample").addEventListener("change", () => useSample(samples[$("sample").selectedIndex]));
$("example").addEventListener("change", () => { if ($("example").value) $("query").value = $("example").value; showCode(); });
$("tools").addEventListener("input", checkTools);
$("tidy").addEventListener("click", () => { const { tools } = checkTools(); if (tools?.length) { $("tools").value = compact(tools); checkTools(); } });
for (const id of ["model", "query", "rounds", "deadline", "key"]) $(id).addEventListener("input", showCode);
const MODES = {
  adaptive: "The model checks its answer until it repeats it.", fixed: "So many rounds, whatever they answer.",
  off: "One answer, with no check.",
};
const useMode = () => {
  const mode = $("mode").value;
  $("mode-hint").textContent = MODES[mode];
  $("rounds-name").textContent = mode === "fixed" ? "Rounds" : "Rounds at most";
  $("rounds").disabled = $("deadline").disabled = mode === "off";
  showCode();
};
$("mode").addEventListener("change", useMode);
$("key").addEventListener("change", () => { remember(); loadModels(); });
$("keep").addEventListener("change", remember);
for (const button of document.querySelectorAll("[data-copy]")) button.addEventListener("click", () => copy(button.dataset.copy, button));

try {
  const kept = sessionStorage.getItem(STORED);
  if (kept) { $("key").value = kept; $("keep").checked = true; }
} catch {
  $("keep").disabled = true;
}
useMode();
loadModels();
try {
  samples = await (await fetch(new URL("playground/playground_samples.json", document.baseURI))).json();
  $("sample").replaceChildren(...samples.map((sample) => new Option(sample.title)));
  if (!$("tools").value && !$("query").value) useSample(samples[0]);
} catch {
  $("note").textContent = "The sample sets could not be read: paste your own tools.";
  checkTools();
}
document.documentElement.dataset.ready = "true";
