/**
 * The event loop of a pool thread, which comes when the first job needs it, and stays.
 *
 * Most threads never do: they run plain functions. So nothing here, and nothing that imports this, may import the kernel by value; `worker-loop.ts` is
 * the only door to it.
 */
import type * as Loop from "./worker-loop.ts";

/** `worker-loop.ts`, once it is there. */
export type Kernel = typeof Loop;

/** The kinds of functions that never just return a value. */
const WAITING: ReadonlySet<unknown> = new Set(
  [function* () {}, async () => {}, async function* () {}].map((it) => it.constructor),
);

/** `null` as long as no job has needed it. */
export let kernel: Kernel | null = null;

export function loadKernel(): Promise<Kernel> {
  return import("./worker-loop.ts").then((loaded) => (kernel = loaded));
}

/** The kernel, to wait for a value; that may fail before it is there. */
export async function kernelFor(value: unknown): Promise<Kernel> {
  if (kernel !== null) return kernel;
  if (value instanceof Promise) value.catch(() => {}); // who waits for it will see that
  return await loadKernel();
}

/** Whether a function surely waits, by what it is. */
export function surelyWaits(fn: object): boolean {
  return WAITING.has(fn.constructor);
}
