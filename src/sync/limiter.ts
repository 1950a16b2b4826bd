/**
 * A number of tokens that are lent, each to a borrower that is known: how many may do something at the same time, and who does.
 *
 * It differs from a semaphore in two ways. A borrower has at most one token, so borrowing twice or giving back what was not
 * borrowed is found at once, and `statistics()` can say who has them. And the total may be changed while it works, also below
 * what is lent: nobody loses a token, the next ones are lent when enough have come back.
 *
 * The borrower is the running task, or any object on whose behalf it acts: a thread, a connection, a user. A borrower that ends
 * without giving back keeps its token; anybody can give it back with `releaseOnBehalfOf`.
 * Source: trio's CapacityLimiter.
 */
import { currentTask, describeValue, QueuedWait, Task, UsageError, WaitQueue } from "../core/index.ts";
import type { Body, Coroutine, Operation, Started, Waiter } from "../core/index.ts";
import { checkLimit, nameIn, titleOf } from "./naming.ts";
import type { NameOptions } from "./naming.ts";
import { holding } from "./permit.ts";
import type { Permit } from "./permit.ts";

export interface LimiterStatistics {
  readonly name: string;
  readonly total: number;
  /** How many tokens are lent; more than `total` after that was lowered. */
  readonly borrowed: number;
  /** Who has them: names of tasks, descriptions of other objects. In the order of borrowing. */
  readonly borrowers: readonly string[];
  /** How many tasks stand in line. */
  readonly waiting: number;
}

/**
 * @example
 * const threads = new Limiter(8, { name: "threads" });
 * const digest = yield* threads.use(() => hashInThread(file));
 * threads.total = 4;   // from now on at most four
 */
export class Limiter {
  readonly name: string;
  readonly #line: WaitQueue<Permit, LimiterAcquire> = new WaitQueue();
  /** The permit of each borrower; `null` while it stands in line. In the order of coming, which is that of lending. */
  readonly #borrowers = new Map<object, LimiterPermit | null>();
  #borrowed = 0;
  #total: number;

  /**
   * @param total How many tokens there are; 0 and `Infinity` are allowed.
   * @throws {UsageError} when `total` is not whole or negative.
   */
  constructor(total: number, options: NameOptions = {}) {
    this.name = nameIn("limiter", options);
    checkLimit(`the total of ${this.title}`, total, 0);
    this.#total = total;
  }

  /** How many tokens there are. Raising it serves those who stand in line; lowering it takes nothing away. */
  get total(): number {
    return this.#total;
  }

  set total(total: number) {
    checkLimit(`the total of ${this.title}`, total, 0);
    this.#total = total;
    this.serve();
  }

  /** How many tokens are lent; more than `total` after that was lowered. */
  get borrowed(): number {
    return this.#borrowed;
  }

