/**
 * What a contestant's process tells the conductor: one JSON object a line, on its standard output.
 *
 * Plain lines rather than Node's own message channel, because a contestant that blocks its loop must still get its
 * lines out: they are written synchronously. It also means that a contestant can be run by hand and read.
 */
import type { Figures, RequestSpan, Warning } from "./report.ts";

export type ContestantEvent =
  /** The program runs: process and modules are loaded. */
  | { readonly type: "loaded" }
  /** All preparations are made; the clock of the requests starts now. */
  | { readonly type: "open" }
  | { readonly type: "begin"; readonly request: number }
  | { readonly type: "end"; readonly request: number; readonly ok: boolean }
  | { readonly type: "done"; readonly measured: Measured }
  | { readonly type: "failed"; readonly error: string };

export interface Measured {
  readonly figures: Figures;
  readonly requests: readonly RequestSpan[];
  readonly warnings: readonly Warning[];
}
