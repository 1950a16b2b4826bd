/** A worker's entry whose thread gets the kernel when the test says so, or never: see `late-kernel.test.ts`. */
import { registerHooks } from "node:module";
import { getEnvironmentData } from "node:worker_threads";

interface WaitingAtomics {
  waitAsync(words: Int32Array, index: number, value: number): { readonly value: unknown };
}

/** `gate[0]`: 0 closed, 1 open, 2: there is no kernel. `gate[1]` counts the imports that stand before it. */
const gate = getEnvironmentData("late kernel") as Int32Array;

Object.assign(globalThis, {
  async lateKernel() {
    Atomics.add(gate, 1, 1);
    await (Atomics as unknown as WaitingAtomics).waitAsync(gate, 0, 0).value;
    if (Atomics.load(gate, 0) === 2) throw new Error("there is no kernel today");
  },
});
registerHooks({
  load(url, context, next) {
    const module = next(url, context);
    if (!url.endsWith("/worker-loop.ts")) return module;
    return { ...module, source: `await globalThis.lateKernel();${(module.source as Buffer | string).toString()}` };
  },
});
await import("../../src/executors/thread/worker-entry.ts");
