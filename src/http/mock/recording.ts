/**
 * The file of a recording: requests and their answers, as JSON that can be read, reviewed and edited.
 *
 * Secrets are taken out before anything is written: a recording goes into a repository.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { ReplayFileError } from "./errors.ts";

/** Text where it is one, else base64. */
export type RecordedBody = { readonly text: string } | { readonly base64: string } | null;

export interface RecordedExchange {
  readonly request: {
    readonly method: string;
    readonly url: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: RecordedBody;
  };
  readonly response: {
    readonly status: number;
    readonly headers: readonly (readonly [string, string])[];
    readonly body: RecordedBody;
  };
}

interface RecordingFile {
  readonly fibrilRecording: 1;
  readonly exchanges: readonly RecordedExchange[];
}

export const REDACTED = "[redacted]";

/** Always redacted. */
export const SECRET_HEADERS: readonly string[] = [
  "authentication-info", // a nonce that the next request may use
  "authorization",
  "cookie",
  "proxy-authorization",
  "set-cookie",
  // not of a standard, but what many services read their keys from
  "api-key",
  "apikey",
  "x-amz-security-token",
  "x-api-key",
  "x-auth-token",
  "x-csrf-token",
];

export function encodeBody(bytes: Uint8Array): RecordedBody {
  if (bytes.byteLength === 0) return null;
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = buffer.toString("utf8");
  return Buffer.from(text, "utf8").equals(buffer) ? { text } : { base64: buffer.toString("base64") };
}

export function decodeBody(body: RecordedBody): Uint8Array {
  if (body === null) return new Uint8Array(0);
  return "text" in body ? Buffer.from(body.text, "utf8") : Buffer.from(body.base64, "base64");
}

/**
 * Written beside the file and moved over it, so that there is never half a recording.
 * @param isComplete Otherwise it only takes the place of none.
 */
export function writeRecording(file: string, exchanges: readonly RecordedExchange[], isComplete: boolean): void {
  const content: RecordingFile = { fibrilRecording: 1, exchanges };
  const beside = `${file}.new`;
  writeFileSync(beside, `${JSON.stringify(content, null, 2)}\n`);
  if (isComplete || !existsSync(file)) renameSync(beside, file);
}

/** @throws {ReplayFileError} */
export function readRecording(file: string): readonly RecordedExchange[] {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(file, "utf8"));
  } catch (cause) {
    throw new ReplayFileError(file, cause instanceof Error ? cause.message : String(cause), cause);
  }
  const { fibrilRecording, exchanges } = (content ?? {}) as Partial<RecordingFile>;
  if (fibrilRecording !== 1 || !Array.isArray(exchanges)) throw new ReplayFileError(file, "it is no recording");
  return exchanges as readonly RecordedExchange[];
}
