/**
 * The main module of every worker thread.
 *
 * It stays on Node's event loop: orders come as messages, so timers, sockets and a coroutine's sleeps go on between and during jobs.
 * (Waiting on shared memory for the next job, as some pools do, freezes all of these.) A plain function is called right in the message
 * handler; anything that waits becomes a task of this thread's loop.
 *
 * In a pool it runs one job at a time, in the order of the orders; in a loop thread all at once.
 */
import nodeProcess from "node:process";
import { receiveMessageOnPort, threadId } from "node:worker_threads";
import { CancelledError, describeValue, EventLoop, systemClock } from "../../core/index.ts";
import type { Scope, Task } from "../../core/index.ts";
import { setImporting } from "../importing.ts";
import { setThreadJob } from "../job-context.ts";
import { beStrictAboutNames, findJob } from "../job.ts";
import type { AnyJob } from "../job.ts";
import type { JobShape } from "../pool.ts";
import { encodeError } from "../remote-error.ts";
import { BatchFailure, isPlainResult, runBatch, runJob } from "../run-job.ts";
import { dropEnds, receiveEnds } from "./thread-channel.ts";
import { BELL, ENDED, LOADING, QUEUED, RUNNING } from "./protocol.ts";
import type { Extras, Order } from "./protocol.ts";
import { ThreadRun } from "./thread-run.ts";
import type { RunOrder } from "./thread-run.ts";
import { port, post, setup, words } from "./worker-link.ts";

type AnyFunction = (...args: readonly unknown[]) => unknown;

/** The worker's copy of a deadline is later than the submitter's: that one decides, this one is for when its loop hangs. */
const DEADLINE_SLACK_MS = 50;

const LINGER_MS = 2; // for the next job: what a timer of this thread may be late by. Waits below 2 ms were slower than none (measured)
const LONGEST_LINGER_MS = 5; // then Node's loop has its turn, however many jobs come

const loop = new EventLoop({ name: setup.name === "" ? `thread ${threadId}` : setup.name });
const known = new Map<number, Definition>();
const runs = new Map<number, ThreadRun>();
const waiting: Order[] = [];
let isBusy = true;

interface Definition {
  readonly url: string;
  readonly name: string;
  job: AnyJob | null;
}

port.on("message", (order: Order) => {
  receive(order);
  if (!setup.isConcurrent && order[0] !== "many") linger(); // jobs that come in bundles gain more by larger bundles
});
void initialize();

async function initialize(): Promise<void> {
  beStrictAboutNames();
  const { initializer } = setup;
  try {
    if (initializer !== null) {
      const job = await load(initializer);
      if (typeof job === "string") throw new Error(`job "${initializer.name}" of ${initializer.url}: ${job}`);
      const context = new ThreadRun(["run", words.length - 1, 0, "call", [], 0, null], initializer.name);
      const call = { job, shape: "call" as const, args: initializer.args, locals: null, context };
      const task = loop.root.launch(runJob(call), initializer.name);
      task.keepFailure(); // the executor tells it
      await task;
    }
    post(["ready"]);
  } catch (error) {
    post(["unready", encodeError(error)]);
    return;
  }
  isBusy = false;
  pump();
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
    case "tasks":
      post(["tasks", order[1], loop.tasks()]);
      break;
    case "stop":
      void stop();
  }
}

/**
 * Stays a moment, in case the next job comes at once: being woken here takes half as long as by way of Node's loop, and sleeping costs no CPU.
 * Only a moment, and only when nothing waits in this thread, or timers and sockets would freeze with it.
 */
function linger(): void {
  const until = systemClock.now() + LONGEST_LINGER_MS;
  while (!isBusy && runs.size === 0) {
    const rung = Atomics.load(words, BELL);
    const next = receiveMessageOnPort(port) as { readonly message: Order } | undefined;
    if (next !== undefined) {
      receive(next.message);
      if (next.message[0] === "many") return;
    } else if (Atomics.wait(words, BELL, rung, LINGER_MS) === "timed-out") return;
    if (systemClock.now() >= until) return;
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
  return findJob(definition.url, definition.name);
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
  const [, , , shape, sent, , extras] = order;
  const run = new ThreadRun(order, job.name);
  const { args, ends } = receiveEnds(sent);
  run.ends = ends;
  if (!setup.isConcurrent) setThreadJob(run);
  if (
    shape === "stream" ||
    setup.isConcurrent ||
    (extras !== null && (extras.locals !== null || extras.remainingMs !== null))
  ) {
    startTask(run, job, shape, args, extras);
    return;
  }
  const fn = job.fn as unknown as AnyFunction;
  if (shape === "batch") {
    startBatch(run, job, fn, args[0] as readonly unknown[]);
    return;
  }
  let value: unknown;
  try {
    value = fn(...args);
  } catch (error) {
    run.endByError(error);
    return;
  }
  if (isPlainResult(value)) run.endByValue(value);
  else startTask(run, { ...job, fn: () => value }, shape, [], extras);
}

/** As far as it goes without waiting: the common case is a plain function over many items. */
function startBatch(run: ThreadRun, job: AnyJob, fn: AnyFunction, items: readonly unknown[]): void {
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
      const call = { job, shape: "batch" as const, args: [items], locals: null, context: run };
      follow(run, loop.root.launch(runBatch(call, fn, items, done, { value }), run.name));
      return;
    }
    done.push(value);
  }
  run.endByValue(done);
}

function startTask(
  run: ThreadRun,
  job: AnyJob,
  shape: JobShape,
  args: readonly unknown[],
  extras: Extras | null,
): void {
  if (shape === "stream") run.credits = args[0] as number;
  const call = {
    job,
    shape,
    args,
    locals: extras?.locals ?? null,
    context: run,
    emit: (value: unknown) => run.emit(value),
  };
  const task = loop.root.launch(runJob(call), run.name);
  const remainingMs = extras?.remainingMs ?? null;
  if (remainingMs !== null) (task.ownScope() as Scope).deadline = loop.now() + remainingMs + DEADLINE_SLACK_MS;
  follow(run, task);
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
  if (run.isCancelled) run.cancel(undefined);
}

async function stop(): Promise<void> {
  loop.root.cancel(`thread "${setup.name}" was stopped`);
  while (loop.root.size > 0) await Promise.allSettled(loop.root.tasks);
  // Whatever timers and sockets the jobs have left open must not keep the thread.
  nodeProcess.exit(0);
}
