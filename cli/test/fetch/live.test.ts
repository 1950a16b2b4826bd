/** The live view: its text, and its keys on a terminal that is none. */
import { EventEmitter } from "node:events";
import { describe, expect, onTestFinished, test } from "vitest";
import { failureOfStatus } from "../../src/fetch/failure.ts";
import { frameOf, type LiveRun } from "../../src/fetch/live/frame.ts";
import { LiveProgress } from "../../src/fetch/live/live-progress.ts";
import { Tally } from "../../src/fetch/tally.ts";

class FakeRun implements LiveRun {
  tally: Tally = new Tally();
  expected: number | undefined = 1_000;
  isExpectedExact = true;
  away = 0;
  heldHosts = 0;
  connecting = 0;
  concurrency = 50;
  isPaused = false;
  limits: [string, number][] = [];

  foundLimits(): Iterable<readonly [string, number]> {
    return this.limits;
  }
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
  setConcurrency(concurrency: number): void {
    this.concurrency = concurrency;
  }
}

class FakeKeys extends EventEmitter {
  isRaw = false;
  isReading = false;
  setRawMode(isRaw: boolean): void {
    this.isRaw = isRaw;
  }
  resume(): void {
    this.isReading = true;
  }
  pause(): void {
    this.isReading = false;
  }
  press(keys: string): void {
    this.emit("data", Buffer.from(keys));
  }
}

function start(hasKeys = true) {
  const run = new FakeRun();
  const keys = new FakeKeys();
  const around = new EventEmitter();
  const signals: string[] = [];
  let written = "";
  const screen = { columns: 100, rows: 24, write: (text: string) => void (written += text) };
  const surroundings = {
    now: () => 0,
    signal: (name: string) => {
      signals.push(name);
      around.emit(name);
    },
    on: (event: string, listener: () => void) => around.on(event, listener),
    off: (event: string, listener: () => void) => around.off(event, listener),
  };
  const progress = new LiveProgress(run, screen, hasKeys ? keys : null, surroundings);
  onTestFinished(() => progress.end());
  const isRestored = (): boolean =>
    !keys.isRaw &&
    !keys.isReading &&
    written.endsWith("\u001B[?25h") &&
    keys.listenerCount("data") === 0 &&
    around.eventNames().length === 0;
  const shown = (): string[] => screenAfter(written);
  return { run, keys, around, signals, progress, isRestored, screen, shown, text: () => written };
}

