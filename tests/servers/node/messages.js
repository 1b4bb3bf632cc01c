// The messages that a chat has stored: an append-only file with one JSON object a line.
"use strict";

const fs = require("node:fs");

// A killed process loses no line that was written; only a machine that loses power could.
class Messages {
  constructor(path) {
    this.file = fs.openSync(path, "a+");
    const text = fs.readFileSync(path, "utf8");
    const whole = text.slice(0, text.lastIndexOf("\n") + 1);
    fs.ftruncateSync(this.file, Buffer.byteLength(whole));
    this.all = whole.split("\n").filter(Boolean).map((line) => JSON.parse(line));
    this.lastId = this.all.at(-1)?.id ?? 0;
  }

  // Returns the message with its id.
  add(fields, { keep = true } = {}) {
    const message = { id: ++this.lastId, ...fields };
    if (keep) {
      fs.writeSync(this.file, JSON.stringify(message) + "\n");
      this.all.push(message);
    }
    return message;
  }
}

module.exports = { Messages };
