/**
 * Why a URL was not fetched, as data: for the result line, for the summary, and for the decision to try again.
 */
import type * as Http from "node:http";
import { createRequire } from "node:module";
import { FibrilError, TimeoutError } from "fibril";
import {
  BodyTooLarge,
  ConnectError,
  HttpTimeoutError,
  InvalidRequestError,
  InvalidUrlError,
  ProtocolError,
  TooManyRedirects,
} from "fibril/http";
import { ChecksumMismatch } from "./checksum.ts";

/** The part of the work in which it happened. */
export type FailurePhase = "input" | "request" | "queue" | "connect" | "headers" | "body" | "total" | "output";

export interface Failure {
  /** Stable: `HTTP_STATUS`, `HTTP_CONNECT`, `HTTP_TIMEOUT`, …; of the file system `ENOSPC` and the like; `BAD_LINE`. */
  readonly code: string;
  readonly message: string;
  readonly phase: FailurePhase;
  /** What failures of the same kind are counted under: `404 Not Found`, `timeout (headers)`. */
  readonly label: string;
  /** Whether the same request may well succeed a little later. */
  readonly isTransient: boolean;
}

const TRANSIENT_STATUSES: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504]);

/** What statuses are called. Not by `import`, which makes Node load its whole fetch, and not before one is needed. */
function statusText(status: number): string {
  const { STATUS_CODES } = createRequire(import.meta.url)("node:http") as typeof Http;
  return STATUS_CODES[status] ?? "";
}

export function failureOfStatus(status: number): Failure {
  const label = `${status} ${statusText(status)}`.trim();
  const message = `the server answered ${label}`;
  return { code: "HTTP_STATUS", message, phase: "headers", label, isTransient: TRANSIENT_STATUSES.has(status) };
}

export function failureOfLine(problem: string): Failure {
  return { code: "BAD_LINE", message: problem, phase: "input", label: "bad line", isTransient: false };
}

/** What a request or the reading of its body has thrown. */
export function failureOfRequest(error: unknown): Failure {
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof FibrilError ? error.code : "UNKNOWN";
  if (error instanceof ConnectError) {
    const { systemCode } = error;
    return {
      code,
      message,
      phase: "connect",
      label: systemCode ?? "no connection",
      isTransient: isTransientConnect(systemCode),
    };
  }
  if (error instanceof HttpTimeoutError) {
    return { code, message, phase: error.phase, label: `timeout (${error.phase})`, isTransient: true };
  }
  if (error instanceof ProtocolError) {
    const isTransient = error.problem !== "malformed" && error.problem !== "headers-too-large";
    return {
      code,
      message,
      phase: error.afterHeaders ? "body" : "headers",
      label: PROBLEMS[error.problem],
      isTransient,
    };
  }
  const [phase, label] = otherKind(error);
  return { code, message, phase, label, isTransient: error instanceof TimeoutError };
}

const PROBLEMS: Readonly<Record<ProtocolError["problem"], string>> = {
  closed: "connection closed early",
  reset: "connection broke",
  "wrong-length": "wrong length",
  malformed: "not HTTP",
  "headers-too-large": "headers too large",
};

function otherKind(error: unknown): [FailurePhase, string] {
  if (error instanceof TooManyRedirects) return ["headers", "too many redirects"];
  if (error instanceof BodyTooLarge) return ["body", "body too large"];
  if (error instanceof InvalidUrlError) return ["headers", "redirected to no URL"]; // the one of the line was checked
  if (error instanceof InvalidRequestError) return ["request", "request not possible"];
  return ["request", error instanceof FibrilError ? error.code : "unexpected error"];
}

/** A name that does not exist and a certificate that is wrong are so the next time, too. */
function isTransientConnect(systemCode: string | undefined): boolean {
  return systemCode === undefined || !/^ENOTFOUND$|CERT|SIGNATURE|ALTNAME|^ERR_(?:SSL|TLS)/.test(systemCode);
}

/** The body came and could not be put where it belongs, or is not the one that was expected. */
export function failureOfOutput(error: unknown): Failure {
  if (error instanceof ChecksumMismatch) {
    const { code, message } = error;
    return { code, message, phase: "body", label: "wrong checksum", isTransient: false };
  }
  const { code, message } = error as NodeJS.ErrnoException;
  return { code: code ?? "OUTPUT", message, phase: "output", label: code ?? "not written", isTransient: false };
}
