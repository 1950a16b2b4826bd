/**
 * One worker thread, seen from the executor: its slots, its messages, its death.
 *
 * A thread keeps the process alive only while it has a job, by its port; the thread itself never does.
 *
 * However a thread ends, each of its jobs is told apart by its word in shared memory: one that had not begun goes back to the pool, which gives it
 * to another thread; one that had begun has crashed.
 */
import type { MessagePort, Worker } from "node:worker_threads";
import { systemClock, systemHost, taskSources } from "../../core/index.ts";
import type { TaskAnswer, TaskQuestion, TaskSource, TaskSourceJob } from "../../core/index.ts";
import { JobCloneError, WorkerCrashedError } from "../errors.ts";
import type { JobEnd, PoolJob } from "../pool.ts";
import { decodeError } from "../remote-error.ts";
import type { RemoteError } from "../remote-error.ts";
import { Inbox } from "./inbox.ts";
import { Inquiries } from "./inquiries.ts";
import { errorOf, extrasOf, isMovable, reasonToSend, refusalOf } from "./job-orders.ts";
import { Outbox } from "./outbox.ts";
import type { RunOrder } from "./outbox.ts";
import { CANCEL, QUEUED, WITHDRAWN } from "./protocol.ts";
import type { Reply } from "./protocol.ts";
import { startWorker } from "./start-worker.ts";
import type { ThreadSetup } from "./start-worker.ts";
import { hasEnds } from "./thread-channel.ts";
import { ThreadSlots } from "./thread-slots.ts";

/** The pool as its threads need it. */
export interface ThreadOwner {
  settled(thread: WorkerThread, job: PoolJob, end: JobEnd): void;
  news(job: PoolJob, kind: "progress" | "log" | "item", value: unknown): void;
  /** A slot is free, or it is ready. */
  freed(thread: WorkerThread): void;
  /** It will not run these. */
  gaveBack(jobs: readonly PoolJob[]): void;
  /** It has ended; these jobs had not begun. */
  exited(thread: WorkerThread, orphans: readonly PoolJob[]): void;
  /** Its initializer failed. */
  failedToStart(error: unknown): void;
}

/** Where a job is: kept in `job.place`. */
export interface Place {
  readonly thread: WorkerThread;
  readonly slot: number;
}

const RUN_WEIGHT = 0.2; // of the last job in the mean

