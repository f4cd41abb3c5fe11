import { Code } from "@connectrpc/connect";
import { type ApproveError, DeadlinePassed, fromCall } from "./errors.js";
import type { WatchEvent } from "./events.js";
import type { StreamPendingApprovalsResponse } from "./gen/approve/v1/approvals_pb.js";
import { ended, type Session } from "./session.js";

/** After how many heartbeat intervals without a message a stream counts as dead. */
export const SILENT_INTERVALS = 3;

/** Opens a stream after a token; `renew`: with other credentials than before. */
export type Open = (
  resumeToken: string,
  renew: boolean,
  signal: AbortSignal,
) => Promise<AsyncIterable<StreamPendingApprovalsResponse>>;

/**
 * The events of a watch. It connects when the first one is asked for, and ends after an error that trying again would not
 * mend. Leaving a `for await` closes it.
 */
export class WatchStream implements AsyncIterableIterator<WatchEvent> {
  readonly #open: Open;
  readonly #session: Session;
  readonly #renewable: boolean;
  readonly #silenceMs: number;
  readonly #closed = new AbortController();
  readonly #events: WatchEvent[] = [];
  #messages: AsyncIterator<StreamPendingApprovalsResponse> | undefined;
  /** Ends the connection that is open, or being opened. */
  #abort = new AbortController();
  #waitMs = 0;
  /** Whether the token of this connection may be out of date. */
  #fresh = false;
  #renew = false;
  #turn: Promise<unknown> = Promise.resolve();

  /** @internal */
  constructor(open: Open, session: Session, renewable: boolean, silenceMs: number) {
    this.#open = open;
    this.#session = session;
    this.#renewable = renewable;
    this.#silenceMs = silenceMs;
  }

  /**
   * Where to go on after the event that was taken last, in this process or another. Empty until the first snapshot is
   * complete.
   */
  get resumeToken(): string {
    return this.#session.resumeToken;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next event. Of several that are asked for at once, one after the other is answered. */
  next(): Promise<IteratorResult<WatchEvent, undefined>> {
    const next = this.#turn.then(() => this.#next());
    this.#turn = next.catch(() => undefined);
    return next;
  }

  async return(): Promise<IteratorResult<WatchEvent, undefined>> {
    this.close();
    return { done: true, value: undefined };
  }

  /** Ends it: whoever waits for an event gets no more. */
  close(): void {
    this.#closed.abort();
    this.#abort.abort();
  }

  async #next(): Promise<IteratorResult<WatchEvent, undefined>> {
    for (;;) {
      const event = this.#events.shift();
      if (event) {
        return { done: false, value: event };
      }
      if (this.#closed.signal.aborted) {
        return { done: true, value: undefined };
      }
      try {
        await this.#step();
      } catch (error) {
        this.close();
        throw error;
      }
    }
  }

  /** Opens, reads or waits: as far as one of them goes. */
  async #step(): Promise<void> {
    if (this.#waitMs > 0) {
      const wait = this.#waitMs;
      this.#waitMs = 0;
      await sleep(wait, this.#closed.signal);
      return;
    }
    if (!this.#messages) {
      this.#abort = new AbortController();
    }
    const silence = silent(this.#silenceMs);
    const reading = this.#read(this.#abort.signal);
    // Where the silence is sooner, what becomes of this does not matter any more.
    reading.catch(() => undefined);
    try {
      const message = await Promise.race([reading, silence.passed]);
      if (message) {
        this.#fresh = false;
        this.#events.push(...this.#session.message(message));
      } else {
        this.#lost(ended());
      }
    } catch (error) {
      this.#abort.abort();
      this.#lost(fromCall(error, this.#silenceMs));
    } finally {
      silence.clear();
    }
  }

  /** The next message; `undefined` where the server ended the stream. */
  async #read(signal: AbortSignal): Promise<StreamPendingApprovalsResponse | undefined> {
    let messages = this.#messages;
    if (!messages) {
      const renew = this.#renew;
      this.#renew = false;
      messages = (await this.#open(this.#session.resumeToken, renew, signal))[Symbol.asyncIterator]();
      if (signal.aborted) {
        throw ended();
      }
      this.#fresh = this.#renewable && !renew;
      this.#messages = messages;
    }
    const result = await messages.next();
    return result.done ? undefined : result.value;
  }

  #lost(cause: ApproveError): void {
    this.#messages = undefined;
    if (this.#closed.signal.aborted) {
      return;
    }
    if (cause.code === Code.Unauthenticated && this.#fresh) {
      this.#fresh = false;
      this.#renew = true;
      return;
    }
    const next = this.#session.lost(cause, Math.random());
    switch (next.go) {
      case "reopen":
        return;
      case "wait":
        this.#events.push(next.event);
        this.#waitMs = next.event.retryInMs;
        return;
      case "fail":
        throw next.error;
    }
  }
}

/** Fails after a time, unless it is cleared. */
function silent(limitMs: number): { passed: Promise<never>; clear: () => void } {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const passed = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new DeadlinePassed(limitMs)), limitMs);
  });
  return { passed, clear: () => clearTimeout(timer) };
}

/** Waits, or until it is told to stop waiting. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
    if (signal?.aborted) {
      done();
    }
  });
}
