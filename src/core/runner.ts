/**
 * Several runs on one loop: what one of them has opened in the background is there for the next.
 *
 * `run` makes a loop for one main coroutine. A REPL, a test suite or a host that calls in from time to time wants one loop for
 * many, and in the end all that is left on it stopped. Source: Python's `asyncio.Runner`.
 */
import { UsageError } from "./errors.ts";
import { EventLoop } from "./event-loop.ts";
import type { Operation } from "./operation.ts";
import { run } from "./run.ts";
import type { RunOptions } from "./run.ts";

/**
 * @example
 * await using runner = new Runner({ name: "repl" });
 * const session = await runner.run(connect);
 * await runner.run(() => session.query("select 1"));
 */
export class Runner {
  readonly #options: RunOptions;
  readonly #loop: EventLoop;
  #current: string | null = null;
  #closing: Promise<void> | null = null;

  /** @param options Those of `run`, for every run. With `loop` it takes that loop over: `close` stops everything on it. */
  constructor(options: RunOptions = {}) {
    this.#options = options;
    this.#loop = options.loop ?? new EventLoop({ name: "runner", ...options });
  }

  /** Its loop. What is spawned here with `loop.spawn` lives on between the runs, until `close`. */
  get loop(): EventLoop {
    return this.#loop;
  }

  /** Whether `close` was called. */
  get isClosed(): boolean {
    return this.#closing !== null;
  }

  /**
   * Runs `main` to its end on the loop, as `run` does; the same rejections.
   *
   * Rejects with `UsageError` while another run is under way, from wherever it is called, and after `close`; the runner
   * stays as it was.
   * @param options For this run, over those of the runner.
   */
  async run<T>(
    main: () => Operation<T>,
    options: Pick<RunOptions, "signal" | "handleSignals" | "cleanupMs"> = {},
  ): Promise<T> {
    if (this.#closing !== null) throw new UsageError("the runner is closed; make a new one", "RUNNER_CLOSED");
    if (this.#current !== null) {
      throw new UsageError(
        `the runner runs "${this.#current}" already; await that first, or spawn() inside it`,
        "RUNNER_BUSY",
      );
    }
    this.#current = typeof main === "function" && main.name !== "" ? main.name : "main";
    try {
      return await run(main, { ...this.#options, ...options, loop: this.#loop });
    } finally {
      this.#current = null;
    }
  }

  /**
   * Cancels everything that is left on the loop, a run under way too, and waits until all of it has settled, cleanup
   * included, which may wait for the runner's `cleanupMs`. Failures that nobody sees are reported to `onReport`. Calling it again waits for the same end.
   */
  close(): Promise<void> {
    this.#closing ??= this.#stop();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #stop(): Promise<void> {
    const { root } = this.#loop;
    const cleanupMs = this.#options.cleanupMs ?? root.cleanupMs;
    // A timer of the root's own would never be taken away, since nobody leaves the root: the process would wait for it.
    root.cleanupMs = Infinity;
    root.request("request", "the runner was closed");
    root.cleanupMs = cleanupMs;
    const expiry = this.#loop.callLater(cleanupMs, () => root.expire());
    while (root.size > 0) {
      // Not joined: looking at an outcome would count as having seen the failure.
      const ends = root.tasks.map(
        (task) =>
          new Promise<void>((resolve) => task.watch({ before: null, after: null, taskSettled: () => resolve() })),
      );
      await Promise.all(ends);
    }
    expiry.cancel();
  }
}
