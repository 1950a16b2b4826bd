/** All rows, in the order in which `all` runs them and the table prints them. */
import type { Row } from "../row.ts";
import { bridgeAwaitRow, bridgeUntilRow } from "./bridge.ts";
import { callRow, callWaitRow } from "./call.ts";
import { cancelRow } from "./cancel.ts";
import { channelBufferedRow, channelManyRow, channelRow } from "./channel.ts";
import { depthRow } from "./depth.ts";
import { lagRow } from "./lag.ts";
import { lockRow } from "./lock.ts";
import { mapRow } from "./map.ts";
import { memoryRow } from "./memory.ts";
import { probeRow } from "./probe.ts";
import { selectRow } from "./select.ts";
import { sizeRow } from "./size.ts";
import { spawnClosureRow, spawnRow, spawnWaitRow } from "./spawn.ts";
import { spawnFloorRow } from "./spawn-floor.ts";
import { startRow } from "./start.ts";
import { switchRow } from "./switch.ts";
import { timersCancelRow, timersFireRow, timersRow, timersSameRow, timersSetRow } from "./timers.ts";

export const rows: readonly Row[] = [
  switchRow,
  depthRow,
  callRow,
  callWaitRow,
  spawnRow,
  spawnWaitRow,
  spawnClosureRow,
  spawnFloorRow,
  memoryRow,
  timersRow,
  timersSetRow,
  timersCancelRow,
  timersSameRow,
  timersFireRow,
  channelRow,
  channelBufferedRow,
  channelManyRow,
  lockRow,
  mapRow,
  cancelRow,
  selectRow,
  bridgeUntilRow,
  bridgeAwaitRow,
  lagRow,
  startRow,
  sizeRow,
  probeRow,
];
