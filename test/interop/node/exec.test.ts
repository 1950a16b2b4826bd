/**
 * `exec`: what it returns, what it throws, and that it leaves nothing, whatever happens.
 */
import { getEventListeners } from "node:events";
import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { Cancelled, Future, run, scope, spawn, timeout, TimeoutError, until, UsageError, yieldNow } from "fibril";
import type { Coroutine, Operation } from "fibril";
import { describe, expect, test } from "vitest";
import { exec } from "../../../src/interop/node/exec.ts";
import { ProcessError, ProcessOutputLimitError, ProcessSpawnError } from "../../../src/interop/node/process-errors.ts";
import { thrownBy } from "../../core/simulated.ts";
import { withUnhandled } from "../left.ts";
import { cancelAfterEachStep, leavingNothing, node, RUN_ON, runLeavingNothing } from "./process-traces.ts";

const NODE = process.execPath;
const ECHO = node("process.stdin.pipe(process.stdout);");
const FLOOD = node(
  "const more = () => { while (process.stdout.write('x'.repeat(1e4))); }; process.stdout.on('drain', more); more();",
);
const DEAF = node(`process.on('SIGTERM', () => {}); console.log('ready'); ${RUN_ON}`);

async function failureOf(main: () => Operation<unknown>): Promise<unknown> {
  let failure: unknown;
  await leavingNothing(async () => {
    failure = await run(main).then(
      () => {
        throw new Error("nothing was thrown");
      },
      (error: unknown) => error,
    );
  });
  return failure;
}

describe("exec", () => {
  test("returns what the process wrote and how it ended", async () => {
    const result = await runLeavingNothing(() => exec(NODE, ["-e", "console.log('out'); console.error('err')"]));
    expect(result).toEqual({ stdout: "out\n", stderr: "err\n", code: 0, signal: null, durationMs: expect.any(Number) });
    expect(result.durationMs).toBeGreaterThan(0);
  });

  test("returns bytes, or text of another encoding, when asked to", async () => {
    const code = "process.stdout.write(Buffer.from([0, 255, 233]))";
    const bytes = await runLeavingNothing(() => exec(NODE, ["-e", code], { encoding: "bytes" }));
    expect([...bytes.stdout]).toEqual([0, 255, 233]);
    expect(bytes.stderr).toHaveLength(0);
    const { stdout } = await runLeavingNothing(() => exec(NODE, ["-e", code], { encoding: "latin1" }));
    expect(stdout).toBe("\0ÿé");
  });

  test("a code other than 0 is a ProcessError with all that is known, and no arguments in its message", async () => {
    const args = ["-e", "console.log('partly'); console.error('first\\nlast words'); process.exitCode = 3", "secret"];
    const error = await failureOf(() => exec(NODE, args, { name: "job" }));
    expect(error).toBeInstanceOf(ProcessError);
    expect(error).toMatchObject({
      code: "PROCESS_FAILED",
      command: "job",
      exitCode: 3,
      signal: null,
      stdout: "partly\n",
      stderr: "first\nlast words\n",
    });
    expect((error as Error).message).toMatch(
      /^"job" ended with code 3 after \d+ ms; the end of its stderr:\nfirst\nlast words$/,
    );
    expect((error as Error).message).not.toContain("secret");
  });

  test("an end by a signal is a ProcessError, too; with check: false both are results", async () => {
    const code = "process.kill(process.pid, 'SIGKILL')";
    const error = await failureOf(() => exec(NODE, node(code)));
    expect(error).toMatchObject({ code: "PROCESS_FAILED", exitCode: null, signal: "SIGKILL" });
    expect((error as Error).message).toContain("was ended by SIGKILL");
    expect((error as Error).message).toContain("it wrote nothing to stderr");
    const results = await runLeavingNothing(function* () {
      return [
        yield* exec(NODE, node(code), { check: false }),
        yield* exec(NODE, ["-e", "process.exit(9)"], { check: false }),
      ];
    });
    expect(results).toMatchObject([
      { code: null, signal: "SIGKILL" },
      { code: 9, signal: null },
    ]);
  });

  test("only the end of a long stderr is in the message", async () => {
    const error = await failureOf(() =>
      exec(NODE, ["-e", "console.error('x'.repeat(1e5) + 'END'); process.exitCode = 1"]),
    );
    expect((error as Error).message.length).toBeLessThan(2_200);
    expect((error as Error).message.endsWith("xEND")).toBe(true);
    expect((error as ProcessError).stderr).toHaveLength(100_004);
  });

  test("a program that does not exist is a ProcessSpawnError", async () => {
    expect(await failureOf(() => exec("fibril-no-such-program"))).toBeInstanceOf(ProcessSpawnError);
  });
});

