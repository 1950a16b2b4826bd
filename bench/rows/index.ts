/** All rows, in the order in which `all` runs them and the table prints them. */
import type { Row } from "../row.ts";
import { callRow, callWaitRow } from "./call.ts";
import { depthRow } from "./depth.ts";
import { memoryRow } from "./memory.ts";
import { probeRow } from "./probe.ts";
import { spawnRow, spawnWaitRow } from "./spawn.ts";
import { switchRow } from "./switch.ts";
import { timersRow, timersSameRow } from "./timers.ts";

export const rows: readonly Row[] = [
  switchRow,
  depthRow,
  callRow,
  callWaitRow,
  spawnRow,
  spawnWaitRow,
  memoryRow,
  timersRow,
  timersSameRow,
  probeRow,
];
