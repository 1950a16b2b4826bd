/**
 * One worker thread, seen from the executor: its slots, its messages, its death.
 *
 * A thread keeps the process alive only while it has a job, by its port; the thread itself never does.
 *
 * However a thread ends, each of its jobs is told apart by its word in shared memory: one that had not begun goes back to the pool, which gives it
 * to another thread; one that had begun has crashed.
 */
import { receiveMessageOnPort } from "node:worker_threads";
import type { MessagePort, Worker } from "node:worker_threads";
import { systemClock, systemHost, taskSources } from "../../core/index.ts";
import type { TaskAnswer, TaskQuestion, TaskSource, TaskSourceJob } from "../../core/index.ts";
import { JobCloneError, WorkerCrashedError } from "../errors.ts";
import type { JobEnd, PoolJob } from "../pool.ts";
import { decodeError } from "../remote-error.ts";
import type { RemoteError } from "../remote-error.ts";
import { Inquiries } from "./inquiries.ts";
import { errorOf, extrasOf, isMovable, reasonToSend, refusalOf } from "./job-orders.ts";
import { Outbox } from "./outbox.ts";
import type { RunOrder } from "./outbox.ts";
import { CANCEL, HELD, LOADING, NEWS, OUTCOMES, QUEUED, ROOM_AGAIN, WITHDRAWN } from "./protocol.ts";
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
const OUTCOME_LOOK_MS = 1;

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
  readonly #graces = new Map<number, unknown>();
  readonly #questions = new Map<number, (tasks: readonly unknown[]) => void>();
  readonly #inquiries = new Inquiries((key, { module, request }) => {
    this.#outbox.post(["inspect", key, module, request]);
  });
  #lastQuestion = 0;
  /** Outcomes that have come, or were given up. */
  #outcomes = 0;
  /** How many outcomes came together the last time: so many submitters were woken at once. */
  #endsAtOnce = 0;
  /** Streams of which a value could not be read. */
  readonly #torn = new Map<number, unknown>();
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
    this.#worker.unref();
    this.threadId = this.#worker.threadId;
    taskSources.add(this);
    this.#worker.on("error", (error) => (this.#fault = error));
    this.#gone = new Promise((resolve) => this.#worker.once("exit", (code) => resolve(this.#exited(code))));
    port.on("message", (reply: Reply) => this.#receive(reply));
    port.on("messageerror", (error) => this.#unreadable(error));
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
    else if (this.size === 1 && this.#endsAtOnce <= 1) {
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
    if (this.#slots.jobIn(slot) !== job) return false;
    const word = this.#slots.word(slot);
    return word !== QUEUED && word !== LOADING;
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

  #receive(first: Reply): void {
    // All replies that have arrived, in one go: those who are woken then run in one slice of their loop.
    // Not so for what jobs tell: of that there is no end, and Node gives other events their turn after a thousand messages.
    this.heardAt = systemClock.now();
    const servedBefore = this.served;
    this.#handle(first);
    for (let last = first, count = 1; !this.isGone && !isNews(last); count++) {
      if (this.size === 0 && count === 1) break; // it had one job
      const next = this.#take();
      if (next === null) break;
      last = next;
      this.#handle(last);
    }
    this.#endsAtOnce = this.served - servedBefore;
  }

  #take(): Reply | null {
    for (;;) {
      try {
        const next = receiveMessageOnPort(this.#port) as { readonly message: Reply } | undefined;
        return next === undefined ? null : next.message;
      } catch (error) {
        this.#unreadable(error);
      }
    }
  }

  /**
   * Something that it said cannot be read here, and nobody can tell what it was. An outcome is missed: its job has ended and what it has said about
   * that does not come. A value of a stream would not be, so all streams that run there fail. News is lost.
   */
  #unreadable(error: unknown): void {
    const suspects = new Map<number, PoolJob>();
    for (const [slot, job] of this.#slots.jobs()) {
      if (this.#slots.hasEnded(slot)) suspects.set(slot, job);
      else if (job.shape === "stream" && this.hasBegun(job)) {
        this.#torn.set(slot, error);
        this.cancel(job, "a value of it could not be read");
      }
    }
    if (suspects.size === 0) {
      this.#noteNews();
      return;
    }
    systemHost.afterIo(() => this.#judge(suspects, error));
  }

  /**
   * Whether the outcomes of these jobs are on their way, or one was what could not be read. A job's word says that it has ended before its outcome is
   * posted, and a large one takes its time; so as long as all that was posted has come, the rest is waited for.
   */
  #judge(suspects: Map<number, PoolJob>, error: unknown): void {
    const posted = this.#slots.word(OUTCOMES); // before the look: those of them that can be read are found by it
    for (let next = this.isGone ? null : this.#take(); next !== null; next = this.#take()) this.#handle(next);
    for (const [slot, job] of suspects) if (this.#slots.jobIn(slot) !== job) suspects.delete(slot);
    if (suspects.size === 0) this.#noteNews();
    else if (((posted - this.#outcomes) | 0) < suspects.size) {
      systemHost.after(OUTCOME_LOOK_MS, false, () => this.#judge(suspects, error));
    } else {
      for (const [slot, job] of suspects) {
        this.#noteOutcome();
        this.#end(slot, { status: "failed", error: new JobCloneError(job, "the result", error), done: null, runMs: 0 });
      }
    }
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
      const error = new JobCloneError(job, "what is given to it, an argument", cause);
      this.#end(slot, { status: "failed", error, done: null, runMs: 0 });
    }
  }

  /** One message less of what jobs tell is on its way. */
  #noteNews(): void {
    const { words } = this.#slots;
    if (Atomics.sub(words, NEWS, 1) - 1 > ROOM_AGAIN) return;
    if (Atomics.compareExchange(words, HELD, 1, 0) === 1) this.#outbox.post(["room"]);
  }

  #handle(reply: Reply): void {
    switch (reply[0]) {
      case "value":
        this.#noteOutcome();
        this.#end(reply[1], { status: "succeeded", value: reply[2], runMs: reply[3] });
        break;
      case "error": {
        this.#noteOutcome();
        const [, slot, reported, runMs] = reply;
        const job = this.#slots.jobIn(slot);
        if (job === null) break;
        const error = errorOf(job, reported, `thread "${this.name}"`);
        this.#end(slot, { status: "failed", error, done: reported.done, runMs });
        break;
      }
      case "cancelled":
        this.#noteOutcome();
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
        if (reply[0] !== "item") this.#noteNews();
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

  #noteOutcome(): void {
    this.#outcomes = (this.#outcomes + 1) | 0; // as the word wraps
  }

  #end(slot: number, end: JobEnd): void {
    const job = this.#slots.jobIn(slot);
    if (job === null) return;
    this.#slots.empty(slot);
    job.place = null;
    this.#clearGrace(slot);
    const torn = this.#torn.get(slot);
    if (torn !== undefined && this.#torn.delete(slot)) {
      end = { status: "failed", error: new JobCloneError(job, "a value", torn), done: null, runMs: end.runMs };
    }
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
    for (let said = this.#take(); said !== null; said = this.#take()) this.#handle(said);
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

function isNews(reply: Reply): boolean {
  return reply[0] === "progress" || reply[0] === "log";
}
