/**
 * `AsyncLocalStorage` kept for each task. The scenarios run with every keeper; the one for Node 20 and 22 in a process that
 * is told to keep stores as those do.
 */
import { execFile } from "node:child_process";
import { AsyncLocalStorage } from "node:async_hooks";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { EventLoop, run, spawn, yieldNow } from "fibril";
import type { Task } from "fibril";
import { systemHost } from "fibril/lowlevel";
import { describe, expect, test } from "vitest";
import {
  ByFrame,
  ByRecapture,
  ByResource,
  findFrameSlot,
  nodeAsyncContext,
  withStore,
} from "../../../src/interop/node/async-context.ts";
import { thrownBy } from "../../core/simulated.ts";
import { scenarios } from "./async-context-scenarios.ts";

const program = fileURLToPath(new URL("./async-context-scenarios.ts", import.meta.url));
const hasFrames = findFrameSlot(new AsyncLocalStorage()) !== null;

describe.each([
  ["the keeper of this Node", nodeAsyncContext()],
  ["public interfaces only", new ByRecapture()],
])("with %s", (_name, context) => {
  test.each(scenarios.map((scenario) => [scenario.name, scenario] as const))("%s", async (_claim, scenario) => {
    expect(await scenario.run(context)).toEqual(scenario.expected);
  });

  test("when a slice of the loop is over, its host sees its own stores again", async () => {
    const storage = new AsyncLocalStorage<string>();
    const slices: (() => void)[] = [];
    const later = (slice: () => void): void => void slices.push(slice);
    const loop = new EventLoop({ asyncContext: context, host: { ...systemHost, soon: later, afterIo: later } });
    const task = loop.spawn(function* () {
      storage.enterWith("task");
      yield* yieldNow();
      return storage.getStore();
    });
    const seen = storage.run("host", () => {
      for (let slice = slices.shift(); slice !== undefined; slice = slices.shift()) slice();
      return storage.getStore();
    });
    expect({ seen, task: await task }).toEqual({ seen: "host", task: "task" });
  });

  test("the order in which ready tasks run makes no difference", async () => {
    const storage = new AsyncLocalStorage<number>();
    const order = { pick: (ready: number) => (ready * 7 + 3) % ready };
    const wrong = await run(
      function* () {
        const found: unknown[] = [];
        for (let n = 0; n < 20; n++) {
          storage.run(n, () =>
            spawn(function* () {
              for (let i = 0; i < 10; i++) {
                if (i === n % 10) storage.enterWith(1_000 * n);
                yield* yieldNow();
                if (storage.getStore() !== (i < n % 10 ? n : 1_000 * n)) found.push([n, i, storage.getStore()]);
              }
            }),
          );
        }
        yield* yieldNow();
        return found;
      },
      { asyncContext: context, order },
    );
    expect(wrong).toEqual([]);
  });

  test.each([false, true])(
    "a task that has settled keeps none of its stores (changed in its last step: %s)",
    async (enters) => {
      const storage = new AsyncLocalStorage<string>();
      const loop = new EventLoop({ asyncContext: context });
      const task: Task<void> = storage.run("secret", () =>
        loop.spawn(function* () {
          yield* yieldNow();
          if (enters) storage.enterWith("another");
        }),
      );
      await task;
      expect(task.context).toBe(undefined);
    },
  );
});

test.runIf(hasFrames)("on a Node that keeps stores in frames, frames are used; elsewhere resources", async () => {
  expect(nodeAsyncContext()).toBeInstanceOf(ByFrame);
  const flags = ["--no-async-context-frame", "--conditions=fibril-source", "--disable-warning=ExperimentalWarning"];
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, program], { timeout: 50_000 });
  expect(JSON.parse(stdout)).toEqual({ keeper: ByResource.name, wrong: [] });
});

test.runIf(hasFrames)("trying out the keepers leaves no map of stores with who asked first", async () => {
  const program = `
    import { AsyncResource } from "node:async_hooks";
    import { nodeAsyncContext } from "fibril/interop/node";
    const stores = () => {
      const resource = new AsyncResource("test");
      return Object.getOwnPropertySymbols(resource).map((key) => resource[key]).filter((it) => typeof it !== "number");
    };
    const before = stores();
    nodeAsyncContext();
    console.log(JSON.stringify({ before, after: stores() }));
  `;
  const flags = ["--conditions=fibril-source", "--disable-warning=ExperimentalWarning", "--input-type=module"];
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, "--eval", program], { timeout: 50_000 });
  expect(JSON.parse(stdout)).toEqual({ before: [null], after: [null] });
});

test("a loop that was not asked to leaves the stores as the host hands them on, and withStore says so", async () => {
  const storage = new AsyncLocalStorage<string>();
  await run(function* () {
    const task = storage.run("ada", () =>
      spawn(function* () {
        yield* yieldNow();
        return storage.getStore();
      }),
    );
    expect(yield* task).toBe(undefined);
    const error = thrownBy(() => withStore(storage, "in", yieldNow()).next());
    expect(error).toMatchObject({ name: "UsageError", code: "NO_ASYNC_CONTEXT" });
    expect(storage.getStore()).toBe(undefined);
  });
});
