/**
 * From the pieces of a body to text.
 */
import { DecodeError } from "../errors.ts";
import type { RequestSubject } from "../errors.ts";

/** By the charset of the content type; default UTF-8. @throws {DecodeError} when nobody knows that charset. @package */
export function decodeText(
  chunks: readonly Uint8Array[],
  contentType: string | readonly string[] | undefined,
  subject: RequestSubject,
): string {
  const bytes = chunks.length === 1 ? chunks[0]! : join(chunks);
  const charset = charsetOf(contentType);
  if (charset === undefined) return UTF_8.decode(bytes);
  try {
    return new TextDecoder(charset).decode(bytes);
  } catch (cause) {
    const problem = `the response has the unknown charset ${JSON.stringify(charset)}; read it with bytes()`;
    throw new DecodeError(subject, problem, cause);
  }
}

const UTF_8 = new TextDecoder();

/** `undefined` for UTF-8, said or not. @package */
export function charsetOf(contentType: string | readonly string[] | undefined): string | undefined {
  if (typeof contentType !== "string") return undefined;
  const charset = /;\s*charset\s*=\s*"?([^\s;"]+)/i.exec(contentType)?.[1];
  return charset === undefined || /^utf-?8$/i.test(charset) ? undefined : charset;
}

/** One piece of them all. @package */
export function join(chunks: readonly Uint8Array[]): Uint8Array {
  let size = 0;
  for (const chunk of chunks) size += chunk.byteLength;
  const whole = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return whole;
}
