/** The thread of the disk: saves what it is sent, batch by batch, and answers with what went wrong. See `disk.ts`. */
import { parentPort } from "node:worker_threads";
import { saveFile } from "./save-file.ts";
import type { SmallFile } from "./save-file.ts";

export interface Batch {
  readonly files: readonly SmallFile[];
  /** Where each body ends in `bytes`. */
  readonly ends: readonly number[];
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export interface Answer {
  /** One for each file; `null`: saved. */
  readonly problems: readonly (null | { readonly code: string | undefined; readonly message: string })[];
  /** Given back, to be used again. */
  readonly buffer: ArrayBuffer;
}

parentPort!.on("message", ({ files, ends, bytes }: Batch) => {
  let start = 0;
  const problems = files.map((file, index): Answer["problems"][number] => {
    const body = bytes.subarray(start, ends[index]);
    start = ends[index]!;
    try {
      saveFile(file, [body]);
      return null;
    } catch (error) {
      return { code: (error as NodeJS.ErrnoException).code, message: (error as Error).message };
    }
  });
  const answer: Answer = { problems, buffer: bytes.buffer };
  parentPort!.postMessage(answer, [bytes.buffer]);
});
