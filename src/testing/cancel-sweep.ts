/**
 * Cancels a program at every step it has, one run for each, and checks that nothing leaks and all cleanup ran.
 *
 * Bugs of cancellation sit between two particular steps: a permit taken but its release not yet registered. Picking the
 * moment by hand finds the ones you thought of; the sweep finds the others.
 * Source: the interruption sweeps in Effect's own tests.
 */
import type { Operation } from "../core/index.ts";
import { simulateSync } from "./simulate.ts";
import type { SimulateOptions, Simulation } from "./simulate.ts";

export interface SweepProgram {
  readonly main: () => Operation<unknown>;
  /** Called after the run; throws when something was left behind. */
  readonly check?: (simulation: Simulation<unknown>) => void;
}

export interface SweepOptions extends SimulateOptions {
  /** Whom to cancel: the main task (default), or the task that has just run a step. */
  readonly target?: "main" | "stepped";
  /** Whether the program ends with an error of its own. Default: `false`, since a broken program would pass every check. */
  readonly mayFail?: boolean;
}

export interface Sweep {
  /** How many runs were made: one for every step, and one before the first. */
  readonly runs: number;
  /** In how many of them the main task was cancelled in the end; the rest had their value already. */
  readonly cancelled: number;
}

/**
 * @param program Makes the program anew for every run, with its own state.
 * @throws {Error} that names the step, when a run leaks or its check throws.
 * @example
 * cancelSweep(() => { const pool = new Pool(); return { main: () => work(pool), check: () => expect(pool.free).toBe(3) } });
 */
export function cancelSweep(program: () => SweepProgram, options: SweepOptions = {}): Sweep {
  const whole = runOnce(program(), options, -1);
  if (whole.outcome.status === "failed" && options.mayFail !== true) {
    const message = `the program fails without being cancelled: ${String(whole.outcome.error)}; pass { mayFail: true } if it should`;
    throw new Error(message, { cause: whole.outcome.error });
  }
  let cancelled = 0;
  for (let step = 0; step <= whole.steps; step++) {
    if (runOnce(program(), options, step).outcome.status === "cancelled") cancelled++;
  }
  return { runs: whole.steps + 1, cancelled };
}

function runOnce(program: SweepProgram, options: SweepOptions, cancelAt: number): Simulation<unknown> {
  const simulation = simulateSync(program.main, options, (main, stepped, steps) => {
    if (steps === cancelAt) (options.target === "stepped" && stepped !== null ? stepped : main).cancel("cancel sweep");
  });
  const when = cancelAt < 0 ? "without cancelling" : `cancelled after step ${cancelAt}`;
  if (simulation.leaks.length > 0) throw new Error(`${when}: ${simulation.leaks.join("; ")}`);
  try {
    program.check?.(simulation);
  } catch (error) {
    throw new Error(`${when}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  return simulation;
}
