/**
 * Whose turn it is in a pool thread: one job has it, the others stand here in the order of the orders.
 *
 * A job has the turn also while its module is imported, or the kernel is loaded for it: nobody overtakes. In a loop thread nobody keeps it longer than that.
 */
import type { RunOrder } from "./thread-run.ts";

const waiting: RunOrder[] = [];
let begin: (order: RunOrder) => void = () => {};
/** Whether somebody has it; while it is prepared, the thread itself does. */
export let isBusy = true;

/** The thread is prepared. Those who have come meanwhile have their turn, and whoever comes. */
export function openLine(beginner: (order: RunOrder) => void): void {
  begin = beginner;
  giveTurn();
  pump();
}

export function takeTurn(): void {
  isBusy = true;
}

/** The next one begins with `pump`. */
export function giveTurn(): void {
  isBusy = false;
}

export function enter(order: RunOrder): void {
  if (isBusy || waiting.length > 0) {
    waiting.push(order);
    if (!isBusy) pump();
  } else begin(order);
}

export function pump(): void {
  while (!isBusy) {
    const order = waiting.shift();
    if (order === undefined) return;
    begin(order);
  }
}
