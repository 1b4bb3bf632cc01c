// A chat over GraphQL: subscriptions and mutations over graphql-transport-ws, queries and mutations by POST /graphql.
"use strict";

const http = require("node:http");
const { buildSchema, graphql } = require("graphql");
const { useServer } = require("graphql-ws/use/ws");
const { WebSocketServer } = require("ws");
const { Messages } = require("../node/messages.js");

const { PORT, DEFECT, KEEP_ALIVE_MS } = process.env;
const PATH = "/graphql";
const messages = new Messages("messages.jsonl");
const subscriptions = new Map(); // room → set of subscriptions
let accepted = 0;

const schema = buildSchema(`
  type Message {
    id: Int!
    room: ID!
    text: String!
  }

  type Query {
    messages(room: ID!, after: Int, limit: Int): [Message!]!
  }

  type Mutation {
    send(room: ID!, text: String!): Message!
  }

  type Subscription {
    messages(room: ID!): Message!
  }
`);

// What one subscriber has yet to be sent. It ends when the client completes it or the socket closes.
class Subscription {
  constructor(room, socket) {
    this.room = room;
    this.socket = socket;
    this.waiting = [];
    this.wake = null;
    this.ended = false;
    if (!subscriptions.has(room)) {
      subscriptions.set(room, new Set());
    }
    subscriptions.get(room).add(this);
  }

  push(message) {
    this.waiting.push({ messages: message });
    this.wake?.();
  }

  async next() {
    while (!this.waiting.length && !this.ended) {
      await new Promise((resolve) => (this.wake = resolve));
    }
    return this.ended ? { value: undefined, done: true } : { value: this.waiting.shift(), done: false };
  }

  async return() {
    this.ended = true;
    this.wake?.();
    subscriptions.get(this.room)?.delete(this);
    if (!subscriptions.get(this.room)?.size) {
      subscriptions.delete(this.room);
    }
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}

const roots = {
  query: {
    messages: ({ room, after, limit }) =>
      messages.all
        .filter((message) => message.room === room && message.id > (after ?? 0))
        .slice(0, limit ?? undefined),
  },
  mutation: {
    send: ({ room, text }, { socket }) => {
      accepted += 1;
      const tenth = accepted % 10 === 0;
      const message = messages.add({ room, text });
      for (const subscription of subscriptions.get(room) ?? []) {
        if (tenth && DEFECT === "drops-every-tenth" && subscription.socket !== socket) {
          continue;
        }
        subscription.push(message);
        if (tenth && DEFECT === "sends-every-tenth-twice") {
          subscription.push(message);
        }
      }
      return message;
    },
  },
  subscription: {
    messages: ({ room }, { socket }) => new Subscription(room, socket),
  },
};

function answer(response, status, body) {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

const server = http.createServer(async (request, response) => {
  if (request.url.split("?")[0] !== PATH || request.method !== "POST") {
    answer(response, 404, { errors: [{ message: `expected POST ${PATH}` }] });
    return;
  }
  let query, variables, operationName;
  try {
    const parts = [];
    for await (const part of request) {
      parts.push(part);
    }
    ({ query, variables, operationName } = JSON.parse(Buffer.concat(parts)));
  } catch (error) {
    answer(response, 400, { errors: [{ message: `expected JSON: ${error.message}` }] });
    return;
  }
  const rootValue = { ...roots.query, ...roots.mutation };
  const contextValue = { socket: null };
  const result = await graphql({
    schema,
    source: query,
    variableValues: variables,
    operationName,
    rootValue,
    contextValue,
  });
  answer(response, 200, result);
});

useServer(
  { schema, roots, context: (context) => ({ socket: context.extra.socket }) },
  new WebSocketServer({ server, path: PATH }),
  Number(KEEP_ALIVE_MS),
);

server.listen(Number(PORT), "127.0.0.1");
