// The backend's HTTP API. Every call ends within its timeout, with a response or an ApiError.

const TIMEOUT = 10_000;

/** A failed call. `status` is 0 if there was no response: then its outcome is unknown. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }

  /** Whether a retry may succeed. */
  get mayWorkLater() {
    return this.status === 0 || this.status === 401 || this.status === 429 || this.status >= 500;
  }
}

/** The calls to `backend`; `token` returns the bearer token, or null if there is none. */
export function connectApi(backend, token = () => null) {
  async function call(path, { body, headers = {} } = {}) {
    const options = { method: "GET", headers: { ...headers }, cache: "no-store", signal: AbortSignal.timeout(TIMEOUT) };
    if (body !== undefined) {
      options.method = "POST";
      options.body = JSON.stringify(body);
      options.headers["Content-Type"] = "application/json";
    }
    if (token() !== null) options.headers.Authorization = `Bearer ${token()}`;
    let response;
    let content = null;
    try {
      response = await fetch(backend + path, options);
      if (response.status !== 304) content = await response.json();
    } catch (error) {
      if (response && !response.ok) throw new ApiError(response.status, `The chat answered ${response.status}.`);
      const late = error.name === "TimeoutError";
      throw new ApiError(0, late ? "The chat took too long to answer." : "The chat cannot be reached.");
    }
    if (!response.ok && response.status !== 304) {
      throw new ApiError(response.status, content?.message || `The chat answered ${response.status}.`);
    }
    return { status: response.status, etag: response.headers.get("ETag"), content };
  }

  const id = encodeURIComponent;

  function send(path, text, role, key) {
    return call(path, { body: { content: text, role }, headers: { "Idempotency-Key": key } });
  }

  return {
    /** The chats with the newest activity; status 304 if nothing has changed since `etag`. */
    list: (limit, etag) =>
      call(`/api/debug/users-chats?limit=${limit}`, { headers: etag ? { "If-None-Match": etag } : {} }),
    /** A chat with its messages whose `seq` is above `after`. */
    chat: (chatId, after) => call(`/api/chats/${id(chatId)}?after=${after}`),
    sendAsAgent: (chatId, text, key) => send(`/api/dashboard/chats/${id(chatId)}/send`, text, "agent", key),
    sendAsUser: (chatId, text, key) => send(`/api/users/chats/${id(chatId)}/send`, text, "user", key),
    saveContact: (contact) => call("/api/users/data", { body: contact }),
    createChat: (contact) => call("/api/users/chats/create", { body: contact }),
    customersChats: (userId) => call(`/api/users/${id(userId)}/chats`),
  };
}