describe("input", () => {
  test.each([
    ["text", "häuser"],
    ["bytes", new TextEncoder().encode("häuser")],
    ["an iterable", ["hä", "us", new TextEncoder().encode("er")]],
    [
      "an async iterable",
      {
        async *[Symbol.asyncIterator]() {
          yield await Promise.resolve("häu");
          yield "ser";
        },
      },
    ],
  ])("may be %s", async (_what, input) => {
    const { stdout } = await runLeavingNothing(() => exec(NODE, ECHO, { input }));
    expect(stdout).toBe("häuser");
  });

  test("and output may both be larger than all pipes", async () => {
    const input = "0123456789".repeat(500_000);
    const { stdout } = await runLeavingNothing(() => exec(NODE, ECHO, { input }));
    expect(stdout === input).toBe(true);
  });

  test("that the process does not want is no failure, and its source is closed", async () => {
    let closed = 0;
    function* endless(): Generator<string> {
      try {
        for (;;) yield "x".repeat(1e5);
      } finally {
        closed++;
      }
    }
    const code = "process.stdin.once('data', () => { console.log('enough'); process.exit(0); })";
    const { stdout } = await runLeavingNothing(() => exec(NODE, node(code), { input: endless() }));
    expect([stdout, closed]).toEqual(["enough\n", 1]);
  });

  test("whose source is silent does not keep it once the process has ended", async () => {
    let closed = false;
    const source = { next: () => new Future<never>({ external: true }), close: () => void (closed = true) };
    const { stdout } = await runLeavingNothing(() => exec(NODE, ["-e", "console.log('done')"], { input: source }));
    expect([stdout, closed]).toEqual(["done\n", true]);
  });

  test("whose source fails stops the process", async () => {
    function* broken(): Generator<string> {
      yield "x";
      throw new Error("no more");
    }
    expect(await failureOf(() => exec(NODE, ECHO, { input: broken() }))).toMatchObject({ message: "no more" });
  });
});

describe("limits", () => {
  test("more output than allowed stops the process", async () => {
    const error = await failureOf(() => exec(NODE, FLOOD, { maxOutputBytes: 50_000 }));
    expect(error).toBeInstanceOf(ProcessOutputLimitError);
    expect(error).toMatchObject({ code: "PROCESS_OUTPUT_LIMIT", maxBytes: 50_000 });
    expect((error as Error).message).toContain("stdout of");
  });

  test("as much as allowed is fine", async () => {
    const { stdout } = await runLeavingNothing(() =>
      exec(NODE, ["-e", "process.stdout.write('x'.repeat(100))"], { maxOutputBytes: 100 }),
    );
    expect(stdout).toHaveLength(100);
  });

  test("timeoutMs stops the process, also one that is deaf", async () => {
    const error = await failureOf(() => exec(NODE, DEAF, { timeoutMs: 100, graceMs: 20, name: "deaf" }));
    expect(error).toBeInstanceOf(TimeoutError);
    expect(error).toMatchObject({ limitMs: 100, message: 'process "deaf" did not end within 100 ms' });
  });

  test("so does a timeout() around it", async () => {
    expect(await failureOf(() => timeout(50, exec(NODE, FLOOD, { onStdout: () => {} })))).toBeInstanceOf(TimeoutError);
  });

  test("a signal stops the process, and has no listener afterwards", async () => {
    const controller = new AbortController();
    const error = await failureOf(() =>
      exec(NODE, FLOOD, { signal: controller.signal, onStdout: () => controller.abort("enough") }),
    );
    expect(error).toBe("enough");
    const unused = new AbortController();
    await runLeavingNothing(() => exec(NODE, ["-e", ""], { signal: unused.signal }));
    expect([controller, unused].map(({ signal }) => getEventListeners(signal, "abort").length)).toEqual([0, 0]);
  });

  test("a signal that is aborted already starts nothing", async () => {
    const pids = await leavingNothing(async () => {
      await expect(run(() => exec(NODE, ECHO, { signal: AbortSignal.abort("no") }))).rejects.toBe("no");
    });
    expect(pids).toEqual([]);
  });
});

