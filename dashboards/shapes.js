// Describes JSON Schema in words and by example; supports only what this API's document uses.

import { make } from "./dom.js";

/** A schema with its reference resolved and the parts of `allOf` merged. */
export function whole(schema, schemas) {
  if (schema.$ref) return whole(schemas[nameOf(schema)], schemas);
  if (!schema.allOf) return schema;
  const all = { ...schema, allOf: undefined, properties: {} };
  for (const part of schema.allOf.map((each) => whole(each, schemas))) {
    const properties = { ...all.properties };
    for (const [name, property] of Object.entries(part.properties ?? {})) {
      properties[name] = { ...properties[name], ...limited(properties[name], property) };
    }
    Object.assign(all, part, { properties });
  }
  return all;
}

/** A property merged with `more`; a nullable one keeps its example. */
function limited(property, more) {
  if (!property?.anyOf || !more.anyOf) return more;
  return { anyOf: property.anyOf.map((each, at) => ({ ...each, ...more.anyOf[at] })) };
}

/** The name that a schema refers to, or null. */
export function nameOf(schema) {
  return schema.$ref?.split("/").pop() ?? null;
}

/** An example that fits the schema. */
export function sample(schema, schemas) {
  const all = whole(schema, schemas);
  if (all.examples) return all.examples[0];
  if (all.anyOf && !all.properties) return sample(all.anyOf.find((each) => each.type !== "null"), schemas);
  if (all.enum) return all.enum[0];
  switch (all.type) {
    case "object": {
      const fields = Object.entries(all.properties ?? {});
      return Object.fromEntries(fields.map(([name, field]) => [name, sample(field, schemas)]));
    }
    case "array":
      return [sample(all.items, schemas)];
    case "integer":
    case "number":
      return all.minimum ?? 0;
    case "boolean":
      return all.default ?? false;
    default:
      return all.format === "date-time" ? "2026-01-31T12:00:00Z" : "…";
  }
}

/** A schema in a few words, with links to the shapes that it refers to. */
export function words(schema) {
  const said = make("span", "kind");
  if (schema.$ref) {
    const link = make("a", "", nameOf(schema));
    link.href = `#shape-${nameOf(schema)}`;
    said.append(link);
  } else if (schema.type === "array") {
    said.append("list of ", words(schema.items));
  } else if (schema.anyOf) {
    schema.anyOf.forEach((each, at) => said.append(at ? " or " : "", words(each)));
  } else {
    said.append(plain(schema));
  }
  return said;
}

function plain(schema) {
  if (schema.enum) return schema.enum.map((each) => JSON.stringify(each)).join(" or ");
  const parts = [{ string: "text", integer: "whole number", boolean: "true or false" }[schema.type] ?? schema.type];
  if (schema.format === "date-time") parts[0] = "time";
  // The only pattern in this API.
  if (schema.pattern) parts[0] = "text that is not blank";
  const { minLength: short, maxLength: long, minimum: low, maximum: high } = schema;
  if (long !== undefined) parts.push(short ? `${short} to ${long} characters` : `at most ${long} characters`);
  if (low !== undefined) parts.push(high !== undefined ? `${low} to ${high}` : `${low} or more`);
  return parts.join(", ");
}

/** The fields of a shape as a description list; `marks` has the labels for required and optional fields. */
export function fields(schema, schemas, marks) {
  const all = whole(schema, schemas);
  const list = make("dl", "fields");
  for (const [name, field] of Object.entries(all.properties ?? {})) {
    const mark = marks[all.required?.includes(name) ? "required" : "optional"];
    list.append(...row(name, field, mark, field.description));
  }
  return list;
}

/** A name and its meaning, as term and description. */
export function row(name, schema, mark = "", description = "") {
  const term = make("dt");
  term.append(make("code", "", name));
  if (mark) term.append(" ", make("span", mark, mark));
  const meaning = make("dd");
  meaning.append(words(schema));
  if (description) meaning.append(make("p", "details", description));
  return [term, meaning];
}