export class WorkerThread implements TaskSource {
  readonly name: string;
  readonly threadId: number;
  isReady = false;
  /** Takes no more jobs. */
  isRetiring = false;
  isGone = false;
  /** Jobs that it has, begun or not; withdrawn ones do not count. */
  size = 0;
  /** Jobs that it has ended. */
  served = 0;
  /** Of the last jobs; 0 before the first. */
  meanRunMs = 0;
  /** When it was last heard of. */
  heardAt: number = systemClock.now();
  readonly #owner: ThreadOwner;
  readonly #setup: ThreadSetup;
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #slots: ThreadSlots;
  readonly #outbox: Outbox;
  readonly #inbox: Inbox;
  readonly #graces = new Map<number, unknown>();
  readonly #questions = new Map<number, (tasks: readonly unknown[]) => void>();
  readonly #inquiries = new Inquiries((key, { module, request }) => {
    this.#outbox.post(["inspect", key, module, request]);
  });
  #lastQuestion = 0;
  #fault: unknown = undefined;
  /** Ended because a job did not stop. */
  #isKilled = false;
  readonly #gone: Promise<void>;
  #stopTimer: unknown = undefined;

  constructor(owner: ThreadOwner, setup: ThreadSetup, name: string) {
    this.name = name;
    this.#owner = owner;
    this.#setup = setup;
    this.#slots = new ThreadSlots(setup.slots);
    const { worker, port } = startWorker(setup, name, this.#slots.words);
    this.#worker = worker;
    this.#port = port;
    this.#outbox = new Outbox({
      port,
      words: this.#slots.words,
      hasBell: !setup.isConcurrent,
      refuse: (order, cause) => this.#refuse(order, cause),
    });
    this.#inbox = new Inbox({
      port,
      slots: this.#slots,
      handle: (reply) => this.#handle(reply),
      isIdle: () => this.size === 0,
      missed: (slot, job, cause) => this.#end(slot, unread(job, "the result", cause, 0)),
      torn: (job) => this.cancel(job, "a value of it could not be read"),
      hasRoom: () => this.#outbox.post(["room"]),
    });
    this.#worker.unref();
    this.threadId = this.#worker.threadId;
    taskSources.add(this);
    this.#worker.on("error", (error) => (this.#fault = error));
    this.#gone = new Promise((resolve) => this.#worker.once("exit", (code) => resolve(this.#exited(code))));
    port.on("message", (reply: Reply) => {
      this.heardAt = systemClock.now();
      this.#inbox.receive(reply);
    });
    port.on("messageerror", (error) => this.#inbox.unreadable(error));
    port.on("close", () => {
      if (this.size > 0) this.#worker.ref(); // its exit is still to come, and somebody waits for it
    });
    port.unref();
  }

  get hasFreeSlot(): boolean {
    return this.#slots.hasFree && !this.isRetiring && !this.isGone;
  }

  /** `false` when its arguments cannot be sent; its end has been told. */
  run(job: PoolJob): void {
    const slot = this.#slots.take(job);
    job.place = { thread: this, slot } satisfies Place;
    if (this.size++ === 0) this.#port.ref();
    const order = this.#orderOf(job, slot);
    if (job.transfer !== null || (job.shape !== "batch" && hasEnds(job.args))) this.#outbox.postMoving(order, job);
    else if (this.size === 1 && this.#inbox.outcomesAtOnce <= 1) {
      this.#outbox.post(order); // it is idle and nobody else was woken with its submitter
    } else this.#outbox.send(order);
  }

  #orderOf(job: PoolJob, slot: number): RunOrder {
    return ["run", slot, this.#outbox.numberOf(job), job.shape, job.args, job.id, extrasOf(job)];
  }

  /** Takes a job back that has not begun. `false`: it has. */
  takeBack(job: PoolJob): boolean {
    const { slot } = job.place as Place;
    if (this.#slots.jobIn(slot) !== job || !this.#slots.withdraw(slot)) return false;
    job.place = null;
    this.#release();
    return true;
  }

  /** Asks a job that has begun to stop; ends the thread when it has not after `graceMs`. */
  cancel(job: PoolJob, reason: unknown): void {
    const { slot } = job.place as Place;
    if (this.#slots.jobIn(slot) !== job || this.#graces.has(slot) || !this.#slots.askToStop(slot)) return;
    this.#outbox.post(["cancel", slot, reasonToSend(reason)]);
    this.#graces.set(
      slot,
      this.#setup.graceMs === Infinity
        ? null
        : systemHost.after(this.#setup.graceMs, false, () => this.#kill(job, slot)),
    );
  }

  hasBegun(job: PoolJob): boolean {
    const { slot } = job.place as Place;
    return this.#slots.jobIn(slot) === job && this.#slots.hasBegun(slot);
  }

  grant(job: PoolJob, count: number): void {
    const { slot } = job.place as Place;
    if (this.#slots.jobIn(slot) === job) this.#outbox.post(["grant", slot, count]);
  }

  /** Those that have not begun, the last one first. */
  queued(): Iterable<PoolJob> {
    return this.#slots.queued();
  }

  /** What its loop does. `hear` is called at once when it is gone. Returns what takes the question back. */
  tasks(hear: (tasks: readonly unknown[]) => void): () => void {
    if (this.isGone) {
      hear([]);
      return () => {};
    }
    const question = ++this.#lastQuestion;
    this.#questions.set(question, hear);
    this.#worker.ref();
    this.#outbox.post(["tasks", question]);
    return () => this.#forget(question);
  }

  #forget(question: number): void {
    if (this.#questions.delete(question) && this.#questions.size === 0 && !this.isRetiring) this.#worker.unref();
  }

  get role(): string {
    return this.#setup.isConcurrent ? "loop thread" : "pool worker";
  }

  get executor(): string {
    return this.#setup.name;
  }

  heardMs(): number {
    return systemClock.now() - this.heardAt;
  }

  jobs(): TaskSourceJob[] {
    return this.#slots.states();
  }

  ask(question: TaskQuestion, hear: (answer: TaskAnswer) => void): () => void {
    if (this.isGone) {
      hear({ status: "ended" });
      return () => {};
    }
    return this.#inquiries.ask(question, hear);
  }

  /** Ends the thread once its tasks have ended; after `graceMs` in any case. */
  stop(): Promise<void> {
    this.isRetiring = true;
    if (!this.isGone && this.#stopTimer === undefined) {
      this.#worker.ref();
      this.#outbox.post(["stop"]);
      this.#stopTimer =
        this.#setup.graceMs === Infinity
          ? null
          : systemHost.after(this.#setup.graceMs, false, () => void this.#worker.terminate());
    }
    return this.#gone;
  }

  /**
   * Its time is up. What has not begun here is given back first: then nothing can begin behind the job, and if that has not ended by now,
   * it is the only one that loses its thread.
   */
  #kill(job: PoolJob, slot: number): void {
    const given: PoolJob[] = [];
    for (const each of this.queued()) if (isMovable(each) && this.takeBack(each)) given.push(each);
    if (this.#slots.jobIn(slot) === job && this.#slots.word(slot) === CANCEL) {
      this.isRetiring = true;
      this.#isKilled = true;
      const { graceMs } = this.#setup;
      this.#fault ??= new Error(`job "${job.name}" did not stop within ${graceMs} ms, so the thread was ended`);
      this.#worker.ref();
      void this.#worker.terminate();
    }
    if (given.length > 0) this.#owner.gaveBack(given);
  }

  /** The order could not be sent. */
  #refuse(order: RunOrder, cause: unknown): void {
    const slot = order[1];
    const job = this.#slots.jobIn(slot);
    if (job === null) this.#slots.free(slot); // withdrawn, and the worker never hears of it
    else this.#end(slot, { status: "failed", error: refusalOf(job, cause), done: null, runMs: 0 });
  }

  /** The worker could not read a message of ours. Of several jobs, each is sent again by itself: then it is known which one it was. */
  #endUnread(message: number, cause: unknown): void {
    const slots = this.#outbox.lost(message);
    for (const slot of slots) {
      const job = this.#slots.jobIn(slot);
      const word = this.#slots.word(slot);
      if (word === WITHDRAWN) this.#slots.free(slot);
      if (word !== QUEUED || job === null) continue;
      if (slots.length > 1) {
        this.#outbox.post(this.#orderOf(job, slot));
        continue;
      }
      this.#end(slot, unread(job, "what is given to it, an argument", cause, 0));
    }
  }

  #handle(reply: Reply): void {
    switch (reply[0]) {
      case "value":
        this.#end(reply[1], { status: "succeeded", value: reply[2], runMs: reply[3] });
        break;
      case "error": {
        const [, slot, reported, runMs] = reply;
        const job = this.#slots.jobIn(slot);
        if (job === null) break;
        const error = errorOf(job, reported, `thread "${this.name}"`);
        this.#end(slot, { status: "failed", error, done: reported.done, runMs });
        break;
      }
      case "cancelled":
        this.#end(reply[1], { status: "cancelled", reason: reply[2], runMs: reply[3] });
        break;
      case "skipped":
        this.#slots.free(reply[1]);
        this.#owner.freed(this);
        break;
      case "unread":
        this.#endUnread(reply[1], decodeError(reply[2]));
        break;
      case "progress":
      case "log":
      case "item": {
        const job = this.#slots.jobIn(reply[1]);
        if (job !== null) this.#owner.news(job, reply[0], reply[2]);
        break;
      }
      case "ready":
        this.isReady = true;
        this.#owner.freed(this);
        break;
      case "unready":
        this.#owner.failedToStart(decodeError(reply[1] as RemoteError));
        break;
      case "tasks":
        this.#questions.get(reply[1])?.(reply[2]);
        this.#forget(reply[1]);
        break;
      case "inspected":
        this.#inquiries.heard(
          reply[1],
          reply[2] === null ? { status: "answered", value: reply[3] } : { status: "failed", why: reply[2] },
        );
    }
  }

  #end(slot: number, end: JobEnd): void {
    const job = this.#slots.jobIn(slot);
    if (job === null) return;
    this.#slots.empty(slot);
    job.place = null;
    this.#clearGrace(slot);
    const tear = this.#inbox.tearOf(slot);
    if (tear !== undefined) end = unread(job, "a value", tear, end.runMs);
    this.served++;
    this.meanRunMs = this.served === 1 ? end.runMs : this.meanRunMs + (end.runMs - this.meanRunMs) * RUN_WEIGHT;
    this.#slots.free(slot);
    this.#release();
    this.#owner.settled(this, job, end);
    this.#owner.freed(this);
  }

  #clearGrace(slot: number): void {
    const timer = this.#graces.get(slot);
    if (timer !== undefined && timer !== null) systemHost.clear(timer);
    this.#graces.delete(slot);
  }

  #release(): void {
    if (--this.size === 0) this.#port.unref();
  }

  #exited(code: number): void {
    this.isGone = true; // before what it said last is heard: nothing is given to it for that
    this.#inbox.close();
    taskSources.delete(this);
    this.#outbox.close();
    if (this.#stopTimer !== undefined && this.#stopTimer !== null) systemHost.clear(this.#stopTimer);
    const asked = new Set(this.#graces.keys());
    for (const slot of asked) this.#clearGrace(slot);
    this.#port.close();
    for (const answer of this.#questions.values()) answer([]);
    this.#inquiries.end();
    const orphans: PoolJob[] = [];
    for (const [slot, job] of this.#slots.jobs()) {
      this.#slots.empty(slot);
      job.place = null;
      this.size--;
      const hasBegun = this.#slots.word(slot) !== QUEUED;
      if (this.#isKilled && asked.has(slot)) {
        this.#owner.settled(this, job, {
          status: "cancelled",
          reason: "its thread was ended",
          runMs: this.#setup.graceMs,
        });
      } else if (hasBegun || !this.isReady || !isMovable(job)) {
        const error = new WorkerCrashedError(job, `thread "${this.name}"`, code, this.#fault);
        this.#owner.settled(this, job, { status: "failed", error, done: null, runMs: 0 });
      } else orphans.push(job);
    }
    this.#owner.exited(this, orphans);
  }
}

function unread(job: PoolJob, what: string, cause: unknown, runMs: number): JobEnd {
  return { status: "failed", error: new JobCloneError(job, what, cause), done: null, runMs };
}
