/**
 * Cookies that outlive a run, in a file as Netscape, curl and wget write it. What is in it is sent where it belongs; what servers
 * set comes in, and the file is replaced at the end, however the run ends.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import type { Coroutine } from "fibril";
import { CookieJar } from "fibril/http";
import { CommandLineError } from "../command-line-error.ts";

const ONLY_FOR_THE_OWNER = 0o600;

export class CookieFile {
  readonly jar: CookieJar;
  readonly #path: string;

  private constructor(path: string, jar: CookieJar) {
    this.#path = path;
    this.jar = jar;
  }

  /** A file that is not there yet is an empty one. @throws {CommandLineError} when it cannot be read. */
  static *open(path: string): Coroutine<CookieFile> {
    let text: string | undefined;
    try {
      text = existsSync(path) ? readFileSync(path, "utf8") : undefined;
    } catch (error) {
      throw new CommandLineError(`cannot read the cookies ${path}: ${(error as Error).message}`);
    }
    return new CookieFile(path, text === undefined ? yield* CookieJar.open() : yield* CookieJar.load(text));
  }

  /** Replaces the file. @throws what the file system reports. */
  save(): void {
    writeFileSync(`${this.#path}.part`, this.jar.toCookiesTxt(), { mode: ONLY_FOR_THE_OWNER });
    renameSync(`${this.#path}.part`, this.#path);
  }
}
