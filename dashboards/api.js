// The backend's HTTP API. Every call ends in time: with what was answered, or with an ApiError.

const PATIENCE = 10_000;

/** A call that did not work. `status` is 0 where there was no answer: then nobody knows whether it was done. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }

  /** Whether the same call may work later. */
  get mayWorkLater() {
    return this.status === 0 || this.status === 401 || this.status === 429 || this.status >= 500;
  }
}

/** The calls, to `backend`; `token` gives the bearer token, or null where there is none. */
export function connectApi(backend, token = () => null) {
  async function call(path, { body, headers = {} } = {}) {
    const options = { method: "GET", headers: { ...headers }, cache: "no-store", signal: AbortSignal.timeout(PATIENCE) };
    if (body !== undefined) {
      options.method = "POST";
      options.body = JSON.stringify(body);
      options.headers["Content-Type"] = "application/json";
    }
    if (token() !== null) options.headers.Authorization = `Bearer ${token()}`;
    let answer;
    let content = null;
    try {
      answer = await fetch(backend + path, options);
      if (answer.status !== 304) content = await answer.json();
    } catch (error) {
      if (answer && !answer.ok) throw new ApiError(answer.status, `The chat answered ${answer.status}.`);
      const late = error.name === "TimeoutError";
      throw new ApiError(0, late ? "The chat took too long to answer." : "The chat cannot be reached.");
    }
    if (!answer.ok && answer.status !== 304) {
      throw new ApiError(answer.status, content?.message || `The chat answered ${answer.status}.`);
    }
    return { status: answer.status, etag: answer.headers.get("ETag"), content };
  }

  const id = encodeURIComponent;

  function send(path, text, role, key) {
    return call(path, { body: { content: text, role }, headers: { "Idempotency-Key": key } });
  }

  return {
    /** The chats with the newest activity; status 304 if nothing changed since `etag`. */
    list: (limit, etag) =>
      call(`/api/debug/users-chats?limit=${limit}`, { headers: etag ? { "If-None-Match": etag } : {} }),
    /** A chat with its messages after number `after`. */
    chat: (chatId, after) => call(`/api/chats/${id(chatId)}?after=${after}`),
    sendAsAgent: (chatId, text, key) => send(`/api/dashboard/chats/${id(chatId)}/send`, text, "agent", key),
    sendAsUser: (chatId, text, key) => send(`/api/users/chats/${id(chatId)}/send`, text, "user", key),
    saveContact: (contact) => call("/api/users/data", { body: contact }),
    createChat: (contact) => call("/api/users/chats/create", { body: contact }),
    customersChats: (userId) => call(`/api/users/${id(userId)}/chats`),
  };
}
