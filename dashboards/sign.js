// The connection indicator: the socket's state, and when the list was last read.

import { setAttribute, setText } from "./dom.js";
import { seconds } from "./times.js";

/** `sign` shows the state, `announced` is read out by screen readers; the countdown is only shown. */
export function connectionSign({ sign, label, fresh, announced }) {
  let state = { kind: "connecting" };
  let ticking = null;
  const show = () => {
    const offline = state.kind !== "connected" && !navigator.onLine;
    const left = state.kind === "waiting" ? Math.max(0, Math.ceil((state.until - Date.now()) / 1000)) : 0;
    const words = {
      connected: ["Connected", "Connected"],
      connecting: ["Connecting…", null],
      waiting: [left ? `Reconnecting in ${left} s` : "Reconnecting…", "Connection lost, reconnecting"],
      stopped: ["Not connected", "Not connected"],
    };
    const [shown, spoken] = offline ? ["Offline", "Offline"] : words[state.kind];
    setText(label, shown);
    if (spoken !== null) setText(announced, spoken);
    setAttribute(sign, "data-state", offline ? "offline" : state.kind);
    clearTimeout(ticking);
    if (state.kind === "waiting") ticking = setTimeout(show, 250);
  };
  window.addEventListener("online", show);
  window.addEventListener("offline", show);
  show();
  return {
    state(next) {
      state = next;
      show();
    },
    /** The list was read at this time. */
    fresh(at) {
      setText(fresh, `Updated ${seconds(at)}`);
    },
    /** The list could not be read. */
    stale(at) {
      setText(fresh, at === null ? "No list yet" : `List from ${seconds(at)}`);
    },
  };
}
