/**
 * SIGINT and SIGTERM: the first one cancels and lets cleanup finish, the second one ends at once. Once in a process of its
 * own with real signals, and the finer points on a host that is made up.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { EventLoop, run, sleep } from "fibril";
import type { CancelledError } from "fibril";
import { VirtualClock, VirtualHost } from "fibril/testing";
import { describe, expect, test } from "vitest";

const program = fileURLToPath(new URL("./signals-program.ts", import.meta.url));

interface Ended {
  readonly said: readonly string[];
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Runs the program; `react` is called with each line that it says. */
async function runProgram(cleanupMs: number, react: (line: string, child: ChildProcess) => void): Promise<Ended> {
  const args = ["--conditions=fibril-source", "--disable-warning=ExperimentalWarning", program, String(cleanupMs)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"], timeout: 50_000 });
  const said: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => {
    said.push(line);
    react(line, child);
  });
  const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
  return { said, code, signal };
}

describe("handleSignals", () => {
  test.each(["SIGINT", "SIGTERM"] as const)(
    "the first %s cancels main, and cleanup that waits finishes",
    async (signal) => {
      const ended = await runProgram(50, (line, child) => {
        if (line === "ready") child.kill(signal);
      });
      expect(ended).toEqual({
        said: [
          "ready",
          "cleanup begins",
          "still cleaning",
          "cleanup ends",
          `cancelled by ${signal}`,
          "listeners left: 0",
        ],
        code: 0,
        signal: null,
      });
    },
  );

  test("the second one ends the process at once, as the signal would have", async () => {
    const ended = await runProgram(60_000, (line, child) => {
      if (line === "ready" || line === "still cleaning") child.kill("SIGINT");
    });
    expect(ended).toEqual({ said: ["ready", "cleanup begins", "still cleaning"], code: null, signal: "SIGINT" });
  });

  /** Plays `signals` to a main that cleans up for 1,000 ms; says how it ended, and when. */
  async function play(signals: readonly (readonly [atMs: number, signal: string])[]): Promise<unknown[]> {
    const clock = new VirtualClock();
    const log: unknown[] = [];
    let handlers = 0;
    let handler: (signal: string) => void = () => {};
    const host = Object.assign(new VirtualHost(clock), {
      onSignals(_names: readonly string[], handle: (signal: string) => void) {
        handlers++;
        handler = handle;
        return () => void handlers--;
      },
      exitBySignal: (signal: string) => void log.push(`exit by ${signal} at ${clock.now()}, ${handlers} handler(s)`),
    });
    const loop = new EventLoop({ clock, host });
    for (const [atMs, signal] of signals) loop.callAt(atMs, () => handler(signal));
    const main = run(
      function* () {
        try {
          yield* sleep(60_000);
        } finally {
          yield* sleep(1000);
        }
      },
      { loop, clock, host, handleSignals: true },
    ).catch((error: CancelledError) =>
      log.push(`cancelled by ${String(error.reason)} at ${clock.now()}, ${handlers} handler(s)`),
    );
    host.drain();
    await main;
    return log;
  }

  test("one signal that comes twice, from the system and from a parent process, counts once", async () => {
    expect(
      await play([
        [10, "SIGINT"],
        [15, "SIGINT"],
        [109, "SIGINT"],
      ]),
    ).toEqual(["cancelled by SIGINT at 1010, 0 handler(s)"]);
  });

  test("a second one ends the process without delay: the same one later, another one at any time", async () => {
    const sameLater = await play([
      [10, "SIGINT"],
      [110, "SIGINT"],
    ]);
    const anotherAtOnce = await play([
      [10, "SIGINT"],
      [10, "SIGTERM"],
    ]);
    expect([sameLater[0], anotherAtOnce[0]]).toEqual([
      "exit by SIGINT at 110, 0 handler(s)",
      "exit by SIGTERM at 10, 0 handler(s)",
    ]);
  });
});
