// Reads that are asked for again and again: one in flight, at most one waiting, and not more often than need be.
// What is asked for while one is in flight is read once more afterwards, because that one may have begun too early.

import { backoff } from "./backoff.js";

export class Refetcher {
  #work;
  #apart;
  #running = false;
  #waiting = false;
  #timer = null;
  #failures = 0;
  #begun = -Infinity;

  /** `work` resolves to false if it is to be tried again; `apart`: milliseconds between two beginnings. */
  constructor(work, apart = 250) {
    this.#work = work;
    this.#apart = apart;
  }

  /** See to it that a read begins after this moment. */
  ask() {
    if (this.#running) this.#waiting = true;
    else if (this.#timer === null) this.#schedule(0);
  }

  /** The same, without waiting for the next try after a failure. */
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
