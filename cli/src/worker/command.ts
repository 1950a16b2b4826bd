/**
 * `fibril worker FILE`: a process that serves the jobs which a module exports, until it is told to stop.
 *
 * SIGTERM and SIGINT stop it in good order: no further job, those that run may end within `--drain`, the rest is given back to the
 * queue. Exit code 0 after that. A second signal ends it at once; other workers take its jobs over when their leases have run out.
 */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Command } from "commander";
import { Cancelled, CancelledError, run, sleep, spawn } from "fibril";
import type { Coroutine } from "fibril";
import { engineAt, EngineMissingError, EngineRefusedError, serveJobs, ThreadPool } from "fibril/executors";
import type { Job, ServerView } from "fibril/executors";
import { CommandLineError } from "../command-line-error.ts";

interface Options {
  readonly queue?: string;
  readonly url?: string;
  readonly concurrency: string;
  readonly drain: string;
  readonly threads?: string;
}

interface Settings {
  readonly concurrency: number;
  readonly drainMs: number;
  /** 0: on the loop of the worker. */
  readonly threads: number;
}

type AnyJob = Job<never, unknown>;

export function workerCommand(): Command {
  return new Command("worker")
    .summary("run the jobs that a module exports, from a queue on Redis")
    .description(
      "Imports FILE, serves the jobs among its exports (made by `job` of fibril/executors), and goes on until SIGTERM or SIGINT.\n" +
        "Who submits uses a QueueExecutor on the same queue. Needs the packages bullmq and ioredis.",
    )
    .argument("<file>", "a module that exports jobs")
    .option("--url <url>", "the Redis, such as redis://host:6379/?queue=images (default: $FIBRIL_EXECUTOR)")
    .option("--queue <name>", "the queue (default: that of the URL, or fibril)")
    .option("--concurrency <n>", "jobs at a time", "4")
    .option("--drain <seconds>", "how long jobs may go on after a signal", "10")
    .option("--threads <n>", "run jobs in so many threads, for CPU work")
    .action(workerAction);
}

async function workerAction(file: string, options: Options): Promise<void> {
  const settings: Settings = {
    concurrency: numberIn("--concurrency", options.concurrency, 1),
    drainMs: 1_000 * numberIn("--drain", options.drain, 0),
    threads: options.threads === undefined ? 0 : numberIn("--threads", options.threads, 1),
  };
  const url = options.url ?? process.env["FIBRIL_EXECUTOR"];
  if (url === undefined || !/^rediss?:/.test(url)) {
    throw new CommandLineError("a worker needs the URL of a Redis: --url redis://host:6379, or FIBRIL_EXECUTOR");
  }
  const jobs = await jobsOf(file);
  const engine = engineAt(url, options.queue === undefined ? {} : { queue: options.queue });
  let server: ServerView | null = null;
  try {
    await run(() => work(settings, (onStart) => serveJobs(engine, jobs, onStart)), {
      name: "worker",
      handleSignals: true,
    });
  } catch (error) {
    if (error instanceof EngineMissingError || error instanceof EngineRefusedError) {
      throw new CommandLineError(error.message);
    }
    if (!isSignal(error)) throw error;
    const { succeeded, failed, cancelled, givenBack } = server!.statistics();
    say(`stopped: ${succeeded} succeeded, ${failed} failed, ${cancelled} cancelled, ${givenBack} given back`);
  } finally {
    await engine.close();
  }

  /** At the first signal: nothing is claimed from there on, and whoever sent it wants to know what it waits for. */
  function* tellOfStop(): Coroutine<void> {
    try {
      yield* sleep(Infinity);
    } catch (cancelled) {
      const count = server?.statistics().running ?? 0;
      if (cancelled instanceof Cancelled && cancelled.source === "process-signal" && count > 0) {
        const limit = `${settings.drainMs / 1_000} s`;
        say(
          `stops: ${count} ${count === 1 ? "job has" : "jobs have"} ${limit} to end; a second signal ends it at once`,
        );
      }
      throw cancelled;
    }
  }

  function* work({ concurrency, drainMs, threads }: Settings, serve: Serve): Coroutine<void> {
    spawn(tellOfStop);
    const pool = threads === 0 ? null : new ThreadPool({ maxWorkers: threads, name: "threads of the worker" });
    try {
      const onStart = (view: ServerView): void => {
        server = view;
        const names = jobs.map((job) => `${job.name}@${job.version}`).join(", ");
        say(`${view.name} serves ${names} of queue ${engine.name}, ${concurrency} at a time`);
      };
      yield* serve({ concurrency, drainMs, onStart, ...(pool === null ? {} : { runOn: pool }) });
    } finally {
      if (pool !== null) yield* pool.shutdown();
    }
  }
}

type Serve = (options: NonNullable<Parameters<typeof serveJobs>[2]>) => ReturnType<typeof serveJobs>;

/** The jobs among a module's exports. */
async function jobsOf(file: string): Promise<AnyJob[]> {
  let module: Record<string, unknown>;
  try {
    module = (await import(pathToFileURL(resolve(file)).href)) as Record<string, unknown>;
  } catch (error) {
    throw new CommandLineError(`${file} cannot be imported: ${error instanceof Error ? error.message : String(error)}`);
  }
  const jobs = [...new Set(Object.values(module))].filter(isJob);
  if (jobs.length > 0) return jobs;
  throw new CommandLineError(
    `${file} exports no job; make one with job(import.meta.url, function* name() {…}) and export it`,
  );
}

function isJob(value: unknown): value is AnyJob {
  const it = value as Partial<AnyJob> | null | undefined;
  return typeof it === "object" && it !== null && typeof it.fn === "function" && typeof it.version === "number";
}

function isSignal(error: unknown): boolean {
  return error instanceof CancelledError && (error.reason === "SIGINT" || error.reason === "SIGTERM");
}

function numberIn(option: string, text: string, least: number): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isInteger(value) && value >= least) return value;
  throw new CommandLineError(`${option} takes a whole number from ${least} up, got "${text}"`);
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
