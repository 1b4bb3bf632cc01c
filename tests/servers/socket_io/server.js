// The chat at the end of Socket.IO's tutorial, with a file as its database.
"use strict";

const http = require("node:http");
const { Server } = require("socket.io");
const { Messages } = require("../node/messages.js");

const { PORT, DEFECT, PING_MS } = process.env;
const messages = new Messages("messages.jsonl");
const offsets = new Set(messages.all.map((message) => message.clientOffset));
let accepted = 0;

const server = http.createServer((_request, response) => response.writeHead(404).end());
const io = new Server(server, {
  connectionStateRecovery: {},
  pingInterval: Number(PING_MS),
  pingTimeout: Number(PING_MS),
});

io.on("connection", (socket) => {
  socket.on("chat message", (text, clientOffset, callback) => {
    // A repeated send was stored already: it only needs its acknowledgement.
    if (offsets.has(clientOffset) && DEFECT !== "stores-repeats-again") {
      callback();
      return;
    }
    accepted += 1;
    const tenth = accepted % 10 === 0;
    const keep = !(tenth && DEFECT === "acknowledges-without-storing");
    const { id } = messages.add({ text, clientOffset }, { keep });
    offsets.add(clientOffset);
    const audience = tenth && DEFECT === "drops-every-tenth" ? socket : io;
    audience.emit("chat message", text, id);
    callback();
  });

  if (!socket.recovered) {
    const after = socket.handshake.auth.serverOffset || 0;
    for (const message of messages.all) {
      if (message.id > after) {
        socket.emit("chat message", message.text, message.id);
      }
    }
  }
});

server.listen(Number(PORT), "127.0.0.1");
