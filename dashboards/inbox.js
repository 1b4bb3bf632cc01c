// The inbox: connects the socket, the list and the open chat. On every connection: subscribe, then refetch.

import { connectApi } from "./api.js";
import { ChatView } from "./chat.js";
import { chatsOf, filtered } from "./chats.js";
import { backend, socketUrl } from "./config.js";
import { setText } from "./dom.js";
import { lines } from "./guide.js";
import { subprotocols, token } from "./keys.js";
import { ChatRows } from "./list.js";
import { Refetcher } from "./refetch.js";
import { connectionSign } from "./sign.js";
import { DashboardSocket } from "./socket.js";

const LIMIT = 1000;
const MAX_LIMIT = 10_000;
const REFETCH_EVERY = 30_000;

const $ = (id) => document.getElementById(id);
const api = connectApi(backend, token.get);
const sign = connectionSign({ sign: $("sign"), label: $("sign-label"), fresh: $("fresh"), announced: $("sign-told") });

let chats = [];
let limit = LIMIT;
let etag = null;
let freshAt = null;
const filter = { status: "all", text: "" };
/** The number of messages of each chat when the agent last saw it, and in the last list. */
const seen = new Map();
const before = new Map();

const rows = new ChatRows($("list"), (id) => {
  location.hash = `chat=${id}`;
  openFromAddress();
  // On a phone, the keyboard would cover the messages.
  if (matchMedia("(max-width: 47rem)").matches) $("title").focus();
  else view.focusReply();
});
const view = new ChatView(
  api,
  {
    pane: $("pane"),
    none: $("none"),
    title: $("title"),
    details: $("details"),
    messages: $("messages"),
    earlier: $("earlier"),
    state: $("chat-state"),
    reply: $("reply"),
  },
  askForToken,
);

const refetcher = new Refetcher(readList);
const socket = new DashboardSocket({
  url: socketUrl,
  protocols: () => subprotocols(token.get()),
  onState(state) {
    sign.state(state);
    // A page cannot see why its socket was refused; the list's 401 shows whether a token is missing.
    if (state.kind === "waiting") refetcher.ask();
  },
  onSubscribed() {
    refetcher.askNow();
    view.refetch();
  },
});
socket.subscribe((data, loud) => {
  if (loud) lines.update(data);
  if (data.type !== "chat_message_notification") return;
  if (loud) lines.refetching();
  refetcher.ask();
  if (data.chat_id === view.id) view.refetch();
  if (loud) lines.details(data);
});

async function readList() {
  try {
    const requested = limit;
    const response = await api.list(requested, etag);
    if (requested !== limit) return true;
    const first = freshAt === null;
    freshAt = Date.now();
    sign.fresh(freshAt);
    setText($("problem"), "");
    if (response.status !== 304) {
      etag = response.etag;
      update(chatsOf(response.content), first);
    }
    return true;
  } catch (error) {
    if (error.status === 401) {
      askForToken();
      return true;
    }
    sign.stale(freshAt);
    if (freshAt === null) setText($("problem"), error.message);
    return false;
  }
}

function update(next, first) {
  const news = [];
  for (const chat of next) {
    const known = seen.get(chat.id);
    const reading = chat.id === view.id && document.visibilityState === "visible";
    if (first || reading || chat.role === "agent") seen.set(chat.id, chat.total);
    else if (known === undefined) seen.set(chat.id, 0);
    if (!first && chat.role === "user" && chat.total > (before.get(chat.id) ?? 0)) news.push(chat);
    before.set(chat.id, chat.total);
  }
  chats = next;
  if (news.length === 1) setText($("told"), `New message from ${news[0].name}: ${news[0].preview.slice(0, 120)}`);
  else if (news.length) setText($("told"), `New messages in ${news.length} chats`);
  draw();
  if (first) openFromAddress();
  const open = chats.find((chat) => chat.id === view.id);
  if (open) view.update(open);
}

function draw() {
  const shown = filtered(chats, filter);
  const unread = new Set(chats.filter((chat) => chat.total > (seen.get(chat.id) ?? 0)).map((chat) => chat.id));
  rows.show(shown, { selected: view.id, unread });
  const all = chats.length === 1 ? "1 chat" : `${chats.length.toLocaleString("en")} chats`;
  const some = shown.length === chats.length ? all : `${shown.length.toLocaleString("en")} of ${all}`;
  setText($("count"), freshAt === null ? "Loading…" : some);
  $("empty").hidden = freshAt === null || chats.length > 0;
  $("no-match").hidden = chats.length === 0 || shown.length > 0;
  $("more").hidden = chats.length < limit || limit >= MAX_LIMIT;
  const title = unread.size ? `(${unread.size}) Inbox – chatswarm` : "Inbox – chatswarm";
  if (document.title !== title) document.title = title;
}

/** The page's address names the open chat, so that the browser's back button works. */
function openFromAddress() {
  if (freshAt === null) return;
  const id = location.hash.match(/^#chat=(.+)$/)?.[1] ?? null;
  const chat = chats.find((each) => each.id === id) ?? null;
  document.body.dataset.view = chat === null ? "list" : "chat";
  if ((chat?.id ?? null) === view.id) return;
  if (chat !== null) seen.set(chat.id, chat.total);
  view.open(chat);
  draw();
}

function askForToken() {
  if ($("token-dialog").open) return;
  setText($("token-problem"), token.get() === null ? "" : "This token was not accepted.");
  token.clear();
  socket.stop();
  $("token-dialog").showModal();
}

$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const value = $("token").value.trim();
  if (!value) return;
  token.set(value);
  $("token").value = "";
  $("token-dialog").close();
  socket.start();
});
$("token-dialog").addEventListener("cancel", (event) => event.preventDefault());

function changeFilter() {
  filter.status = document.querySelector("input[name=status]:checked").value;
  filter.text = $("search").value;
  $("list").scrollTop = 0;
  draw();
}
$("filter").addEventListener("input", changeFilter);
$("filter").addEventListener("submit", (event) => event.preventDefault());
$("clear").addEventListener("click", () => {
  $("filter").reset();
  changeFilter();
  $("search").focus();
});
$("more").addEventListener("click", () => {
  limit = Math.min(limit * 2, MAX_LIMIT);
  etag = null;
  refetcher.askNow();
});
$("back").addEventListener("click", () => {
  location.hash = "";
  $("list").focus();
});
window.addEventListener("hashchange", openFromAddress);
$("skip").addEventListener("click", (event) => {
  event.preventDefault();
  $("list").focus();
});

function wake() {
  if ($("token-dialog").open) return;
  socket.wake();
  refetcher.askNow();
  view.refetch();
}
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") wake();
});
window.addEventListener("online", wake);
window.addEventListener("pageshow", (event) => {
  if (event.persisted) wake();
});
// A backend may lose a notification, so refetch the list at least this often.
setInterval(() => {
  if (document.visibilityState === "visible" && !$("token-dialog").open) refetcher.ask();
  rows.tick(filtered(chats, filter));
}, REFETCH_EVERY);

draw();
socket.start();
