/**
 * What one comparison found out: plain data, and the only thing that the printers know.
 *
 * `--json` prints it as it is, so the names here are the public names. Durations are milliseconds, memory is MiB.
 */
import type { ContestantKey, ContestantName } from "./contestants.ts";
import type { Settings } from "./settings.ts";

export interface Report {
  readonly settings: Settings;
  readonly machine: Machine;
  readonly rows: readonly Row[];
}

export interface Machine {
  readonly node: string;
  readonly cores: number;
  readonly platform: string;
  /** A process of this Node that runs the same measuring program and no request: what no row can go below. */
  readonly emptyPeakRssMb: number;
  readonly emptyThreads: number;
}

export type Row = FinishedRow | FailedRow;

interface RowHead {
  readonly key: ContestantKey;
  readonly name: ContestantName;
  readonly title: string;
  readonly requests: readonly RequestSpan[];
  readonly warnings: readonly Warning[];
}

export interface FinishedRow extends RowHead, Figures {
  readonly outcome: "finished";
  /** Against the same requests one after another: requests × delay / wall time. */
  readonly speedup: number;
  /** From the start of the process until its program runs. */
  readonly processStartMs: number;
}

export interface FailedRow extends RowHead {
  readonly outcome: "failed";
  readonly error: string;
}

/** What a contestant measures about itself, in a process of its own. */
export interface Figures {
  /** From the start of the requests to the end of the last. Start-up is not in it. */
  readonly wallMs: number;
  /** What had to be prepared before the first request: threads, a session. */
  readonly setUpMs: number;
  /** The most that the process ever held, start-up included. */
  readonly peakRssMb: number;
  /** The most threads seen, as the operating system counts them (Node itself has about seven). */
  readonly threads: number;
  /** How late, at worst, a timer of the main thread fired while the requests ran. */
  readonly loopLagMs: number;
}

/** One request, in milliseconds since the first of its row began. */
export interface RequestSpan {
  readonly startMs: number;
  readonly endMs: number;
  readonly ok: boolean;
}

/** A coroutine held the loop. Where it did so is known only when its thread could be looked at in time. */
export interface Warning {
  readonly task: string;
  readonly blockedMs: number;
  /** The line that held the loop. */
  readonly at?: CodePlace;
  /** The line that called it, when that is another file. */
  readonly calledFrom?: CodePlace;
}

export interface CodePlace {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly function: string;
}
