// The messages of one chat, on both pages: the backend's messages, then those still being sent.

import { arrange, make, setAttribute, setText } from "./dom.js";
import { clock, full } from "./times.js";

const NEAR = 80;
const STATES = { sending: "Sending…", sent: "Sent", failed: "Not sent." };

export class MessageList {
  #scroller;
  #list;
  #own;
  #names;
  #onRetry;
  #nodes = new Map();

  /** Renders into `scroller`; `own` is the user's role; `names(role)` returns the name to show for a role. */
  constructor(scroller, { own, names, onRetry }) {
    this.#scroller = scroller;
    this.#own = own;
    this.#names = names;
    this.#onRetry = onRetry;
    this.#list = make("ol", "messages");
    scroller.append(this.#list);
  }

  /** Remove all messages, for another chat. */
  clear() {
    this.#nodes.clear();
    this.#list.replaceChildren();
  }

  /** Show `messages`, then the outbox entries that are not among them. Stays scrolled to the end. */
  show(messages, outbox) {
    const scroller = this.#scroller;
    const atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR;
    const found = outbox.recognize(messages, this.#own);
    const nodes = messages.map((message) => {
      const key = found.get(message.seq);
      if (key !== undefined && this.#nodes.has(key)) {
        this.#nodes.set(message.seq, this.#nodes.get(key));
        this.#nodes.delete(key);
      }
      return this.#node(message.seq, message, message.role === this.#own ? "sent" : "");
    });
    const seen = new Set(found.values());
    let last = nodes.at(-1) ?? null;
    for (const entry of outbox.entries.filter((each) => !seen.has(each.key))) {
      last = this.#node(entry.key, { role: this.#own, text: entry.text, timestamp: entry.at }, entry.state, entry);
      nodes.push(last);
    }
    const added = last !== null && last.parentNode === null;
    arrange(this.#list, nodes);
    const own = added && last.classList.contains("own");
    if (atEnd || own) scroller.scrollTop = scroller.scrollHeight;
  }

  /** Scroll to the last message. */
  scrollToEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  #node(key, message, state, entry = null) {
    let node = this.#nodes.get(key);
    if (node === undefined) {
      node = this.#make(message);
      this.#nodes.set(key, node);
    }
    const [, , foot] = node.children;
    const [time, status] = foot.children;
    setText(time, clock(message.timestamp));
    setAttribute(time, "title", full(message.timestamp));
    setAttribute(node, "data-state", state || null);
    setText(status, state === "failed" ? `${STATES.failed} ${entry.reason}` : (STATES[state] ?? ""));
    const retryButton = foot.children[2];
    if (state === "failed" && entry.again) {
      if (!retryButton) {
        const again = make("button", "again", "Try again");
        again.type = "button";
        again.addEventListener("click", () => this.#onRetry(key));
        foot.append(again);
      }
    } else {
      retryButton?.remove();
    }
    return node;
  }

  #make(message) {
    const own = message.role === this.#own;
    const node = make("li", own ? "message own" : "message");
    const foot = make("p", "foot");
    foot.append(make("time"), make("span", "state"));
    node.append(
      make("p", own ? "by visually-hidden" : "by", this.#names(message.role)),
      make("p", "text", message.text),
      foot,
    );
    return node;
  }
}
