/**
 * A job: a function that another thread can find by the module that defines it.
 *
 * A function cannot go to another thread; its address can. `job(import.meta.url, function* thumbnail(…) {…})` notes the function
 * under its module and name. A worker imports the module, which runs the same line there, and takes the function from its own
 * registry. So nothing has to be exported by the same name, a bundle works as long as it can be imported, and
 * argument and result types are those of the function.
 *
 * What was rejected: `fn.toString()` (loses every variable around it, and its types), file names beside the function (a string
 * that no compiler checks), a list of jobs in a worker file of its own (ceremony, and two places to keep in step).
 *
 * The main module. Importing it in a worker runs the program again. So a job that is defined there is refused, unless it says
 * `inMain`: then the program has to stand behind `if (isMainThread)`.
 */
import { describeValue, UsageError } from "../core/loopless.ts";
import type { Coroutine } from "../core/index.ts";

export interface JobOptions {
  /** Default: the name of the function. A minifier may take that away: then say it. */
  readonly name?: string;
  /** For executors whose workers may be older than who submits: raise it when arguments or meaning change. Default: 1. */
  readonly version?: number;
  /**
   * Says that the job may be defined in the program's main module, because everything that the program does there stands
   * behind `if (isMainThread)`. Default: `false`; such a job is refused, since a worker would run the program again.
   */
  readonly inMain?: boolean;
}

/** What a job gives: nothing but a name for the types. */
declare const resultOfJob: unique symbol;

/** Made by `job`. Give it to an executor; call `fn` to run it right here. */
export interface Job<Args extends readonly unknown[], Result> {
  /** The module that defines it. */
  readonly url: string;
  readonly name: string;
  readonly version: number;
  readonly inMain: boolean;
  readonly fn: (...args: Args) => unknown;
  /** Whether its values come one after another, see `job.stream`. */
  readonly isStream: boolean;
  /** @internal */
  readonly [resultOfJob]?: Result;
}

/** A job whose values come one after another. */
export interface StreamJob<Args extends readonly unknown[], Item> extends Job<Args, void> {
  readonly isStream: true;
  /** @internal */
  readonly [itemOfJob]?: Item;
}

declare const itemOfJob: unique symbol;

/** Any job, for those who only pass it on. */
export type AnyJob = Job<never, unknown>;

/** What this thread has defined: url → name → job. Two with one name in a module are kept as `"twice"`. */
const defined = new Map<string, Map<string, AnyJob | "twice">>();

/** Whether a second definition replaces the first: modules of tests may be loaded again, those of a worker are not. */
const strictness = { isWorker: false };

/** @package */
export function beStrictAboutNames(): void {
  strictness.isWorker = true;
}

interface DefineJob {
  /**
   * Makes a function a job. It may be a coroutine (it runs on a loop in the worker and sees `Cancelled`), an async function, or a plain one.
   *
   * Define it on the top level of its module. Arguments and result are cloned, except what is transferred or shared.
   * @param url `import.meta.url`.
   * @throws {UsageError} when the function has no name and none is given.
   * @example
   * export const thumbnail = job(import.meta.url, function* thumbnail(image: Uint8Array, width: number) {
   *   return resize(image, width);
   * });
   */
  <Args extends readonly unknown[], T>(
    url: string,
    fn: (...args: Args) => Coroutine<T>,
    options?: JobOptions,
  ): Job<Args, T>;
  <Args extends readonly unknown[], T>(
    url: string,
    fn: (...args: Args) => Promise<T>,
    options?: JobOptions,
  ): Job<Args, T>;
  <Args extends readonly unknown[], T>(url: string, fn: (...args: Args) => T, options?: JobOptions): Job<Args, T>;
  /**
   * Makes a generator function a job that gives many values: what it yields, one after another, not what it waits for. Run it
   * with `executor.stream`. A coroutine streams with `progress` instead, since its yields are its waits.
   * @example
   * export const primes = job.stream(import.meta.url, function* primes(below: number) { …yield n… });
   */
  stream<Args extends readonly unknown[], Item>(
    url: string,
    fn: (...args: Args) => Iterable<Item> | AsyncIterable<Item>,
    options?: JobOptions,
  ): StreamJob<Args, Item>;
}

export const job: DefineJob = Object.assign(
  (url: string, fn: (...args: never[]) => unknown, options?: JobOptions): never =>
    define(url, fn, false, options) as never,
  {
    stream: (url: string, fn: (...args: never[]) => unknown, options?: JobOptions): never =>
      define(url, fn, true, options) as never,
  },
) as DefineJob;

function define(url: unknown, fn: unknown, isStream: boolean, options: JobOptions = {}): AnyJob {
  const what = isStream ? "job.stream" : "job";
  if (typeof fn !== "function")
    throw new UsageError(`${what}() takes import.meta.url and a function, got ${describeValue(fn)}`);
  if (typeof url !== "string" || !/^[a-z][a-z0-9+.-]*:/i.test(url)) {
    throw new UsageError(`${what}() takes import.meta.url first, got ${describeValue(url)}`);
  }
  const name = options.name ?? fn.name;
  if (typeof name !== "string" || name === "") {
    throw new UsageError(
      `a job of ${url} has no name: name its function, or write ${what}(import.meta.url, fn, { name: "…" })`,
    );
  }
  const made: AnyJob = Object.freeze({
    url,
    name,
    version: options.version ?? 1,
    inMain: options.inMain ?? false,
    fn: fn as (...args: never) => unknown,
    isStream,
  });
  let module = defined.get(url);
  if (module === undefined) defined.set(url, (module = new Map()));
  module.set(name, module.has(name) && strictness.isWorker ? "twice" : made);
  return made;
}

/** The job of this thread, or why there is none. @package */
export function findJob(url: string, name: string): AnyJob | string {
  const module = defined.get(url);
  const found = module?.get(name);
  if (found === "twice") return "its module defines two jobs of that name; rename one of them";
  if (found !== undefined) return found;
  if (module === undefined)
    return "its module defines no job when it is imported; define it on the top level, not inside a function or a condition";
  const names = [...module.keys()].map((each) => `"${each}"`).join(", ");
  return `its module defines no such job when it is imported, only ${names}; define it on the top level`;
}

/** @throws {UsageError} when it is none. @package */
export function checkJob(what: string, value: unknown): asserts value is AnyJob {
  const it = value as Partial<AnyJob> | null | undefined;
  if (typeof it === "object" && it !== null && typeof it.fn === "function" && typeof it.url === "string") return;
  throw new UsageError(
    `${what}() takes a job, got ${describeValue(value)}; make one with job(import.meta.url, function* name() {…})`,
    "NOT_A_JOB",
  );
}
