/**
 * The run itself: one coroutine reads the input, N fetch, and everything they started ends with this one.
 *
 *     input ──put──▶ JobQueue ──take──▶ fetch 1 … fetch N ──▶ folder, standard output
 *                       ▲                      │
 *                       └── retries, links, next pages
 *
 * Each arrow from the input is bounded, so memory does not grow with the number of URLs. A URL that shall be tried again leaves its
 * worker and comes back through the queue, so that waiting keeps nobody from working. When a server answers 429 or 503, its whole
 * host is left alone for a while: its other URLs would only meet the same answer. What is done with a URL is the `Task`'s business.
 */
import { currentScope, currentTask, EventLoop, moveOnAfter, scope, sleep } from "fibril";
import type { Coroutine, Scope, Task } from "fibril";
import { Session } from "fibril/http";
import { ApiTask } from "./api/api-task.ts";
import type { Attempt } from "./attempt.ts";
import { CookieFile } from "./cookie-file.ts";
import { CheckTask } from "./check/check-task.ts";
import { failureOfLine } from "./failure.ts";
import { GetTask } from "./get-task.ts";
import type { Entry, Input } from "./input.ts";
import { BadLine } from "./job.ts";
import type { Job } from "./job.ts";
import { JobQueue } from "./job-queue.ts";
import { JobReader } from "./job-reader.ts";
import type { LiveRun } from "./live/frame.ts";
import type { OutputStream } from "./output-stream.ts";
import { printable } from "./printable.ts";
import { resultLine } from "./result.ts";
import type { Result } from "./result.ts";
import { hostPauseMs, retryDelayMs, shallRetry } from "./retry.ts";
import { sessionOptions } from "./session-options.ts";
import type { Settings } from "./settings.ts";
import { Tally } from "./tally.ts";
import type { FetchTask } from "./task.ts";

/** About 5 MB. Large, because a list is often sorted by host, and those of a busy host are passed over only within it. */
const READ_AHEAD = 10_000;
/**
 * Workers beyond the limit of requests: a body that has come gives its place to the next request, and is saved meanwhile. As many bodies
 * of at most 64 KB are in memory.
 */
const MOST_BEING_SAVED = 100;

export interface Surroundings {
  readonly input: Input;
  readonly output: OutputStream;
  /** Tells of a bad line or of a failure. */
  readonly tell: (kind: "line" | "failure", text: string) => void;
  /** Told of each job that is fetched, for a comparison. */
  readonly admitted?: (job: Job) => void;
}

export class FetchRun implements LiveRun {
  readonly tally: Tally = new Tally();
  /** Whether `--deadline` ended it. */
  isOverdue = false;
  readonly #settings: Settings;
  readonly #surroundings: Surroundings;
  readonly #queue: JobQueue<Job>;
  readonly #reader: JobReader;
  readonly #task: FetchTask;
  readonly #pauses = new Set<Task<void>>();
  #own: Scope | null = null;
  #hosts: Scope | null = null;
  #session: Session | null = null;
  #cookies: CookieFile | null = null;
  #workers = 0;
  #loop: EventLoop | null = null;
  /** While it is paused. */
  #endHold: (() => void) | null = null;

  /** @throws {CommandLineError} when a file that it needs cannot be used. */
  constructor(settings: Settings, surroundings: Surroundings) {
    const { concurrency, isAdaptive, perHost, rate, ratePerHost } = settings;
    this.#settings = settings;
    this.#surroundings = surroundings;
    const adaptive = isAdaptive ? concurrency : undefined;
    this.#queue = new JobQueue({ capacity: READ_AHEAD, perHost, limit: concurrency, rate, ratePerHost, adaptive });
    this.#reader = new JobReader(settings);
    this.#task = this.#makeTask();
  }

  get expected(): number | undefined {
    const fromInput = this.#surroundings.input.expected(this.tally.read - this.tally.found);
    return fromInput === undefined ? undefined : fromInput + this.tally.found;
  }

  get isExpectedExact(): boolean {
    return this.#surroundings.input.isExact && this.#settings.mode === "get";
  }

  get away(): number {
    return this.#queue.away - this.tally.underWay * Number(this.#task.findsMore);
  }

  get heldHosts(): number {
    return this.#queue.heldHosts;
  }

  /** How many requests there may be at once. */
  get concurrency(): number {
    return this.#queue.limit;
  }

  get isPaused(): boolean {
    return this.#queue.isPaused;
  }

  get connecting(): number {
    return this.#session?.statistics().connecting ?? 0;
  }

  /** The limits that `-c auto` has found, host by host. */
  foundLimits(): Iterable<readonly [string, number]> {
    return this.#queue.foundLimits();
  }

