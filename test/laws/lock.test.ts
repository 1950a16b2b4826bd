/**
 * The lock against an owner and an array. Workers acquire in every way, give back in every way or never, and end while they hold.
 */
import fc from "fast-check";
import { test } from "vitest";
import { Lock } from "../../src/sync/index.ts";
import { LAW_TIMEOUT_MS, runs } from "./runs.ts";
import { checkLaw, okOr } from "./sync-program.ts";
import type { Crew, Fate, Model, World } from "./sync-program.ts";

type Op =
  | { readonly kind: "acquire"; readonly isTry: boolean; readonly ending: "permit" | "twice" | "lock" | "never" }
  | { readonly kind: "use" | "release" | "repair" };

class LockModel implements Model {
  readonly fate: Fate[] = [];
  owner: number | null = null;
  /** Which holding counts: permits of earlier ones are void. */
  holding = 0;
  line: number[] = [];
  readonly dead: Set<number> = new Set();

  request(worker: number): void {
    this.fate[worker] = this.tryAcquire(worker);
    if (this.fate[worker] === "waits") this.line.push(worker);
  }

  tryAcquire(worker: number): Fate {
    if (this.owner === worker) return "LOCK_REENTERED";
    if (this.owner === null) {
      this.own(worker);
      return "served";
    }
    return this.dead.has(this.owner) ? "LOCK_BROKEN" : "waits";
  }

  release(worker: number): Fate {
    if (this.owner !== worker) return "LOCK_NOT_OWNED";
    const next = this.line.shift();
    if (next === undefined) this.owner = null;
    else {
      this.own(next);
      this.fate[next] = "served";
    }
    return "served";
  }

  releasePermit(worker: number, holding: number): void {
    if (this.owner === worker && this.holding === holding) this.release(worker);
  }

  own(worker: number): void {
    this.owner = worker;
    this.holding++;
  }

  gaveUp(worker: number): void {
    if (!this.line.includes(worker)) return;
    this.line = this.line.filter((it) => it !== worker);
    this.fate[worker] = "gave up";
  }

  ended(worker: number): void {
    this.dead.add(worker);
    if (this.owner !== worker) return;
    for (const it of this.line) this.fate[it] = "LOCK_BROKEN";
    this.line = [];
  }

  repair(): void {
    if (this.owner !== null && this.dead.has(this.owner)) this.owner = null;
  }

  state(): unknown {
    const { owner, dead, line } = this;
    const name = owner === null ? null : `${owner}`;
    return {
      name: "law",
      isLocked: owner !== null,
      isBroken: owner !== null && dead.has(owner),
      owner: name,
      waiting: line.length,
    };
  }
}

function world(crew: Crew): World<Op> {
  const lock = new Lock({ name: "law" });
  const model = new LockModel();

  return {
    model,
    compare: () => [model.state(), lock.statistics()],
    *perform(worker, op, inner) {
      const release = (): void => crew.expect("release", model.release(worker), okOr(crew.call(() => lock.release())));
      if (op.kind === "repair") {
        lock.repair();
        model.repair();
      } else if (op.kind === "release") {
        release();
      } else if (op.kind === "use") {
        const work = function* () {
          const { holding } = model;
          crew.expect("owner", `${worker}`, lock.owner?.name);
          try {
            yield* inner();
          } finally {
            model.releasePermit(worker, holding);
          }
        };
        yield* crew.use(
          worker,
          (body) => lock.use(body),
          () => model.request(worker),
          work,
        );
      } else if (op.kind === "acquire") {
        const got = !op.isTry
          ? yield* crew.wait(worker, lock.acquire(), () => model.request(worker))
          : crew.tried(model.tryAcquire(worker), () => lock.tryAcquire());
        if (typeof got === "string") return;
        const { holding } = model;
        crew.expect("owner", `${worker}`, lock.owner?.name);
        try {
          yield* inner();
        } finally {
          if (op.ending === "lock") release();
          if (op.ending !== "never") {
            model.releasePermit(worker, holding);
            got.value.release();
            if (op.ending === "twice") got.value[Symbol.dispose]();
          }
        }
      }
    },
  };
}

const op: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("acquire" as const),
      isTry: fc.boolean(),
      ending: fc.constantFrom(
        "permit" as const,
        "permit" as const,
        "twice" as const,
        "lock" as const,
        "never" as const,
      ),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("use" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("release" as const, "repair" as const) }) },
);

test(
  "law: a lock has one owner, serves in the order of coming, is never free while somebody waits, and breaks with its owner",
  () => checkLaw(op, world, runs(120)),
  LAW_TIMEOUT_MS,
);
