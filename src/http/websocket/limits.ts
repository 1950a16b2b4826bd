/**
 * The limits of an open WebSocket: what may wait, and for how long. All are bounded unless it is said otherwise.
 */
import { UsageError } from "../../core/index.ts";
import { checkCount } from "../limits.ts";

/** Limits of an open WebSocket; those of client and server have more. */
export interface WebSocketLimits {
  /** How many messages may wait to be received before the peer is held back. Default: 64. */
  readonly capacity?: number;
  /** How many bytes may wait to be written before `send` waits. Default: 1 MiB. A larger message goes alone. */
  readonly maxBufferedBytes?: number;
  /**
   * A ping is sent after this silence, in milliseconds, and the connection is given up when the same time passes again
   * without a sign of life. Default: 30,000. `Infinity`: never.
   */
  readonly heartbeatMs?: number;
  /** How long closing may wait for the peer's answer, in milliseconds; then the connection is cut. Default: 2,000. */
  readonly closeMs?: number;
}

const DEFAULT_CAPACITY = 64;
const DEFAULT_MAX_BUFFERED_BYTES = 1024 * 1024;
const DEFAULT_HEARTBEAT_MS = 30_000; // routers forget silent connections after a minute, many proxies too
const DEFAULT_CLOSE_MS = 2_000; // well below the 5 s that the cleanup after a cancellation may take

/** Checked before anything is opened. @throws {UsageError} */
export function checkSocketLimits(limits: WebSocketLimits): Required<WebSocketLimits> {
  const {
    capacity = DEFAULT_CAPACITY,
    maxBufferedBytes = DEFAULT_MAX_BUFFERED_BYTES,
    heartbeatMs = DEFAULT_HEARTBEAT_MS,
    closeMs = DEFAULT_CLOSE_MS,
  } = limits;
  checkCount("capacity", capacity, 1);
  checkCount("maxBufferedBytes", maxBufferedBytes, 1);
  for (const [name, ms] of Object.entries({ heartbeatMs, closeMs })) {
    if (typeof ms !== "number" || !(ms >= (name === "heartbeatMs" ? 1 : 0))) {
      throw new UsageError(`${name} must be a number of milliseconds (Infinity for none), got ${String(ms)}`);
    }
  }
  return { capacity, maxBufferedBytes, heartbeatMs, closeMs };
}
