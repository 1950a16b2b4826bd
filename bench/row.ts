/**
 * What a row of the benchmark is: one piece of work, written once for each contestant.
 *
 * All contestants of a row stand in one file (`rows/<name>.ts`), so that a reader can check with one look that they
 * do the same work. Each of them loads its own library only when it is asked to run: a child process that measures
 * native promises must not carry Effect in its heap, nor in its code caches.
 */
import type { Sleepers } from "./meter.ts";

/** One timed stretch of work inside a child process. */
export interface Sample {
  readonly ns: number;
  /** Operations that were timed; `ns / ops` is the figure. */
  readonly ops: number;
}

/**
 * Does at least `ops` operations at size `n`, times them itself and checks that they were really done.
 *
 * Rejects when a counter or a checksum is wrong: a contestant that skips its work must not win.
 */
export type TimedProgram = (n: number, ops: number) => Promise<Sample>;

/** Puts `sleepers.count` tasks to sleep and ends when all of them have woken. */
export type SleepProgram = (sleepers: Sleepers) => Promise<void>;

export interface Contestant<Program> {
  readonly name: string;
  /** Imports the library and gives back the work. Called once in a process. */
  load(): Promise<Program>;
  /** The largest size this contestant is asked for. Default: every size. Printed with the table. */
  readonly maxSize?: number;
  /** Memory only: starting a task takes about this long; the tasks sleep until all are started. Default: 4; too short is noticed. */
  readonly startUs?: number;
  /** Why `maxSize` is there, or in what the work differs. One sentence. */
  readonly note?: string;
}

/** A promise of the design: `of` costs at most `atMost` times what `to` costs at size `n`. */
export interface Target {
  readonly n: number;
  readonly of: string;
  readonly to: string;
  readonly atMost: number;
}

interface Described {
  readonly name: string;
  /** One line for the table: what is done. */
  readonly title: string;
  /** What the sizes count: "tasks", "frames deep". */
  readonly sizeOf: string;
  readonly sizes: readonly number[];
  /** Rounds when the command line does not say. */
  readonly rounds: number;
  readonly targets: readonly Target[];
}

export interface TimedRow extends Described {
  readonly kind: "time";
  /** What one operation is: "switch", "call". */
  readonly operation: string;
  readonly contestants: readonly Contestant<TimedProgram>[];
}

export interface MemoryRow extends Described {
  readonly kind: "memory";
  readonly contestants: readonly Contestant<SleepProgram>[];
}

export type Row = TimedRow | MemoryRow;
