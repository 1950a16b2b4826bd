/**
 * The part of a download and its note, on disk: what has come, and of which URL and version it is.
 *
 * What a cancelled call leaves is the next call's beginning, so no step here may go on behind its back: each one that changes the
 * disk is shielded.
 */
import { open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { shield, until } from "../../core/index.ts";
import type { Coroutine } from "../../core/index.ts";
import { ifRangeOf } from "./conditional.ts";
import type { Validators } from "./conditional.ts";

/** What an earlier call has left. */
export interface Found {
  readonly sizeBytes: number;
  readonly validators: Validators;
}

/** The part of a download and its note, on disk. */
export class Part {
  readonly target: string;
  readonly path: string;
  readonly #notePath: string;
  readonly #url: string;

  constructor(target: string, url: string) {
    this.target = target;
    this.path = `${target}.part`;
    this.#notePath = `${this.path}.json`;
    this.#url = url;
  }

  /** What can be gone on with; `null` when there is nothing. */
  *find(): Coroutine<Found | null> {
    try {
      const note = JSON.parse(yield* until(readFile(this.#notePath, "utf8"))) as Partial<Note> | null;
      const { size } = yield* until(stat(this.path));
      const validators = note?.validators ?? {};
      if (note?.url !== this.#url || size === 0) return null;
      const isUsable = [validators.etag, validators.lastModified].every(
        (it) => it === undefined || typeof it === "string",
      );
      return isUsable && ifRangeOf(validators) !== undefined ? { sizeBytes: size, validators } : null;
    } catch (error) {
      if ((error as { readonly code?: unknown }).code !== "ENOENT" && !(error instanceof SyntaxError)) throw error;
      return null; // there is none, or none that can be read
    }
  }

  /** Says what the part is going to be, before it is. */
  *note(validators: Validators | null): Coroutine<void> {
    const note: Note | null = validators === null ? null : { url: this.#url, validators };
    // First the old part goes: it must never stand beside the new note. Shielded: what goes on after a cancellation would hit the next call.
    yield* shield(until(rm(this.path, { force: true })));
    yield* shield(
      until(note === null ? rm(this.#notePath, { force: true }) : writeFile(this.#notePath, JSON.stringify(note))),
    );
  }

  *remove(): Coroutine<void> {
    yield* shield(until(Promise.all([rm(this.path, { force: true }), rm(this.#notePath, { force: true })])));
  }

  /** Gives it its name: not to be cancelled between the two steps. */
  *rename(sync: boolean): Coroutine<void> {
    yield* shield(until(this.#renameNow(sync)));
  }

  async #renameNow(sync: boolean): Promise<void> {
    await rename(this.path, this.target);
    await rm(this.#notePath, { force: true });
    if (!sync) return;
    const directory = await open(dirname(this.target), "r");
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }
}

interface Note {
  readonly url: string;
  readonly validators: Validators;
}
