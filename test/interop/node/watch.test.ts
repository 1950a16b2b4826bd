/**
 * Watching files, in a directory of its own for each test.
 */
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { run, scope, spawn, timeout, UsageError, yieldNow } from "fibril";
import type { Coroutine } from "fibril";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Sequence } from "../../../src/interop/index.ts";
import { FileWatchError } from "../../../src/interop/node/watch-errors.ts";
import { watch } from "../../../src/interop/node/watch.ts";
import type { FileChange } from "../../../src/interop/node/watch.ts";
import { thrownBy } from "../../core/simulated.ts";

let directory: string;
let foreign: number;

beforeEach(() => {
  foreign = watchers();
  directory = mkdtempSync(join(tmpdir(), "fibril-watch-"));
});

afterEach(async () => {
  rmSync(directory, { recursive: true, force: true });
  for (let turn = 0; turn < 100 && watchers() > foreign; turn++) await setImmediate(); // closed ones are off the list some turns later
  if (watchers() > foreign) throw new Error("a watcher is left");
});

function watchers(): number {
  return process.getActiveResourcesInfo().filter((it) => it === "FSEventWrap").length;
}

const at = (name: string): string => join(directory, name);

/** Takes changes until one is of `path`; no more than 50 s. */
function* untilChanged(changes: Sequence<FileChange>, path: string): Coroutine<FileChange> {
  return yield* timeout(50_000, function* () {
    for (;;) {
      const { value } = yield* changes.next();
      if (value === undefined) throw new Error("the sequence has ended");
      if (value.path === path) return value;
    }
  });
}

/** Takes changes until one throws, and gives what it throws. */
function* failureOf(changes: Sequence<FileChange>): Coroutine<unknown> {
  try {
    yield* timeout(50_000, function* () {
      while ((yield* changes.next()).done !== true);
    });
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

describe("watch", () => {
  test("tells what comes, changes and goes in a directory", async () => {
    await run(function* () {
      const changes = watch(directory);
      writeFileSync(at("a"), "1");
      expect(yield* untilChanged(changes, "a")).toEqual({ kind: "rename", path: "a" });
      appendFileSync(at("a"), "2");
      expect(yield* untilChanged(changes, "a")).toMatchObject({ path: "a" });
      renameSync(at("a"), at("b"));
      expect(yield* untilChanged(changes, "b")).toEqual({ kind: "rename", path: "b" });
      rmSync(at("b"));
      expect(yield* untilChanged(changes, "b")).toEqual({ kind: "rename", path: "b" });
    });
  });

  test("tells of directories inside when it is recursive", async () => {
    mkdirSync(at("inside"));
    await run(function* () {
      const changes = watch(directory, { recursive: true });
      writeFileSync(join(at("inside"), "deep"), "1");
      expect(yield* untilChanged(changes, join("inside", "deep"))).toMatchObject({ kind: "rename" });
    });
  });

  test("goes on watching a file that is replaced, as editors do", async () => {
    writeFileSync(at("file"), "old");
    await run(function* () {
      const changes = watch(at("file"));
      for (let i = 0; i < 3; i++) {
        writeFileSync(at("new"), "new");
        renameSync(at("new"), at("file"));
        let kind: string;
        do ({ kind } = yield* untilChanged(changes, "file"));
        while (kind !== "rename");
      }
      appendFileSync(at("file"), "more");
      expect(yield* untilChanged(changes, "file")).toEqual({ kind: "change", path: "file" });
    });
  });

  test.each(["file", "directory"])("a %s that vanishes is an error, after what was told before", async (what) => {
    const path = at("it");
    if (what === "file") writeFileSync(path, "");
    else mkdirSync(path);
    const error = await run(function* () {
      const changes = watch(path);
      rmSync(path, { recursive: true });
      const first = yield* timeout(50_000, changes.next());
      expect(first.done).toBe(false);
      return yield* failureOf(changes);
    });
    expect(error).toBeInstanceOf(FileWatchError);
    expect(error).toMatchObject({ code: "WATCH_PATH_GONE", path });
  });

  test("what cannot be watched is an error at once", async () => {
    await run(function* () {
      const error = thrownBy(() => watch(at("nowhere")));
      expect(error).toBeInstanceOf(FileWatchError);
      expect(error).toMatchObject({ code: "WATCH_FAILED", path: at("nowhere"), cause: { code: "ENOENT" } });
      yield* yieldNow();
    });
  });

  test("more changes than may wait are an error, or dropped when asked for", async () => {
    await run(function* () {
      const strict = watch(directory, { capacity: 2 });
      const lenient = watch(directory, { capacity: 2, overflow: "dropOldest" });
      const witness = watch(directory);
      for (let i = 0; i < 5; i++) writeFileSync(at(`f${i}`), "");
      writeFileSync(at("last"), "");
      yield* untilChanged(witness, "last");
      for (let i = 0; i < 3; i++) yield* yieldNow();
      expect(yield* failureOf(strict)).toMatchObject({ code: "EVENT_OVERFLOW", capacity: 2 });
      expect(lenient.statistics()).toMatchObject({ capacity: 2, buffered: 2 });
      expect(lenient.statistics().dropped).toBeGreaterThan(0);
      expect(yield* untilChanged(lenient, "last")).toMatchObject({ path: "last" });
    });
  });

  test("a cancelled next() takes nothing", async () => {
    await run(function* () {
      const changes = watch(directory);
      const waiting = spawn(() => changes.next());
      yield* yieldNow();
      yield* waiting.cancel();
      writeFileSync(at("a"), "");
      expect(yield* untilChanged(changes, "a")).toEqual({ kind: "rename", path: "a" });
    });
  });

  test("is over with its scope, by close(), and when its task is cancelled", async () => {
    await run(function* () {
      const ofScope = yield* scope(function* () {
        return watch(directory);
      });
      expect(yield* ofScope.next()).toEqual({ done: true, value: undefined });

      const closed = watch(directory);
      const waiting = spawn(() => closed.next());
      yield* yieldNow();
      yield* closed.close();
      expect(yield* waiting).toEqual({ done: true, value: undefined });

      let ofTask: Sequence<FileChange> | undefined;
      const task = spawn(function* () {
        ofTask = watch(directory);
        yield* ofTask.next();
      });
      yield* yieldNow();
      yield* task.cancel();
      expect(yield* ofTask!.next()).toEqual({ done: true, value: undefined });
      expect(existsSync(directory)).toBe(true);
    });
  });

  test("wrong arguments are told at once", async () => {
    expect(thrownBy(() => watch(directory))).toMatchObject({ code: "OUTSIDE_TASK" });
    await run(function* () {
      for (const wrong of [
        () => watch(""),
        () => watch(5 as never),
        () => watch(directory, { capacity: 0 }),
        () => watch(directory, { overflow: "wait" as never }),
      ]) {
        expect(thrownBy(wrong)).toBeInstanceOf(UsageError);
      }
      yield* yieldNow();
    });
  });
});
