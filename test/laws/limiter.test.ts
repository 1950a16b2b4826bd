/**
 * The limiter against arrays of who has a token and who waits: workers borrow for themselves and on behalf of two others, and the
 * total goes up and down meanwhile.
 */
import fc from "fast-check";
import { test } from "vitest";
import { Limiter } from "../../src/sync/index.ts";
import { LAW_TIMEOUT_MS, runs } from "./runs.ts";
import { checkLaw, okOr } from "./sync-program.ts";
import type { Crew, Fate, Model, World } from "./sync-program.ts";

/** 0: for oneself; otherwise on behalf of somebody else. */
type Whom = 0 | 1 | 2;

type Op =
  | {
      readonly kind: "acquire";
      readonly isTry: boolean;
      readonly whom: Whom;
      readonly ending: "permit" | "release" | "never";
    }
  | { readonly kind: "use" }
  | { readonly kind: "release"; readonly whom: Whom }
  | { readonly kind: "total"; readonly total: number };

class Other {}

class LimiterModel implements Model {
  readonly fate: Fate[] = [];
  total = 2;
  /** In the order of borrowing. */
  lent: { readonly borrower: string; readonly loan: number }[] = [];
  line: { readonly worker: number; readonly borrower: string }[] = [];
  loans = 0;
  /** That of the latest request; somebody may have given it back before the worker runs. */
  readonly loanOf: number[] = [];

  request(worker: number, borrower: string): void {
    this.fate[worker] = this.tryAcquire(borrower);
    this.loanOf[worker] = this.loans;
    if (this.fate[worker] === "waits") this.line.push({ worker, borrower });
  }

  tryAcquire(borrower: string): Fate {
    if ([...this.lent, ...this.line].some((it) => it.borrower === borrower)) return "LIMITER_TWICE";
    if (this.lent.length >= this.total) return "waits";
    this.lend(borrower);
    return "served";
  }

  release(borrower: string): Fate {
    if (!this.lent.some((it) => it.borrower === borrower)) return "LIMITER_NOT_BORROWED";
    this.lent = this.lent.filter((it) => it.borrower !== borrower);
    this.serve();
    return "served";
  }

  releasePermit(loan: number): void {
    this.lent = this.lent.filter((it) => it.loan !== loan);
    this.serve();
  }

  gaveUp(worker: number): void {
    if (!this.line.some((it) => it.worker === worker)) return;
    this.line = this.line.filter((it) => it.worker !== worker);
    this.fate[worker] = "gave up";
  }

  ended(): void {} // it keeps its token

  serve(): void {
    while (this.line.length > 0 && this.lent.length < this.total) {
      const { worker, borrower } = this.line.shift()!;
      this.lend(borrower);
      this.fate[worker] = "served";
      this.loanOf[worker] = this.loans;
    }
  }

  private lend(borrower: string): void {
    this.lent.push({ borrower, loan: ++this.loans });
  }
}

function world(crew: Crew): World<Op> {
  const limiter = new Limiter(2, { name: "law" });
  const others = [new Other(), new Other()];
  const model = new LimiterModel();
  const whoIs = (worker: number, whom: Whom): object => (whom === 0 ? crew.tasks[worker]! : others[whom - 1]!);
  const nameOf = (worker: number, whom: Whom): string => (whom === 0 ? `task "${worker}"` : `other ${whom}`);
  const real = (): unknown => {
    const { total, borrowed, borrowers, waiting } = limiter.statistics();
    const names = borrowers.map((it) => (it.startsWith("task") ? it : "other"));
    return { total, borrowed, borrowers: names, waiting, others: others.map((it) => limiter.isBorrowing(it)) };
  };
  const said = (): unknown => ({
    total: model.total,
    borrowed: model.lent.length,
    borrowers: model.lent.map(({ borrower }) => (borrower.startsWith("task") ? borrower : "other")),
    waiting: model.line.length,
    others: [1, 2].map((whom) => model.lent.some(({ borrower }) => borrower === `other ${whom}`)),
  });
  return {
    model,
    compare: () => [said(), real()],
    *perform(worker, op, inner) {
      const release = (whom: Whom): void => {
        const call = (): void => (whom === 0 ? limiter.release() : limiter.releaseOnBehalfOf(whoIs(worker, whom)));
        crew.expect("release", model.release(nameOf(worker, whom)), okOr(crew.call(call)));
      };
      if (op.kind === "total") {
        limiter.total = op.total;
        model.total = op.total;
        model.serve();
      } else if (op.kind === "release") {
        release(op.whom);
      } else if (op.kind === "use") {
        const borrower = nameOf(worker, 0);
        const work = function* () {
          const loan = model.loanOf[worker]!;
          try {
            yield* inner();
          } finally {
            model.releasePermit(loan);
          }
        };
        yield* crew.use(
          worker,
          (body) => limiter.use(body),
          () => model.request(worker, borrower),
          work,
        );
      } else {
        const { whom } = op;
        const borrower = nameOf(worker, whom);
        const got = op.isTry
          ? crew.tried(model.tryAcquire(borrower), () => limiter.tryAcquireOnBehalfOf(whoIs(worker, whom)))
          : yield* crew.wait(
              worker,
              whom === 0 ? limiter.acquire() : limiter.acquireOnBehalfOf(whoIs(worker, whom)),
              () => model.request(worker, borrower),
            );
        if (typeof got === "string") return;
        const loan = op.isTry ? model.loans : model.loanOf[worker]!;
        try {
          yield* inner();
        } finally {
          if (op.ending === "release") release(whom);
          else if (op.ending === "permit") {
            model.releasePermit(loan);
            got.value.release();
          }
        }
      }
    },
  };
}

const whom = fc.constantFrom<Whom>(0, 0, 1, 2);

const op: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("acquire" as const),
      isTry: fc.boolean(),
      whom,
      ending: fc.constantFrom("permit" as const, "permit" as const, "release" as const, "never" as const),
    }),
  },
  { weight: 3, arbitrary: fc.constant({ kind: "use" as const }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("release" as const), whom }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("total" as const), total: fc.integer({ min: 0, max: 3 }) }) },
);

test(
  "law: a limiter lends each borrower one token, never more than the total when it lends, in the order of coming",
  () => checkLaw(op, world, runs(120)),
  LAW_TIMEOUT_MS,
);
