/**
 * For tests of coroutines: virtual time, seeded orders, cancellation at every step.
 */
export { cancelSweep } from "./cancel-sweep.ts";
export type { Sweep, SweepOptions, SweepProgram } from "./cancel-sweep.ts";
export { lastInFirstOut, seededOrder, seededRandom } from "./seeded-order.ts";
export { simulate, simulateSync } from "./simulate.ts";
export type { SimulateOptions, Simulation } from "./simulate.ts";
export { VirtualClock, VirtualHost } from "./virtual-time.ts";
export type { Drained } from "./virtual-time.ts";
