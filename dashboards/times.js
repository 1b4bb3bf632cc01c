// Formats times for people. The backend's are ISO 8601, and UTC if they have no zone.

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const CLOCK_SECONDS = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const WEEKDAY = new Intl.DateTimeFormat("en-GB", { weekday: "short" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const FULL = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "medium" });

/** Milliseconds since 1970, or null for an invalid time. */
export function instant(text) {
  const zoned = /(Z|[+-]\d\d:?\d\d)$/.test(text) ? text : `${text}Z`;
  const value = Date.parse(zoned);
  return Number.isNaN(value) ? null : value;
}

/** For a list: `now`, `5 min`, `14:05`, `Tue`, `8 Nov`. */
export function brief(text, now = Date.now()) {
  const at = instant(text);
  if (at === null) return "";
  const minutes = Math.floor((now - at) / 60_000);
  if (minutes < 1) return "now";
  if (minutes < 60) return `${minutes} min`;
  if (new Date(at).toDateString() === new Date(now).toDateString()) return CLOCK.format(at);
  return minutes < 6 * 24 * 60 ? WEEKDAY.format(at) : DAY.format(at);
}

/** For a message: the time, with the day unless it is today. */
export function clock(text, now = Date.now()) {
  const at = instant(text);
  if (at === null) return "";
  const today = new Date(at).toDateString() === new Date(now).toDateString();
  return today ? CLOCK.format(at) : `${DAY.format(at)}, ${CLOCK.format(at)}`;
}

/** The time with seconds. */
export const seconds = (at) => CLOCK_SECONDS.format(at);

/** The full date and time, for a tooltip. */
export function full(text) {
  const at = instant(text);
  return at === null ? "" : FULL.format(at);
}