describe("streaming", () => {
  test("a handler gets the output, the result does not, and no limit holds", async () => {
    const seen = { out: 0, err: "" };
    const result = await runLeavingNothing(() =>
      exec(NODE, ["-e", "process.stdout.write('x'.repeat(1e5)); console.error('err')"], {
        maxOutputBytes: 1,
        onStdout: (chunk) => void (seen.out += chunk.length),
        onStderr: (chunk) => void (seen.err += String(Buffer.from(chunk))),
      }),
    );
    expect({ ...seen, stdout: result.stdout, stderr: result.stderr }).toEqual({
      out: 100_000,
      err: "err\n",
      stdout: "",
      stderr: "",
    });
  });

  test("the next output waits until the handler's operation has ended", async () => {
    let [inside, most, bytes] = [0, 0, 0];
    function* slowly(chunk: Uint8Array): Coroutine<void> {
      most = Math.max(most, ++inside);
      bytes += chunk.length;
      yield* until(new Promise<void>((resolve) => process.nextTick(resolve)));
      inside--;
    }
    await runLeavingNothing(() => exec(NODE, ["-e", "process.stdout.write('x'.repeat(1e6))"], { onStdout: slowly }));
    expect({ most, bytes }).toEqual({ most: 1, bytes: 1_000_000 });
  });

  test("a handler may return a promise: it is awaited, and its rejection stops the process", async () => {
    let isOver = false;
    const onStdout = async (): Promise<void> => {
      await setImmediate();
      isOver = true;
    };
    await runLeavingNothing(() => exec(NODE, ["-e", "console.log('x')"], { onStdout }));
    expect(isOver).toBe(true);
    const { value, unhandled } = await withUnhandled(() =>
      failureOf(() => exec(NODE, FLOOD, { onStdout: () => Promise.reject(new Error("too late")) })),
    );
    expect([value, unhandled]).toEqual([expect.objectContaining({ message: "too late" }), []]);
  });

  test("a handler that throws stops the process", async () => {
    const onStdout = (): void => {
      throw new Error("too ugly");
    };
    expect(await failureOf(() => exec(NODE, FLOOD, { onStdout }))).toMatchObject({ message: "too ugly" });
  });

  test("the end of stderr is in the message, though a handler got it all", async () => {
    const error = await failureOf(() =>
      exec(NODE, ["-e", "for (let i = 0; i < 2000; i++) console.error('line ' + i); process.exitCode = 1"], {
        onStderr: () => {},
      }),
    );
    expect((error as Error).message).toMatch(/line 1998\nline 1999$/);
    expect((error as Error).message.length).toBeLessThan(2_200);
  });
});

describe("scopes", () => {
  test("what the process leaves behind is stopped", async () => {
    const orphan = "setTimeout(() => {}, 15_000); process.on('SIGTERM', () => process.exit(0));";
    const code = `const it = require('child_process').spawn(process.execPath, ['-e', ${JSON.stringify(orphan)}], { stdio: 'ignore' }); console.log(it.pid); it.unref();`;
    const { stdout } = await runLeavingNothing(() => exec(NODE, ["-e", code]));
    expect(() => process.kill(Number(stdout), "SIGCONT")).not.toThrow(TypeError);
    const { isGone } = await import("./process-traces.ts");
    await run(() =>
      timeout(10_000, function* () {
        while (!isGone(Number(stdout))) yield* yieldNow();
      }),
    );
  });

  test("cwd, env and a shell are passed on", async () => {
    const directory = realpathSync(mkdtempSync(join(tmpdir(), "fibril-exec-")));
    try {
      const { stdout } = await runLeavingNothing(() =>
        exec(`echo "$WORD"; pwd`, [], { shell: true, cwd: directory, env: { ...process.env, WORD: "hello" } }),
      );
      expect(stdout).toBe(`hello\n${directory}\n`);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test("a failure beside it stops it; a hundred at a time are no problem of listeners", async () => {
    const warnings: string[] = [];
    const warn = ({ name }: Error): void => void (name === "MaxListenersExceededWarning" && warnings.push(name));
    process.on("warning", warn);
    const error = await failureOf(() =>
      scope(function* (own) {
        for (let i = 0; i < 12; i++)
          own.spawn(() =>
            exec(NODE, ECHO, {
              input: { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }) },
            }),
          );
        own.spawn(function* () {
          for (let i = 0; i < 5; i++) yield* yieldNow();
          throw new Error("beside");
        });
      }),
    );
    process.off("warning", warn);
    expect(error).toMatchObject({ message: "beside" });
    expect(warnings).toEqual([]);
  });

  test("cancelled after each of its steps, it leaves nothing", async () => {
    const steps = await cancelAfterEachStep(function* () {
      yield* exec("cat", [], { input: ["a", "b"], timeoutMs: 10_000, signal: new AbortController().signal });
    });
    expect(steps).toBeGreaterThan(6);
  });

  test("Cancelled passes through, it is not taken for a failure", async () => {
    const seen = await runLeavingNothing(function* () {
      const task = spawn(function* () {
        try {
          yield* exec(NODE, DEAF, { graceMs: 10 });
        } catch (error) {
          if (error instanceof Cancelled) return error.reason;
          throw error;
        }
        return "ended";
      });
      for (let i = 0; i < 10; i++) yield* yieldNow();
      yield* task.cancel("why");
      return yield* task;
    });
    expect(seen).toBe("why");
  });
});

test("wrong arguments are told at once", () => {
  for (const wrong of [
    () => exec(""),
    () => exec("ls", "-l" as never),
    () => exec("ls", [], { timeoutMs: Number.NaN }),
    () => exec("ls", [], { timeoutMs: -1 }),
    () => exec("ls", [], { maxOutputBytes: -1 }),
    () => exec("ls", [], { encoding: "klingon" as never }),
    () => exec("ls", [], { signal: {} as never }),
    () => exec("ls", [], { signal: new EventTarget() as never }),
    () => exec("ls", [], { input: 42 as never }),
    () => exec("ls", [], { input: null as never }),
    () => exec("ls", [], { onStdout: "log" as never }),
    () => exec("ls", ["-l"], { shell: true }),
  ]) {
    expect(thrownBy(wrong)).toBeInstanceOf(UsageError);
  }
});
