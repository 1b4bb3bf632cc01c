// The API page: renders /openapi.json. Text is only ever inserted as text, never as HTML.

import { make, setText } from "./dom.js";
import { fields, nameOf, row, sample, words } from "./shapes.js";
import { trial } from "./trial.js";

const at = (id) => document.getElementById(id);

/** Render the description's markup: paragraphs, lists with "- ", blocks between ```, and `code`. */
export function prose(text) {
  return text.split(/\n{2,}/).flatMap((block) => {
    if (block.startsWith("```")) return [make("pre", "", block.replace(/^```\n?|\n?```$/g, ""))];
    const [lead, ...items] = block.split(/^- /m);
    const parts = lead.trim() ? [inline(make("p"), lead)] : [];
    if (!items.length) return parts;
    const list = make("ul");
    list.append(...items.map((item) => inline(make("li"), item)));
    return [...parts, list];
  });
}

function inline(element, text) {
  text.trim().replace(/\s+/g, " ").split("`").forEach((part, number) => {
    element.append(number % 2 ? make("code", "", part) : part);
  });
  return element;
}

function heading(text) {
  return make("h4", "", text);
}

/** A section that is collapsed at first. */
function folded(label, ...content) {
  const details = make("details", "folded");
  details.append(make("summary", "", label), ...content);
  return details;
}

function example(schema, schemas) {
  return make("pre", "", JSON.stringify(sample(schema, schemas), null, 2));
}

function card(method, path, operation, schemas) {
  const details = make("details", "operation");
  details.id = operation.operationId;
  const title = make("summary");
  const verb = make("span", "method", method.toUpperCase());
  verb.dataset.method = method;
  const where = make("h3", "path");
  where.append(make("code", "", path));
  title.append(verb, where, make("span", "summary", operation.summary));
  if (operation.security) title.append(make("span", "locked", "token"));
  const inside = make("div", "inside");
  const about = make("div", "prose");
  about.append(...prose(operation.description ?? ""));
  inside.append(about);
  if (operation.parameters) {
    const list = make("dl", "fields");
    for (const each of operation.parameters) {
      const [term, meaning] = row(each.name, each.schema, each.required ? "required" : "", each.description);
      term.append(" ", make("span", "place", each.in));
      list.append(term, meaning);
    }
    inside.append(heading("Parameters"), list);
  }
  if (operation.requestBody) {
    const [[, { schema }]] = Object.entries(operation.requestBody.content);
    const kinds = make("p", "details", Object.keys(operation.requestBody.content).join(", "));
    inside.append(heading("Body"), kinds, fields(schema, schemas, { required: "required" }), folded("Example", example(schema, schemas)));
  }
  inside.append(heading("Answers"), answers(operation.responses, schemas));
  // A form cannot try a WebSocket.
  if (!operation.responses["101"]) inside.append(folded("Try it", trial(method, path, operation, schemas)));
  details.append(title, inside);
  return details;
}

function answers(responses, schemas) {
  const list = make("dl", "answers");
  for (const [status, answer] of Object.entries(responses)) {
    const term = make("dt");
    const number = make("span", "status", status);
    number.dataset.class = status[0];
    term.append(number);
    const meaning = make("dd");
    meaning.append(make("p", "", answer.description));
    const headers = Object.keys(answer.headers ?? {});
    const [[kind, content] = []] = Object.entries(answer.content ?? {});
    const line = make("p", "details");
    if (content?.schema.$ref) line.append(words(content.schema));
    else if (kind) line.append(kind);
    if (headers.length) line.append(line.childNodes.length ? " · " : "", `Header: ${headers.join(", ")}`);
    if (line.childNodes.length) meaning.append(line);
    if (status[0] === "2" && content?.schema.$ref) meaning.append(folded("Example", example(content.schema, schemas)));
    list.append(term, meaning);
  }
  return list;
}

function shape(name, schema, schemas) {
  const section = make("section", "shape");
  section.id = `shape-${name}`;
  section.append(make("h3", "", name));
  if (schema.description) section.append(...prose(schema.description));
  section.append(fields(schema, schemas, { optional: "optional" }));
  return section;
}

function link(target, text, className = "") {
  const anchor = make("a", className, text);
  anchor.href = `#${target}`;
  return anchor;
}

/** Render a whole OpenAPI document. */
function show(spec) {
  const schemas = spec.components.schemas;
  setText(at("title"), spec.info.title);
  setText(at("version"), spec.info.version);
  document.title = `API – ${spec.info.title}`;
  at("about").append(...prose(spec.info.description));
  for (const tag of spec.tags) {
    const section = make("section", "group");
    const contents = make("ul");
    section.append(make("h2", "", tag.name), make("p", "details", tag.description));
    for (const [path, methods] of Object.entries(spec.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        if (!operation.tags.includes(tag.name)) continue;
        section.append(card(method, path, operation, schemas));
        const item = make("li");
        item.append(link(operation.operationId, operation.summary));
        contents.append(item);
      }
    }
    at("calls").append(section);
    at("contents").append(make("h2", "", tag.name), contents);
  }
  const shapes = make("section", "group shapes");
  shapes.id = "shapes";
  shapes.append(make("h2", "", "Shapes"), ...Object.keys(schemas).sort().map((each) => shape(each, schemas[each], schemas)));
  at("calls").append(shapes);
  at("contents").append(link("shapes", "Shapes", "alone"));
}

/** Open the section that the address names, and scroll to it. */
function reveal() {
  const target = at(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  if (target instanceof HTMLDetailsElement) target.open = true;
  target.scrollIntoView();
}

try {
  const response = await fetch("openapi.json");
  if (!response.ok) throw new Error(`openapi.json: ${response.status} ${response.statusText}`);
  show(await response.json());
  at("problem").hidden = true;
  reveal();
  addEventListener("hashchange", reveal);
} catch (error) {
  at("problem").classList.add("problem");
  setText(at("problem"), `The description cannot be shown: ${error.message}`);
}
