// Outgoing messages, sent one at a time so that they arrive in order.
//
//   sending ─► sent ─► (found in the chat, and removed here)
//      └─────► failed ─► sending, with the same key: the backend stores each key only once

import { newKey } from "./keys.js";

export class Outbox {
  #send;
  #onChange;
  #storageKey;
  #busy = false;
  #claimed = new Set();
  entries = [];

  /**
   * `send(text, key)` resolves to a response, whose content may have `seq`, or throws an ApiError. With a
   * `storageKey` for the session storage, unsent messages and their keys survive a reload.
   */
  constructor(send, onChange, storageKey = null) {
    this.#send = send;
    this.#onChange = onChange;
    this.#storageKey = storageKey;
    for (const kept of JSON.parse((storageKey && sessionStorage.getItem(storageKey)) || "[]")) {
      this.entries.push({ ...kept, state: "failed", reason: "Not known to have arrived.", again: true, seq: null });
    }
  }

  /** Send a text. `base`: the number of messages in the chat so far. */
  add(text, base) {
    const at = new Date().toISOString();
    this.entries.push({ key: newKey(), text, base, at, state: "sending", reason: "", again: false, seq: null });
    this.#changed();
    void this.#work();
  }

  /** Send a failed message again. It cannot be stored twice. */
  retry(key) {
    const entry = this.entries.find((each) => each.key === key);
    if (entry?.state !== "failed") return;
    entry.state = "sending";
    this.#changed();
    void this.#work();
  }

  /**
   * Match entries with the chat's messages, [{seq, role, text}]: returns a map from seq to key, and removes the matched
   * entries. An entry without a response is matched by text, among messages after its `base`; while it is still being
   * sent, it is not removed.
   */
  recognize(messages, role) {
    const found = new Map();
    const gone = new Set();
    const claim = (entry, seq) => {
      found.set(seq, entry.key);
      if (entry.state === "sending") return;
      this.#claimed.add(seq);
      gone.add(entry);
    };
    for (const entry of this.entries.filter((each) => each.seq !== null)) {
      if (messages.some((message) => message.seq === entry.seq)) claim(entry, entry.seq);
    }
    for (const entry of this.entries.filter((each) => each.seq === null)) {
      const arrived = messages.find(
        ({ seq, role: by, text }) =>
          by === role && text === entry.text && seq > entry.base && !found.has(seq) && !this.#claimed.has(seq),
      );
      if (arrived) claim(entry, arrived.seq);
    }
    if (gone.size) {
      this.entries = this.entries.filter((entry) => !gone.has(entry));
      this.#keep();
    }
    return found;
  }

  async #work() {
    if (this.#busy) return;
    this.#busy = true;
    let entry;
    while ((entry = this.entries.find((each) => each.state === "sending"))) {
      try {
        const response = await this.#send(entry.text, entry.key);
        entry.state = "sent";
        entry.seq = response.content?.seq ?? null;
      } catch (error) {
        entry.state = "failed";
        entry.reason = error.message;
        entry.again = error.mayWorkLater !== false;
      }
      this.#changed();
    }
    this.#busy = false;
  }

  #changed() {
    this.#keep();
    this.#onChange();
  }

  #keep() {
    if (this.#storageKey === null) return;
    const open = this.entries.filter((entry) => entry.state !== "sent");
    const kept = open.map(({ key, text, base, at }) => ({ key, text, base, at }));
    sessionStorage.setItem(this.#storageKey, JSON.stringify(kept));
  }
}
