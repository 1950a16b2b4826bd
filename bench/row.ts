/**
 * What a row of the benchmark is: one piece of work, written once for each contestant.
 *
 * All contestants of a row stand in one file (`rows/<name>.ts`), so that a reader can check with one look that they
 * do the same work. Each of them loads its own library only when it is asked to run: a child process that measures
 * native promises must not carry Effect in its heap, nor in its code caches. What other languages do for a row is in
 * `python/bench.py` and `go/main.go`, under the row's name.
 */
import type { LagMeter, Sleepers } from "./meter.ts";

/** One timed stretch of work inside a child process. */
export interface Sample {
  readonly ns: number;
  /** Operations that were timed; `ns / ops` is the figure. */
  readonly ops: number;
}

/**
 * Does at least `ops` operations at size `n`, times them itself and checks that they were really done.
 *
 * Rejects when a counter or a checksum is wrong: a contestant that skips its work must not win. Work whose size alone says
 * how much is done may do less than `ops`.
 */
export type TimedProgram = (n: number, ops: number) => Promise<Sample>;

/** Puts `sleepers.count` tasks to sleep and ends when all of them have woken. */
export type SleepProgram = (sleepers: Sleepers) => Promise<void>;

/** Keeps `meter.tasks` tasks busy until `meter.switched()` says that it is over. */
export type BusyProgram = (meter: LagMeter) => Promise<void>;

interface Named {
  readonly name: string;
  /** The largest size this contestant is asked for. Default: every size. Printed with the table. */
  readonly maxSize?: number;
  /** Memory only: starting a task takes about this long; the tasks sleep until all are started. Default: 4; too short is noticed. */
  readonly startUs?: number;
  /** Why `maxSize` is there, or in what the work differs. One sentence. */
  readonly note?: string;
}

export interface Contestant<Program> extends Named {
  /** Imports the library and gives back the work. Called once in a process. */
  load(): Promise<Program>;
}

/** Languages that a row may have a contestant of; where the machine lacks one, its contestants are left out. */
export type Language = "python" | "go";

/** A whole program in another language, which measures itself and prints what a child process of ours prints. */
export interface Foreigner extends Named {
  readonly name: Language;
  readonly language: Language;
}

/** The contestant of a row in another language. */
export function foreign(language: Language, more: Omit<Foreigner, "name" | "language"> = {}): Foreigner {
  return { name: language, language, ...more };
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
  /** Ascending. */
  readonly sizes: readonly number[];
  /** Rounds when the command line does not say. */
  readonly rounds: number;
  readonly targets: readonly Target[];
}

export interface TimedRow extends Described {
  readonly kind: "time";
  /** What one operation is: "switch", "call". */
  readonly operation: string;
  readonly contestants: readonly (Contestant<TimedProgram> | Foreigner)[];
}

export interface MemoryRow extends Described {
  readonly kind: "memory";
  readonly contestants: readonly (Contestant<SleepProgram> | Foreigner)[];
}

export interface LagRow extends Described {
  readonly kind: "lag";
  readonly contestants: readonly (Contestant<BusyProgram> | Foreigner)[];
}

/** A program that ends as soon as its library is there; the whole process is timed from outside. */
export interface Start extends Named {
  /** A module of Node, or what stands after `-c` for another language. */
  readonly code: string;
  readonly language?: Language;
}

export interface StartRow extends Described {
  readonly kind: "start";
  readonly contestants: readonly Start[];
}

/** What a bundle holds: a module that exports what a program of the first `n` features uses. */
export interface Bundled extends Named {
  module(features: number): string;
}

export interface SizeRow extends Described {
  readonly kind: "size";
  readonly contestants: readonly Bundled[];
  /** What each size stands for. */
  readonly labels: readonly string[];
}

export type Row = TimedRow | MemoryRow | LagRow | StartRow | SizeRow;
