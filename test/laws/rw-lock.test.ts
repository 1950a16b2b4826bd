/**
 * The rw-lock against a map of holders and an array of those who wait.
 */
import fc from "fast-check";
import { test } from "vitest";
import { RwLock } from "../../src/sync/index.ts";
import type { WritePermit } from "../../src/sync/index.ts";
import { LAW_TIMEOUT_MS, runs } from "./runs.ts";
import { checkLaw, okOr } from "./sync-program.ts";
import type { Crew, Fate, Model, World } from "./sync-program.ts";

type Op =
  | {
      readonly kind: "acquire";
      readonly isTry: boolean;
      readonly isWrite: boolean;
      readonly ending: "once" | "twice" | "downgrade" | "never";
    }
  | { readonly kind: "use"; readonly isWrite: boolean }
  | { readonly kind: "repair" };

class RwLockModel implements Model {
  readonly fate: Fate[] = [];
  readonly holders: Map<number, "reads" | "writes"> = new Map();
  readonly dead: Set<number> = new Set();
  line: { readonly worker: number; readonly isWrite: boolean }[] = [];

  get writer(): number | undefined {
    return [...this.holders].find(([, how]) => how === "writes")?.[0];
  }

  request(worker: number, isWrite: boolean): void {
    this.fate[worker] = this.tryAcquire(worker, isWrite);
    if (this.fate[worker] === "waits") this.line.push({ worker, isWrite });
  }

  tryAcquire(worker: number, isWrite: boolean): Fate {
    if (this.holders.has(worker)) return "LOCK_REENTERED";
    if (this.line.length === 0 && this.isFree(isWrite)) {
      this.holders.set(worker, isWrite ? "writes" : "reads");
      return "served";
    }
    return this.isHopeless(isWrite) ? "LOCK_BROKEN" : "waits";
  }

  release(worker: number): void {
    this.holders.delete(worker);
    this.serve();
  }

  downgrade(worker: number): Fate {
    if (this.writer !== worker) return "LOCK_NOT_OWNED";
    this.holders.set(worker, "reads");
    this.serve();
    return "served";
  }

  gaveUp(worker: number): void {
    if (!this.line.some((it) => it.worker === worker)) return;
    this.line = this.line.filter((it) => it.worker !== worker);
    this.fate[worker] = "gave up";
    this.serve();
  }

  ended(worker: number): void {
    this.dead.add(worker);
    for (const it of this.line) if (this.isHopeless(it.isWrite)) this.fate[it.worker] = "LOCK_BROKEN";
    this.line = this.line.filter((it) => this.fate[it.worker] === "waits");
    this.serve();
  }

  repair(): void {
    for (const worker of this.dead) this.holders.delete(worker);
  }

  state(): unknown {
    const { writer, line } = this;
    const waitingWriters = line.filter((it) => it.isWrite).length;
    return {
      name: "law",
      readers: writer === undefined ? this.holders.size : 0,
      writer: writer === undefined ? null : `${writer}`,
      waitingReaders: line.length - waitingWriters,
      waitingWriters,
      isBroken: [...this.holders.keys()].some((it) => this.dead.has(it)),
    };
  }

  private isFree(isWrite: boolean): boolean {
    return isWrite ? this.holders.size === 0 : this.writer === undefined;
  }

  /** In its way stands somebody who will never give back. */
  private isHopeless(isWrite: boolean): boolean {
    return [...this.holders].some(([it, how]) => this.dead.has(it) && (isWrite || how === "writes"));
  }

  private serve(): void {
    while (this.line.length > 0 && this.isFree(this.line[0]!.isWrite)) {
      const { worker, isWrite } = this.line.shift()!;
      this.holders.set(worker, isWrite ? "writes" : "reads");
      this.fate[worker] = "served";
    }
  }
}

function world(crew: Crew): World<Op> {
  const lock = new RwLock({ name: "law" });
  const model = new RwLockModel();
  return {
    model,
    compare: () => [model.state(), lock.statistics()],
    *perform(worker, op, inner) {
      if (op.kind === "repair") {
        lock.repair();
        model.repair();
        return;
      }
      const { isWrite } = op;
      if (op.kind === "use") {
        const work = function* () {
          try {
            yield* inner();
          } finally {
            model.release(worker);
          }
        };
        yield* crew.use(
          worker,
          (body) => (isWrite ? lock.write(body) : lock.read(body)),
          () => model.request(worker, isWrite),
          work,
        );
        return;
      }
      const got = op.isTry
        ? crew.tried(model.tryAcquire(worker, isWrite), () =>
            isWrite ? lock.tryAcquireWrite() : lock.tryAcquireRead(),
          )
        : yield* crew.wait(worker, isWrite ? lock.acquireWrite() : lock.acquireRead(), () =>
            model.request(worker, isWrite),
          );
      if (typeof got === "string") return;
      const permit = got.value as WritePermit;
      try {
        yield* inner();
        if (op.ending === "downgrade") {
          crew.expect("downgrade", model.downgrade(worker), okOr(crew.call(() => permit.downgrade())));
          yield* inner();
        }
      } finally {
        if (op.ending !== "never") {
          model.release(worker);
          permit.release();
          if (op.ending === "twice") permit[Symbol.dispose]();
        }
      }
    },
  };
}

const isWrite = fc.constantFrom(false, false, true);

const op: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("acquire" as const),
      isTry: fc.boolean(),
      isWrite,
      ending: fc.constantFrom(
        "once" as const,
        "once" as const,
        "twice" as const,
        "downgrade" as const,
        "never" as const,
      ),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("use" as const), isWrite }) },
  { weight: 1, arbitrary: fc.constant({ kind: "repair" as const }) },
);

/** A reader, and a reader behind a writer. */
const opening = [false, true, false].map((isWrite) => [
  { do: "act" as const, op: { kind: "use" as const, isWrite }, body: [{ do: "sleep" as const, ms: 2 }] },
]);

test(
  "law: an rw-lock has many readers or one writer, in the order of coming, readers not past a writer who waits, and breaks with its holders",
  () => checkLaw(op, world, runs(120), opening),
  LAW_TIMEOUT_MS,
);
