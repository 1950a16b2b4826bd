/** Waiting for the last job of an executor that takes no more. */
import { QueuedWait } from "../core/index.ts";
import type { WaitQueue } from "../core/index.ts";

/** The executor as those who wait for its end need it. */
export interface Drainable {
  readonly name: string;
  readonly isOutside: boolean;
}

/** Stands in line until the executor ends it. */
export class Drained extends QueuedWait<void> {
  readonly #executor: Drainable;

  constructor(executor: Drainable, line: WaitQueue<void, never>) {
    super(line);
    this.#executor = executor;
  }

  get reason(): string {
    return `the jobs that are left in ${this.#executor.name}`;
  }

  override get external(): boolean {
    return this.#executor.isOutside;
  }

  protected attempt(): null {
    return null;
  }
}
