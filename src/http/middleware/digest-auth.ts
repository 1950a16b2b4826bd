/**
 * Digest authentication (RFC 7616): the password is proven, never sent.
 *
 * The first request is answered with a challenge and sent again; from then on every request carries a proof made with the
 * server's nonce and a number that grows. Requests that run at the same time share the nonce, each with a number of its own.
 * A nonce that the server calls stale, or replaces by `nextnonce`, is exchanged without asking anybody.
 */
import type { Coroutine } from "../../core/index.ts";
import type { LoopPort } from "../../lowlevel.ts";
import type { HttpRequest } from "../http-request.ts";
import type { HttpResponse } from "../response.ts";
import { Authentication, checkCredential } from "./auth.ts";
import type { AuthOrigins, AuthScheme } from "./auth.ts";
import { chooseChallenge, digestHeader, parseChallenges, parseParams } from "./digest-auth-challenge.ts";
import type { DigestChallenge } from "./digest-auth-challenge.ts";
import type { Next } from "./middleware.ts";

/**
 * Digest authentication with MD5, SHA-256 or SHA-512/256, with and without `-sess`, qop `auth` and `auth-int`, user hashes.
 * The strongest algorithm that the server offers is taken. A wrong password gives the 401 itself.
 *
 * A body that can be read only once cannot be sent a second time, so it needs a request before it that brings the challenge.
 * @example
 * const session = yield* Session.open({ baseUrl: "http://camera.local/", auth: digestAuth("admin", password) });
 */
export function digestAuth(user: string, password: string, options: AuthOrigins = {}): Authentication {
  checkCredential("user name", user);
  checkCredential("password", password);
  return new Authentication(new DigestScheme(user, password), options);
}

/** A nonce and what has been done with it. */
interface Nonce {
  readonly challenge: DigestChallenge;
  readonly cnonce: string;
  count: number;
}

const MOST_TRIES = 3; // without a proof, with a nonce that turns out to be stale, with a fresh one

export class DigestScheme implements AuthScheme {
  readonly #user: string;
  readonly #password: string;
  /** The present one of each origin. */
  readonly #nonces: Map<string, Nonce> = new Map();
  readonly #makeCnonce: (loop: LoopPort) => string;

  /** @param makeCnonce For tests with known numbers. */
  constructor(user: string, password: string, makeCnonce: (loop: LoopPort) => string = randomHex) {
    this.#user = user;
    this.#password = password;
    this.#makeCnonce = makeCnonce;
  }

  *send(request: HttpRequest, next: Next): Coroutine<HttpResponse> {
    const { origin } = request;
    for (let tries = 1; ; tries++) {
      const nonce = this.#nonces.get(origin);
      const body = hashable(request);
      const canProve = nonce !== undefined && (nonce.challenge.qop !== "auth-int" || body !== null);
      const response = yield* next(canProve ? this.#proven(request, nonce, body ?? "") : request);
      if (response.status !== 401) {
        if (canProve) this.#renew(origin, nonce, response);
        return response;
      }
      const challenge = chooseChallenge(parseChallenges(response.headers.getAll("www-authenticate")), body !== null);
      if (challenge === null) return response;
      const current = this.#nonces.get(origin);
      // Somebody else has got a newer one meanwhile: it is tried first, or each would throw away the other's.
      if (current === nonce || current === undefined) {
        this.#nonces.set(origin, { challenge, cnonce: this.#makeCnonce(request.call.loop), count: 0 });
      }
      const isRefused = canProve && current === nonce && !challenge.isStale;
      if (isRefused && challenge.realm === nonce.challenge.realm && challenge.hash === nonce.challenge.hash) {
        this.#nonces.delete(origin);
        return response; // not the nonce was wrong
      }
      if (tries === MOST_TRIES || !request.isReplayable) return response;
      yield* response.discard();
    }
  }

  #proven(request: HttpRequest, nonce: Nonce, body: string | Uint8Array): HttpRequest {
    const authorization = digestHeader(nonce.challenge, {
      user: this.#user,
      password: this.#password,
      method: request.method,
      uri: request.parts.target.path,
      body,
      cnonce: nonce.cnonce,
      count: ++nonce.count,
    });
    return request.with({ headers: { authorization } });
  }

  /** The server may ask for another nonce from the next request on. */
  #renew(origin: string, used: Nonce, response: HttpResponse): void {
    const info = response.headers.get("authentication-info");
    const nextNonce = info === undefined ? undefined : parseParams(info).get("nextnonce");
    if (nextNonce === undefined || nextNonce === "" || this.#nonces.get(origin) !== used) return;
    const { cnonce } = used;
    this.#nonces.set(origin, { challenge: { ...used.challenge, nonce: nextNonce }, cnonce, count: 0 });
  }
}

/** The body as it is sent, when it is there as a whole. */
function hashable(request: HttpRequest): string | Uint8Array | null {
  const { data, stream } = request.parts.body;
  return stream === undefined ? (data ?? "") : null;
}

function randomHex(loop: LoopPort): string {
  let hex = "";
  for (let i = 0; i < 4; i++) {
    hex += Math.floor(loop.random() * 2 ** 32)
      .toString(16)
      .padStart(8, "0");
  }
  return hex;
}
