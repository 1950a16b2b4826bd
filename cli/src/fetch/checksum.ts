/**
 * What a body should be, as somebody has written it down: `sha256` and its digits, `sha512:…`, `sha384-…` (base64, as in HTML), or
 * digits alone, whose number tells which of the common ones it is.
 */
import { createHash } from "node:crypto";
import type { Hash } from "node:crypto";

export interface Checksum {
  readonly algorithm: Algorithm;
  /** In small hexadecimal digits. */
  readonly digest: string;
}

export type Algorithm = "md5" | "sha1" | "sha256" | "sha384" | "sha512";

const BYTES: Readonly<Record<Algorithm, number>> = { md5: 16, sha1: 20, sha256: 32, sha384: 48, sha512: 64 };
const ALGORITHMS = Object.keys(BYTES) as readonly Algorithm[];

/** @returns `undefined` when it is no checksum. */
export function parseChecksum(text: string, algorithm?: Algorithm): Checksum | undefined {
  const match = /^(?:(md5|sha-?1|sha-?256|sha-?384|sha-?512)([-:=]))?(.+)$/i.exec(text.trim());
  if (match === null) return undefined;
  const [, name, separator, value] = match as unknown as [string, string | undefined, string | undefined, string];
  const named = name === undefined ? algorithm : (name.toLowerCase().replace("sha-", "sha") as Algorithm);
  if (named !== undefined && algorithm !== undefined && named !== algorithm) return undefined;
  const hex = /^[0-9a-f]+$/i.test(value) ? value.toLowerCase() : undefined;
  if (hex !== undefined && hex.length % 2 === 0) {
    const found = named ?? ALGORITHMS.find((one) => BYTES[one] * 2 === hex.length);
    if (found !== undefined && BYTES[found] * 2 === hex.length) return { algorithm: found, digest: hex };
  }
  if (named === undefined || separator !== "-" || !/^[\w+/-]+={0,2}$/.test(value)) return undefined;
  const bytes = Buffer.from(value, "base64");
  return bytes.byteLength === BYTES[named] ? { algorithm: named, digest: bytes.toString("hex") } : undefined;
}

/** The hashes of one body that somebody wants to know. */
export class Digests {
  readonly #sha256: Hash | null;
  readonly #expected: Hash | null;
  readonly #checksum: Checksum | undefined;

  constructor(wantsSha256: boolean, checksum: Checksum | undefined) {
    this.#checksum = checksum;
    this.#sha256 = wantsSha256 || checksum?.algorithm === "sha256" ? createHash("sha256") : null;
    this.#expected = checksum === undefined || checksum.algorithm === "sha256" ? null : createHash(checksum.algorithm);
  }

  /** Whether anybody wants to know anything. */
  get areWanted(): boolean {
    return this.#sha256 !== null || this.#expected !== null;
  }

  update(bytes: Uint8Array): void {
    this.#sha256?.update(bytes);
    this.#expected?.update(bytes);
  }

  /** @throws {ChecksumMismatch} when it is not the body that was expected. */
  finish(): string | null {
    const sha256 = this.#sha256?.digest("hex") ?? null;
    if (this.#checksum === undefined) return sha256;
    const actual = this.#expected?.digest("hex") ?? sha256!;
    if (actual !== this.#checksum.digest) throw new ChecksumMismatch(this.#checksum, actual);
    return sha256;
  }
}

/** The body came whole and is not the one that was expected. It is not saved. */
export class ChecksumMismatch extends Error {
  override readonly name = "ChecksumMismatch";
  readonly code = "CHECKSUM_MISMATCH";

  constructor({ algorithm, digest }: Checksum, actual: string) {
    super(`the body has the ${algorithm} ${actual}, and ${digest} was expected`);
  }
}