/** What a terminal shows after it was sent this: only what we use of its language. */
function screenAfter(text: string): string[] {
  const lines: string[] = [""];
  let row = 0;
  // oxlint-disable no-control-regex -- exactly those are meant
  for (const [piece] of text.matchAll(/\u001B\[\??\d*[A-Za-z]|\n|\r|[^\u001B\n\r]+/g)) {
    const up = /^\u001B\[(\d+)A$/.exec(piece);
    if (up !== null) row -= Number(up[1]);
    else if (piece === "\u001B[J") lines.splice(row, lines.length, "");
    else if (piece === "\n") lines[++row] ??= "";
    else if (!piece.startsWith("\u001B") && piece !== "\r") lines[row] += piece;
  }
  return lines.filter((line) => line !== "");
}

describe("the picture", () => {
  const rate = { ms: 1_000, done: 200, bytes: 4_000_000 };

  test("has rate, phases, slowest hosts and errors", () => {
    const run = new FakeRun();
    const { tally } = run;
    tally.succeeded = 240;
    for (let n = 0; n < 10; n++) tally.addFailure(failureOfStatus(404), "a:80");
    Object.assign(tally, { underWay: 50, inHeaders: 30, inBody: 18 });
    run.connecting = 4;
    tally.addDuration(120, "quick.example");
    tally.addDuration(4_300, "slow.example");
    run.limits = [["https://slow.example", 7]];
    const lines = frameOf(run, rate, 100, true);
    expect(lines[0]).toMatch(/^█+░+  25 %  250 of 1,000  200\/s  4\.0 MB\/s  10 failed$/);
    expect(lines.slice(1)).toEqual([
      "50 of 50 in flight: 4 connecting, 26 waiting for headers, 18 receiving",
      "slowest: slow.example 4.3 s (7 at once), quick.example 120 ms",
      "failed: 10 × 404 Not Found",
      "keys: p pause   + - at once   q quit",
    ]);
    run.isPaused = true;
    expect(frameOf(run, rate, 100, false).slice(1, 2)).toEqual([
      "paused; 50 of 50 in flight: 4 connecting, 26 waiting for headers, 18 receiving",
    ]);
  });

  test("fits any terminal", () => {
    const run = new FakeRun();
    for (const columns of [10, 40, 79, 200]) {
      for (const line of frameOf(run, rate, columns, true)) expect(line.length).toBeLessThan(columns);
    }
  });

  test("a terminal that becomes narrower breaks the lines, and what it made of them is erased", () => {
    const { progress, screen, text } = start();
    progress.draw(); // 99 characters of bar, and two short lines
    screen.columns = 36;
    const before = text().length;
    progress.draw();
    expect(text().slice(before)).toMatch(/^\u001B\[5A\r\u001B\[J/); // oxlint-disable-line no-control-regex -- exactly those are meant
  });

  test("is no higher than the terminal", () => {
    const { progress, screen, run, shown } = start();
    screen.rows = 3;
    run.tally.addFailure(failureOfStatus(404), "a:80");
    progress.draw();
    progress.draw();
    expect(shown()).toHaveLength(2);
  });

  test("what is logged stays above, and the rest goes at the end", () => {
    const { progress, shown, run } = start();
    progress.draw();
    run.tally.succeeded = 500;
    progress.log("line 3: not a URL: x");
    expect(shown()).toEqual([
      "line 3: not a URL: x",
      expect.stringContaining("50 %"),
      expect.stringContaining("0 of 50"),
      expect.stringContaining("keys:"),
    ]);
    progress.log("again");
    progress.end();
    progress.log("after the end");
    expect(shown()).toEqual(["line 3: not a URL: x", "again", "after the end"]);
  });
});

describe("the keys", () => {
  test("p pauses and resumes, + and - change the concurrency", () => {
    const { run, keys, shown } = start();
    keys.press("p");
    expect(run.isPaused).toBe(true);
    expect(shown().at(-1)).toContain("p resume");
    keys.press("p");
    expect(run.isPaused).toBe(false);
    keys.press("+");
    expect(run.concurrency).toBe(62);
    keys.press("-");
    expect(run.concurrency).toBe(50);
    run.concurrency = 1;
    keys.press("-");
    expect(run.concurrency).toBe(1);
    keys.press("+");
    expect(run.concurrency).toBe(2);
    keys.press("\u001B[A"); // an arrow has no meaning
    keys.press("x");
    expect([run.concurrency, run.isPaused]).toEqual([2, false]);
  });

  test.for([
    ["q", "SIGINT"],
    ["\u0003", "SIGINT"],
    ["\u001C", "SIGQUIT"],
  ] as const)("%j gives the terminal back before it sends %s", ([key, signal]) => {
    const { keys, signals, isRestored } = start();
    keys.press(key);
    expect(signals).toEqual([signal]);
    expect(isRestored()).toBe(true);
  });

  test("Ctrl-Z gives it back, and takes it again when the process goes on", () => {
    const { keys, signals, around, text } = start();
    keys.press("\u001A");
    expect(signals).toEqual(["SIGTSTP"]);
    expect([keys.isRaw, text().endsWith("\u001B[?25h")]).toEqual([false, true]);
    around.emit("SIGCONT");
    expect(keys.isRaw).toBe(true);
    keys.press("p");
  });
});

describe("the terminal is given back", () => {
  test.for(["exit", "SIGINT", "SIGTERM", "SIGHUP"])("on %s", (event) => {
    const { around, isRestored, keys } = start();
    expect(keys.isRaw).toBe(true);
    around.emit(event);
    expect(isRestored()).toBe(true);
  });

  test("at the end, and only once", () => {
    const { progress, isRestored, text } = start();
    progress.end();
    expect(isRestored()).toBe(true);
    const before = text();
    progress.end();
    expect(text()).toBe(before);
  });
});
