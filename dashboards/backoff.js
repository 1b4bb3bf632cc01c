// Back-off with full jitter below a limit that doubles up to 2 s, without a limit on retries.
// Full jitter, because all pages lose a backend at the same moment and must not reconnect at the same moment.

const FIRST = 250;
const LONGEST = 2000;

/** Milliseconds to wait before attempt 1, 2, 3, … */
export function backoff(attempt, random = Math.random) {
  return random() * Math.min(LONGEST, FIRST * 2 ** Math.min(attempt - 1, 16));
}
