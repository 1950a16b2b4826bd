/**
 * A worker of a bundled program begins with a file of the bundle that imports `fibril/executors/worker` and nothing of it. A bundler drops such an
 * import when package.json says that the module has no side effects; other imports of which nothing is used it should drop.
 */
import { expect, test } from "vitest";
import { measureBundle } from "../../bench/bundle.ts";

test("a bundler keeps the entry of a worker, and drops what is only imported", async () => {
  expect((await measureBundle('import "fibril/executors/worker";')).minifiedBytes).toBeGreaterThan(5_000);
  expect((await measureBundle('import "fibril/executors"; import "fibril";')).minifiedBytes).toBeLessThan(500);
});
