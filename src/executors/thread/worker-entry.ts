/**
 * The main module of every worker thread, and the light way to define jobs (`fibril/executors/worker`).
 *
 * It stays on Node's event loop: orders come as messages, so timers, sockets and a coroutine's sleeps go on between and during jobs.
 * (Waiting on shared memory for the next job without a bound, as some pools do, freezes all of these.) A plain function is called right in the
 * message handler; anything that waits becomes a task of this thread's loop, which is loaded when the first such job comes (`worker-loop.ts`).
 *
 * In a pool it runs one job at a time, in the order of the orders; in a loop thread all at once.
 *
 * Where it is no executor's thread, importing it does nothing but give the names at the end.
 */
import nodeProcess from "node:process";
import { receiveMessageOnPort } from "node:worker_threads";
import type { RunningJob, Task } from "../../core/index.ts";
import { CancelledError, describeValue, kernelPresence, systemClock } from "../../core/loopless.ts";
import { setImporting } from "../importing.ts";
import { setThreadJob } from "../job-context.ts";
import { beStrictAboutNames, findJob } from "../job.ts";
import type { AnyJob } from "../job.ts";
import { encodeError } from "../remote-error.ts";
import { BatchFailure, isPlainResult } from "../returned.ts";
import { dropEnds, isLuggage } from "./luggage.ts";
import { BELL, ENDED, LOADING, QUEUED, RUNNING } from "./protocol.ts";
import type { Order } from "./protocol.ts";
import { flushNews } from "./thread-news.ts";
import { ThreadRun } from "./thread-run.ts";
import type { RunOrder } from "./thread-run.ts";
import { claimThread, port, post, setup, words } from "./worker-link.ts";
import type * as Loop from "./worker-loop.ts";

// For modules that define jobs: all that a plain job needs, and a thread has loaded it already.
export { currentJob, isCancelled, job, log, progress, throwIfCancelled } from "../job-module.ts";
export type { Job, JobContext, JobOptions, StreamJob } from "../job-module.ts";

type AnyFunction = (...args: readonly unknown[]) => unknown;

/** `worker-loop.ts`, once it is there. */
type Kernel = typeof Loop;

const LINGER_MS = 2; // for the next job: what a timer of this thread may be late by. Waits below 2 ms were slower than none (measured)
const LONGEST_LINGER_MS = 5; // then Node's loop has its turn, however many jobs come

const known = new Map<number, Definition>();
const runs = new Map<number, ThreadRun>();
const waiting: Order[] = [];
/** The kinds of functions that never just return a value. */
const WAITING: ReadonlySet<unknown> = new Set(
  [function* () {}, async () => {}, async function* () {}].map((it) => it.constructor),
);
let kernel: Kernel | null = null;
let isBusy = true;
/** Messages that have arrived, read or not. */
let arrived = 0;

interface Definition {
  readonly url: string;
  readonly name: string;
  job: AnyJob | null;
}

if (claimThread()) {
  port.on("message", (order: Order) => {
    arrived++;
    receive(order);
    if (!setup.isConcurrent && order[0] !== "many") linger(); // jobs that come in bundles gain more by larger bundles
  });
  port.on("messageerror", unread);
  void initialize();
}

async function initialize(): Promise<void> {
  beStrictAboutNames();
  const { initializer } = setup;
  try {
    if (setup.isConcurrent) await loadKernel();
    if (initializer !== null) {
      const job = await load(initializer);
      if (typeof job === "string") throw new Error(`job "${initializer.name}" of ${initializer.url}: ${job}`);
      await runInitializer(job, initializer.args);
    }
    post(["ready"]);
  } catch (error) {
    post(["unready", encodeError(error)]);
    return;
  }
  isBusy = false;
  pump();
}

async function runInitializer(job: AnyJob, args: readonly unknown[]): Promise<void> {
  const run = new ThreadRun(["run", words.length - 1, 0, "call", [], 0, null], job.name);
  setThreadJob(run);
  const value = (job.fn as unknown as AnyFunction)(...args);
  if (!isPlainResult(value)) {
    const task = (await kernelFor(value)).launchJob(run, { ...job, fn: () => value }, "call", [], null);
    task.keepFailure(); // the executor tells it
    await task;
  }
  setThreadJob(null);
}

function loadKernel(): Promise<Kernel> {
  return import("./worker-loop.ts").then((loaded) => (kernel = loaded));
}

/** The kernel, to wait for a value; that may fail before it is there. */
async function kernelFor(value: unknown): Promise<Kernel> {
  if (kernel !== null) return kernel;
  if (value instanceof Promise) value.catch(() => {}); // who waits for it will see that
  return await loadKernel();
}

