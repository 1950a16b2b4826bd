/**
 * The run itself: one coroutine reads the input, N fetch, and everything they started ends with this one.
 *
 *     input ──put──▶ JobQueue ──take──▶ fetch 1 … fetch N ──▶ folder, standard output
 *
 * Each arrow is bounded, so memory does not grow with the number of URLs. A URL that shall be tried again leaves its
 * worker and comes back through the queue, so that waiting keeps nobody from working. When a server says `Retry-After`,
 * its whole host is left alone for that time: its other URLs would only meet the same answer.
 */
import { join } from "node:path";
import { currentScope, currentTask, scope, sleep } from "fibril";
import type { Coroutine, Scope, Task } from "fibril";
import { Session } from "fibril/http";
import { FileSink, NOWHERE, StreamSink } from "./body-sink.ts";
import type { BodySink } from "./body-sink.ts";
import { Download } from "./download.ts";
import type { Attempt } from "./download.ts";
import { failureOfLine } from "./failure.ts";
import { pathOfOutput, pathOfUrl } from "./file-name.ts";
import type { Entry, Input } from "./input.ts";
import { BadLine, parseLine } from "./job.ts";
import type { Job } from "./job.ts";
import { JobQueue } from "./job-queue.ts";
import { LONGEST_LINE, TOO_LONG } from "./line-splitter.ts";
import { NameLedger } from "./name-ledger.ts";
import type { OutputStream } from "./output-stream.ts";
import { printable } from "./printable.ts";
import type { View } from "./progress.ts";
import { resultLine } from "./result.ts";
import type { Result } from "./result.ts";
import { retryDelayMs, shallRetry } from "./retry.ts";
import type { Settings } from "./settings.ts";
import { Tally } from "./tally.ts";

/** About 5 MB. Large, because a list is often sorted by host, and those of a busy host are passed over only within it. */
const READ_AHEAD = 10_000;

export interface Surroundings {
  readonly input: Input;
  readonly output: OutputStream;
  /** Tells of a bad line or of a failure. */
  readonly tell: (kind: "line" | "failure", text: string) => void;
}

export class FetchRun implements View {
  readonly tally: Tally = new Tally();
  readonly #settings: Settings;
  readonly #surroundings: Surroundings;
  readonly #queue: JobQueue<Job>;
  readonly #pauses = new Set<Task<void>>();
  readonly #names: NameLedger = new NameLedger();

  constructor(settings: Settings, surroundings: Surroundings) {
    this.#settings = settings;
    this.#surroundings = surroundings;
    this.#queue = new JobQueue({ capacity: READ_AHEAD, perHost: settings.perHost });
  }

  get expected(): number | undefined {
    return this.#surroundings.input.expected(this.tally.read);
  }

  get isExpectedExact(): boolean {
    return this.#surroundings.input.isExact;
  }

  get away(): number {
    return this.#queue.away;
  }

  get heldHosts(): number {
    return this.#queue.heldHosts;
  }

