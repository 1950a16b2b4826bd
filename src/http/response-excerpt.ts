/**
 * The beginning of a body, for the message of an error: whoever hears of a status wants to know what the server says about it, and does not
 * want to wait for it.
 */
import { Cancelled } from "../core/index.ts";
import type { Coroutine, Operation } from "../core/index.ts";
import { moveOnAfter } from "../time/index.ts";

/** How much of it is shown. */
export const EXCERPT_BYTES = 1024;
const EXCERPT_MS = 250;

interface ReadableBody {
  chunk(): Operation<Uint8Array | undefined>;
  discard(): Operation<void>;
  close(): void;
}

/** What can be had of it in a short time; the rest is given up. */
export function* readExcerpt(body: ReadableBody): Coroutine<string> {
  const kept: Uint8Array[] = [];
  try {
    yield* moveOnAfter(EXCERPT_MS, readBeginning(body, kept));
    yield* body.discard();
  } catch (error) {
    if (error instanceof Cancelled) throw error;
    body.close(); // the status is what went wrong first
  }
  return excerptOf(kept);
}

export function excerptOf(chunks: readonly Uint8Array[]): string {
  return Buffer.concat(chunks).subarray(0, EXCERPT_BYTES).toString("utf8");
}

function* readBeginning(body: ReadableBody, kept: Uint8Array[]): Coroutine<void> {
  for (let size = 0; size < EXCERPT_BYTES;) {
    const chunk = yield* body.chunk();
    if (chunk === undefined) return;
    kept.push(chunk);
    size += chunk.byteLength;
  }
}
