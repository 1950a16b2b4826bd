/**
 * How a WebSocket may end: the codes that can be sent, those that mean that all is well, and what the faults that `ws` finds mean.
 */
import { UsageError } from "../../core/index.ts";
import type { WebSocketClose } from "./errors.ts";

/** The messages ended in good order: done, going away, no code given. Anything else is for the reader to know. */
export const GOOD_CODES: ReadonlySet<number> = new Set([1000, 1001, 1005]);

/** @throws {UsageError} */
export function checkClose(code: number, reason: string): void {
  const isSendable =
    (code >= 1000 && code <= 1014 && ![1004, 1005, 1006].includes(code)) || (code >= 3000 && code <= 4999);
  if (!Number.isInteger(code) || !isSendable) {
    throw new UsageError(
      `a WebSocket cannot be closed with code ${String(code)}; use 1000, 1001, or 3000 to 4999 for your own protocol`,
    );
  }
  if (typeof reason !== "string" || Buffer.byteLength(reason) > 123) {
    throw new UsageError("the reason of a close is a text of at most 123 bytes");
  }
}

/** Faults that `ws` finds in what the peer sends, and the codes that it sends back for them. */
const FAULTS: Readonly<Record<string, number>> = {
  WS_ERR_UNSUPPORTED_MESSAGE_LENGTH: 1009,
  WS_ERR_INVALID_UTF8: 1007,
  WS_ERR_TOO_MANY_BUFFERED_PARTS: 1008,
};

export function closeFor(error: Error): WebSocketClose {
  const { code } = error as { readonly code?: unknown };
  if (typeof code !== "string" || !code.startsWith("WS_ERR_")) return { code: 1006, reason: "", wasClean: false };
  return { code: FAULTS[code] ?? 1002, reason: "", wasClean: false };
}

export function explain(error: Error): string {
  const { code } = error as { readonly code?: unknown };
  if (code === "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH") {
    return "the peer sent a message that is larger than allowed; raise maxMessageBytes";
  }
  return typeof code === "string" && code.startsWith("WS_ERR_")
    ? `the peer does not speak the protocol (${error.message})`
    : error.message;
}
