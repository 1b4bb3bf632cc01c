// The guide's console lines, word for word: people follow the guide with the console open.
// Under load, one summary line a second replaces them, as in the backend's terminal.

const PER_SECOND = 5;

/** Decides whether an update gets all of its lines. Times are milliseconds on a monotonic clock. */
export class Pace {
  #recent = [];
  #since = null;
  #count = 0;

  /** True: print the lines. False: the summary counts it. */
  every(now) {
    this.#recent = [...this.#recent.slice(1 - PER_SECOND), now];
    const busy = this.#recent.length === PER_SECOND && now - this.#recent[0] < 1000;
    if (!busy && this.#since === null) return true;
    this.#since ??= now;
    this.#count += 1;
    return false;
  }

  /** The number counted, returned once when the second is over; otherwise 0. */
  summary(now) {
    if (this.#since === null || now - this.#since < 1000) return 0;
    const count = this.#count;
    this.#since = null;
    this.#count = 0;
    return count;
  }
}

const say = (text) => console.log(text);
const pretty = (value) => JSON.stringify(value, null, 2);

export const lines = {
  attempting: (url) => say(`🔌 Attempting to connect to WebSocket: ${url}`),
  connected: () => say("✅ WebSocket connected"),
  confirmed: (id) => say(`✅ WebSocket connection confirmed: ${id}`),
  subscribing(channel, subscribers) {
    say(`📝 Subscribing to ${channel}...`);
    say(`📊 Total subscribers for ${channel}: ${subscribers}`);
    say(`📤 Sending subscribe message for ${channel}...`);
  },
  subscribed: (channel) => say(`✅ Subscribed to: ${channel}`),
  closed: (code, seconds) => say(`🔌 WebSocket closed (${code}), reconnecting in ${seconds.toFixed(1)} s`),
  raw: (frame) => say(`🔵 Raw WebSocket message received: ${pretty(frame)}`),
  broadcasting(channel, subscribers) {
    say(`📡 Broadcasting ${channel} to subscribers...`);
    say(`📬 Found ${subscribers} subscriber(s) for ${channel}`);
  },
  calling: (number) => say(`  → Calling callback ${number}...`),
  update: (data) => say(`📨 Received WebSocket update: ${pretty(data)}`),
  refetching: () => say("🔔 New message notification received, refetching chats..."),
  details({ chat_id, message_role, timestamp }) {
    const rows = Object.entries({ chat_id, message_role, timestamp }).map(([key, value]) => `  ${key}: "${value}"`);
    say(`📊 Notification details: {\n${rows.join(",\n")}\n}`);
  },
  executed: (number) => say(`  ✅ Callback ${number} executed successfully`),
  callbackFailed: (error) => console.error("❌ Error in subscription callback...", error),
  summary: (count) => say(`📊 ${count} notifications received in the last second`),
  sending: (text) => say(`📤 Sending message: "${text}"`),
  sent: () => say("✅ Message sent successfully"),
  notSent: (reason) => say(`❌ Message not sent: ${reason}`),
};
