import { UsageError } from "fibril";
import { expect, test } from "vitest";
import { Barrier, Condition, Event, Latch, Limiter, Lock, RwLock, Semaphore } from "../../src/sync/index.ts";
import { simulated, thrownBy } from "../core/simulated.ts";

const makers: Record<string, (options: never) => { readonly name: string; statistics(): { readonly name: string } }> = {
  lock: (options) => new Lock(options),
  "rw-lock": (options) => new RwLock(options),
  semaphore: (options) => new Semaphore(1, options),
  limiter: (options) => new Limiter(1, options),
  event: (options) => new Event(options),
  latch: (options) => new Latch(1, options),
  barrier: (options) => new Barrier(1, options),
  condition: (options) => new Condition(options),
};

for (const [kind, make] of Object.entries(makers)) {
  test(`the options of a ${kind} are an object: a mere name is refused, with what to write`, () => {
    expect(thrownBy(() => make("stock" as never))).toMatchObject({
      name: "UsageError",
      message: `the options of a ${kind} are an object, got "stock"; write { name: "stock" }`,
    });
    for (const wrong of [null, 5, { name: 5 }]) {
      expect(thrownBy(() => make(wrong as never))).toBeInstanceOf(UsageError);
    }
  });

  test(`the statistics of a ${kind} have its name`, () => {
    for (const options of [undefined, {}]) expect(make(options as never).statistics().name).toBe(kind);
    expect(make({ name: "stock" } as never).statistics().name).toBe("stock");
  });
}

test("whether it is external is true or false", () => {
  expect(thrownBy(() => new Event({ external: 1 as never }))).toBeInstanceOf(UsageError);
  expect(thrownBy(() => new Latch(1, { external: "yes" as never }))).toBeInstanceOf(UsageError);
  expect([new Event().external, new Latch(1, { external: true }).external]).toEqual([false, true]);
});

test("a condition takes a lock, or a lock and a name", () => {
  simulated(function* () {
    const lock = new Lock({ name: "stock" });
    const [plain, named, own] = [new Condition(lock), new Condition({ lock, name: "not empty" }), new Condition()];
    expect([plain.lock, named.lock, own.lock.name]).toEqual([lock, lock, "condition"]);
    expect([plain.name, named.name, new Condition({ name: "full" }).lock.name]).toEqual([
      "condition",
      "not empty",
      "full",
    ]);
    for (const wrong of [{}, null, "stock", new Semaphore(1)]) {
      expect(thrownBy(() => new Condition({ lock: wrong as never }))).toBeInstanceOf(UsageError);
    }
    yield* lock.use(function* () {
      named.notify();
    });
  });
});
