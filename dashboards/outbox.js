// Messages on their way out, one at a time, so that they arrive in the order in which they were written.
//
//   sending ─► sent ─► (seen in the chat, and gone from here)
//      └─────► failed ─► sending, with the same key: the backend stores a key once, however often it is sent

import { newKey } from "./keys.js";

export class Outbox {
  #send;
  #onChange;
  #place;
  #busy = false;
  #claimed = new Set();
  entries = [];

  /**
   * `send(text, key)` resolves to an answer, whose content may have `seq`, or throws an ApiError. With a `place` in
   * the session's storage, what is not sent outlives a reload, with its key.
   */
  constructor(send, onChange, place = null) {
    this.#send = send;
    this.#onChange = onChange;
    this.#place = place;
    for (const kept of JSON.parse((place && sessionStorage.getItem(place)) || "[]")) {
      this.entries.push({ ...kept, state: "failed", reason: "Not known to have arrived.", again: true, seq: null });
    }
  }

  /** Send a text. `base`: how many messages the chat had so far. */
  add(text, base) {
    const at = new Date().toISOString();
    this.entries.push({ key: newKey(), text, base, at, state: "sending", reason: "", again: false, seq: null });
    this.#changed();
    void this.#work();
  }

  /** Send one that failed again. It cannot be stored twice. */
  retry(key) {
    const entry = this.entries.find((each) => each.key === key);
    if (entry?.state !== "failed") return;
    entry.state = "sending";
    this.#changed();
    void this.#work();
  }

  /**
   * The chat's messages are known: [{seq, role, text}]. Returns which entry each message is, as a map from seq to key,
   * and lets go of those. One whose answer is missing is found by its text, among what came after it was written; as
   * long as it is being sent, it is kept all the same.
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
        const answer = await this.#send(entry.text, entry.key);
        entry.state = "sent";
        entry.seq = answer.content?.seq ?? null;
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
    if (this.#place === null) return;
    const open = this.entries.filter((entry) => entry.state !== "sent");
    sessionStorage.setItem(this.#place, JSON.stringify(open.map(({ key, text, base, at }) => ({ key, text, base, at }))));
  }
}
