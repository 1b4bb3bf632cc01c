// Tokens and keys.

const KEPT = "chatswarm.token";

/** The dashboard's token, kept for as long as the tab is open; null if there is none. */
export const token = {
  get: () => sessionStorage.getItem(KEPT),
  set: (value) => sessionStorage.setItem(KEPT, value),
  clear: () => sessionStorage.removeItem(KEPT),
};

/** The subprotocols that carry a token, because a browser cannot set headers on a WebSocket. */
export function subprotocols(value) {
  if (value === null) return [];
  const bytes = String.fromCharCode(...new TextEncoder().encode(value));
  const encoded = btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  return ["chatswarm", `bearer.${encoded}`];
}

/** A key that nobody else has. Not crypto.randomUUID, which pages on plain http have on localhost only. */
export function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
