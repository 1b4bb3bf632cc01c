// The guide's chat on Node.js and ws, in memory: one send(string) for each dashboard.
"use strict";
const http = require("node:http");
const { WebSocketServer } = require("ws");

const messages = [];
const dashboards = new Set();

const server = http.createServer((request, response) => {
  let body = "";
  request.on("data", (piece) => (body += piece));
  request.on("end", () => {
    const { content, role } = JSON.parse(body);
    const chatId = request.url.split("/")[4];
    const timestamp = new Date().toISOString();
    messages.push({ chatId, content, role, timestamp });
    const id = messages.length;
    const data = {
      type: "chat_message_notification", chat_id: chatId, message_role: role, timestamp, message_id: id, seq: id,
    };
    const frame = JSON.stringify({ type: "chat_updates", data });
    for (const dashboard of dashboards) dashboard.send(frame);
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify({ success: true, message: "Message sent", message_id: id, seq: id }));
  });
});

new WebSocketServer({ server, perMessageDeflate: false }).on("connection", (dashboard) => {
  dashboard.send(JSON.stringify({ type: "connected" }));
  dashboard.on("message", () => {
    dashboards.add(dashboard);
    dashboard.send(JSON.stringify({ type: "subscribed" }));
  });
  dashboard.on("close", () => dashboards.delete(dashboard));
});
server.listen(Number(process.argv[2]), "127.0.0.1");
