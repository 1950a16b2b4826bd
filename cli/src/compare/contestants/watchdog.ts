/**
 * Finds the coroutine that blocks the loop, by name and line.
 *
 * Two halves. This one is a probe of the loop: before and after each step it moves a heartbeat in shared memory (a
 * nanosecond), and after a step that took too long it knows the task and the exact time. The other half is a thread that
 * sees the heartbeat stand still and looks at the main thread's stack in the middle of the block, the only moment when
 * the line can be seen. When that look fails, the warning has the task's name and no line.
 */
import { MessageChannel, Worker, receiveMessageOnPort } from "node:worker_threads";
import type { MessagePort } from "node:worker_threads";
import type { Warning } from "../report.ts";
import { placesOf } from "./stack-places.ts";
import { threadProgram } from "./thread-program.ts";
import type { StackSample, WatchdogOrders } from "./watchdog-thread.ts";

export interface WatchdogOptions {
  /** A step that takes longer is a block. */
  readonly limitMs: number;
  readonly warn: (warning: Warning) => void;
}

export class Watchdog {
  readonly #options: WatchdogOptions;
  readonly #heartbeat = new Int32Array(new SharedArrayBuffer(4));
  readonly #thread: Worker;
  readonly #samples: MessagePort;
  #stepStarted = 0;

  constructor(options: WatchdogOptions) {
    const { port1, port2 } = new MessageChannel();
    this.#options = options;
    this.#samples = port1;
    this.#thread = new Worker(threadProgram("watchdog-thread"), {
      workerData: { heartbeat: this.#heartbeat, limitMs: options.limitMs, samples: port2 } satisfies WatchdogOrders,
      transferList: [port2],
    });
    this.#thread.unref();
  }

  /** Resolves when the thread watches. */
  async started(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#thread.once("online", resolve).once("error", reject);
    });
  }

  beforeStep(): void {
    this.#stepStarted = performance.now();
    Atomics.add(this.#heartbeat, 0, 1);
  }

  afterStep(task: { readonly name: string }): void {
    const beat = Atomics.add(this.#heartbeat, 0, 1);
    const blockedMs = performance.now() - this.#stepStarted;
    if (blockedMs < this.#options.limitMs) return;
    const [at, ...callers] = placesOf(this.#sampleOf(beat));
    const calledFrom = callers.find(({ file }) => file !== at?.file);
    this.#options.warn({
      task: task.name,
      blockedMs: Math.round(blockedMs),
      ...(at === undefined ? {} : { at }),
      ...(calledFrom === undefined ? {} : { calledFrom }),
    });
  }

  /** The stack that the thread saw during this step, if it was in time. */
  #sampleOf(beat: number): string {
    for (;;) {
      const sample = receiveMessageOnPort(this.#samples)?.message as StackSample | undefined;
      if (sample === undefined) return "";
      if (sample.beat === beat) return sample.stack;
    }
  }
}
