/**
 * How a `BullEngine` claims jobs: BullMQ hands out one at a time, and blocks while there is none.
 *
 * While somebody waits for a job, one task asks for the next one, or for several while they come. What else is known of a job (has it an outcome already? is it
 * to be cancelled?) is asked together with it, see `bull-fetcher.ts`, so a claim is one round trip.
 *
 * Nothing is kept that nobody runs: a job that arrives when nobody waits any more, or when the engine is closed, is given back.
 */
import { randomUUID } from "node:crypto";
import { QueuedWait, taskOf, until, WaitQueue } from "../../core/index.ts";
import type { Coroutine, EventLoop, Operation, Waiter } from "../../core/index.ts";
import { sleep } from "../../time/index.ts";
import type { WorkerOptions } from "bullmq";
import { atMost } from "./bull-answer.ts";
import type { BullConnection, Connected } from "./bull-connection.ts";
import { knownOf, openFetcher } from "./bull-fetcher.ts";
import type { Fetcher, JobKnown } from "./bull-fetcher.ts";
import { complete, idOf, ignoreLostLock, isKept, orderOf, schedulerKeyOf } from "./bull-orders.ts";
import type { BullJob, Token } from "./bull-orders.ts";
import { putBackUnbegun } from "./bull-returned.ts";
import { HOLD_FIRING } from "./bull-scripts.ts";
import type { JobLease, JobOrder, OutcomeRecord } from "./engine.ts";
import { OVERLAP } from "./engine.ts";
import { EngineClosedError, isFinal } from "./errors.ts";
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
  #fetcher: Promise<Fetcher> | null = null;
  #opened: Fetcher | null = null;
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

  /** Tells which locks are lost. Only who has a lease may ask. */
  async extendLocks(ids: string[], locks: string[], leaseMs: number): Promise<readonly string[]> {
    const { worker } = await this.#fetcher!;
    return await worker.extendJobLocks(ids, locks, leaseMs);
  }

  /** What is claimed at this moment would stay with a worker that is gone, until its lease has run out. */
  async close(): Promise<void> {
    for (let claim = this.#line.shift(); claim !== null; claim = this.#line.shift()) {
      claim.fail(new EngineClosedError(this.#connection.setup.queue));
    }
    if (this.#loop === null) return;
    await atMost(this.#loop, CLOSE_MS, this.#end()); // Redis may be out of reach
  }

  async #end(): Promise<void> {
    this.#giveUp(new EngineClosedError(this.#connection.setup.queue));
    const closing = this.#opened?.worker.close(true).catch(() => {}); // at once: it may block for a job
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
          if (isFinal(error) && !this.#connection.isClosed) {
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
    this.#fetcher ??= this.#openFetcher(name).catch((error: unknown) => {
      this.#fetcher = null;
      throw error;
    });
    const fetcher = await this.#fetcher;
    const connected = await this.#connection.open(); // before the claim: once closed there is none
    const lock = randomUUID();
    const job = (await fetcher.worker.getNextJob(lock, { block })) as BullJob | undefined;
    if (job === undefined || job === null) return false;
    void this.#tracked(this.#handOver(loop, name, connected, { job, lock }, fetcher.known(job, lock)));
    return true;
  }

  async #handOver(
    loop: EventLoop,
    name: string,
    connected: Connected,
    token: Token,
    known: Promise<JobKnown | null>,
  ): Promise<void> {
    let lease: JobLease | null;
    this.#handing++;
    try {
      lease = await this.#leaseOf(connected, token, loop, await known);
    } catch {
      lease = null;
      this.#isInTrouble = true;
      await putBackUnbegun(this.#connection, connected, token).catch(() => {}); // what nobody hears of must not stay claimed
    } finally {
      this.#handing--;
    }
    if (lease !== null) {
      const claim = this.#connection.isClosed ? null : this.#line.shift();
      if (claim === null) await putBackUnbegun(this.#connection, connected, token).catch(() => {});
      else claim.end(lease);
    }
    if (this.#line.size > 0) this.#fetch(loop, name);
  }

  /** `null`: nobody is to run it. */
  async #leaseOf(
    connected: Connected,
    token: Token,
    loop: EventLoop,
    known: JobKnown | null,
  ): Promise<JobLease | null> {
    const { packages } = connected;
    const { job, lock } = token;
    const id = idOf(job.id!);
    if (id === null || !isKept(job.data)) {
      // It is kept among the failed ones of BullMQ, for whoever has put it there.
      const problem = `queue "${job.queueName}" is served by Fibril, and this is not one of its jobs; use another queue for it`;
      await job.moveToFailed(new packages.bullmq.UnrecoverableError(problem), lock).catch(ignoreLostLock);
      return null;
    }
    const order = orderOf(id, job.data);
    const { record, reason, failures, refusals, time } = known ?? (await this.#see(connected, id));
    const nowMs = this.#connection.clockSeen(time, loop);
    if (record !== null) {
      await complete(token, "not recorded"); // by us: it has ended, and its worker could not say so
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
      failures,
      refusals,
      stalls: job.stalledCounter,
      waitedMs: Math.max(0, nowMs - (firing === null ? job.timestamp : firing.dueMs)),
      cancel: reason === null ? null : { reason },
      token,
    };
  }

  async #see({ redis }: Connected, id: string): Promise<JobKnown> {
    const [record, cancel, counters] = (["record", "cancel", "counters"] as const).map((kind) =>
      this.#connection.key(kind, id),
    );
    return knownOf(await redis.fibrilSee(record!, cancel!, counters!))!;
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
    const isRecorded = await this.#connection.record(connected, order, { ...end, worker: "", runMs: 0 }, token.lock);
    await complete(token, isRecorded ? "recorded" : "not recorded");
    return null;
  }

  async #openFetcher(name: string): Promise<Fetcher> {
    const { packages, redis, queue } = await this.#connection.open();
    if (this.#connection.isClosed) throw new EngineClosedError(this.#connection.setup.queue);
    const { leaseMs, stalledCheckMs, maxStalled } = this.#setup;
    const { prefix } = this.#connection.setup;
    const [active, theirs, ours] = [queue.toKey("active"), queue.toKey(""), this.#connection.keysBegin];
    const options: WorkerOptions = {
      connection: redis as never,
      name,
      autorun: false,
      lockDuration: leaseMs,
      stalledInterval: stalledCheckMs,
      maxStalledCount: maxStalled,
      // Not skipVersionCheck: a worker that does not know Redis' version blocks for whole seconds, so that delayed jobs are late.
      drainDelay: BLOCK_SECONDS,
      ...(prefix === null ? {} : { prefix }),
    };
    const fetcher = openFetcher(packages, this.#connection.setup.queue, options, async (lock) =>
      knownOf(await redis.fibrilLook(active, lock, theirs, ours)),
    );
    const { worker } = fetcher;
    worker.on("error", () => {});
    this.#opened = fetcher; // it may never reach Redis, and is to be closed then too
    await new Promise((resolve, reject) => {
      this.#giveUp = reject;
      worker.waitUntilReady().then(resolve, reject);
    });
    await worker.startStalledCheckTimer();
    return fetcher;
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