  /** Begins nothing new until `resume`. What is under way goes on. */
  pause(): void {
    this.#queue.isPaused = true;
    this.#endHold ??= this.#loop?.hold() ?? null; // who paused it resumes it: nothing inside the loop has to
  }

  resume(): void {
    this.#queue.isPaused = false;
    this.#letGo();
  }

  #letGo(): void {
    this.#endHold?.();
    this.#endHold = null;
  }

  /** More or fewer requests at once, from now on. What is under way is not given up. */
  setConcurrency(concurrency: number): void {
    this.#session?.setLimits({ limit: concurrency });
    this.#queue.limit = concurrency;
    this.#hireWorkers();
  }

  *main(): Coroutine<void> {
    const { deadlineMs } = this.#settings;
    this.#loop = EventLoop.current();
    if (this.isPaused) this.pause();
    try {
      if (deadlineMs === Infinity) return yield* this.#run();
      const isOver = yield* moveOnAfter(deadlineMs, () => this.#runToEnd());
      this.isOverdue = isOver === undefined;
    } finally {
      this.#letGo();
      this.#loop = null;
      this.#queue.close();
      this.#task.close();
      this.#cookies?.save();
    }
  }

  *#runToEnd(): Coroutine<true> {
    yield* this.#run();
    return true;
  }

  *#run(): Coroutine<void> {
    const { cookies } = this.#settings;
    this.#cookies = cookies === undefined ? null : yield* CookieFile.open(cookies);
    const session = yield* Session.open(sessionOptions(this.#settings, this.#cookies));
    this.#session = session;
    this.#task.begin(session);
    this.#hosts = currentScope();
    yield* scope((own) => this.#start(own), { name: "fetching" });
    // Nothing is left to fetch, so nobody has to wait for the hosts that asked for time.
    for (const pause of this.#pauses) yield* pause.cancel("there is nothing left to fetch");
  }

  *#start(own: Scope): Coroutine<void> {
    this.#own = own;
    own.spawn({ name: "input" }, this.#readInput.bind(this));
    this.#hireWorkers();
  }

  #hireWorkers(): void {
    if (this.#own === null) return;
    while (this.#workers < this.#queue.limit) this.#hire(this.#own);
  }

  /** A body has come: its place at the server is free, and who has it saves it first. */
  #fillIn(): void {
    const isNeeded = !this.#queue.hasIdleTaker && this.#queue.waiting > 0;
    if (isNeeded && this.#workers < this.#queue.limit + MOST_BEING_SAVED) this.#hire(this.#own!);
  }

  #hire(own: Scope): void {
    own.spawn({ name: `fetch ${++this.#workers}` }, this.#work.bind(this));
  }

  #makeTask(): FetchTask {
    const { input: _input, ...surroundings } = this.#surroundings;
    const [settings, tally] = [this.#settings, this.tally];
    const slowDown = this.#queue.slowDown.bind(this.#queue);
    switch (settings.mode) {
      case "get":
        return new GetTask(settings, tally, surroundings.output);
      case "check":
        return new CheckTask(settings, tally, surroundings.output, slowDown);
      case "api":
        return new ApiTask(settings, tally, surroundings.output);
    }
  }

  *#readInput(): Coroutine<void> {
    yield* this.#surroundings.input.read((entry) => this.#takeIn(entry));
    this.#queue.end();
  }

  *#takeIn(entry: Entry): Coroutine<void> {
    const job = this.#reader.read(entry);
    if (job === undefined) return;
    this.tally.read++;
    const admission = job instanceof BadLine ? job : this.#task.admit(job, this.tally.read);
    if (admission === "finished") this.tally.skipped++;
    else if (admission === undefined) {
      this.#surroundings.admitted?.(job as Job);
      if (!this.#queue.tryPut(job as Job)) yield* this.#queue.put(job as Job);
    } else yield* this.#reject(admission.problem, entry);
  }

  *#reject(problem: string, { text, where, line }: Entry): Coroutine<void> {
    const failure = failureOfLine(problem);
    this.tally.addFailure(failure, undefined, this.#settings.failOn.counts(failure, null));
    this.#surroundings.tell("line", `${where}: ${problem}`);
    const nothing = { finalUrl: null, status: null, bytes: null, sha256: null, timing: null, output: null };
    yield* this.#print({ line, url: typeof text === "string" ? text.trim() : "", failure, attempts: 0, ...nothing });
  }

  *#work(): Coroutine<void> {
    for (let job = yield* this.#queue.take(); job !== undefined; job = yield* this.#queue.take()) {
      this.tally.underWay++;
      if (this.#task.findsMore) this.#queue.leave();
      const startedAt = EventLoop.current().now();
      job.tries++;
      let isReceived = false;
      const attempt = yield* this.#task.attempt(job, ({ headersMs }) => {
        isReceived = true;
        this.tally.underWay--;
        this.#fillIn();
        this.#queue.finished(job, { ms: headersMs, startedAt, isOverload: false });
      });
      if (!isReceived) this.tally.underWay--;
      const isPushedBack = attempt.status === 429 || attempt.status === 503;
      if (isPushedBack) this.#leaveAlone(job, attempt, startedAt);
      const isOver = !this.#mayTryAgain(job, attempt);
      const { failure, timing } = attempt;
      const isOverload = isPushedBack || (failure?.isTransient === true && attempt.status === null);
      if (!isReceived) this.#queue.finished(job, { ms: timing?.headersMs ?? null, startedAt, isOverload });
      if (attempt.found !== undefined) for (const found of attempt.found) this.#addFound(found);
      if (this.#task.findsMore) this.#queue.stayAway();
      if (isOver) yield* this.#conclude(job, attempt);
    }
  }

  #addFound(job: Job): void {
    this.tally.read++;
    this.tally.found++;
    this.#queue.add(job);
  }

  #mayTryAgain(job: Job, { failure, method, retryAfterMs }: Attempt): boolean {
    if (failure === null) return false;
    if (!shallRetry(this.#settings, method, failure, job.tries - job.pardons) || !this.#task.mayRepeat) return false;
    const delayMs = retryDelayMs(this.#settings, Math.max(1, job.tries - job.pardons), retryAfterMs, Math.random());
    this.#queue.leave();
    this.tally.retries++;
    this.#own!.spawn({ name: `retry of ${job.where}` }, this.#comeBack.bind(this), job, delayMs);
    return true;
  }

  *#comeBack(job: Job, delayMs: number): Coroutine<void> {
    yield* sleep(delayMs);
    this.#queue.comeBack(job);
  }

  /** The host has had enough. One wave of such answers is one strike, and costs those who came with it no try. */
  #leaveAlone(job: Job, { retryAfterMs }: Attempt, startedAt: number): void {
    if (this.#settings.retries === 0) return; // who does not want to wait does not wait for this either
    const strikes = this.#queue.strike(job.origin, startedAt);
    if (strikes === 0) job.pardons++;
    const ms = retryAfterMs ?? (strikes === 0 ? 0 : hostPauseMs(this.#settings, strikes, Math.random()));
    if (ms === 0 && strikes === 0) return;
    this.#queue.hold(job.origin);
    const name = `leave ${job.origin} alone`;
    this.#pauses.add(this.#hosts!.spawn({ name }, this.#releaseHost.bind(this), job.origin, ms));
  }

  *#releaseHost(origin: string, ms: number): Coroutine<void> {
    yield* sleep(ms);
    this.#queue.release(origin);
    this.#pauses.delete(currentTask() as Task<void>);
  }

  *#conclude(job: Job, attempt: Attempt): Coroutine<void> {
    const { failure, timing, status } = attempt;
    if (status !== null) this.tally.addStatus(status);
    if (timing !== null && timing.headersMs !== null) {
      this.tally.addDuration((timing.totalMs ?? 0) - (timing.queueMs ?? 0), hostOf(job.origin));
    }
    yield* this.#task.concluded(job, attempt);
    if (attempt.isLeftOut === true) this.tally.skipped++;
    else if (failure === null) this.tally.succeeded++;
    else {
      this.tally.addFailure(failure, hostOf(job.origin), this.#settings.failOn.counts(failure, status));
      const tries = job.tries > 1 ? ` (tried ${job.tries} times)` : "";
      const text = `${printable(withoutCredentials(job.url))}: ${printable(failure.message)}${tries}`;
      if (!this.#task.printsFailures) this.#surroundings.tell("failure", text);
    }
    if (attempt.isUnchanged === true) this.tally.unchanged++;
    if (!this.#printsResults) return;
    const { line, url, tries: attempts, page } = job;
    yield* this.#print({ ...attempt, line, url, attempts, ...(page === undefined ? {} : { page }) });
  }

  get #printsResults(): boolean {
    return this.#settings.wanted.ndjson && this.#settings.mode !== "api";
  }

  *#print(result: Result): Coroutine<void> {
    if (this.#printsResults) yield* this.#surroundings.output.write(resultLine(result));
  }
}

/** Name and port: an origin has nothing else behind its scheme. */
function hostOf(origin: string): string {
  return origin.slice(origin.indexOf("://") + 3);
}

function withoutCredentials(url: string): string {
  return url.replace(/^([^/?#]*)\/\/[^/?#]*@/, "$1//***@");
}
