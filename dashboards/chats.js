// The list of chats as plain values: no DOM, no network.

/** All chats of the backend's list, newest activity first. */
export function chatsOf(list) {
  const chats = [];
  for (const user of list?.users ?? []) {
    for (const chat of user.chats ?? []) {
      const latest = chat.messages?.at(-1);
      chats.push({
        id: chat.chat_id,
        name: user.name || user.email || "Visitor",
        email: user.email || "",
        resolved: ["resolved", "closed"].includes(chat.status),
        total: chat.total_messages ?? chat.messages?.length ?? 0,
        preview: latest?.text ?? "",
        role: latest?.role ?? null,
        at: chat.last_activity || chat.created_at || "",
      });
    }
  }
  // The sort is stable, and one backend's times have one format, so they can be compared as text.
  return chats.sort((a, b) => (a.at < b.at ? 1 : a.at > b.at ? -1 : 0));
}

/** The chats that match: `status` is all, active or resolved; every word of `text` must be found. */
export function filtered(chats, { status = "all", text = "" }) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return chats.filter((chat) => {
    if (status !== "all" && chat.resolved !== (status === "resolved")) return false;
    if (!words.length) return true;
    const where = `${chat.name}\n${chat.email}\n${chat.preview}`.toLowerCase();
    return words.every((word) => where.includes(word));
  });
}

/** One or two initials of a name. */
export function initials(name) {
  const words = name.trim().split(/\s+/);
  const letters = [words[0], words.length > 1 ? words.at(-1) : ""].map((word) => [...word][0] ?? "");
  return letters.join("").toUpperCase() || "?";
}

/** A number from 0 to `count` − 1, always the same for the same text. */
export function shade(text, count) {
  let sum = 7;
  for (const letter of text) sum = (sum * 31 + letter.codePointAt(0)) >>> 0;
  return sum % count;
}