function receive(order: Order): void {
  switch (order[0]) {
    case "many":
      for (const each of order[1]) receive(each);
      break;
    case "define":
      known.set(order[1], { url: order[2], name: order[3], job: null });
      break;
    case "run":
      if (isBusy || waiting.length > 0) {
        waiting.push(order);
        if (!isBusy) pump();
      } else begin(order);
      break;
    case "cancel":
      runs.get(order[1])?.cancel(order[2]);
      break;
    case "grant": {
      const run = runs.get(order[1]);
      if (run === undefined) break;
      run.credits += order[2];
      run.granted?.put();
      break;
    }
    case "room":
      flushNews();
      break;
    case "tasks":
      post(["tasks", order[1], kernel?.tasksOfLoop() ?? []]);
      break;
    case "inspect":
      void inspect(order[1], order[2], order[3]);
      break;
    case "stop":
      void stop();
  }
}

function unread(error: unknown): void {
  post(["unread", ++arrived, encodeError(error)]);
}

/**
 * Stays a moment, in case the next job comes at once: being woken here takes half as long as by way of Node's loop, and sleeping costs no CPU.
 * Only a moment, and only when nothing waits in this thread, or timers and sockets would freeze with it.
 *
 * Rejected: to look for the bell for 30 to 200 µs before sleeping. On a busy machine it made a round trip up to twice as long.
 */
function linger(): void {
  const until = systemClock.now() + LONGEST_LINGER_MS;
  while (!isBusy && runs.size === 0) {
    const rung = Atomics.load(words, BELL);
    const next = take();
    if (next !== null) {
      receive(next);
      if (next[0] === "many") return;
    } else if (Atomics.wait(words, BELL, rung, LINGER_MS) === "timed-out") return;
    if (systemClock.now() >= until) return;
  }
}

function take(): Order | null {
  for (;;) {
    try {
      const next = receiveMessageOnPort(port) as { readonly message: Order } | undefined;
      if (next === undefined) return null;
      arrived++;
      return next.message;
    } catch (error) {
      unread(error);
    }
  }
}

function pump(): void {
  while (!isBusy) {
    const order = waiting.shift();
    if (order === undefined) return;
    begin(order as RunOrder);
  }
}

/**
 * A job has begun when its module is imported for it: what that does, and that it may never end, is the job's doing. So it is not given to another
 * thread when this one dies of it, and cancelling it ends this thread when the import does not.
 */
function begin(order: RunOrder): void {
  const slot = order[1];
  const definition = known.get(order[2])!;
  const { job } = definition;
  if (Atomics.compareExchange(words, slot, QUEUED, job === null ? LOADING : RUNNING) !== QUEUED) {
    dropEnds(order[4]);
    post(["skipped", slot]);
    return;
  }
  if (job !== null) {
    start(order, job);
    return;
  }
  isBusy = true; // the order of the orders holds
  void load(definition).then((found) => {
    isBusy = false;
    if (typeof found === "string") refuse(order, definition, found);
    else {
      definition.job = found;
      if (Atomics.compareExchange(words, slot, LOADING, RUNNING) === LOADING) start(order, found);
      else dropCancelled(order);
    }
    pump();
  });
}

/** It was cancelled while its module was imported. */
function dropCancelled(order: RunOrder): void {
  const slot = order[1];
  dropEnds(order[4]);
  Atomics.store(words, slot, ENDED);
  post(["cancelled", slot, undefined, 0]);
}

async function load(definition: { readonly url: string; readonly name: string }): Promise<AnyJob | string> {
  setImporting(definition.url);
  try {
    await import(definition.url);
  } catch (error) {
    return `its module cannot be imported: ${describeValue(error)}`;
  } finally {
    setImporting(null);
  }
  const found = findJob(definition.url, definition.name);
  // What surely waits gets the kernel now: once it runs, its time to stop when it is cancelled (`graceMs`) is its own.
  // One that cannot be loaded is the failure of who then waits for it.
  if (typeof found !== "string" && kernel === null && WAITING.has(found.fn.constructor)) {
    await loadKernel().catch(() => {});
  }
  return found;
}

function refuse(order: RunOrder, definition: Definition, why: string): void {
  const slot = order[1];
  if (Atomics.compareExchange(words, slot, LOADING, ENDED) !== LOADING) {
    dropCancelled(order);
    return;
  }
  dropEnds(order[4]);
  const error = encodeError(new Error(`${definition.url}: ${why}`));
  post(["error", slot, { reason: "not-found", error, text: why, done: null, index: null }, 0]);
}

function start(order: RunOrder, job: AnyJob): void {
  const run = new ThreadRun(order, job.name);
  if (!setup.isConcurrent) setThreadJob(run);
  if (kernel !== null || !needsKernel(order)) {
    goOn(run, order, job);
    return;
  }
  const loading = loadKernel();
  loading.catch(() => dropEnds(order[4]));
  hold(run, loading, () => goOn(run, order, job));
}

