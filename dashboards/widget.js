// The widget: the contact form, then one chat. It polls for replies every second while the page is visible.

import { ApiError, connectApi } from "./api.js";
import { backoff } from "./backoff.js";
import { composer } from "./composer.js";
import { backend } from "./config.js";
import { setText } from "./dom.js";
import { lines } from "./guide.js";
import { MessageList } from "./messages.js";
import { Outbox } from "./outbox.js";

const KEPT = "chatswarm.widget";
const POLL_VISIBLE = 1000;
const POLL_HIDDEN = 10_000;

const $ = (id) => document.getElementById(id);
const api = connectApi(backend);

/** The chat of this tab, {chatId, userId, name}, which survives a reload. */
let chat = JSON.parse(sessionStorage.getItem(KEPT) || "null");
let messages = [];
let known = false;
let outbox = null;

const list = new MessageList($("messages"), {
  own: "user",
  names: (role) => (role === "agent" ? "Support" : "You"),
  onRetry: (key) => outbox.retry(key),
});
const box = composer($("compose"), (text) => {
  outbox.add(text, messages.length);
  list.scrollToEnd();
});

async function send(text, key) {
  lines.sending(text);
  try {
    const response = await api.sendAsUser(chat.chatId, text, key);
    lines.sent();
    return response;
  } catch (error) {
    lines.notSent(error.message);
    throw error;
  }
}

function show() {
  list.show(messages, outbox);
  $("hello").hidden = messages.length + outbox.entries.length > 0;
}

function enter() {
  $("contact").hidden = true;
  $("chat").hidden = false;
  $("leave").hidden = false;
  setText($("lead"), `Signed in as ${chat.name}`);
  messages = [];
  known = false;
  list.clear();
  outbox = new Outbox(send, show, `chatswarm.outbox.user.${chat.chatId}`);
  show();
  poller.now();
}

function leave() {
  sessionStorage.removeItem(KEPT);
  chat = null;
  poller.stop();
  $("chat").hidden = true;
  $("leave").hidden = true;
  $("contact").hidden = false;
  setText($("problem"), "");
  setText($("lead"), "We usually answer within minutes.");
  $("name").focus();
}

/** Polls the chat, one read at a time: every second, less often while hidden or after failures. */
const poller = {
  timer: null,
  running: false,
  failures: 0,
  now() {
    clearTimeout(this.timer);
    if (!this.running) void this.run();
  },
  stop() {
    clearTimeout(this.timer);
  },
  async run() {
    const of = chat;
    this.running = true;
    try {
      await read(of);
      this.failures = 0;
    } catch (error) {
      this.failures += 1;
      if (!(error instanceof ApiError)) console.error(error);
      if (of === chat) showProblem(error);
    }
    this.running = false;
    if (chat === null) return;
    const pause = document.visibilityState === "visible" ? POLL_VISIBLE : POLL_HIDDEN;
    const wait = this.failures ? POLL_VISIBLE / 2 + backoff(this.failures) : pause;
    this.timer = setTimeout(() => this.run(), of !== chat ? 0 : wait);
  },
};

async function read(of) {
  const { content } = await api.customersChats(of.userId);
  if (of !== chat) return;
  const found = content.chats.find((each) => each.chat_id === of.chatId);
  if (!found) throw new ApiError(404, "This chat does not exist any more.");
  setText($("problem"), "");
  const fresh = found.messages.slice(messages.length).filter((message) => message.role === "agent");
  if (known && fresh.length) setText($("told"), `Support: ${fresh.at(-1).text.slice(0, 200)}`);
  known = true;
  if (found.messages.length === messages.length) return;
  messages = found.messages.map((message, index) => ({ ...message, seq: index + 1 }));
  show();
}

function showProblem(error) {
  const gone = error instanceof ApiError && error.status === 404;
  // A single failure is not worth a message.
  if (gone) setText($("problem"), "This chat does not exist any more. Please start a new one.");
  else if (poller.failures > 1) setText($("problem"), "We cannot be reached at the moment. Trying again…");
}

$("contact").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = $("contact").querySelector("button");
  const contact = { name: $("name").value.trim(), email: $("email").value.trim() };
  button.disabled = true;
  setText(button, "Starting…");
  setText($("contact-problem"), "");
  try {
    await api.saveContact(contact);
    const { content } = await api.createChat(contact);
    chat = { chatId: content.chat_id, userId: content.user_id, name: contact.name };
    sessionStorage.setItem(KEPT, JSON.stringify(chat));
    enter();
    box.focus();
  } catch (error) {
    setText($("contact-problem"), `${error.message} Please try again.`);
  } finally {
    button.disabled = false;
    setText(button, "Start chat");
  }
});
$("leave").addEventListener("click", leave);
document.addEventListener("visibilitychange", () => {
  if (chat !== null && document.visibilityState === "visible") poller.now();
});
window.addEventListener("online", () => chat !== null && poller.now());

if (chat !== null) enter();
