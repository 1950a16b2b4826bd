/** What can be seen of a run from inside: its tasks, what they wait for, and what a cancellation leaves. */
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { EventLoop, run, type Coroutine } from "fibril";
import { describe, expect, test } from "vitest";
import { FileSink } from "../../src/fetch/file-sink.ts";
import { FetchRun } from "../../src/fetch/fetch-all.ts";
import { Input } from "../../src/fetch/input.ts";
import { OutputClosed, OutputFailed, OutputStream } from "../../src/fetch/output-stream.ts";
import { DEFAULTS, parseSettings } from "../../src/fetch/settings.ts";
import { HostileServer } from "./hostile-server.ts";
import { parseLines, temporaryFolder } from "./in-process.ts";

/** The machine may be busy. */
const PATIENT = { timeout: 50_000 };

describe("a run", () => {
  test("a body that is being saved leaves its place to the next request, and there are no more requests for that", async () => {
    const server = await HostileServer.start();
    const urls = Array.from({ length: 300 }, (_, n) => `${server.origin}/ok/${n}`);
    const loop = new EventLoop({ name: "saving" });
    const settings = parseSettings(urls, { ...DEFAULTS, output: await temporaryFolder(), concurrency: "1" });
    const fetching = new FetchRun(settings, {
      input: new Input(urls),
      output: new OutputStream(new PassThrough()),
      tell: () => undefined,
    });
    const ended = run(() => fetching.main(), { loop, name: "fetch" });
    let isOver = false;
    void ended.then(() => (isOver = true));
    let [mostUnderWay, isSavingMeanwhile] = [0, false];
    while (!isOver) {
      const { underWay } = fetching.tally;
      mostUnderWay = Math.max(mostUnderWay, underWay);
      const isSaving = loop.tasks().some(({ waitingFor }) => waitingFor?.startsWith("save ") === true);
      isSavingMeanwhile ||= isSaving && underWay === 1;
      await new Promise<void>((resolve) => void setImmediate(resolve));
    }
    expect([fetching.tally.succeeded, mostUnderWay, isSavingMeanwhile]).toEqual([300, 1, true]);
  });

  test("a pause during which nothing is under way is no deadlock, and ends with resume", async () => {
    const server = await HostileServer.start();
    const urls = Array.from({ length: 20 }, (_, n) => `${server.origin}/ok/${n}`);
    const loop = new EventLoop({ name: "paused" });
    const output = new PassThrough();
    const fetching = new FetchRun(parseSettings(urls, { ...DEFAULTS, ndjson: true, concurrency: "2" }), {
      input: new Input(urls),
      output: new OutputStream(output),
      tell: () => undefined,
    });
    output.once("data", () => fetching.pause());
    const ended = run(() => fetching.main(), { loop, name: "fetch" });
    const waits = (): boolean => loop.tasks().some(({ waitingFor }) => waitingFor === "the end of the pause");
    await expect.poll(() => waits() && fetching.tally.underWay === 0, PATIENT).toBe(true);
    expect(fetching.tally.done).toBeLessThan(20);
    fetching.resume();
    await ended;
    expect(fetching.tally.succeeded).toBe(20);
  });

  test("who does what is visible: the input, each worker, each retry, each host that is left alone", async () => {
    const server = await HostileServer.start();
    const lines = [`${server.origin}/held`, `${server.origin}/busy/1/100`];
    const input = new PassThrough();
    input.write(lines.map((line) => `${line}\n`).join(""));
    const loop = new EventLoop({ name: "seen" });
    const cancel = new AbortController();
    const settings = parseSettings([], { ...DEFAULTS, input: "-", ndjson: true, concurrency: "2" });
    const fetching = new FetchRun(settings, {
      input: new Input([], input),
      output: new OutputStream(new PassThrough()),
      tell: () => undefined,
    });
    const ended = run(() => fetching.main(), { loop, name: "fetch", signal: cancel.signal }).catch(
      (error: unknown) => error,
    );
    const { host } = new URL(server.origin);
    const waits = (): [string, string | null][] =>
      loop.tasks().map(({ name, waitingFor }) => [name, waitingFor?.replace(/ \d.*ms$/, " … ms") ?? null]);
    await expect.poll(waits, PATIENT).toEqual([
      ["main", expect.stringContaining("of scope")],
      ["input", "more of the input"],
      ["fetch 1", `http GET ${host}/held, headers`],
      ["fetch 2", "a URL to fetch"],
      [`leave ${server.origin} alone`, "sleep … ms"],
      ["retry of line 2", "sleep … ms"],
    ]);
    cancel.abort("seen enough");
    expect(await ended).toBe("seen enough");
    expect(loop.tasks()).toEqual([]);
    expect(input.destroyed).toBe(true);
  });

  test("a slow reader of the output holds the requests back", async () => {
    const server = await HostileServer.start();
    const lines = Array.from({ length: 50 }, (_, n) => `${server.origin}/ok/${n}`);
    const written: string[] = [];
    let take: (() => void) | undefined;
    const slow = new Writable({
      highWaterMark: 1,
      write(chunk: Buffer, _encoding, done): void {
        written.push(chunk.toString());
        take = done;
      },
    });
    const loop = new EventLoop({ name: "slow reader" });
    const settings = parseSettings(lines, { ...DEFAULTS, ndjson: true, concurrency: "3" });
    const output = new OutputStream(slow);
    const fetching = new FetchRun(settings, { input: new Input(lines), output, tell: () => undefined });
    const ended = run(() => fetching.main(), { loop });
    const blocked = (): number =>
      loop.tasks().filter(({ waitingFor }) => waitingFor === "room in the standard output").length;
    await expect.poll(blocked, PATIENT).toBe(3);
    expect(server.seenInAll).toBe(3);
    let isOver = false;
    void ended.then(() => (isOver = true));
    const takeOne = (): void => {
      const done = take;
      take = undefined;
      done?.();
    };
    while (!isOver) {
      takeOne();
      await new Promise((resolve) => void setImmediate(resolve));
    }
    await ended;
    slow.end();
    takeOne();
    await once(slow, "finish");
    expect(parseLines(written.join(""))).toHaveLength(50);
  });
});

