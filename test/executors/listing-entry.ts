/** A worker's entry that notes which of our modules its thread loads, for the jobs in `light-jobs.ts`. */
import { registerHooks } from "node:module";

const loaded: string[] = [];
(globalThis as { loadedModules?: readonly string[] }).loadedModules = loaded;
registerHooks({
  load(url, context, next) {
    const found = /\/src\/(.+)\.ts$/.exec(url);
    if (found !== null) loaded.push(found[1]!);
    return next(url, context);
  },
});
await import("../../src/executors/thread/worker-entry.ts");
