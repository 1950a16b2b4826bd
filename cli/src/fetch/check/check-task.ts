/**
 * `check`: whether links are good, without fetching what they lead to.
 *
 * A link is asked with HEAD. Whatever is not good then is asked again with GET, because many servers do not know HEAD, or answer it
 * wrongly: nobody should repair a link that works. Each URL is asked once, and not at all when the cache says that it was good.
 *
 * With `--follow-links` the HTML pages of the sites that were given are read and their links checked as well; pages elsewhere are
 * checked and not read. What the command line says in headers about itself (`authorization`, `cookie`, …) stays on those sites.
 */
import { Cancelled, EventLoop, until } from "fibril";
import type { Coroutine } from "fibril";
import type { HttpResponse, Session } from "fibril/http";
import { attemptWithoutAnswer, NO_ANSWER, requestOptions, retryAfterMs } from "../attempt.ts";
import type { Attempt } from "../attempt.ts";
import { failureOfRequest, failureOfStatus } from "../failure.ts";
import { BadLine, makeJob } from "../job.ts";
import type { Job } from "../job.ts";
import type { OutputStream } from "../output-stream.ts";
import { printable } from "../printable.ts";
import type { Settings } from "../settings.ts";
import type { Tally } from "../tally.ts";
import type { FetchTask } from "../task.ts";
import { CheckCache } from "./check-cache.ts";
import { LinkBook } from "./link-book.ts";
import { Robots } from "./robots.ts";
import { withoutFragment } from "./without-fragment.ts";

const LARGEST_PAGE_BYTES = 16 * 1024 * 1024;
/** They say who we are or what we can read, and are harmless anywhere. */
const HARMLESS = /^(?:user-agent|accept(?:-.*)?)$/;
const DEFAULT_USER_AGENT = "fibril";

type SlowDown = (origin: string, ratePerSecond: number) => void;

export class CheckTask implements FetchTask {
  readonly findsMore: boolean;
  readonly mayRepeat = true;
  readonly printsFailures: boolean;
  readonly #settings: Settings;
  readonly #tally: Tally;
  readonly #output: OutputStream;
  readonly #slowDown: SlowDown;
  readonly #book = new LinkBook();
  readonly #cache: CheckCache | null;
  readonly #sites = new Set<string>();
  #session: Session | null = null;
  #robots: Robots | null = null;
  #pages = 0;
  /** Links that stand on more than one page and are broken, to be printed. */
  readonly #again: string[] = [];

  /** @throws {CommandLineError} when the cache cannot be used. */
  constructor(settings: Settings, tally: Tally, output: OutputStream, slowDown: SlowDown) {
    const { followLinks, cache, cacheAgeMs } = settings.check;
    this.#settings = settings;
    this.#tally = tally;
    this.#output = output;
    this.#slowDown = slowDown;
    this.findsMore = followLinks;
    this.printsFailures = !settings.wanted.ndjson;
    this.#cache = cache === undefined ? null : new CheckCache(cache, cacheAgeMs, Date.now());
  }

  begin(session: Session): void {
    this.#session = session;
    const { headers, check } = this.#settings;
    const userAgent = headers.find(([name]) => name === "user-agent")?.[1][0] ?? DEFAULT_USER_AGENT;
    if (!check.ignoreRobots) this.#robots = new Robots(session, userAgent, this.#slowDown);
  }

