/**
 * `--compare`: the same list once more, with `curl --parallel`.
 *
 * The list is written down while we fetch, since an input may come through a pipe and cannot be read twice. Curl gets what it can
 * do as we do: GET of the URL, with the headers of the command line, into files of a folder that is removed afterwards, or to nowhere when
 * we saved nothing either. It comes second, so caches that are warm then are in its favour.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Coroutine } from "fibril";
import { EventLoop } from "fibril";
import { ProcessSpawnError, spawnProcess } from "fibril/interop/node";
import { timeSpan, whole } from "./format.ts";
import type { Job } from "./job.ts";
import { AppendFile } from "./journal/append-file.ts";
import type { Settings } from "./settings.ts";

const MOST_OF_CURL = 300; // its own limit of --parallel-max
const FILES_PER_FOLDER = 1_000;

export class CurlComparison {
  readonly #settings: Settings;
  readonly #home: string;
  readonly #config: AppendFile;
  #count = 0;
  #others = 0;

  constructor(settings: Settings) {
    this.#settings = settings;
    this.#home = mkdtempSync(join(tmpdir(), "fibril-compare-"));
    this.#config = new AppendFile(join(this.#home, "curl.txt"));
  }

  /** Adds a request to curl's list; those that are no plain GET are only counted. */
  add(job: Job): void {
    if (
      (job.request?.method ?? this.#settings.method ?? "GET") !== "GET" ||
      this.#settings.data !== undefined ||
      job.request?.body !== undefined
    ) {
      this.#others++;
      return;
    }
    const { href } = new URL(job.url);
    this.#config.append(`url = "${escaped(href)}"\noutput = "${escaped(this.#place())}"`);
    this.#count++;
  }

  /** Runs curl. @param ourMs How long we took. @returns lines for people. Cancelling ends it. */
  *run(ourMs: number): Coroutine<string[]> {
    const atOnce = Math.min(this.#settings.concurrency, MOST_OF_CURL);
    const headers = this.#settings.headers.flatMap(([name, values]) =>
      values.flatMap((value) => ["--header", `${name}: ${value}`]),
    );
    const flags = ["--parallel", "--parallel-max", String(atOnce), "--silent", "--location", "--globoff"];
    const args = [...flags, "--write-out", "%{http_code}\\n", ...headers, "--config", join(this.#home, "curl.txt")];
    const startedAt = EventLoop.current().now();
    try {
      const curl = yield* spawnProcess("curl", args, { stdin: "ignore", stderr: "ignore" });
      let good = 0;
      const codes = curl.stdout!.lines();
      for (let line = yield* codes.next(); line.done !== true; line = yield* codes.next()) {
        if (/^[23]/.test(line.value)) good++;
      }
      yield* curl.wait();
      const curlMs = EventLoop.current().now() - startedAt;
      const others = this.#others === 0 ? "" : `; ${whole(this.#others)} others are no plain GET`;
      return [
        `curl --parallel --parallel-max ${atOnce}: ${whole(good)} of ${whole(this.#count)} fetched in ${timeSpan(curlMs)}${others}`,
        `fibril fetch: ${timeSpan(ourMs)}, ${(ourMs / Math.max(curlMs, 0.1)).toFixed(2)} × curl's time`,
      ];
    } catch (error) {
      if (error instanceof ProcessSpawnError) return ["--compare: there is no curl to compare with"];
      throw error;
    }
  }

  /** Takes the files away. */
  close(): void {
    this.#config.close();
    rmSync(this.#home, { recursive: true, force: true });
  }

  #place(): string {
    if (this.#settings.wanted.folder === undefined) return "/dev/null";
    const folder = join(this.#home, String(Math.floor(this.#count / FILES_PER_FOLDER)));
    if (this.#count % FILES_PER_FOLDER === 0) mkdirSync(folder, { recursive: true });
    return join(folder, String(this.#count));
  }
}

function escaped(text: string): string {
  return text.replace(/["\\]/g, "\\$&");
}