  /** How many tokens could be lent now. */
  get available(): number {
    return Math.max(0, this.#total - this.#borrowed);
  }

  /** Whether this task or other object has a token. */
  isBorrowing(borrower: object): boolean {
    return (this.#borrowers.get(borrower) ?? null) !== null;
  }

  /**
   * Borrows a token for the running task, waiting in line while none is there. First come first served.
   *
   * Cancelling gives up the place in line and takes none.
   * @throws {UsageError} when the task has one already (`LIMITER_TWICE`).
   * @example
   * using token = yield* limiter.acquire();
   */
  acquire(): Operation<Permit> {
    return new LimiterAcquire(this, this.#line, null);
  }

  /**
   * Like `acquire`, for another borrower. Only one task at a time may do so for the same one.
   * @throws {UsageError} when the borrower has a token or stands in line already (`LIMITER_TWICE`).
   * @example
   * using token = yield* limiter.acquireOnBehalfOf(connection);
   */
  acquireOnBehalfOf(borrower: object): Operation<Permit> {
    checkBorrower(borrower);
    return new LimiterAcquire(this, this.#line, borrower);
  }

  /** A token for the running task, if one is there; else `undefined`. Throws like `acquire`. */
  tryAcquire(): Permit | undefined {
    return this.tryAcquireOnBehalfOf(currentTask());
  }

  /** A token for another borrower, if one is there; else `undefined`. Throws like `acquireOnBehalfOf`. */
  tryAcquireOnBehalfOf(borrower: object): Permit | undefined {
    checkBorrower(borrower);
    const refused = this.refuse(borrower);
    if (refused !== null) throw refused;
    return this.available > 0 ? this.lend(borrower) : undefined;
  }

  /**
   * Runs `body` with a token of the running task and gives it back however the body ends.
   * @example
   * yield* limiter.use(function* () { yield* download(url) });
   */
  use<T>(body: Body<T>): Coroutine<T> {
    return holding(this.acquire(), body);
  }

  /** Gives the token of the running task back. @throws {UsageError} when it has none (`LIMITER_NOT_BORROWED`). */
  release(): void {
    this.releaseOnBehalfOf(currentTask());
  }

  /** Gives the token of a borrower back. @throws {UsageError} when it has none (`LIMITER_NOT_BORROWED`). */
  releaseOnBehalfOf(borrower: object): void {
    const permit = this.#borrowers.get(borrower) ?? null;
    if (permit === null) {
      throw new UsageError(
        `${nameOf(borrower)} has no token of ${this.title} to give back; acquire one first, and give it back once`,
        "LIMITER_NOT_BORROWED",
      );
    }
    permit.release();
  }

  statistics(): LimiterStatistics {
    const borrowers: string[] = [];
    for (const [borrower, permit] of this.#borrowers) if (permit !== null) borrowers.push(nameOf(borrower));
    return Object.freeze({
      name: this.name,
      total: this.#total,
      borrowed: this.#borrowed,
      borrowers: Object.freeze(borrowers),
      waiting: this.#line.size,
    });
  }

  /** @internal */
  get title(): string {
    return titleOf("limiter", this.name);
  }

  /** @internal */
  admit(wait: LimiterAcquire, task: Waiter, borrower: object): Started<Permit> | null {
    const refused = this.refuse(borrower);
    if (refused !== null) return task.fail(wait, refused);
    if (this.available > 0) return task.complete(wait, this.lend(borrower));
    this.#borrowers.set(borrower, null);
    return null;
  }

  /** A wait on behalf of `borrower` was cancelled. @internal */
  forget(borrower: object): void {
    this.#borrowers.delete(borrower);
  }

  /** @internal */
  giveBack(permit: LimiterPermit): void {
    if (this.#borrowers.get(permit.borrower) !== permit) return;
    this.#borrowers.delete(permit.borrower);
    this.#borrowed--;
    this.serve();
  }

  private refuse(borrower: object): UsageError | null {
    const permit = this.#borrowers.get(borrower);
    if (permit === undefined) return null;
    const what = permit === null ? "stands in line for" : "has";
    return new UsageError(
      `${nameOf(borrower)} ${what} a token of ${this.title} already and cannot have two; ` +
        "acquire it once, or on behalf of something else",
      "LIMITER_TWICE",
    );
  }

  // While somebody stands in line there is no token: serving at once overtakes nobody.
  private serve(): void {
    while (this.available > 0) {
      const next = this.#line.shift();
      if (next === null) return;
      next.end(this.lend(next.borrower));
    }
  }

  private lend(borrower: object): LimiterPermit {
    const permit = new LimiterPermit(this, borrower);
    this.#borrowers.set(borrower, permit);
    this.#borrowed++;
    return permit;
  }
}

/** One loan. The limiter knows which one counts, so giving back twice cannot take the token from a later loan. */
class LimiterPermit implements Permit {
  readonly borrower: object;
  private readonly limiter: Limiter;

  constructor(limiter: Limiter, borrower: object) {
    this.limiter = limiter;
    this.borrower = borrower;
  }

  release(): void {
    this.limiter.giveBack(this);
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

class LimiterAcquire extends QueuedWait<Permit> {
  private readonly limiter: Limiter;
  /** `null`: the task that waits. */
  private readonly behalf: object | null;

  constructor(limiter: Limiter, line: WaitQueue<Permit, LimiterAcquire>, behalf: object | null) {
    super(line);
    this.limiter = limiter;
    this.behalf = behalf;
  }

  get reason(): string {
    return this.limiter.title;
  }

  /** While it stands in line. */
  get borrower(): object {
    return this.behalf ?? this.waitingTask!;
  }

  protected attempt(task: Waiter): Started<Permit> | null {
    return this.limiter.admit(this, task, this.behalf ?? task.task);
  }

  override withdraw(): boolean {
    this.limiter.forget(this.borrower);
    return super.withdraw();
  }
}

function checkBorrower(borrower: unknown): void {
  if ((typeof borrower === "object" && borrower !== null) || typeof borrower === "function") return;
  throw new UsageError(
    `a borrower must be an object, since it is known by its identity; got ${describeValue(borrower)}`,
  );
}

function nameOf(borrower: object): string {
  return borrower instanceof Task ? `task "${borrower.name}"` : describeValue(borrower);
}