  admit(job: Job): "finished" | undefined {
    const url = addressOf(job);
    if (this.findsMore) this.#sites.add(job.origin);
    if (!this.#book.isNew(url)) return "finished";
    if (this.findsMore || this.#cache?.has(url) !== true) return undefined;
    this.#book.decided(url, null);
    return "finished";
  }

  *attempt(job: Job): Coroutine<Attempt> {
    const startedAt = EventLoop.current().now();
    this.#tally.inHeaders++;
    try {
      if (job.page !== undefined && this.#robots !== null && !(yield* this.#robots.allows(job.url))) {
        return { ...NO_ANSWER, method: "HEAD", timing: null, failure: null, isLeftOut: true };
      }
      return this.#mayRead(job) ? yield* this.#read(job) : yield* this.#look(job);
    } catch (error) {
      if (error instanceof Cancelled) throw error;
      return attemptWithoutAnswer("GET", error, EventLoop.current().now() - startedAt);
    } finally {
      this.#tally.inHeaders--;
    }
  }

  *concluded(job: Job, { failure, status, isLeftOut }: Attempt): Coroutine<void> {
    const url = addressOf(job);
    const problem = failure === null ? null : failure.message;
    const others = this.#book.decided(url, problem);
    if (problem === null) {
      if (isLeftOut !== true && status !== null) this.#cache?.add(url, status, Date.now());
    } else if (this.printsFailures) {
      const pages = [...(job.page === undefined ? [] : [job.page]), ...others];
      const text =
        pages.length === 0
          ? brokenLine(url, problem, undefined)
          : pages.map((page) => brokenLine(url, problem, page)).join("");
      yield* this.#output.write(text);
    }
    if (this.printsFailures) for (const text of this.#again.splice(0)) yield* this.#output.write(text);
  }

  close(): void {
    this.#cache?.close();
  }

  /** Whether it is a page of ours whose links count. */
  #mayRead({ origin, depth = 0 }: Job): boolean {
    return (
      this.findsMore &&
      this.#sites.has(origin) &&
      depth < this.#settings.check.depth &&
      this.#pages < this.#settings.maxPages
    );
  }

  *#look(job: Job): Coroutine<Attempt> {
    const { request } = job;
    if (request?.method === undefined && request?.body === undefined) {
      const head = yield* this.#ask("HEAD", job);
      if (head.failure === null || head.status === 429 || head.status === 503) return head;
    }
    return yield* this.#ask(request?.method ?? "GET", job);
  }

  *#ask(method: string, job: Job): Coroutine<Attempt> {
    const startedAt = EventLoop.current().now();
    try {
      const response = yield* this.#request(method, job);
      if (method !== "HEAD") yield* response.discard();
      return this.#answered(method, response);
    } catch (error) {
      if (error instanceof Cancelled) throw error;
      return attemptWithoutAnswer(method, error, EventLoop.current().now() - startedAt);
    }
  }

  *#read(job: Job): Coroutine<Attempt> {
    const response = yield* this.#request("GET", job);
    const isPage =
      response.status < 400 &&
      /^(?:text\/html|application\/xhtml\+xml)\b/i.test(response.headers.get("content-type") ?? "");
    if (!isPage || !this.#sites.has(new URL(response.url).origin)) {
      yield* response.discard();
      return this.#answered("GET", response);
    }
    this.#pages++;
    try {
      const html = yield* response.text();
      this.#tally.receivedBytes += html.length;
      const { linksOf } = yield* until(import("./links.ts")); // most runs parse no HTML
      return {
        ...this.#answered("GET", response),
        bytes: html.length,
        found: this.#newLinks(job, linksOf(html, response.url)),
      };
    } catch (error) {
      if (error instanceof Cancelled) throw error;
      return { ...this.#answered("GET", response), failure: failureOfRequest(error) };
    }
  }

  #newLinks(job: Job, links: readonly string[]): Job[] {
    const jobs: Job[] = [];
    for (const url of links) {
      if (!this.#book.isNew(url)) {
        const problem = this.#book.seenOn(url, job.url);
        if (problem !== undefined) this.#again.push(brokenLine(url, problem, job.url));
        continue;
      }
      const made = makeJob(url, job.where, job.line, null);
      if (made instanceof BadLine) continue;
      const found = { ...made, page: job.url, depth: (job.depth ?? 0) + 1 };
      if (!this.#sites.has(found.origin) && this.#cache?.has(url) === true) this.#book.decided(url, null);
      else jobs.push(found);
    }
    return jobs;
  }

  *#request(method: string, job: Job): Coroutine<HttpResponse> {
    const options = requestOptions(job, job.request?.body);
    if (job.page === undefined || this.#sites.has(job.origin)) {
      return yield* this.#session!.request(method, job.url, { ...options, maxBodyBytes: LARGEST_PAGE_BYTES });
    }
    const secrets = this.#settings.headers.map(([name]) => name).filter((name) => !HARMLESS.test(name));
    const headers = Object.fromEntries(secrets.map((name) => [name, undefined]));
    return yield* this.#session!.request(method, job.url, { headers });
  }

  #answered(method: string, response: HttpResponse): Attempt {
    const { status, url: finalUrl, timings: timing } = response;
    const failure = status >= 400 ? failureOfStatus(status) : null;
    return { ...NO_ANSWER, method, status, finalUrl, timing, failure, retryAfterMs: retryAfterMs(response) };
  }
}

function addressOf(job: Job): string {
  return withoutFragment(new URL(job.url).href);
}

function brokenLine(url: string, problem: string, page: string | undefined): string {
  return `${printable(url)}: ${printable(problem)}${page === undefined ? "" : `, linked from ${printable(page)}`}\n`;
}
