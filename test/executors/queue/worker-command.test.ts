import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { run, sleep, use } from "fibril";
import { openExecutor } from "fibril/executors";
import { afterAll, expect, onTestFinished, test } from "vitest";
import { RedisServer } from "./redis-server.ts";
import { slow, square } from "./programs/served-jobs.ts";

const redis = await RedisServer.start();
afterAll(() => redis.stop());

const BIN = fileURLToPath(new URL("../../../cli/bin/fibril.js", import.meta.url));
const JOBS = fileURLToPath(new URL("programs/served-jobs.ts", import.meta.url));
const FLAGS = ["--conditions=fibril-source", "--disable-warning=ExperimentalWarning"];

class WorkerProgram {
  readonly child: ChildProcess;
  stderr = "";
  readonly #ended: Promise<number | null>;

  constructor(args: readonly string[], env: Record<string, string> = {}) {
    const stdio = ["ignore", "ignore", "pipe"] as const;
    this.child = spawn(process.execPath, [...FLAGS, BIN, "worker", ...args], {
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

test("a command line that cannot be carried out is one sentence and code 2", async () => {
  const env = { FIBRIL_EXECUTOR: "" };
  const programs: { program: WorkerProgram; text: RegExp }[] = [];
  for (const [args, text] of [
    [[JOBS], /needs the URL of a Redis/],
    [["nowhere.ts", "--url", redis.url], /nowhere\.ts cannot be imported/],
    [[fileURLToPath(new URL("programs/no-jobs.ts", import.meta.url)), "--url", redis.url], /exports no job/],
    [[JOBS, "--url", redis.url, "--concurrency", "many"], /--concurrency takes a whole number/],
  ] as const) {
    programs.push({ program: new WorkerProgram(args, env), text });
  }
  for (const { program, text } of programs) {
    expect(await program.ended()).toBe(2);
    expect(program.stderr).toMatch(text);
  }
});