  *main(): Coroutine<void> {
    const { concurrency, perHost, timeoutMs, maxTimeMs, maxBytes, headers } = this.#settings;
    const session = yield* Session.open({
      name: "fetch",
      limit: concurrency,
      limitPerHost: perHost, // the queue keeps to it already; this is for where redirects lead
      timeout: { connectMs: timeoutMs, headersMs: timeoutMs, idleMs: timeoutMs, totalMs: maxTimeMs },
      maxBodyBytes: maxBytes,
      headers,
    });
    const download = new Download(session, this.#settings, this.tally);
    const hosts = currentScope();
    yield* scope((own) => this.#start(own, hosts, download), { name: "fetching" });
    // Nothing is left to fetch, so nobody has to wait for the hosts that asked for time.
    for (const pause of this.#pauses) yield* pause.cancel("there is nothing left to fetch");
  }

  *#start(own: Scope, hosts: Scope, download: Download): Coroutine<void> {
    own.spawn({ name: "input" }, this.#readInput.bind(this));
    for (let number = 1; number <= this.#settings.concurrency; number++) {
      own.spawn({ name: `fetch ${number}` }, this.#work.bind(this), download, own, hosts);
    }
  }

  *#readInput(): Coroutine<void> {
    yield* this.#surroundings.input.read((entry) => this.#takeIn(entry));
    this.#queue.end();
  }

  *#takeIn({ text, where, line }: Entry): Coroutine<void> {
    const shown = text === TOO_LONG ? "" : text.trim();
    const job =
      text === TOO_LONG ? new BadLine(`longer than ${LONGEST_LINE} characters`) : parseLine(text, where, line);
    if (job === undefined) return;
    this.tally.read++;
    const problem = job instanceof BadLine ? job.problem : this.#nameOutput(job);
    if (problem !== undefined) yield* this.#reject(problem, shown, where, line);
    else yield* this.#queue.put(job as Job);
  }

  /** Decides where the body goes. Here, in the order of the input, so that the names do not depend on who is faster. */
  #nameOutput(job: Job): string | undefined {
    const { folder } = this.#settings.wanted;
    const wish = job.request?.output;
    if (folder === undefined) return wish === undefined ? undefined : 'it has an "output", which needs -o FOLDER';
    const path = wish === undefined ? pathOfUrl(new URL(job.url)) : pathOfOutput(wish);
    if ("problem" in path) return `its "output" ${path.problem}: ${printable(wish ?? "")}`;
    job.output = join(folder, this.#names.assign(path));
    return undefined;
  }

  *#reject(problem: string, url: string, where: string, line: number | null): Coroutine<void> {
    const failure = failureOfLine(problem);
    this.tally.addFailure(failure, undefined);
    this.#surroundings.tell("line", `${where}: ${problem}`);
    const nothing = { finalUrl: null, status: null, bytes: null, sha256: null, timing: null, output: null };
    yield* this.#print({ line, url, failure, attempts: 0, ...nothing });
  }

  *#work(download: Download, own: Scope, hosts: Scope): Coroutine<void> {
    for (let job = yield* this.#queue.take(); job !== undefined; job = yield* this.#queue.take()) {
      this.tally.underWay++;
      const sink = this.#sinkFor(job);
      const attempt = yield* download.attempt(job, sink);
      this.tally.underWay--;
      if (attempt.retryAfterMs !== undefined) this.#leaveAlone(job.origin, attempt.retryAfterMs, hosts);
      const isOver = !this.#mayTryAgain(job, attempt, sink, own);
      this.#queue.finished(job);
      if (isOver) yield* this.#conclude(job, attempt);
    }
  }

  #sinkFor(job: Job): BodySink {
    if (job.output !== "") return new FileSink(job.output);
    return this.#settings.wanted.body ? new StreamSink(this.#surroundings.output) : NOWHERE;
  }

  #mayTryAgain(job: Job, { failure, method, retryAfterMs }: Attempt, sink: BodySink, own: Scope): boolean {
    if (failure === null) return false;
    if (!shallRetry(this.#settings, method, failure, job.tries) || !sink.canRestart) return false;
    const delayMs = retryDelayMs(this.#settings, job.tries, retryAfterMs, Math.random());
    this.#queue.leave();
    this.tally.retries++;
    own.spawn({ name: `retry of ${job.where}` }, this.#comeBack.bind(this), job, delayMs);
    return true;
  }

  *#comeBack(job: Job, delayMs: number): Coroutine<void> {
    yield* sleep(delayMs);
    this.#queue.comeBack(job);
  }

  #leaveAlone(origin: string, ms: number, hosts: Scope): void {
    if (this.#settings.retries === 0) return; // who does not want to wait does not wait for this either
    this.#queue.hold(origin);
    this.#pauses.add(hosts.spawn({ name: `leave ${origin} alone` }, this.#releaseHost.bind(this), origin, ms));
  }

  *#releaseHost(origin: string, ms: number): Coroutine<void> {
    yield* sleep(ms);
    this.#queue.release(origin);
    this.#pauses.delete(currentTask() as Task<void>);
  }

  *#conclude(job: Job, attempt: Attempt): Coroutine<void> {
    const { failure, timing } = attempt;
    if (timing !== null && timing.headersMs !== null)
      this.tally.durations.add((timing.totalMs ?? 0) - (timing.queueMs ?? 0));
    if (failure === null) this.tally.succeeded++;
    else {
      this.tally.addFailure(failure, new URL(job.origin).host);
      const tries = job.tries > 1 ? ` (tried ${job.tries} times)` : "";
      this.#surroundings.tell(
        "failure",
        `${printable(withoutCredentials(job.url))}: ${printable(failure.message)}${tries}`,
      );
    }
    yield* this.#print({ ...attempt, line: job.line, url: job.url, attempts: job.tries });
  }

  *#print(result: Result): Coroutine<void> {
    if (this.#settings.wanted.ndjson) yield* this.#surroundings.output.write(resultLine(result));
  }
}

function withoutCredentials(url: string): string {
  return url.replace(/^([^/?#]*)\/\/[^/?#]*@/, "$1//***@");
}
