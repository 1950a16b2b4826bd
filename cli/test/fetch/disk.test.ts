/** Small files and the thread that saves them. */
import { closeSync, openSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import type { Batch } from "../../src/fetch/disk/batch.ts";
import { Disk } from "../../src/fetch/disk/disk.ts";
import { AppendFile } from "../../src/fetch/journal/append-file.ts";
import { temporaryFolder } from "./in-process.ts";

function openDisk(): Disk {
  const disk = new Disk();
  onTestFinished(() => disk.close());
  return disk;
}

function save(
  disk: Disk,
  path: string,
  body: string,
  journal: { descriptor: number; line: string } | null = null,
): Promise<void> {
  const pieces = [Buffer.from(body.slice(0, 2)), Buffer.from(body.slice(2))];
  const file = { part: `${path}.part`, path, modifiedAt: null, journal };
  return new Promise((resolve, reject) =>
    disk.save(file, pieces, (error) => (error === null ? resolve() : reject(error))),
  );
}

describe("the thread of the disk", () => {
  test("saves what comes in many pieces and batches, into folders that are not there yet", async () => {
    const [disk, folder] = [openDisk(), await temporaryFolder()];
    const names = Array.from({ length: 300 }, (_, n) => join(folder, String(n % 7), `${n}`));
    for (let from = 0; from < 300; from += 100) {
      await Promise.all(names.slice(from, from + 100).map((name, n) => save(disk, name, `body ${from + n}`)));
    }
    for (const [n, name] of names.entries()) expect(await readFile(name, "utf8")).toBe(`body ${n}`);
  });

  test("tells of each file that could not be saved by itself, and leaves no part of it", async () => {
    const [disk, folder] = [openDisk(), await temporaryFolder()];
    await mkdir(join(folder, "taken"));
    await save(disk, join(folder, "a"), "body a");
    const results = await Promise.allSettled([
      save(disk, join(folder, "z"), "body z"),
      save(disk, join(folder, "taken"), "body b"),
      save(disk, join(folder, "a", "b"), "body c"),
      save(disk, join(folder, "d"), "body d"),
    ]);
    expect(
      results.map((it) => (it.status === "rejected" ? (it.reason as NodeJS.ErrnoException).code : "saved")),
    ).toEqual(["saved", "EISDIR", "ENOTDIR", "saved"]);
    expect((await readdir(folder)).sort()).toEqual(["a", "d", "taken", "z"]);
  });

  test("writes the line of the journal for each file that is complete", async () => {
    const [disk, folder] = [openDisk(), await temporaryFolder()];
    const journal = new AppendFile(join(folder, "journal"));
    const { descriptor } = journal;
    await Promise.all(
      [1, 2, 3].map((n) => save(disk, join(folder, `${n}`), "body", { descriptor, line: `line ${n}\n` })),
    );
    journal.close();
    expect(await readFile(join(folder, "journal"), "utf8")).toBe("line 1\nline 2\nline 3\n");
  });

  test("what is wrong with the journal is wrong with every file that needs it, and with no other", async () => {
    const [disk, folder] = [openDisk(), await temporaryFolder()];
    await writeFile(join(folder, "journal"), "");
    const descriptor = openSync(join(folder, "journal"), "r"); // not for writing
    onTestFinished(() => closeSync(descriptor));
    const results = await Promise.allSettled([
      save(disk, join(folder, "a"), "body a", { descriptor, line: "line a\n" }),
      save(disk, join(folder, "b"), "body b"),
    ]);
    expect(
      results.map((it) => (it.status === "rejected" ? (it.reason as NodeJS.ErrnoException).code : "saved")),
    ).toEqual(["EBADF", "saved"]);
    expect((await readdir(folder)).sort()).toEqual(["b", "journal"]);
  });

  test("while it saves, the next batch gathers: hardly more batches than the disk needs", async () => {
    const [disk, folder] = [openDisk(), await temporaryFolder()];
    const paths = Array.from({ length: 200 }, (_, n) => join(folder, String(n)));
    let [saved, moments] = [0, 0];
    let isCounted = false;
    const count = (): void => {
      saved++;
      if (isCounted) return;
      isCounted = true;
      moments++; // answers of one batch come in one turn of the loop
      setImmediate(() => (isCounted = false));
    };
    const all: Promise<void>[] = [];
    for (const path of paths) {
      all.push(save(disk, path, "body").then(count));
      await new Promise<void>((resolve) => void setImmediate(resolve)); // each is complete in a turn of its own
    }
    await Promise.all(all);
    expect(saved).toBe(200);
    expect(moments).toBeLessThan(100);
  });

  test("a message waits for 32 files, or 4 ms", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const messages = vi.spyOn(Worker.prototype, "postMessage");
    onTestFinished(() => {
      vi.useRealTimers();
      messages.mockRestore();
    });
    const [disk, folder] = [openDisk(), await temporaryFolder()];
    // The disk's: other files of this process may have left threads.
    const sent = (): number =>
      messages.mock.calls.filter(([it]) => (it as Partial<Batch>).texts?.includes(folder) === true).length;
    const saved: Promise<void>[] = [];
    const add = async (count: number): Promise<void> => {
      for (let n = 0; n < count; n++) {
        saved.push(save(disk, join(folder, String(saved.length)), "body"));
        await new Promise<void>((resolve) => void setImmediate(resolve)); // each is complete in a turn of its own
      }
    };
    await add(31);
    expect(sent()).toBe(0);
    await add(1);
    expect(sent()).toBe(1);
    await Promise.all(saved);
    await add(3);
    vi.advanceTimersByTime(3);
    expect(sent()).toBe(1);
    vi.advanceTimersByTime(1);
    expect(sent()).toBe(2);
    await Promise.all(saved);
    expect(await readdir(folder)).toHaveLength(35);
    vi.advanceTimersByTime(100);
    expect(sent()).toBe(2);
  });

  test("is not used for a few files", async () => {
    const [disk, folder] = [openDisk(), await temporaryFolder()];
    const tried = Array.from({ length: 100 }, (_, n) => {
      const path = join(folder, `${n}`);
      return disk.trySave({ part: `${path}.part`, path, modifiedAt: null, journal: null }, [Buffer.from("x")]);
    });
    expect(tried[0]).toBe(true);
    expect(tried.at(-1)).toBe(false);
    expect(await readdir(folder)).toHaveLength(tried.filter(Boolean).length);
  });
});
