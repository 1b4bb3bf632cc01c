// The open chat in the inbox: its messages and the reply box. Each chat keeps its draft.

import { composer } from "./composer.js";
import { setAttribute, setText } from "./dom.js";
import { lines } from "./guide.js";
import { MessageList } from "./messages.js";
import { Outbox } from "./outbox.js";
import { Refetcher } from "./refetch.js";

const AT_FIRST = 200;

export class ChatView {
  #api;
  #parts;
  #chat = null;
  #messages = [];
  #loaded = false;
  #drafts = new Map();
  #outboxes = new Map();
  #list;
  #composer;
  #refetcher = new Refetcher(() => this.#read());
  #onDenied;

  /** `parts`: the elements of the page; `onDenied` is called if a token is required. */
  constructor(api, parts, onDenied) {
    this.#api = api;
    this.#parts = parts;
    this.#onDenied = onDenied;
    this.#list = new MessageList(parts.messages, {
      own: "agent",
      names: (role) => (role === "agent" ? "Agent" : (this.#chat?.name ?? "")),
      onRetry: (key) => this.#outbox().retry(key),
    });
    this.#composer = composer(parts.reply, (text) => {
      lines.sending(text);
      this.#outbox().add(text, this.#last());
      this.#list.scrollToEnd();
    });
    parts.earlier.addEventListener("click", () => void this.#earlier());
  }

  /** The id of the open chat, or null. */
  get id() {
    return this.#chat?.id ?? null;
  }

  /** Open a chat of the list; null closes it. */
  open(chat) {
    if (this.#chat !== null) this.#drafts.set(this.#chat.id, this.#composer.text);
    this.#chat = chat;
    this.#messages = [];
    this.#loaded = false;
    this.#list.clear();
    this.#parts.pane.hidden = chat === null;
    this.#parts.none.hidden = chat !== null;
    if (chat === null) return;
    this.#composer.text = this.#drafts.get(chat.id) ?? "";
    this.#head();
    this.#show();
    this.#refetcher.askNow();
  }

  /** Take over the chat's new state in the list. */
  update(chat) {
    const behind = chat.total > this.#last();
    this.#chat = chat;
    this.#head();
    if (behind) this.#refetcher.ask();
  }

  /** Refetch the open chat. */
  refetch() {
    if (this.#chat !== null) this.#refetcher.ask();
  }

  focusReply() {
    this.#composer.focus();
  }

  #last() {
    return this.#messages.at(-1)?.seq ?? 0;
  }

  #outbox() {
    const chat = this.#chat.id;
    if (!this.#outboxes.has(chat)) {
      const send = async (text, key) => {
        try {
          const response = await this.#api.sendAsAgent(chat, text, key);
          lines.sent();
          return response;
        } catch (error) {
          lines.notSent(error.message);
          if (error.status === 401) this.#onDenied();
          throw error;
        }
      };
      const changed = () => {
        if (this.id === chat) this.#show();
      };
      this.#outboxes.set(chat, new Outbox(send, changed, `chatswarm.outbox.agent.${chat}`));
    }
    return this.#outboxes.get(chat);
  }

  #head() {
    const { title, details } = this.#parts;
    setText(title, this.#chat.name);
    const count = this.#chat.total === 1 ? "1 message" : `${this.#chat.total} messages`;
    setText(details, [this.#chat.email, count, this.#chat.resolved ? "resolved" : ""].filter(Boolean).join(" · "));
  }

  #show() {
    const first = this.#messages[0]?.seq ?? 1;
    this.#parts.earlier.hidden = first <= 1;
    setText(this.#parts.state, this.#loaded || this.#messages.length ? "" : "Loading…");
    setAttribute(this.#parts.messages, "aria-busy", String(!this.#loaded));
    this.#list.show(this.#messages, this.#outbox());
  }

  async #read() {
    const chat = this.#chat;
    if (chat === null) return true;
    const after = this.#messages.length ? this.#last() : Math.max(0, chat.total - AT_FIRST);
    try {
      const { content } = await this.#api.chat(chat.id, after);
      if (this.id !== chat.id) return true;
      const fresh = numbered(content.messages ?? []).filter((each) => each.seq > Math.max(after, this.#last()));
      this.#messages.push(...fresh);
      this.#loaded = true;
      this.#show();
      return true;
    } catch (error) {
      if (this.id !== chat.id) return true;
      if (error.status === 401) this.#onDenied();
      if (!this.#messages.length) setText(this.#parts.state, error.message);
      return !error.mayWorkLater || error.status === 401;
    }
  }

  /** Load earlier messages and keep the scroll position. */
  async #earlier() {
    const { messages, earlier } = this.#parts;
    const chat = this.#chat.id;
    const first = this.#messages[0]?.seq ?? 1;
    earlier.disabled = true;
    try {
      const { content } = await this.#api.chat(chat, Math.max(0, first - 1 - AT_FIRST));
      if (this.id !== chat) return;
      const height = messages.scrollHeight;
      const older = numbered(content.messages ?? []).filter((each) => each.seq < this.#messages[0].seq);
      this.#messages.unshift(...older);
      this.#show();
      messages.scrollTop += messages.scrollHeight - height;
    } catch (error) {
      setText(this.#parts.state, error.message);
    } finally {
      earlier.disabled = false;
    }
  }
}

/** The original's messages have no `seq`, but a chat always contains all of them. */
function numbered(messages) {
  return messages.map((message, index) => ({ ...message, seq: message.seq ?? index + 1 }));
}
