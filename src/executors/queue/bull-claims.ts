/**
 * How a `BullEngine` claims jobs: BullMQ hands out one at a time, and blocks while there is none.
 *
 * While somebody waits for a job, one task asks for the next one, or for several while they come. What it has got is looked at (has it an outcome already? is it to be
 * cancelled?) while the next one is fetched, so a worker with many slots is not held up by round trips.
 *
 * Nothing is kept that nobody runs: a job that arrives when nobody waits any more, or when the engine is closed, is given back.
 */
import { randomUUID } from "node:crypto";
import type { Worker } from "bullmq";
import { QueuedWait, taskOf, until, WaitQueue } from "../../core/index.ts";
import type { Coroutine, EventLoop, Operation, Waiter } from "../../core/index.ts";
import { sleep } from "../../time/index.ts";
import type { BullConnection, Connected } from "./bull-connection.ts";
import { idOf, ignoreLostLock, isKept, orderOf, putBack, schedulerKeyOf } from "./bull-orders.ts";
import type { BullJob, Token } from "./bull-orders.ts";
import { HOLD_FIRING } from "./bull-scripts.ts";
import type { JobLease, JobOrder, OutcomeRecord } from "./engine.ts";
import { OVERLAP } from "./engine.ts";
import { EngineClosedError } from "./errors.ts";
import { firingId, readFiringId } from "./firing-id.ts";
import type { Firing } from "./firing-id.ts";

export interface ClaimsSetup {
  readonly leaseMs: number;
  readonly stalledCheckMs: number;
  readonly maxStalled: number;
}

const RETRY_MS = 200;
const CLOSE_MS = 2_000;
const FETCH_AT_ONCE = 8;
/** How long it blocks for a job at a time; BullMQ's own default. */
const BLOCK_SECONDS = 5;

export class BullClaims {
  readonly #connection: BullConnection;
  readonly #setup: ClaimsSetup;
  #worker: Promise<Worker> | null = null;
  #opened: Worker | null = null;
  #giveUp: (error: Error) => void = () => {};
  #isFetching = false;
  /** What is being claimed, or is on its way to who waits. */
  readonly #inFlight = new Set<Promise<unknown>>();
  /** Jobs that are claimed and looked at. */
  #handing = 0;
  #isInTrouble = false;
  #loop: EventLoop | null = null;
  readonly #line = new WaitQueue<JobLease, Claim>();

  constructor(connection: BullConnection, setup: ClaimsSetup) {
    this.#connection = connection;
    this.#setup = setup;
  }

