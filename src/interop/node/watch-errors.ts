/**
 * What can go wrong with watching files.
 */
import { FibrilError } from "../../core/index.ts";

/**
 * A path cannot be watched (any more). Codes: `WATCH_FAILED` (it could not be begun, or the system gave an error, which is the
 * `cause`) and `WATCH_PATH_GONE` (it was watched and vanished).
 */
export class FileWatchError extends FibrilError {
  readonly path: string;

  constructor(code: "WATCH_FAILED" | "WATCH_PATH_GONE", path: string, what: string, options?: ErrorOptions) {
    super(code, `${code === "WATCH_FAILED" ? "cannot watch" : "watching"} "${path}"${what}`, options);
    this.path = path;
  }
}
