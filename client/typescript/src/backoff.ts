/**
 * How long to wait before the next try: a random time between `min` and a bound that doubles with each failure, up to
 * `max`. In milliseconds. The randomness comes from outside.
 */
export class Backoff {
  readonly #min: number;
  readonly #max: number;
  #failures = 0;

  constructor(min: number, max: number) {
    this.#min = Math.min(min, max);
    this.#max = max;
  }

  reset(): void {
    this.#failures = 0;
  }

  /**
   * Counts a failure. `jitter` is in 0..=1; `hint` is what the server asked for, which is kept to where it is within
   * bounds.
   */
  next(jitter: number, hint = 0): number {
    this.#failures = Math.min(this.#failures + 1, 31);
    const bound = Math.min(this.#min * 2 ** this.#failures, this.#max);
    const delay = this.#min + (bound - this.#min) * Math.min(Math.max(jitter, 0), 1);
    return Math.min(Math.max(delay, hint, this.#min), this.#max);
  }
}
