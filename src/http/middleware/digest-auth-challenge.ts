/**
 * The arithmetic of digest authentication (RFC 7616): from a server's challenge to the value of the `authorization` header.
 *
 * Pure functions; what has to be remembered between requests is in `digest-auth.ts`.
 */
import { createHash } from "node:crypto";

/** One challenge of a `www-authenticate` header: the scheme in lower case, the names of its parameters, too. */
export interface Challenge {
  readonly scheme: string;
  readonly params: ReadonlyMap<string, string>;
}

/** A name, and what stands behind "=" if anything does: a quoted text, or a token. */
const PART = /[\s,]*([!#$%&'*+.^`|~\w-]+)(?:[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?/y;

/** All challenges of the header lines. A line may hold several; a name without a value begins the next one. */
export function parseChallenges(headers: readonly string[]): Challenge[] {
  const challenges: { scheme: string; params: Map<string, string> }[] = [];
  for (const header of headers) {
    PART.lastIndex = 0;
    for (let match = PART.exec(header); match !== null; match = PART.exec(header)) {
      const [, name, quoted, plain] = match;
      const value = quoted === undefined ? plain : quoted.replace(/\\(.)/g, "$1");
      if (value === undefined) challenges.push({ scheme: name!.toLowerCase(), params: new Map() });
      else challenges.at(-1)?.params.set(name!.toLowerCase(), value);
    }
  }
  return challenges;
}

/** The parameters of an `authentication-info` header. */
export function parseParams(header: string): ReadonlyMap<string, string> {
  return parseChallenges([`x ${header}`])[0]!.params;
}

/** Names of algorithms in the protocol and in Node, weakest first. */
const ALGORITHMS: ReadonlyMap<string, string> = new Map([
  ["md5", "md5"],
  ["sha-256", "sha256"],
  ["sha-512-256", "sha512-256"],
]);

/** A challenge that can be answered. */
export interface DigestChallenge {
  readonly realm: string;
  readonly nonce: string;
  readonly opaque: string | undefined;
  /** As the server wrote it; `undefined` when it named none, which means MD5. */
  readonly algorithm: string | undefined;
  /** Its name in Node. */
  readonly hash: string;
  readonly isSession: boolean;
  readonly qop: "auth" | "auth-int" | undefined;
  readonly isUserHashed: boolean;
  readonly isStale: boolean;
}

/** The strongest digest challenge that can be answered, or `null`. @param hasHashableBody Whether `auth-int` is possible. */
export function chooseChallenge(challenges: readonly Challenge[], hasHashableBody: boolean): DigestChallenge | null {
  const names = [...ALGORITHMS.keys()];
  let best: DigestChallenge | null = null;
  let bestRank = -1;
  for (const { scheme, params } of challenges) {
    if (scheme !== "digest") continue;
    const algorithm = params.get("algorithm");
    const name = (algorithm ?? "MD5").toLowerCase().replace(/-sess$/, "");
    const rank = names.indexOf(name);
    const [realm, nonce] = [params.get("realm"), params.get("nonce")];
    if (rank <= bestRank || realm === undefined || nonce === undefined) continue;
    const offered = params
      .get("qop")
      ?.toLowerCase()
      .split(/[\s,]+/);
    const qop = offered?.includes("auth") ? "auth" : offered?.includes("auth-int") ? "auth-int" : undefined;
    if (offered !== undefined && (qop === undefined || (qop === "auth-int" && !hasHashableBody))) continue;
    bestRank = rank;
    best = {
      realm,
      nonce,
      opaque: params.get("opaque"),
      algorithm,
      hash: ALGORITHMS.get(name)!,
      isSession: /-sess$/i.test(algorithm ?? ""),
      qop,
      isUserHashed: params.get("userhash")?.toLowerCase() === "true",
      isStale: params.get("stale")?.toLowerCase() === "true",
    };
  }
  return best;
}

/** What is to be proven, for whom. */
export interface DigestRequest {
  readonly user: string;
  readonly password: string;
  readonly method: string;
  /** Path and query, as the request line has them. */
  readonly uri: string;
  /** What is sent; only looked at for `auth-int`. */
  readonly body: string | Uint8Array;
  readonly cnonce: string;
  /** How many requests have used this nonce, with this one. */
  readonly count: number;
}

/** The value of the `authorization` header. */
export function digestHeader(challenge: DigestChallenge, request: DigestRequest): string {
  const { realm, nonce, opaque, algorithm, hash, isSession, qop, isUserHashed } = challenge;
  const { user, password, method, uri, body, cnonce, count } = request;
  const H = (data: string | Uint8Array): string => createHash(hash).update(data).digest("hex");
  const nc = count.toString(16).padStart(8, "0");
  const secret = H(`${user}:${realm}:${password}`);
  const a1 = isSession ? H(`${secret}:${nonce}:${cnonce}`) : secret;
  const a2 = H(qop === "auth-int" ? `${method}:${uri}:${H(body)}` : `${method}:${uri}`);
  const response = H(qop === undefined ? `${a1}:${nonce}:${a2}` : `${a1}:${nonce}:${nc}:${cnonce}:${qop}:${a2}`);
  return `Digest ${[
    userField(user, isUserHashed ? H(`${user}:${realm}`) : null),
    `realm=${quoted(realm)}`,
    `uri=${quoted(uri)}`,
    ...(algorithm === undefined ? [] : [`algorithm=${algorithm}`]),
    `nonce=${quoted(nonce)}`,
    ...(qop === undefined ? [] : [`nc=${nc}`, `cnonce=${quoted(cnonce)}`, `qop=${qop}`]),
    ...(qop === undefined && isSession ? [`cnonce=${quoted(cnonce)}`] : []),
    `response="${response}"`,
    ...(opaque === undefined ? [] : [`opaque=${quoted(opaque)}`]),
    ...(isUserHashed ? ["userhash=true"] : []),
  ].join(", ")}`;
}

function userField(user: string, hashed: string | null): string {
  if (hashed !== null) return `username="${hashed}"`;
  // What does not fit into a quoted text goes the way of RFC 8187.
  return /^[\x20-\x7e]*$/.test(user) ? `username=${quoted(user)}` : `username*=UTF-8''${encodeURIComponent(user)}`;
}

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, "\\$&")}"`;
}
