// Reading of the tools a person pastes: every mistake names its line, its column and the place in the data.

/** A mistake in pasted JSON; `at` is the offset in the text. */
export class Mistake extends Error {
  constructor(message, at) {
    super(message);
    this.at = at;
  }
}

const SPACE = /[ \t\r\n]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const WORD = /(?:true|false|null)(?!\w)/y;
const DEPTH = 100;

/** Where an offset lies, both counted from 1. */
export function lineAndColumn(text, at) {
  const before = text.slice(0, at).split("\n");
  return { line: before.length, column: before[before.length - 1].length + 1 };
}

/** JSON text to its value and the offset of each value by its path (`tools[0].function.name`). Throws `Mistake`. */
export function readJson(text, root) {
  const places = new Map();
  let at = 0;
  const take = (pattern) => {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (found) at += found[0].length;
    return found ? found[0] : null;
  };
  const shown = () => {
    if (at >= text.length) return "the end";
    const one = String.fromCodePoint(text.codePointAt(at));
    return one < " " ? JSON.stringify(one).slice(1, -1) : `\u201c${one}\u201d`;
  };
  const fail = (wanted) => { throw new Mistake(`expected ${wanted}, found ${shown()}`, at); };
  const sequence = (end, wanted, one) => {
    at += 1;
    take(SPACE);
    if (text[at] === end) { at += 1; return; }
    for (;;) {
      one();
      take(SPACE);
      if (text[at] === end) { at += 1; return; }
      if (text[at] !== ",") fail(`"," or "${end}"`);
      const comma = at;
      at += 1;
      take(SPACE);
      if (text[at] === end) throw new Mistake(`a comma with no ${wanted} after it`, comma);
    }
  };
  const string = (wanted) => {
    const start = at;
    const found = take(STRING);
    if (found !== null) return JSON.parse(found);
    if (text[at] !== '"') fail(wanted);
    throw new Mistake("a text that does not end, or holds a line break or a bad \\ in it", start);
  };
  const value = (path, depth) => {
    take(SPACE);
    places.set(path, at);
    if (depth > DEPTH) throw new Mistake(`nested deeper than ${DEPTH} levels`, at);
    if (text[at] === "{") {
      const keys = new Set();
      sequence("}", "key", () => {
        take(SPACE);
        const start = at;
        const key = string("a key in double quotes");
        if (keys.has(key)) throw new Mistake(`the key ${JSON.stringify(key)} stands twice in one object`, start);
        keys.add(key);
        take(SPACE);
        if (text[at] !== ":") fail('":" after the key');
        at += 1;
        value(`${path}.${key}`, depth + 1);
      });
    } else if (text[at] === "[") {
      let index = 0;
      sequence("]", "value", () => value(`${path}[${index++}]`, depth + 1));
    } else if (text[at] === '"') {
      string("a text");
    } else if (take(NUMBER) === null && take(WORD) === null) {
      fail("a value");
    }
  };
  value(root, 0);
  take(SPACE);
  if (at < text.length) fail("nothing more");
  return { value: JSON.parse(text), places };
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** The tools of a text, none for an empty one. Throws `Mistake` with the path in its message. */
export function readTools(text) {
  if (!text.trim()) return [];
  const { value: tools, places } = readJson(text, "tools");
  const wrong = (path, message) => { throw new Mistake(`${path} ${message}`, places.get(path) ?? 0); };
  if (!Array.isArray(tools)) wrong("tools", "must be a list: [ … ]");
  const names = new Set();
  tools.forEach((tool, index) => {
    const path = `tools[${index}]`;
    const has = (object, key) => Object.hasOwn(object, key);
    if (!isObject(tool)) wrong(path, 'must be an object: {"type": "function", "function": { … }}');
    if (!has(tool, "type")) wrong(path, 'lacks "type": "function"');
    if (tool.type !== "function") wrong(`${path}.type`, 'must be "function"');
    if (!has(tool, "function")) wrong(path, 'lacks "function"');
    const body = tool.function, at = `${path}.function`;
    if (!isObject(body)) wrong(at, "must be an object with a name and parameters");
    if (!has(body, "name")) wrong(at, 'lacks "name"');
    if (typeof body.name !== "string" || !/^[a-zA-Z0-9_-]{1,64}$/.test(body.name))
      wrong(`${at}.name`, "must be 1 to 64 letters, digits, _ or -");
    if (names.has(body.name)) wrong(`${at}.name`, `is taken: two tools are called ${body.name}`);
    names.add(body.name);
    if (has(body, "description") && typeof body.description !== "string") wrong(`${at}.description`, "must be a text");
    if (!has(body, "parameters")) return;
    const schema = body.parameters, inner = `${at}.parameters`;
    if (!isObject(schema)) wrong(inner, "must be a JSON Schema object");
    if (has(schema, "type") && schema.type !== "object") wrong(`${inner}.type`, 'must be "object"');
    if (has(schema, "properties")) {
      if (!isObject(schema.properties)) wrong(`${inner}.properties`, "must be an object: a schema for each name");
      for (const [name, property] of Object.entries(schema.properties))
        if (!isObject(property) && typeof property !== "boolean") wrong(`${inner}.properties.${name}`, "must be a schema, such as {\"type\": \"string\"}");
    }
    if (has(schema, "required") && !(Array.isArray(schema.required) && schema.required.every((name) => typeof name === "string")))
      wrong(`${inner}.required`, "must be a list of names");
  });
  return tools;
}
