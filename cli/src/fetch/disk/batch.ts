/**
 * What the main thread and the thread of the disk send each other: many files as one text, one array of numbers, one of bytes.
 *
 * Objects would say the same; the engine would copy the names of their fields once for each file.
 */
import type { SmallFile } from "./save-file.ts";

export interface Batch {
  /** For each file its part, its path, and its line of the journal, with NULs between, which none of them can have. */
  readonly texts: string;
  /** For each file where its body ends in `bytes`, when it was changed, and the descriptor of its journal; NaN: none. */
  readonly numbers: Float64Array<ArrayBuffer>;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export interface Answer {
  /** What could not be saved, by its place in the batch. */
  readonly problems: readonly Problem[];
  /** Given back, to be used again. */
  readonly buffer: ArrayBuffer;
}

export interface Problem {
  readonly index: number;
  readonly code: string | undefined;
  readonly message: string;
}

const FIELDS = 3;

/** @param ends Where each body ends in `bytes`. */
export function packed(files: readonly SmallFile[], ends: readonly number[], bytes: Uint8Array<ArrayBuffer>): Batch {
  const numbers = new Float64Array(files.length * FIELDS);
  const texts: string[] = [];
  let at = 0;
  for (const [index, { part, path, modifiedAt, journal }] of files.entries()) {
    texts.push(part, path, journal?.line ?? "");
    numbers[at++] = ends[index]!;
    numbers[at++] = modifiedAt ?? NaN;
    numbers[at++] = journal?.descriptor ?? NaN;
  }
  return { texts: texts.join("\0"), numbers, bytes };
}

export interface Unpacked {
  readonly files: readonly SmallFile[];
  readonly bodies: readonly Uint8Array[];
}

export function unpacked({ texts, numbers, bytes }: Batch): Unpacked {
  const fields = texts.split("\0");
  const files: SmallFile[] = [];
  const bodies: Uint8Array[] = [];
  let start = 0;
  for (let at = 0; at < numbers.length; at += FIELDS) {
    const [end, modifiedAt, descriptor] = [numbers[at]!, numbers[at + 1]!, numbers[at + 2]!];
    files.push({
      part: fields[at]!,
      path: fields[at + 1]!,
      modifiedAt: Number.isNaN(modifiedAt) ? null : modifiedAt,
      journal: Number.isNaN(descriptor) ? null : { descriptor, line: fields[at + 2]! },
    });
    bodies.push(bytes.subarray(start, end));
    start = end;
  }
  return { files, bodies };
}
