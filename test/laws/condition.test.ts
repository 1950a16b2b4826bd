/**
 * The condition against two arrays: who waits to be notified, and who waits for the lock.
 *
 * A wait that is cancelled has to get the lock back before it ends: it asks for it when its task runs again, so the model hears of
 * it there (`stepping`).
 */
import type { Coroutine } from "fibril";
import fc from "fast-check";
import { test } from "vitest";
import { Condition } from "../../src/sync/index.ts";
import { LAW_TIMEOUT_MS, runs } from "./runs.ts";
import { checkLaw, okOr } from "./sync-program.ts";
import type { Crew, Fate, Model, World } from "./sync-program.ts";

type Op =
  | { readonly kind: "locked"; readonly waits: boolean }
  | { readonly kind: "wait" | "notifyAll" }
  /** Perhaps with the wait of a worker abandoned at once, which may have been notified and has to pass it on. */
  | { readonly kind: "notify"; readonly count: number; readonly abandons: number | null };

class ConditionModel implements Model {
  readonly fate: Fate[] = [];
  owner: number | null = null;
  unnotified: number[] = [];
  line: { readonly worker: number; readonly why: "acquire" | "notified" | "cancelled" }[] = [];
  /** Cancelled while it waited; its next step asks for the lock. */
  readonly cancelled: Set<number> = new Set();
  notifications = 0;

  acquire(worker: number, why: "acquire" | "cancelled"): void {
    if (this.owner === worker) this.fate[worker] = "LOCK_REENTERED";
    else if (this.owner === null) this.own(worker, why);
    else {
      if (why === "acquire") this.fate[worker] = "waits";
      this.line.push({ worker, why });
    }
  }

  wait(worker: number): void {
    if (this.owner !== worker) {
      this.fate[worker] = "LOCK_NOT_OWNED";
      return;
    }
    this.fate[worker] = "waits";
    this.unnotified.push(worker);
    this.release(worker);
  }

  notify(worker: number, count: number): Fate {
    if (this.owner !== worker) return "LOCK_NOT_OWNED";
    for (let i = 0; i < count; i++) {
      if (this.unnotified.length > 0) this.notifications++;
      this.passOn();
    }
    return "served";
  }

  release(worker: number): void {
    if (this.owner !== worker) throw new Error("the model is wrong");
    const next = this.line.shift();
    if (next === undefined) this.owner = null;
    else this.own(next.worker, next.why);
  }

  gaveUp(worker: number): void {
    const isUnnotified = this.unnotified.includes(worker);
    const place = this.line.find((it) => it.worker === worker);
    if (place?.why === "cancelled" || (!isUnnotified && place === undefined)) return;
    this.fate[worker] = "gave up";
    this.unnotified = this.unnotified.filter((it) => it !== worker);
    this.line = this.line.filter((it) => it !== place);
    if (place?.why === "notified") this.passOn();
    if (place?.why !== "acquire") this.cancelled.add(worker);
  }

  ended(): void {}

  private passOn(): void {
    const worker = this.unnotified.shift();
    if (worker !== undefined) this.line.push({ worker, why: "notified" });
  }

  private own(worker: number, why: string): void {
    this.owner = worker;
    if (why !== "cancelled") this.fate[worker] = "served";
  }
}

function world(crew: Crew): World<Op> {
  const condition = new Condition();
  const { lock } = condition;
  const model = new ConditionModel();
  let returns = 0;
  const isOwner = (worker: number): void => crew.expect("owner", `${worker}`, lock.owner?.name ?? "nobody");
  function* wait(worker: number): Coroutine<void> {
    const got = yield* crew.wait(worker, condition.wait(), () => model.wait(worker));
    if (typeof got !== "string") returns++;
    if (got !== "LOCK_NOT_OWNED") isOwner(worker);
  }
  return {
    model,
    compare: () => [
      {
        owner: model.owner === null ? null : `${model.owner}`,
        name: "condition",
        waiting: model.unnotified.length,
        waitingForLock: model.line.length,
        isWithinNotifications: true,
      },
      {
        owner: lock.owner === null ? null : lock.owner.name,
        ...condition.statistics(),
        isWithinNotifications: returns <= model.notifications,
      },
    ],
    stepping(worker) {
      if (model.cancelled.delete(worker)) model.acquire(worker, "cancelled");
    },
    *perform(worker, op, inner) {
      if (op.kind === "locked") {
        const work = function* () {
          isOwner(worker);
          try {
            if (op.waits) yield* wait(worker);
            yield* inner();
          } finally {
            isOwner(worker); // also after waits that were cancelled
            model.release(worker);
          }
        };
        yield* crew.use(
          worker,
          (body) => lock.use(body),
          () => model.acquire(worker, "acquire"),
          work,
        );
      } else if (op.kind === "wait") {
        yield* wait(worker);
        yield* inner();
      } else {
        const count = op.kind === "notify" ? op.count : Infinity;
        const call = (): void => (count === Infinity ? condition.notifyAll() : condition.notify(count));
        crew.expect("notify", model.notify(worker, Math.min(count, 9)), okOr(crew.call(call)));
        if (op.kind === "notify" && op.abandons !== null) crew.abandon(op.abandons);
        yield* inner();
      }
    },
  };
}

const op: fc.Arbitrary<Op> = fc.oneof(
  { weight: 7, arbitrary: fc.record({ kind: fc.constant("locked" as const), waits: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant({ kind: "wait" as const }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("notify" as const),
      count: fc.integer({ min: 1, max: 3 }),
      abandons: fc.option(fc.nat({ max: 5 })),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "notifyAll" as const }) },
);

/** Three who wait, so that there is somebody to notify and somebody to pass it on to. */
const waiter = [{ do: "act", op: { kind: "locked", waits: true }, body: [] }] as const;

test(
  "law: who waits for a condition goes on only when notified, with the lock, and no notification is lost",
  () => checkLaw(op, world, runs(120), [waiter, waiter, waiter]),
  LAW_TIMEOUT_MS,
);
