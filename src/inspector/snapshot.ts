/**
 * The operation: a snapshot of this thread and of all threads below it.
 */
import { Wait } from "../core/index.ts";
import type { Operation, Started, Waiter } from "../core/index.ts";
import { Gathering } from "./gathering.ts";
import { planOf, timeoutOf } from "./options.ts";
import type { GatherOptions } from "./options.ts";
import { snapshotOf } from "./record-thread.ts";
import type { Snapshot } from "./records.ts";

/**
 * The tasks of all threads in one tree: this thread's at the moment of the call, the others' when the question reaches them, which is between two
 * steps of theirs. Below this thread are the `LoopThread`s and the workers of the `ThreadPool`s that it has started, below them theirs.
 *
 * A thread whose loop is blocked does not hold the snapshot up for longer than `timeoutMs`: it is then listed with its jobs as silent.
 * Cancelling leaves nothing behind.
 *
 * @throws {UsageError} when an option is wrong.
 * @example
 * console.log(formatTree(yield* snapshot({ stacks: true })));
 */
export function snapshot(options: GatherOptions = {}): Operation<Snapshot> {
  planOf(options);
  timeoutOf(options);
  return { [Symbol.iterator]: () => new TakeSnapshot(options) };
}

class TakeSnapshot extends Wait<Snapshot> {
  readonly #options: GatherOptions;
  #gathering: Gathering | null = null;

  constructor(options: GatherOptions) {
    super();
    this.#options = options;
  }

  get reason(): string {
    const missing = this.#gathering?.missing ?? 0;
    return missing === 0 ? "a snapshot" : `a snapshot of ${missing} thread(s)`;
  }

  override get external(): boolean {
    return true;
  }

  protected start(task: Waiter): Started<Snapshot> {
    const gathering = new Gathering(this.#options, [], (thread) => void task.wake(this, snapshotOf(thread)));
    const { whole } = gathering;
    if (whole !== null) return task.complete(this, snapshotOf(whole));
    this.#gathering = gathering;
    return task.park(this);
  }

  withdraw(): boolean {
    this.#gathering?.stop();
    return true;
  }
}
