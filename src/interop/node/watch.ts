/**
 * Changes of files as a bounded sequence, over `fs.watch`.
 *
 * `fs.watch` says what the system says: it may tell of one change several times, and names are relative to the watched path. Two
 * things it does not say on Linux, so they are looked for at each "rename": that the watched path itself has vanished, and
 * that another file has taken its place, as editors do when they save; the old file is watched then, for ever in vain.
 */
import { statSync, watch as watchPath } from "node:fs";
import type { FSWatcher } from "node:fs";
import { describeValue, UsageError } from "../../core/index.ts";
import { EventSequence } from "../event-sequence.ts";
import type { EventIntake, Overflow } from "../event-sequence.ts";
import { FileWatchError } from "./watch-errors.ts";

export interface FileChange {
  /** `"rename"`: an entry came, went or was replaced. `"change"`: its content or its attributes. */
  readonly kind: "rename" | "change";
  /** Relative to the watched directory; the name of the file when one is watched. `null` where the system does not say. */
  readonly path: string | null;
}

export interface WatchOptions {
  /** For people. Default: `changes of "<path>"`. */
  readonly name?: string;
  /** Whether the directories inside are watched as well. Default: `false`. */
  readonly recursive?: boolean;
  /** How many changes may wait to be taken. Default: 1,024. */
  readonly capacity?: number;
  /** What happens to a change that finds no room; see `EventSequenceOptions`. Default: `"error"`. */
  readonly overflow?: Overflow;
}

/**
 * The changes of a file or directory from now on. The sequence belongs to the current scope: the watcher is closed when that ends,
 * when the sequence is closed, and when it fails or overflows. Cancelling a `next` takes none.
 *
 * A file that is replaced by another one of its name is watched on. At `next`, when what was kept has been taken:
 * @throws {FileWatchError} `WATCH_PATH_GONE` when the watched path has vanished; `WATCH_FAILED` when the system gives up.
 * @throws {EventOverflowError} when too many changes wait.
 *
 * At once:
 * @throws {FileWatchError} `WATCH_FAILED` when it cannot be watched: no such path, no right to, too many watchers.
 * @throws {UsageError} outside a coroutine, or for wrong options.
 * @example
 * const changes = watch("src", { recursive: true });
 * for (let it = yield* changes.next(); !it.done; it = yield* changes.next()) yield* rebuild(it.value.path);
 */
export function watch(path: string, options: WatchOptions = {}): EventSequence<FileChange> {
  if (typeof path !== "string" || path === "") {
    throw new UsageError(`watch() takes a path, got ${describeValue(path)}`);
  }
  const { recursive = false, ...rest } = options;
  const what = `changes of "${path}"`;
  return new EventSequence<FileChange>(
    what,
    (intake) => {
      const watching = new Watching(path, recursive, intake);
      return () => watching.close();
    },
    { ...rest, name: options.name ?? what },
  );
}

class Watching {
  readonly #path: string;
  readonly #recursive: boolean;
  readonly #intake: EventIntake<FileChange>;
  #watcher: FSWatcher;
  /** Of the watched path: another file under the same name has another one. */
  #identity: string | null;

  constructor(path: string, recursive: boolean, intake: EventIntake<FileChange>) {
    this.#path = path;
    this.#recursive = recursive;
    this.#intake = intake;
    this.#watcher = this.#open();
    this.#identity = identityOf(path);
  }

  close(): void {
    this.#watcher.close();
  }

  #open(): FSWatcher {
    try {
      const watcher = watchPath(this.#path, { recursive: this.#recursive, persistent: true });
      watcher.on("change", (kind, path) => this.#changed(kind as FileChange["kind"], path as string | null));
      watcher.on("error", (error) => this.#failed(error));
      return watcher;
    } catch (error) {
      throw failure(this.#path, error);
    }
  }

  #changed(kind: FileChange["kind"], path: string | null): void {
    this.#intake.push(Object.freeze({ kind, path }));
    if (kind === "rename") this.#checkPath();
  }

  #checkPath(): void {
    const identity = identityOf(this.#path);
    if (identity === this.#identity) return;
    this.#identity = identity;
    if (identity === null) {
      this.#intake.fail(new FileWatchError("WATCH_PATH_GONE", this.#path, " has ended: it was removed or renamed"));
      return;
    }
    this.#watcher.close();
    try {
      this.#watcher = this.#open();
    } catch (error) {
      this.#intake.fail(error);
    }
  }

  // On Windows a watched directory that vanishes is an error, EPERM.
  #failed(error: Error): void {
    const isGone = identityOf(this.#path) === null;
    this.#intake.fail(
      isGone
        ? new FileWatchError("WATCH_PATH_GONE", this.#path, " has ended: it was removed or renamed", { cause: error })
        : failure(this.#path, error),
    );
  }
}

function identityOf(path: string): string | null {
  try {
    const { dev, ino, birthtimeMs } = statSync(path); // the number of a removed file is soon given to another one
    return `${dev}:${ino}:${birthtimeMs}`;
  } catch {
    return null; // gone, or out of our reach, which comes to the same
  }
}

function failure(path: string, error: unknown): FileWatchError {
  const code = (error as NodeJS.ErrnoException).code ?? "unknown";
  return new FileWatchError("WATCH_FAILED", path, `: ${ADVICE[code] ?? code}`, { cause: error });
}

const ADVICE: Readonly<Record<string, string>> = {
  ENOENT: "ENOENT, there is no such file or directory",
  EACCES: "EACCES, it must not be read",
  ENOSPC: "ENOSPC, the system's limit of watches is reached (fs.inotify.max_user_watches)",
  EMFILE: "EMFILE, the limit of open files or of watchers is reached",
};
