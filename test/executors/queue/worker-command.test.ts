import { spawn as spawnProcess } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { run, sleep, spawn, until, use } from "fibril";
import { openExecutor } from "fibril/executors";
import { afterAll, expect, onTestFinished, test } from "vitest";
import { RedisServer } from "./redis-server.ts";
import { slow, square } from "./programs/served-jobs.ts";

const redis = await RedisServer.start();
afterAll(() => redis.stop());

const BIN = fileURLToPath(new URL("../../../cli/bin/fibril.js", import.meta.url));
const JOBS = fileURLToPath(new URL("programs/served-jobs.ts", import.meta.url));
const broken = fileURLToPath(new URL("programs/broken-jobs.ts", import.meta.url));
const FLAGS = ["--conditions=fibril-source", "--disable-warning=ExperimentalWarning"];

class WorkerProgram {
  readonly child: ChildProcess;
  stderr = "";
  readonly #ended: Promise<number | null>;

  constructor(args: readonly string[], env: Record<string, string> = {}) {
    const stdio = ["ignore", "ignore", "pipe"] as const;
    this.child = spawnProcess(process.execPath, [...FLAGS, BIN, "worker", ...args], {
      stdio: [...stdio],
      env: { ...process.env, ...env },
    });
    this.child.stderr!.setEncoding("utf8").on("data", (text: string) => (this.stderr += text));
    this.#ended = once(this.child, "close").then(([code]) => code as number | null);
    onTestFinished(() => void this.child.kill("SIGKILL"));
  }

  ended(): Promise<number | null> {
    return this.#ended;
  }
}

test("it serves the jobs of a module until SIGTERM, and gives back what runs longer", async () => {
  const program = new WorkerProgram([JOBS, "--queue", "cli", "--drain", "0"], { FIBRIL_EXECUTOR: redis.url });
  await run(function* () {
    const executor = yield* use(openExecutor(redis.url, { queue: "cli" }));
    expect(yield* executor.call(square, 12)).toBe(144);
    const handle = yield* executor.submit(slow, 60_000);
    while (handle.state !== "running") yield* sleep(5);
    program.child.kill("SIGTERM");
    const ended = program.ended();
    let code: number | null | undefined;
    void ended.then((it) => (code = it));
    while (code === undefined) yield* sleep(5);
    expect(code).toBe(0);
    expect(handle.isSettled).toBe(false);
    yield* handle.cancel();
  });
  expect(program.stderr).toMatch(/^worker-\S+ serves slow@1, square@1 of queue cli, 4 at a time\n/);
  expect(program.stderr).toMatch(/stopped: 1 succeeded, 0 failed, 0 cancelled, 1 given back\n$/);
});

test("with --threads jobs run in threads", async () => {
  const program = new WorkerProgram([JOBS, "--url", `${redis.url}?queue=threads`, "--threads", "1"]);
  await run(function* () {
    const executor = yield* use(openExecutor(redis.url, { queue: "threads" }));
    expect(yield* executor.call(square, 3)).toBe(9);
  });
  program.child.kill("SIGTERM");
  expect(await program.ended()).toBe(0);
});

test("the first Ctrl-C waits for jobs that run, the second does not", async () => {
  const program = new WorkerProgram([JOBS, "--url", `${redis.url}?queue=twice`, "--drain", "3600"]);
  await run(function* () {
    // What the worker leaves behind belongs to it for a lease; nobody waits for that here.
    const executor = yield* use(openExecutor(redis.url, { queue: "twice", onScopeCancelled: "detach" }));
    let isRunning = false;
    const submitting = spawn(function* () {
      const handle = yield* executor.submit(slow, 60_000);
      while (handle.state !== "running") yield* sleep(5);
      isRunning = true;
      yield* handle;
    });
    while (!isRunning) yield* sleep(5);
    program.child.kill("SIGINT");
    while (!/^stops: 1 job has 3600 s to end; a second signal ends it at once$/m.test(program.stderr)) yield* sleep(5);
    const waiting = yield* executor.submit(square, 2);
    yield* sleep(300);
    expect([waiting.state, program.child.exitCode, program.child.signalCode]).toEqual(["pending", null, null]);
    program.child.kill("SIGINT");
    yield* until(program.ended());
    yield* submitting.cancel();
    yield* waiting.cancel();
  });
  expect([program.child.exitCode, program.child.signalCode]).not.toEqual([0, null]);
});

test("a command line that cannot be carried out is one sentence and code 2", async () => {
  const env = { FIBRIL_EXECUTOR: "" };
  const programs: { program: WorkerProgram; text: RegExp }[] = [];
  for (const [args, text] of [
    [[JOBS], /needs the URL of a Redis/],
    [["nowhere.ts", "--url", redis.url], /nowhere\.ts cannot be imported/],
    [[fileURLToPath(new URL("programs/no-jobs.ts", import.meta.url)), "--url", redis.url], /exports no job/],
    [[JOBS, "--url", redis.url, "--concurrency", "many"], /--concurrency takes a whole number/],
    [[fileURLToPath(new URL("programs", import.meta.url)), "--url", redis.url], /programs cannot be imported/],
    [[broken, "--url", redis.url], /broken-jobs\.ts cannot be imported: it is Monday/],
    [
      [JOBS, "--url", redis.url.replace("//", "//nobody:wrong@")],
      /cannot open queue "fibril": Redis at 127[.\d:]+ refuses [^\n]*\n$/,
    ],
  ] as const) {
    programs.push({ program: new WorkerProgram(args, env), text });
  }
  for (const { program, text } of programs) {
    expect(await program.ended()).toBe(2);
    expect(program.stderr).toMatch(text);
  }
});
