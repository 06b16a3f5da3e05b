// What changed between two answers, call by call and argument by argument.

/** A whole number that a double cannot hold: kept as its text, so that two such numbers are not taken for equal. */
class Exact {
  constructor(text) { this.text = text; }
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Exact);

/** JSON text that is equal for equal values. */
export function canonical(value) {
  if (value instanceof Exact) return value.text;
  if (Array.isArray(value)) return `[${value.map(canonical).join(", ")}]`;
  if (isObject(value)) return `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}: ${canonical(value[key])}`).join(", ")}}`;
  return JSON.stringify(value);
}

const exact = (key, value, context) =>
  typeof value === "number" && !Number.isSafeInteger(value) && context && /^-?\d+$/.test(context.source) ? new Exact(context.source) : value;

/** A call of the API as its name and its arguments by path (`contact.email`); arguments that are no object stay one text. */
export function readCall(call) {
  const text = call?.function?.arguments ?? "{}";
  const leaves = new Map();
  const walk = (path, value) => {
    if (isObject(value) && (Object.keys(value).length || !path))
      for (const [key, inner] of Object.entries(value)) {
        const step = key === "" || key.includes(".") ? JSON.stringify(key) : key;
        walk(path ? `${path}.${step}` : step, inner);
      }
    else leaves.set(path, canonical(value));
  };
  let parsed;
  try {
    parsed = JSON.parse(text, exact);
  } catch {
    parsed = undefined;
  }
  if (isObject(parsed)) walk("", parsed);
  else leaves.set("(not a JSON object)", String(text));
  return { name: String(call?.function?.name ?? ""), leaves };
}

const shared = (one, other) => [...one.leaves].filter(([path, value]) => other.leaves.get(path) === value).length;
const equal = (one, other) => one.name === other.name && one.leaves.size === other.leaves.size && shared(one, other) === one.leaves.size;

/** Pairs the calls of two answers: equal ones first, then those of one name that share the most arguments. */
function pair(before, after) {
  const partner = new Map(), left = new Set(before);
  for (const call of after) {
    const same = [...left].find((old) => equal(old, call));
    if (same) { partner.set(call, same); left.delete(same); }
  }
  const rest = after.filter((call) => !partner.has(call));
  const options = rest.flatMap((call) => [...left].filter((old) => old.name === call.name).map((old) => [shared(old, call), call, old]));
  options.sort((one, other) => other[0] - one[0]);
  for (const [, call, old] of options)
    if (!partner.has(call) && left.has(old)) { partner.set(call, old); left.delete(old); }
  return { partner, gone: [...left] };
}

const whole = (call, mark) => ({
  name: call.name, mark, rows: [...call.leaves].map(([path, value]) => ({ path, mark, value })),
});

/** Calls of the later answer with a mark each (`same`, `added`, `changed`), then the `removed` ones. No `before`: no marks. */
export function diffCalls(before, after) {
  const now = after.map(readCall);
  if (!before) return now.map((call) => whole(call, "same"));
  const { partner, gone } = pair(before.map(readCall), now);
  const calls = now.map((call) => {
    const old = partner.get(call);
    if (!old) return whole(call, "added");
    const rows = [...call.leaves].map(([path, value]) => {
      if (!old.leaves.has(path)) return { path, mark: "added", value };
      const was = old.leaves.get(path);
      return was === value ? { path, mark: "same", value } : { path, mark: "changed", value, was };
    });
    for (const [path, value] of old.leaves) if (!call.leaves.has(path)) rows.push({ path, mark: "removed", value });
    return { name: call.name, mark: rows.some((row) => row.mark !== "same") ? "changed" : "same", rows };
  });
  return [...calls, ...gone.map((call) => whole(call, "removed"))];
}

/** How many arguments and calls were added, removed, changed; a whole call counts once. */
export function countChanges(calls) {
  const counts = { added: 0, removed: 0, changed: 0 };
  for (const call of calls) {
    if (call.mark === "added" || call.mark === "removed") counts[call.mark] += 1;
    else for (const row of call.rows) if (row.mark !== "same") counts[row.mark] += 1;
  }
  return counts;
}