function needsKernel([, , , shape, args, , extras]: RunOrder): boolean {
  return shape === "stream" || needsTask(extras) || (shape === "call" && args.some(isLuggage));
}

/** What it may ask for is only known in a task: task-locals, and a deadline, if its module has loaded what asks for that. */
function needsTask(extras: RunOrder[6]): boolean {
  return extras !== null && (extras.locals !== null || (extras.remainingMs !== null && kernelPresence.isLoaded));
}

function goOn(run: ThreadRun, order: RunOrder, job: AnyJob): void {
  const [, , , shape, sent, , extras] = order;
  let args = sent;
  if (kernel !== null && shape !== "batch") ({ args, ends: run.ends } = kernel.receiveEnds(sent));
  if (shape === "stream" || setup.isConcurrent || needsTask(extras)) {
    follow(run, kernel!.launchJob(run, job, shape, args, extras));
    return;
  }
  if (shape === "batch") {
    goOnBatch(run, job, args[0] as readonly unknown[], extras);
    return;
  }
  const fn = job.fn as unknown as AnyFunction;
  let value: unknown;
  try {
    value = fn(...args);
  } catch (error) {
    run.endByError(error);
    return;
  }
  if (isPlainResult(value)) run.endByValue(value);
  else waitFor(run, value, (it) => it.launchJob(run, { ...job, fn: () => value }, shape, [], extras));
}

/** As far as it goes without waiting: the common case is a plain function over many items. */
function goOnBatch(run: ThreadRun, job: AnyJob, items: readonly unknown[], extras: RunOrder[6]): void {
  const fn = job.fn as unknown as AnyFunction;
  const done: unknown[] = [];
  for (let index = 0; index < items.length; index++) {
    if (run.isCancelled) {
      run.endByError(new CancelledError(`job "${run.name}"`, run.reason));
      return;
    }
    let value: unknown;
    try {
      value = fn(items[index]);
    } catch (error) {
      run.endByError(new BatchFailure(done, index, error));
      return;
    }
    if (!isPlainResult(value)) {
      waitFor(run, value, (it) => it.launchBatch(run, job, items, done, value, extras));
      return;
    }
    done.push(value);
  }
  run.endByValue(done);
}

function waitFor(run: ThreadRun, value: unknown, launch: (kernel: Kernel) => Task<unknown>): void {
  if (kernel !== null) {
    follow(run, launch(kernel));
    return;
  }
  hold(run, kernelFor(value), (loaded) => follow(run, launch(loaded)));
}

/** The job has the thread while the kernel is loaded for it. */
function hold(run: ThreadRun, loading: Promise<Kernel>, then: (loaded: Kernel) => void): void {
  isBusy = true;
  runs.set(run.slot, run);
  const release = (goOn: () => void): void => {
    runs.delete(run.slot);
    isBusy = false;
    goOn();
    pump();
  };
  void loading.then(
    (loaded) => release(() => then(loaded)),
    (error: unknown) => release(() => run.endByError(error)),
  );
}

function follow(run: ThreadRun, task: Task<unknown>): void {
  if (!setup.isConcurrent) isBusy = true;
  run.task = task;
  runs.set(run.slot, run);
  task.keepFailure();
  task.watch({
    before: null,
    after: null,
    taskSettled: () => {
      const outcome = task.outcome!;
      runs.delete(run.slot);
      if (outcome.status === "succeeded") run.endByValue(outcome.value);
      else if (outcome.status === "failed") run.endByError(outcome.error);
      else run.endByCancellation(outcome.cancelled.reason);
      if (!setup.isConcurrent) {
        isBusy = false;
        pump();
      }
    },
  });
  if (run.isTold) task.cancel(run.reason); // while the kernel was loaded
}

/** Somebody wants to know what goes on here; the code for that is loaded now. */
async function inspect(key: string, module: string, request: unknown): Promise<void> {
  try {
    const { answer } = (await import(module)) as { answer: (request: unknown, jobs: RunningJob[]) => Promise<unknown> };
    const now = systemClock.now();
    const jobs = [...runs.values()].map(({ id, name, startedAt, task }) => ({
      id,
      name,
      runMs: now - startedAt,
      task,
    }));
    post(["inspected", key, null, await answer(request, jobs)]);
  } catch (error) {
    post(["inspected", key, describeValue(error), null]);
  }
}

async function stop(): Promise<void> {
  await kernel?.endLoop();
  // Whatever timers and sockets the jobs have left open must not keep the thread.
  nodeProcess.exit(0);
}
