// The dashboard's WebSocket: connects, subscribes, sends pings, and reconnects for as long as the page is open.
//
//   connecting ─► connected (subscribed) ─► waiting ─► connecting ─► …       stopped: until `start` is called again

import { backoff } from "./backoff.js";
import { lines, Pace } from "./guide.js";

const CHANNEL = "chat_updates";
const HANDSHAKE = 10_000;
const PING_EVERY = 30_000;
const PING_TIMEOUT = 10_000;
const STABLE = 5_000;

export class DashboardSocket {
  #url;
  #protocols;
  #onState;
  #onSubscribed;
  #callbacks = [];
  #pace = new Pace();
  #socket = null;
  #attempt = 0;
  #subscribedAt = null;
  #receivedAt = 0;
  #retry = null;
  #deadline = null;
  #pinging = null;
  #pong = null;
  #summary = null;

  /** `protocols()` is called for every connection; `onState` gets {kind, until?}; `onSubscribed` should refetch. */
  constructor({ url, protocols = () => [], onState, onSubscribed }) {
    this.#url = url;
    this.#protocols = protocols;
    this.#onState = onState;
    this.#onSubscribed = onSubscribed;
  }

  /** `callback(data, loud)` is called for every notification; it logs its console lines if `loud`. */
  subscribe(callback) {
    this.#callbacks.push(callback);
  }

  /** Connect now, unless already connected or connecting. */
  start() {
    if (this.#socket !== null) return;
    clearTimeout(this.#retry);
    this.#connect();
  }

  /** Close without reconnecting. */
  stop() {
    clearTimeout(this.#retry);
    this.#drop();
    this.#onState({ kind: "stopped" });
  }

  /** The page is visible again, or the network is back: reconnect or ping immediately. */
  wake() {
    if (this.#retry !== null) this.start();
    else if (this.#subscribedAt !== null && performance.now() - this.#receivedAt > PING_EVERY / 2) this.#ping();
  }

  #connect() {
    this.#retry = null;
    this.#onState({ kind: "connecting" });
    lines.attempting(this.#url);
    let socket;
    try {
      socket = new WebSocket(this.#url, this.#protocols());
    } catch (error) {
      console.error(error);
      this.#lost(0);
      return;
    }
    this.#socket = socket;
    // Events of a socket that has been dropped are ignored.
    const ifCurrent = (handler) => (event) => {
      if (socket === this.#socket) handler(event);
    };
    socket.onopen = ifCurrent(() => lines.connected());
    socket.onmessage = ifCurrent((event) => this.#receive(event.data));
    socket.onclose = ifCurrent((event) => this.#lost(event.code));
    this.#deadline = setTimeout(() => this.#lost("no answer"), HANDSHAKE);
  }

  #receive(text) {
    this.#receivedAt = performance.now();
    clearTimeout(this.#pong);
    this.#pong = null;
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      console.warn("⚠️ A frame that is not JSON:", text);
      return;
    }
    switch (frame.type) {
      case "connected":
        lines.confirmed(frame.connection_id);
        lines.subscribing(CHANNEL, this.#callbacks.length);
        this.#send({ action: "subscribe", subscription_type: CHANNEL });
        break;
      case "subscribed":
        clearTimeout(this.#deadline);
        lines.subscribed(frame.subscription_type);
        this.#subscribedAt = performance.now();
        this.#pinging ??= setInterval(() => this.#ping(), PING_EVERY);
        this.#onState({ kind: "connected" });
        this.#onSubscribed();
        break;
      case "chat_updates":
        this.#dispatch(frame);
        break;
      case "refetch":
        this.#onSubscribed();
        break;
      case "error":
        console.warn(`⚠️ The backend says: ${frame.message}`);
        break;
    }
  }

  #dispatch(frame) {
    const now = performance.now();
    const loud = this.#pace.every(now);
    if (loud) {
      lines.raw(frame);
      lines.broadcasting(frame.type, this.#callbacks.length);
    } else {
      this.#summary ??= setTimeout(() => this.#summarize(), 1000);
    }
    for (const [index, callback] of this.#callbacks.entries()) {
      if (loud) lines.calling(index + 1);
      try {
        callback(frame.data ?? {}, loud);
        if (loud) lines.executed(index + 1);
      } catch (error) {
        lines.callbackFailed(error);
      }
    }
  }

  #summarize() {
    this.#summary = null;
    const count = this.#pace.summary(performance.now());
    if (count) lines.summary(count);
    else this.#summary = setTimeout(() => this.#summarize(), 100);
  }

  #ping() {
    if (this.#pong !== null) return;
    this.#send({ action: "ping" });
    this.#pong = setTimeout(() => this.#lost("no pong"), PING_TIMEOUT);
  }

  #send(message) {
    this.#socket.send(JSON.stringify(message));
  }

  #lost(reason) {
    const stable = this.#subscribedAt !== null && performance.now() - this.#subscribedAt > STABLE;
    this.#attempt = stable ? 1 : this.#attempt + 1;
    this.#drop();
    const wait = backoff(this.#attempt);
    lines.closed(reason, wait / 1000);
    this.#retry = setTimeout(() => this.#connect(), wait);
    this.#onState({ kind: "waiting", until: Date.now() + wait });
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    this.#subscribedAt = null;
    clearTimeout(this.#deadline);
    clearTimeout(this.#pong);
    clearInterval(this.#pinging);
    this.#pong = this.#pinging = this.#retry = null;
    socket?.close();
  }
}