describe("an output", () => {
  test.for([
    ["is closed", "EPIPE", OutputClosed, "nobody reads the output any more"],
    ["is full", "ENOSPC", OutputFailed, "cannot write the output: no room"],
  ] as const)("that %s ends whoever waits for it, and every write after that", async ([, code, kind, message]) => {
    const problem = Object.assign(new Error("no room"), { code });
    let fail: ((error: Error) => void) | undefined;
    const output = new OutputStream(
      new Writable({ highWaterMark: 1, write: (_chunk, _encoding, done) => void (fail = done) }),
    );
    const first = run(() => output.write("waits")).catch((error: unknown) => error);
    await expect.poll(() => fail, PATIENT).toBeDefined();
    fail!(problem);
    expect(await first).toMatchObject({ message });
    await expect(run(() => output.write("too late"))).rejects.toBeInstanceOf(kind);
  });

  test("that throws is one that fails", async () => {
    const full = new Writable({
      write(): void {
        throw new Error("no room");
      },
    });
    await expect(run(() => new OutputStream(full).write("x"))).rejects.toThrow("cannot write the output: no room");
  });
});

describe("a file", () => {
  const BODY = ["first ", "second ", "third"];

  function* save(path: string): Coroutine<void> {
    const sink = new FileSink(path);
    sink.begin(1_000_000); // small ones are written without a wait
    try {
      for (const piece of BODY) yield* sink.write(Buffer.from(piece));
      yield* sink.finish();
    } catch (error) {
      yield* sink.abandon();
      throw error;
    }
  }

  test("is complete or not there, at whatever step it is cancelled", async () => {
    const folder = await temporaryFolder();
    const outcomes = new Set<string>();
    for (let step = 0; step < 60; step++) {
      const path = join(folder, `${step}`, "deep", "file");
      const loop = new EventLoop({ name: `step ${step}` });
      const cancel = new AbortController();
      let steps = 0;
      loop.addProbe({ afterStep: () => void (steps++ === step && cancel.abort()) });
      const outcome = await run(() => save(path), { loop, signal: cancel.signal }).then(
        () => "saved",
        (error: unknown) => (error === cancel.signal.reason ? "cancelled" : String(error)),
      );
      outcomes.add(outcome);
      const there = await readdir(join(folder, `${step}`, "deep")).catch(() => []);
      if (there.length > 0) {
        expect(there, `step ${step}`).toEqual(["file"]);
        expect(await readFile(path, "utf8")).toBe(BODY.join(""));
      } else expect(outcome).toBe("cancelled");
    }
    expect([...outcomes].sort()).toEqual(["cancelled", "saved"]);
  });

  test("that cannot be written leaves no part of it behind", async () => {
    const folder = await temporaryFolder();
    await run(() => save(join(folder, "x", "y")));
    await expect(run(() => save(join(folder, "x")))).rejects.toMatchObject({ code: "EISDIR" });
    expect(await readdir(folder)).toEqual(["x"]);
    await expect(run(() => save(join(folder, "x", "y", "z")))).rejects.toMatchObject({ code: "ENOTDIR" });
  });
});
