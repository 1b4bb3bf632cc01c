// The dashboard's token, and idempotency keys.

const KEPT = "chatswarm.token";

/** The dashboard's token, kept until the tab is closed; null if there is none. */
export const token = {
  get: () => sessionStorage.getItem(KEPT),
  set: (value) => sessionStorage.setItem(KEPT, value),
  clear: () => sessionStorage.removeItem(KEPT),
};

/** The subprotocols that carry the token, because a browser cannot set headers on a WebSocket. */
export function subprotocols(value) {
  if (value === null) return [];
  const bytes = String.fromCharCode(...new TextEncoder().encode(value));
  const encoded = btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  return ["chatswarm", `bearer.${encoded}`];
}

/** A unique key. Not crypto.randomUUID, which over plain http is available on localhost only. */
export function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
