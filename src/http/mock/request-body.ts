/**
 * The whole body of a request, for who looks into it: the log of a mock, the key of a recording.
 */
import { closeSequence, sequenceOf } from "../../core/index.ts";
import type { Coroutine, SequenceSource } from "../../core/index.ts";
import type { HttpRequest } from "../http-request.ts";

/** Reads it; a stream is used up by that, as it would be by the network. */
export function* readRequestBody(request: HttpRequest): Coroutine<Uint8Array> {
  const { data, stream } = request.parts.body;
  if (stream === undefined) return typeof data === "string" ? Buffer.from(data) : (data ?? new Uint8Array(0));
  const sequence = sequenceOf(stream as SequenceSource<string | Uint8Array>);
  const chunks: Uint8Array[] = [];
  try {
    for (;;) {
      const { done, value } = yield* sequence.next();
      if (done === true) return Buffer.concat(chunks);
      chunks.push(typeof value === "string" ? Buffer.from(value) : value);
    }
  } catch (error) {
    yield* closeSequence(sequence);
    throw error;
  }
}

/** Names in lower case; several values of one name joined by ", ". */
export function headersOf(request: HttpRequest): Record<string, string> {
  const headers: Record<string, string> = {};
  const list = request.parts.headers;
  for (let i = 0; i < list.length; i += 2) {
    const value = list[i + 1]!;
    headers[list[i] as string] = typeof value === "string" ? value : value.join(", ");
  }
  return headers;
}
