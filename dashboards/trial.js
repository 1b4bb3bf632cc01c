// "Try it": a form that calls this chat, and shows the call as a command and the response.

import { make, setText } from "./dom.js";
import { sample, whole } from "./shapes.js";

// The token inputs share one value, which is never stored and lasts until the page is closed.
const secrets = [];

/** The form for one operation of the OpenAPI document. */
export function trial(method, path, operation, schemas) {
  const form = make("form", "trial");
  const inputs = (operation.parameters ?? []).map((each) => ({ ...each, input: field(form, each.name, each.required) }));
  const secret = operation.security ? field(form, "Token", true, "password") : null;
  const schema = operation.requestBody?.content["application/json"]?.schema;
  const body = schema ? area(form, "Body", JSON.stringify(usual(schema, schemas), null, 2)) : null;
  const command = make("pre", "command");
  const button = make("button", "primary", "Send");
  const outcome = make("div", "outcome");
  outcome.setAttribute("role", "status");
  form.append(command, button, outcome);

  const call = () => {
    const at = { path: {}, query: {}, header: {} };
    for (const { name, in: location, required, input } of inputs) {
      if (input.value || required) at[location][name] = input.value;
    }
    if (secret?.value) at.header.Authorization = `Bearer ${secret.value}`;
    if (body) at.header["Content-Type"] = "application/json";
    const filled = path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(at.path[name]));
    const query = new URLSearchParams(at.query).toString();
    // Relative to /docs, so that it works behind a path prefix.
    const url = new URL(`.${filled}${query && `?${query}`}`, document.baseURI);
    return { url, method: method.toUpperCase(), headers: at.header, body: body?.value };
  };
  const show = () => setText(command, curl(call()));
  form.addEventListener("input", show);
  if (secret) {
    secrets.push({ box: secret, show });
    secret.addEventListener("input", () => {
      for (const each of secrets) {
        each.box.value = secret.value;
        each.show();
      }
    });
  }
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    outcome.replaceChildren(make("p", "details", "Waiting…"));
    outcome.replaceChildren(...(await answered(call())));
    button.disabled = false;
  });
  show();
  return form;
}

/** A typical body: the required fields, or all fields if none is required. */
function usual(schema, schemas) {
  const { required } = whole(schema, schemas);
  const value = sample(schema, schemas);
  return required?.length ? Object.fromEntries(required.map((name) => [name, value[name]])) : value;
}

async function answered({ url, ...options }) {
  try {
    const started = performance.now();
    const response = await fetch(url, { ...options, cache: "no-store" });
    const text = await response.text();
    const took = Math.round(performance.now() - started);
    const status = make("p", "status", `${response.status} ${response.statusText}`);
    status.dataset.class = String(response.status)[0];
    const names = ["content-type", "etag", "retry-after"].filter((name) => response.headers.has(name));
    const head = [`${took} ms`, ...names.map((name) => `${name}: ${response.headers.get(name)}`)].join(" · ");
    return [status, make("p", "details", head), ...(text ? [make("pre", "", pretty(text))] : [])];
  } catch (error) {
    return [make("p", "problem", `No answer: ${error.message}`)];
  }
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** The call as a shell command. */
export function curl({ url, method, headers, body }) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const shown = Object.entries(headers).map(([name, value]) =>
    quoted(`${name}: ${name === "Authorization" ? "Bearer TOKEN" : value}`),
  );
  const parts = ["curl", ...(method === "GET" ? [] : ["-X", method]), quoted(url.href)];
  return [parts.join(" "), ...shown.map((each) => `-H ${each}`), ...(body ? [`-d ${quoted(compact(body))}`] : [])].join(" \\\n  ");
}

function compact(text) {
  try {
    return JSON.stringify(JSON.parse(text));
  } catch {
    return text;
  }
}

function field(form, name, required, type = "text") {
  const input = make("input");
  Object.assign(input, { type, required, autocomplete: "off", spellcheck: false });
  return labelled(form, name, input);
}

function area(form, name, value) {
  const box = make("textarea");
  Object.assign(box, { value, rows: value.split("\n").length, spellcheck: false });
  return labelled(form, name, box);
}

function labelled(form, name, input) {
  const label = make("label", "", name);
  label.append(input);
  form.append(label);
  return input;
}
