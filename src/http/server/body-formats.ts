/**
 * What the bytes of a request mean: content types, charsets, JSON. Says in each case whose fault it is: 400 or 415.
 */
import type { IncomingMessage } from "node:http";
import { TextDecoder } from "node:util";
import { MalformedRequest, UnsupportedRequestType } from "./failure.ts";

/**
 * @param accepted Media types, or endings of such (`+json`).
 * @throws {UnsupportedRequestType} for every other content type.
 */
export function checkType(request: IncomingMessage, ...accepted: readonly string[]): void {
  const type = mediaType(request);
  if (!accepted.some((it) => (it.startsWith("+") ? type.endsWith(it) : type === it))) {
    const names = accepted.filter((it) => !it.startsWith("+")).join(" or ");
    throw new UnsupportedRequestType(`The content type must be ${names}.`, { accept: names.replace(" or ", ", ") });
  }
}

function mediaType(request: IncomingMessage): string {
  return (request.headers["content-type"] ?? "").split(";", 1)[0]!.trim().toLowerCase();
}

/** @throws {UnsupportedRequestType} for compressed bodies. */
export function checkEncoding(request: IncomingMessage): void {
  const encoding = request.headers["content-encoding"];
  if (encoding !== undefined && encoding.toLowerCase() !== "identity") {
    throw new UnsupportedRequestType("Compressed request bodies are not taken.", { "accept-encoding": "identity" });
  }
}

export function decodeText(request: IncomingMessage, bytes: Buffer): string {
  checkEncoding(request);
  const type = request.headers["content-type"];
  const charset = type === undefined ? undefined : /;\s*charset\s*=\s*"?([^\s";]+)/i.exec(type)?.[1];
  try {
    return decoderFor(charset).decode(bytes);
  } catch (error) {
    if (error instanceof RangeError)
      throw new UnsupportedRequestType(`The charset ${JSON.stringify(charset)} is not known.`);
    throw new MalformedRequest("The request body is not text of its charset.", error);
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true }); // decodes whole bodies only, so it can be shared

function decoderFor(charset: string | undefined): TextDecoder {
  return charset === undefined || /^utf-?8$/i.test(charset) ? utf8 : new TextDecoder(charset, { fatal: true });
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new MalformedRequest("The request body is not JSON.", error);
  }
}