  claim(worker: string): Operation<JobLease> {
    return new Claim(this.#line as never, this.#connection.setup.queue, (loop) => this.#fetch(loop, worker));
  }

  /** The worker of BullMQ. Only who has a lease may ask. */
  get worker(): Promise<Worker> {
    return this.#worker!;
  }

  /** What is claimed at this moment would stay with a worker that is gone, until its lease has run out. */
  async close(): Promise<void> {
    for (let claim = this.#line.shift(); claim !== null; claim = this.#line.shift()) {
      claim.fail(new EngineClosedError(this.#connection.setup.queue));
    }
    if (this.#loop === null) return;
    let isLate = (): void => {};
    const late = new Promise<void>((resolve) => (isLate = resolve));
    const timer = this.#loop.callLater(CLOSE_MS, isLate); // Redis may be out of reach
    await Promise.race([this.#end(), late]);
    timer.cancel();
  }

  async #end(): Promise<void> {
    this.#giveUp(new EngineClosedError(this.#connection.setup.queue));
    const closing = this.#opened?.close(true).catch(() => {}); // at once: it may block for a job
    while (this.#inFlight.size > 0) await Promise.allSettled([...this.#inFlight]); // what is claimed is handed over, or given back
    await closing;
  }

  /** Fetches jobs while somebody waits for one. */
  #fetch(loop: EventLoop, worker: string): void {
    if (this.#isFetching || this.#connection.isClosed) return;
    this.#isFetching = true;
    this.#loop = loop;
    loop.spawn({ name: `fetch from ${this.#connection.setup.queue}` }, () => this.#fetchAll(loop, worker));
  }

  *#fetchAll(loop: EventLoop, name: string): Coroutine<void> {
    try {
      let width = 0; // 0: it blocks for one
      while (this.#line.size > this.#handing && !this.#connection.isClosed) {
        try {
          const found = yield* until(this.#several(loop, name, width));
          width = found === 0 ? 0 : Math.min(FETCH_AT_ONCE, found === width ? 2 * found : found);
          if (!this.#isInTrouble) continue;
          this.#isInTrouble = false;
          yield* sleep(RETRY_MS);
        } catch (error) {
          if (!(error instanceof Error)) throw error;
          if ((error as { code?: unknown }).code === "EXECUTOR_ENGINE_MISSING") {
            for (let claim = this.#line.shift(); claim !== null; claim = this.#line.shift()) claim.fail(error);
            return;
          }
          yield* sleep(RETRY_MS);
        }
      }
    } finally {
      this.#isFetching = false;
    }
  }

  /** Tells how many it has got. While jobs come, it asks for several: else each would wait for the round trip of the one before. */
  async #several(loop: EventLoop, name: string, width: number): Promise<number> {
    const count = Math.max(1, Math.min(this.#line.size - this.#handing, width));
    const fetched = Array.from({ length: count }, () => this.#tracked(this.#next(loop, name, width === 0)));
    return (await Promise.all(fetched)).filter(Boolean).length;
  }

  /** Claims one, if there is one, and begins to hand it over. */
  async #next(loop: EventLoop, name: string, block: boolean): Promise<boolean> {
    this.#worker ??= this.#openWorker(name).catch((error: unknown) => {
      this.#worker = null;
      throw error;
    });
    const worker = await this.#worker;
    const connected = await this.#connection.open(); // before the claim: once closed there is none
    const lock = randomUUID();
    const job = (await worker.getNextJob(lock, { block })) as BullJob | undefined;
    if (job === undefined || job === null) return false;
    void this.#tracked(this.#handOver(loop, name, connected, { job, lock }));
    return true;
  }

  async #handOver(loop: EventLoop, name: string, connected: Connected, token: Token): Promise<void> {
    let lease: JobLease | null;
    this.#handing++;
    try {
      lease = await this.#leaseOf(connected, token, loop);
    } catch {
      lease = null;
      this.#isInTrouble = true;
      await putBack(connected, token).catch(() => {}); // what nobody hears of must not stay claimed
    } finally {
      this.#handing--;
    }
    if (lease !== null) {
      const claim = this.#connection.isClosed ? null : this.#line.shift();
      if (claim === null) await putBack(connected, token).catch(() => {});
      else claim.end(lease);
    }
    if (this.#line.size > 0) this.#fetch(loop, name);
  }

  /** `null`: nobody is to run it. */
  async #leaseOf(connected: Connected, token: Token, loop: EventLoop): Promise<JobLease | null> {
    const { redis, packages } = connected;
    const { job, lock } = token;
    const id = idOf(job.id!);
    if (id === null || !isKept(job.data)) {
      // It is kept among the failed ones of BullMQ, for whoever has put it there.
      const problem = `queue "${job.queueName}" is served by Fibril, and this is not one of its jobs; use another queue for it`;
      await job.moveToFailed(new packages.bullmq.UnrecoverableError(problem), lock).catch(ignoreLostLock);
      return null;
    }
    const order = orderOf(id, job.data);
    const answers = await redis
      .pipeline()
      .mget(this.#connection.key("record", id), this.#connection.key("cancel", id))
      .hmget(this.#connection.key("counters", id), "failure", "refusal")
      .time()
      .exec();
    const [[record = null, reason = null], [failures = null, refusals = null], time] = valuesOf(answers);
    const nowMs = this.#connection.clockSeen(time, loop);
    if (typeof record === "string") {
      await this.#complete(token); // it has ended; its worker could not say so
      return null;
    }
    if (job.deferredFailure !== undefined) {
      return await this.#settle(connected, token, order, {
        status: "lost",
        delivery: job.attemptsStarted - 1,
        body: "",
      });
    }
    const firing = readFiringId(id);
    if (firing !== null && job.data.overlap === "skip" && !(await this.#holdsFiring(connected, firing))) {
      return await this.#settle(connected, token, order, { status: "cancelled", delivery: 0, body: OVERLAP });
    }
    return {
      order,
      delivery: job.attemptsStarted,
      failures: Number(failures ?? 0),
      refusals: Number(refusals ?? 0),
      stalls: job.stalledCounter,
      waitedMs: Math.max(0, nowMs - (firing === null ? job.timestamp : firing.dueMs)),
      cancel: typeof reason === "string" ? { reason } : null,
      token,
    };
  }

  /** Whether the firing before has ended, so that this one may begin. */
  async #holdsFiring({ redis, queue }: Connected, { scheduleId, dueMs }: Firing): Promise<boolean> {
    const schedule = queue.toKey(`repeat:${schedulerKeyOf(scheduleId)}`);
    const records = this.#connection.key("record", firingId(scheduleId, 0)).slice(0, -1);
    const last = this.#connection.key("firing", scheduleId);
    return (await redis.eval(HOLD_FIRING, 2, last, schedule, dueMs, `${schedule}:`, records)) === 1;
  }

  async #settle(
    connected: Connected,
    token: Token,
    order: JobOrder,
    end: Pick<OutcomeRecord, "status" | "delivery" | "body">,
  ): Promise<null> {
    await this.#connection.record(connected, order, { ...end, worker: "", runMs: 0 }, token.lock);
    await this.#complete(token);
    return null;
  }

  async #complete({ job, lock }: Token): Promise<void> {
    await job.moveToCompleted(null, lock, false).catch(ignoreLostLock);
  }

  async #openWorker(name: string): Promise<Worker> {
    const { packages, redis } = await this.#connection.open();
    if (this.#connection.isClosed) throw new EngineClosedError(this.#connection.setup.queue);
    const { leaseMs, stalledCheckMs, maxStalled } = this.#setup;
    const { queue, prefix } = this.#connection.setup;
    const worker = new packages.bullmq.Worker(queue, null, {
      connection: redis as never,
      name,
      autorun: false,
      lockDuration: leaseMs,
      stalledInterval: stalledCheckMs,
      maxStalledCount: maxStalled,
      // Not skipVersionCheck: a worker that does not know Redis' version blocks for whole seconds, so that delayed jobs are late.
      drainDelay: BLOCK_SECONDS,
      ...(prefix === null ? {} : { prefix }),
    });
    worker.on("error", () => {});
    this.#opened = worker; // it may never reach Redis, and is to be closed then too
    await new Promise((resolve, reject) => {
      this.#giveUp = reject;
      worker.waitUntilReady().then(resolve, reject);
    });
    await worker.startStalledCheckTimer();
    return worker;
  }

  #tracked<T>(work: Promise<T>): Promise<T> {
    this.#inFlight.add(work);
    const over = (): void => void this.#inFlight.delete(work);
    work.then(over, over);
    return work;
  }
}

class Claim extends QueuedWait<JobLease> {
  readonly reason: string;
  readonly #fetch: (loop: EventLoop) => void;

  constructor(line: WaitQueue<JobLease, never>, queue: string, fetch: (loop: EventLoop) => void) {
    super(line);
    this.reason = `a job in queue ${queue}`;
    this.#fetch = fetch;
  }

  override get external(): boolean {
    return true;
  }

  protected attempt(waiter: Waiter): null {
    const loop = taskOf(waiter).loop as EventLoop;
    loop.callSoon(() => this.#fetch(loop)); // when it stands in line
    return null;
  }
}

type Texts = readonly (string | null)[];

function valuesOf(answers: readonly (readonly [Error | null, unknown])[] | null): [Texts, Texts, unknown] {
  return (answers ?? []).map(([error, value]) => {
    if (error !== null) throw error;
    return value;
  }) as [Texts, Texts, unknown];
}
