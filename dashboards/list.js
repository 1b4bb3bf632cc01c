// The list of chats on the page: each chat keeps its row, and only differences touch the DOM.
//
// The list itself has the focus, with the active row as its descendant, so a row can move without losing the focus.

import { initials, shade } from "./chats.js";
import { arrange, make, setAttribute, setText } from "./dom.js";
import { brief, full } from "./times.js";

const SHADES = 6;

export class ChatRows {
  #box;
  #onOpen;
  #rows = new Map();
  #drawn = new WeakMap();
  #shown = [];
  #active = null;

  /** `box`: a scrolling listbox; `onOpen(id)` is called when the user opens a chat. */
  constructor(box, onOpen) {
    this.#box = box;
    this.#onOpen = onOpen;
    box.addEventListener("click", (event) => {
      const row = event.target.closest("[role=option]");
      if (row) this.#open(row.dataset.id);
    });
    box.addEventListener("keydown", (event) => this.#key(event));
    box.addEventListener("focus", () => {
      if (this.#active === null && this.#shown.length) this.#activate(this.#shown[0]);
    });
  }

  /** Show these chats in this order. Keeps the visible rows in place, unless scrolled to the very top. */
  show(chats, { selected, unread }) {
    const anchor = this.#anchor(chats);
    const nodes = chats.map((chat) => this.#row(chat, chat.id === selected, unread.has(chat.id)));
    const shown = chats.map((chat) => chat.id);
    this.#shown = shown;
    const known = new Set(shown);
    for (const id of this.#rows.keys()) {
      if (!known.has(id)) this.#rows.delete(id);
    }
    arrange(this.#box, nodes);
    if (anchor !== null) {
      const moved = anchor.row.offsetTop - anchor.top;
      if (moved) this.#box.scrollTop += moved;
    }
    if (this.#active !== null && !known.has(this.#active)) this.#activate(null);
  }

  /** Update the relative times. */
  tick(chats) {
    for (const chat of chats) {
      const row = this.#rows.get(chat.id);
      if (row) setText(row.querySelector("time"), brief(chat.at));
    }
  }

  /** The topmost visible row that will not move up; null if scrolled to the top. */
  #anchor(chats) {
    const box = this.#box;
    if (box.scrollTop < 1 || !this.#shown.length) return null;
    const order = new Map(chats.map((chat, index) => [chat.id, index]));
    const height = box.firstElementChild.offsetHeight || 1;
    const first = Math.max(0, Math.floor(box.scrollTop / height));
    for (let index = first; index < this.#shown.length; index++) {
      const id = this.#shown[index];
      // A row with a lower index than before has new activity and moves up.
      if (order.has(id) && order.get(id) >= index) {
        const row = this.#rows.get(id);
        return { row, top: row.offsetTop };
      }
    }
    return null;
  }

  #row(chat, selected, unread) {
    let row = this.#rows.get(chat.id);
    if (row === undefined) {
      row = makeRow(chat);
      this.#rows.set(chat.id, row);
    }
    const drawn = JSON.stringify([chat, selected, unread]);
    if (this.#drawn.get(row) === drawn) return row;
    this.#drawn.set(row, drawn);
    const [face, name, time, preview, marks] = row.children;
    setText(face, initials(chat.name));
    setText(name, chat.name);
    setText(time, brief(chat.at));
    setAttribute(time, "title", full(chat.at));
    const by = chat.role === "agent" ? "Agent: " : "";
    setText(preview, chat.total ? by + chat.preview.slice(0, 200) : "No messages yet");
    const [resolved, count, fresh] = marks.children;
    setText(resolved, chat.resolved ? "Resolved" : "");
    setText(count, String(chat.total));
    setAttribute(count, "aria-label", chat.total === 1 ? "1 message" : `${chat.total} messages`);
    setText(fresh, unread ? "new" : "");
    setAttribute(row, "data-unread", unread ? "" : null);
    setAttribute(row, "aria-selected", String(selected));
    return row;
  }

  #activate(id) {
    if (this.#active !== null) this.#rows.get(this.#active)?.classList.remove("active");
    this.#active = id;
    setAttribute(this.#box, "aria-activedescendant", id === null ? null : `chat-${id}`);
    if (id === null) return;
    const row = this.#rows.get(id);
    row.classList.add("active");
    row.scrollIntoView({ block: "nearest" });
  }

  #open(id) {
    this.#activate(id);
    this.#onOpen(id);
  }

  #key(event) {
    const at = this.#shown.indexOf(this.#active);
    const last = this.#shown.length - 1;
    if (last < 0 || event.ctrlKey || event.altKey || event.metaKey) return;
    const to = { ArrowDown: Math.min(at + 1, last), ArrowUp: Math.max(at - 1, 0), Home: 0, End: last }[event.key];
    if (to !== undefined) this.#activate(this.#shown[to]);
    else if ((event.key === "Enter" || event.key === " ") && at >= 0) this.#open(this.#active);
    else return;
    event.preventDefault();
  }
}

function makeRow(chat) {
  const row = make("div", "row");
  row.id = `chat-${chat.id}`;
  row.dataset.id = chat.id;
  row.setAttribute("role", "option");
  const face = make("span", `face shade-${shade(chat.id, SHADES)}`);
  face.setAttribute("aria-hidden", "true");
  const marks = make("span", "marks");
  const count = make("span", "count");
  count.setAttribute("role", "img");
  marks.append(make("span", "resolved"), count, make("span", "fresh visually-hidden"));
  row.append(face, make("span", "name"), make("time"), make("span", "preview"), marks);
  return row;
}
