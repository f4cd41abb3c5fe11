import type { ApproveError } from "./errors.js";
import type { Approval, ApprovalStatus } from "./gen/approve/v1/approvals_pb.js";

/** What a watch tells, in the order in which it happened. Later versions may tell more: pass over what is not known. */
export type WatchEvent =
  /** A pending approval that matches, as it is now: new, or changed. */
  | { readonly type: "upserted"; readonly approval: Approval }
  /**
   * An approval that was upserted before and no longer matches, mostly because it is final. `status`: its status now,
   * PENDING where it only ceased to match the filter. `revision`: of the change.
   */
  | { readonly type: "removed"; readonly id: string; readonly status: ApprovalStatus; readonly revision: bigint }
  /**
   * Everything up to now was told; from here on it is live. Comes after the snapshot, and after each reconnect.
   * `revision`: the newest that was told.
   */
  | { readonly type: "synced"; readonly revision: bigint }
  /** What was told so far no longer holds: drop it. A new snapshot follows. */
  | { readonly type: "reset" }
  /** The connection was lost. Nothing to do: it is made again by itself, and what is missed will be told. */
  | { readonly type: "disconnected"; readonly cause: ApproveError; readonly retryInMs: number };

/** The approvals that a watch has told of and not taken back. */
export class View {
  readonly #approvals = new Map<string, Approval>();
  #synced = false;

  /** Takes an event of the watch. All of them must be given, in order. */
  apply(event: WatchEvent): void {
    switch (event.type) {
      case "upserted":
        this.#approvals.set(event.approval.id, event.approval);
        break;
      case "removed":
        this.#approvals.delete(event.id);
        break;
      case "synced":
        this.#synced = true;
        break;
      case "reset":
        this.#approvals.clear();
        this.#synced = false;
        break;
      case "disconnected":
        this.#synced = false;
        break;
    }
  }

  /** Whether the view is whole and live. Until it is, it may lack approvals, and hold some that are final. */
  get isSynced(): boolean {
    return this.#synced;
  }

  /** One approval, by its whole id. */
  get(id: string): Approval | undefined {
    return this.#approvals.get(id);
  }

  /** All, oldest first. */
  all(): Approval[] {
    return [...this.#approvals.values()].sort((one, other) => (one.id < other.id ? -1 : 1));
  }

  /** How many. */
  get size(): number {
    return this.#approvals.size;
  }
}
