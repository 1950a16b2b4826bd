/**
 * Programs whose tasks use `AsyncLocalStorage`, each with what it has to see. The test runs them with every keeper; run as a
 * program, this file prints as JSON what went wrong, so that a process with other flags, or another Node, can be asked.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { EventEmitter } from "node:events";
import { setImmediate, setTimeout } from "node:timers";
import { pathToFileURL } from "node:url";
import {
  Cancelled,
  coroutine,
  EventLoop,
  Future,
  run as runOn,
  scope,
  shield,
  sleep,
  spawn,
  timeout,
  until,
  yieldNow,
} from "fibril";
import type { Coroutine, Operation } from "fibril";
import { nodeAsyncContext, withStore } from "../../../src/interop/node/async-context.ts";

type AsyncContext = ReturnType<typeof nodeAsyncContext>;

export interface Scenario {
  readonly name: string;
  readonly run: (asyncContext: AsyncContext) => Promise<unknown>;
  readonly expected: unknown;
}

const user = new AsyncLocalStorage<string>();
const trace = new AsyncLocalStorage<number>();

const see = (): string => `${user.getStore() ?? "-"}${trace.getStore() ?? ""}`;

async function run<T>(main: () => Operation<T>, asyncContext: AsyncContext): Promise<T> {
  return await runOn(main, { asyncContext });
}

function* seeOften(): Coroutine<string[]> {
  const seen: string[] = [];
  for (let i = 0; i < 3; i++) {
    seen.push(see());
    yield* yieldNow();
  }
  return seen;
}

const depth = coroutine(function* depth(n: number): Coroutine<string> {
  yield* yieldNow();
  if (n > 0) return yield* depth(n - 1);
  user.enterWith("deep");
  yield* yieldNow();
  return see();
});

export const scenarios: readonly Scenario[] = [
  {
    name: "interleaved tasks each see the stores of who spawned them",
    expected: [
      ["ada", "ada", "ada"],
      ["bob", "bob", "bob"],
      ["-", "-", "-"],
      ["ada1", "ada1", "ada1"],
    ],
    run: async (context) =>
      await run(function* () {
        const tasks = [
          user.run("ada", () => spawn(seeOften)),
          user.run("bob", () => spawn(seeOften)),
          spawn(seeOften),
          user.run("ada", () => trace.run(1, () => spawn(seeOften))),
        ];
        const seen: string[][] = [];
        for (const task of tasks) seen.push(yield* task);
        return seen;
      }, context),
  },
  {
    name: "the main task sees the stores around run()",
    expected: ["outer", "outer", "outer"],
    run: async (context) => await user.run("outer", async () => await run(seeOften, context)),
  },
  {
    name: "enterWith in a task stays with it: not seen by its spawner, by others or outside, inherited by later children",
    expected: {
      log: [
        "child start: main",
        "early: main",
        "child entered: own",
        "late: own",
        "early: main",
        "main: main",
        "child end: own",
      ],
      outside: "-",
    },
    run: async (context) => {
      const log: string[] = [];
      const done = run(function* () {
        user.enterWith("main");
        function* early(): Coroutine<void> {
          log.push(`early: ${see()}`);
          yield* yieldNow();
          yield* yieldNow();
          log.push(`early: ${see()}`);
        }
        function* late(): Coroutine<void> {
          log.push(`late: ${see()}`);
          yield* yieldNow();
        }
        const child = spawn(function* () {
          log.push(`child start: ${see()}`);
          spawn(early);
          yield* yieldNow();
          user.enterWith("own");
          log.push(`child entered: ${see()}`);
          yield* spawn(late);
          yield* yieldNow();
          yield* yieldNow();
          log.push(`child end: ${see()}`);
        });
        for (let i = 0; i < 4; i++) yield* yieldNow();
        log.push(`main: ${see()}`);
        yield* child;
      }, context);
      await done;
      return { log, outside: see() };
    },
  },
  {
    name: "a store entered in a called coroutine(), at any depth, holds for the whole task",
    expected: ["deep", "deep", "deep", "-"],
    run: async (context) =>
      await run(function* () {
        const task = spawn(function* () {
          const inner = yield* depth(50);
          const here = see();
          yield* yieldNow();
          return [inner, here, see()];
        });
        return [...(yield* task), see()];
      }, context),
  },
  {
    name: "what a step starts has its callbacks run with the stores of the task",
    expected: ["ada", "ada", "ada", "ada", "ada", "bob"],
    run: async (context) =>
      await run(function* () {
        function* start(): Coroutine<string[]> {
          const seen: string[] = [];
          seen.push(yield* until(Promise.resolve().then(see)));
          seen.push(yield* until(new Promise<string>((resolve) => void setTimeout(() => resolve(see()), 0))));
          seen.push(yield* until(new Promise<string>((resolve) => void setImmediate(() => resolve(see())))));
          seen.push(yield* until(new Promise<string>((resolve) => process.nextTick(() => resolve(see())))));
          seen.push(
            yield* until(
              (async () => {
                await Promise.resolve();
                return see();
              })(),
            ),
          );
          return seen;
        }
        const ada = user.run("ada", () => spawn(start));
        const bob = user.run("bob", () => spawn(start));
        const seen = yield* ada;
        return [...seen, (yield* bob)[4]];
      }, context),
  },
  {
    name: "whoever wakes a task gives it none of his stores",
    expected: ["waiter", "waiter", "waiter"],
    run: async (context) =>
      await run(function* () {
        const inside = new Future<void>();
        const outside = new Future<void>({ external: true });
        const events = new EventEmitter();
        const waiter = user.run("waiter", () =>
          spawn(function* () {
            yield* inside;
            const seen = [see()];
            yield* outside;
            seen.push(see());
            yield* until(new Promise<void>((resolve) => void events.once("go", resolve)));
            return [...seen, see()];
          }),
        );
        yield* yieldNow();
        user.run("stranger", () => inside.resolve());
        user.run("stranger", () => void setImmediate(() => outside.resolve()));
        yield* outside;
        yield* yieldNow();
        user.run("stranger", () => events.emit("go"));
        return yield* waiter;
      }, context),
  },
  {
    name: "cleanup after a cancellation sees the stores of its task, releases included",
    expected: ["finally ada", "finally again ada2", "release ada2", "shield bob"],
    run: async (context) =>
      await run(function* () {
        const log: string[] = [];
        function* work(): Coroutine<void> {
          yield* scope(function* (own) {
            own.defer(() => void log.push(`release ${see()}`));
            try {
              yield* sleep(10_000);
            } catch (error) {
              if (!(error instanceof Cancelled)) throw error;
              log.push(`finally ${see()}`);
              trace.enterWith(2);
              yield* yieldNow();
              log.push(`finally again ${see()}`);
              throw error;
            }
          });
        }
        const task = user.run("ada", () => spawn(work));
        const shielded = user.run("bob", () =>
          spawn(() =>
            shield(function* () {
              for (let i = 0; i < 8; i++) yield* yieldNow();
              log.push(`shield ${see()}`);
            }),
          ),
        );
        yield* yieldNow();
        user.enterWith("canceller");
        yield* task.cancel();
        yield* shielded.cancel();
        return log;
      }, context),
  },
  {
    name: "a task that is cancelled while it waits for a promise keeps its stores",
    expected: ["timed out ada"],
    run: async (context) =>
      await run(function* () {
        const task = user.run("ada", () =>
          spawn(function* () {
            try {
              yield* timeout(1, until(new Promise<never>(() => {})));
            } catch {
              return [`timed out ${see()}`];
            }
            return [];
          }),
        );
        return yield* task;
      }, context),
  },
  {
    name: "two loops keep apart, also when one is run in a step of the other",
    expected: { outer: ["outer", "outer", "outer"], inner: ["inner", "inner", "inner"], step: "outer" },
    run: async (context) =>
      await run(function* () {
        user.enterWith("outer");
        const inner = user.run("inner", () => run(seeOften, context));
        const outer = yield* spawn(seeOften);
        return { outer, inner: yield* until(inner), step: see() };
      }, context),
  },
  {
    name: "callbacks of the loop see the stores of who registered them",
    expected: ["soon ada", "later bob", "post main"],
    run: async (context) =>
      await run(function* () {
        user.enterWith("main");
        const log: string[] = [];
        const loop = EventLoop.current();
        user.run("ada", () => loop.callSoon(() => log.push(`soon ${see()}`)));
        user.run("bob", () => loop.callLater(0, () => log.push(`later ${see()}`)));
        yield* sleep(1);
        loop.post(() => log.push(`post ${see()}`));
        yield* yieldNow();
        return log;
      }, context),
  },
  {
    name: "tasks spawned from outside see the stores of the caller",
    expected: [
      ["ada", "ada", "ada"],
      ["-", "-", "-"],
    ],
    run: async (context) => {
      const loop = new EventLoop({ asyncContext: context });
      return await Promise.all([user.run("ada", () => loop.spawn(seeOften)), loop.spawn(seeOften)]);
    },
  },
  {
    name: "a failing task takes its stores with it and leaves those of the joiner alone",
    expected: ["failed: boom", "main"],
    run: async (context) =>
      await run(function* () {
        user.enterWith("main");
        const log: string[] = [];
        try {
          yield* scope(function* (own) {
            own.spawn(function* () {
              user.enterWith("child");
              yield* yieldNow();
              throw new Error("boom");
            });
          });
        } catch (error) {
          log.push(`failed: ${(error as Error).message}`);
        }
        return [...log, see()];
      }, context),
  },
  {
    name: "withStore holds for its body, over waits, and for what the body spawns; then the former store is back",
    expected: ["in", "in", "child in", "out", "out", "out"],
    run: async (context) =>
      await run(function* () {
        user.enterWith("out");
        const seen = yield* withStore(user, "in", function* () {
          const first = see();
          yield* yieldNow();
          const child = yield* spawn(function* () {
            yield* yieldNow();
            return `child ${see()}`;
          });
          return [first, see(), child];
        });
        seen.push(see());
        try {
          yield* withStore(user, "in", function* () {
            yield* yieldNow();
            throw new Error("boom");
          });
        } catch {
          seen.push(see());
        }
        const nobody = yield* timeout(
          50_000,
          scope(function* (own) {
            const task = own.spawn(function* () {
              try {
                yield* withStore(user, "in", sleep(10_000));
              } finally {
                seen.push(see());
              }
            });
            yield* yieldNow();
            yield* task.cancel();
            return undefined;
          }),
        );
        return nobody ?? seen;
      }, context),
  },
];

/** The names of those that go wrong, with what they saw. */
export async function failures(context: AsyncContext): Promise<unknown[]> {
  const wrong: unknown[] = [];
  for (const { name, run: play, expected } of scenarios) {
    const seen = await play(context);
    if (JSON.stringify(seen) !== JSON.stringify(expected)) wrong.push({ name, seen, expected });
  }
  return wrong;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const context = nodeAsyncContext();
  console.log(JSON.stringify({ keeper: context.constructor.name, wrong: await failures(context) }));
}
