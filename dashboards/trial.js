// "Try it": a form that makes a call to this chat, shows it as a command, and shows what comes back.

import { make, setText } from "./dom.js";
import { sample, whole } from "./shapes.js";

// The boxes for the token: what is typed into one is in all. It is never stored, and gone when the page is closed.
const secrets = [];

/** The form for one operation of the description. */
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
    for (const { name, in: place, required, input } of inputs) {
      if (input.value || required) at[place][name] = input.value;
    }
    if (secret?.value) at.header.Authorization = `Bearer ${secret.value}`;
    if (body) at.header["Content-Type"] = "application/json";
    const filled = path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(at.path[name]));
    const query = new URLSearchParams(at.query).toString();
    // The page is at /docs, and so is whatever is in front of that.
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

/** A body as one would send it: the fields that must be there, or else all. */
function usual(schema, schemas) {
  const { required } = whole(schema, schemas);
  const value = sample(schema, schemas);
  return required?.length ? Object.fromEntries(required.map((name) => [name, value[name]])) : value;
}

async function answered({ url, ...options }) {
  try {
    const started = performance.now();
    const answer = await fetch(url, { ...options, cache: "no-store" });
    const text = await answer.text();
    const took = Math.round(performance.now() - started);
    const status = make("p", "status", `${answer.status} ${answer.statusText}`);
    status.dataset.class = String(answer.status)[0];
    const names = ["content-type", "etag", "retry-after"].filter((name) => answer.headers.has(name));
    const head = [`${took} ms`, ...names.map((name) => `${name}: ${answer.headers.get(name)}`)].join(" · ");
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

/** The call as a command for a shell. */
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
