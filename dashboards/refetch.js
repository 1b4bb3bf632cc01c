// Merges requests to refetch: one read in flight, at most one waiting, with a minimum interval.
// A request during a read causes another read afterwards, because the current one may have started too early.

import { backoff } from "./backoff.js";

export class Refetcher {
  #work;
  #apart;
  #running = false;
  #waiting = false;
  #timer = null;
  #failures = 0;
  #begun = -Infinity;

  /** `work` resolves to false to be retried; `apart`: minimum milliseconds between the starts of two reads. */
  constructor(work, apart = 250) {
    this.#work = work;
    this.#apart = apart;
  }

  /** Make sure that a read starts after this call. */
  ask() {
    if (this.#running) this.#waiting = true;
    else if (this.#timer === null) this.#schedule(0);
  }

  /** The same, without waiting for the back-off after a failure. */
  askNow() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.ask();
  }

  #schedule(least) {
    const wait = Math.max(least, this.#begun + this.#apart - performance.now());
    if (wait <= 0) void this.#run();
    else this.#timer = setTimeout(() => void this.#run(), wait);
  }

  async #run() {
    this.#timer = null;
    this.#running = true;
    this.#waiting = false;
    this.#begun = performance.now();
    let done = false;
    try {
      done = (await this.#work()) !== false;
    } catch (error) {
      console.error(error);
    }
    this.#running = false;
    this.#failures = done ? 0 : this.#failures + 1;
    if (!done) this.#schedule(backoff(this.#failures));
    else if (this.#waiting) this.#schedule(0);
  }
}
