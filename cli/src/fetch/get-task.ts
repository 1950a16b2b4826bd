/** `get`: bodies into files, or to the standard output, or only counted and hashed. */
import type { Coroutine } from "fibril";
import type { Session } from "fibril/http";
import type { Attempt } from "./attempt.ts";
import { Download } from "./download.ts";
import type { Job } from "./job.ts";
import type { OutputStream } from "./output-stream.ts";
import type { Settings } from "./settings.ts";
import { Storage } from "./storage.ts";
import type { Tally } from "./tally.ts";
import type { FetchTask, Received } from "./task.ts";

export class GetTask implements FetchTask {
  readonly findsMore = false;
  readonly printsFailures = false;
  readonly #settings: Settings;
  readonly #tally: Tally;
  readonly #storage: Storage;
  #download: Download | null = null;

  /** @throws {CommandLineError} when the journal cannot be used. */
  constructor(settings: Settings, tally: Tally, output: OutputStream) {
    this.#settings = settings;
    this.#tally = tally;
    this.#storage = new Storage(settings, output);
  }

  get mayRepeat(): boolean {
    return !this.#settings.wanted.body || this.#tally.receivedBytes === 0;
  }

  begin(session: Session): void {
    this.#download = new Download(session, this.#settings, this.#tally, this.#storage);
  }

  admit(job: Job, n: number): "finished" | { readonly problem: string } | undefined {
    return this.#storage.admit(job, n);
  }

  attempt(job: Job, received: Received): Coroutine<Attempt> {
    return this.#download!.attempt(job, received);
  }

  *concluded(job: Job, { failure, bytes, sha256, isUnchanged }: Attempt): Coroutine<void> {
    if (failure !== null) this.#storage.failed(job, failure.code, failure.message);
    else if (isUnchanged !== true) this.#storage.succeeded(job, bytes, sha256);
  }

  close(): void {
    this.#storage.close();
  }
}
