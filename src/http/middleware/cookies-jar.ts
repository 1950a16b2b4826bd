/**
 * A cookie jar: what servers have set, for whom, until when.
 *
 * The rules are those of `tough-cookie` (RFC 6265bis): domains and public suffixes, `Secure`, `__Host-` and `__Secure-`. Added here
 * are the bounds that browsers have (a server must not be able to fill the memory), and what can be saved and loaded.
 *
 * Everything happens in one step, so any number of requests may use one jar at the same time. Expiry goes by the clock on the wall,
 * which is the library's affair, not by the clock of the loop.
 */
import { describeValue, UsageError, until } from "../../core/index.ts";
import type { Coroutine } from "../../core/index.ts";
import { createCookie, createJar, importToughCookie, restoreJar } from "./cookies-package.ts";
import type { CookiePackage, ToughCookie, ToughJar } from "./cookies-package.ts";
import { formatCookiesTxt, parseCookiesTxt } from "./cookies-txt.ts";
import type { StoredCookie } from "./cookies-txt.ts";

// The bounds of browsers.
const MOST_BYTES = 4_096; // of name and value
const MOST_OF_DOMAIN = 180;
const MOST_IN_ALL = 3_000;
const CHECK_EVERY = 50; // cookies set: counting goes through all of them

export interface CookieJarOptions {
  /** The package `tough-cookie` to use, `^6`. Default: the one that is installed. */
  readonly toughCookie?: CookiePackage;
}

export class CookieJar {
  readonly #package: CookiePackage;
  #jar: ToughJar;
  #setSinceCheck = 0;

  /** Use `CookieJar.open()` or `CookieJar.load()`. @internal */
  constructor(toughCookie: CookiePackage, jar: ToughJar = createJar(toughCookie)) {
    this.#package = toughCookie;
    this.#jar = jar;
  }

  /**
   * An empty jar.
   * @throws {CookiePackageMissingError} when tough-cookie is not installed.
   * @example
   * const jar = yield* CookieJar.open();
   * const session = yield* Session.open({ cookies: jar });
   */
  static *open(options: CookieJarOptions = {}): Coroutine<CookieJar> {
    return new CookieJar(options.toughCookie ?? (yield* until(importToughCookie())));
  }

  /**
   * A jar with what was saved: the text of `JSON.stringify(jar)`, or a cookies.txt of Netscape.
   * @throws {UsageError} when the text is neither.
   * @example
   * const jar = yield* CookieJar.load(readFileSync("cookies.json", "utf8"));
   */
  static *load(text: string, options: CookieJarOptions = {}): Coroutine<CookieJar> {
    if (typeof text !== "string") {
      throw new UsageError(`a cookie jar is loaded from a text, got ${describeValue(text)}`);
    }
    const toughCookie = options.toughCookie ?? (yield* until(importToughCookie()));
    if (text.trimStart().startsWith("{")) return new CookieJar(toughCookie, fromJson(toughCookie, text));
    const jar = new CookieJar(toughCookie);
    for (const cookie of parseCookiesTxt(text)) jar.put(cookie);
    return jar;
  }

  /** The value of the `cookie` header for a request to this URL; `""` when there is nothing to send. */
  header(url: string | URL): string {
    return this.#jar
      .getCookiesSync(String(url))
      .map((cookie) => cookie.cookieString())
      .join("; ");
  }

  /**
   * Takes in `set-cookie` headers of a response from this URL. What the rules refuse is left out without a word: cookies for other
   * hosts and for public suffixes, `Secure` from a connection that is not, prefixes that do not hold, more than 4 KiB.
   * @returns how many were taken.
   */
  take(url: string | URL, setCookie: string | readonly string[]): number {
    let taken = 0;
    for (const header of typeof setCookie === "string" ? [setCookie] : setCookie) {
      if (nameAndValueBytes(header) > MOST_BYTES) continue;
      if (this.#jar.setCookieSync(header, String(url), { ignoreError: true }) !== undefined) taken++;
    }
    this.#note(taken);
    return taken;
  }

  /**
   * Puts a cookie in as it is: yours, not a server's, so no rule refuses it.
   * @throws {UsageError} when name or value could not be sent, or would be more than one cookie.
   */
  put(cookie: StoredCookie): void {
    const { name, value, domain, path, secure, httpOnly, hostOnly, expires } = cookie;
    checkPair(name, value);
    const parts = {
      key: name,
      value,
      domain,
      path,
      secure,
      httpOnly,
      hostOnly,
      expires: expires === null ? "Infinity" : new Date(expires),
    };
    this.#jar.store.putCookie(createCookie(this.#package, parts), throwing);
    this.#note(1);
  }

  /** What is in it, or what of it would be sent to this URL. Expired ones are left out. */
  list(url?: string | URL): StoredCookie[] {
    const cookies = url === undefined ? this.#all().filter(isAlive) : this.#jar.getCookiesSync(String(url));
    return cookies.map(toStored);
  }

  /** How many there are. */
  get size(): number {
    return this.#all().filter(isAlive).length;
  }

  /** Takes one out; `false` when it is not there. */
  delete(cookie: Pick<StoredCookie, "name" | "domain" | "path">): boolean {
    const isIt = (it: ToughCookie): boolean =>
      it.key === cookie.name && it.domain === cookie.domain && it.path === cookie.path;
    if (!this.#all().some(isIt)) return false;
    this.#jar.store.removeCookie(cookie.domain, cookie.path, cookie.name, throwing);
    return true;
  }

  /** Takes everything out. */
  clear(): void {
    this.#jar.removeAllCookiesSync();
  }

  /** For `JSON.stringify(jar)`, with everything that `load` needs; cookies of the session, too. */
  toJSON(): object {
    return this.#jar.serializeSync() ?? {};
  }

  /** As the cookies.txt of Netscape, which curl and wget read. */
  toCookiesTxt(): string {
    return formatCookiesTxt(this.list());
  }

  #all(): ToughCookie[] {
    let all: ToughCookie[] = [];
    this.#jar.store.getAllCookies((error, cookies = []) => {
      if (error !== null) throw error;
      all = cookies;
    });
    return all;
  }

  /** Looks now and then whether it has become too many; the ones that were not used for longest go. */
  #note(added: number): void {
    this.#setSinceCheck += added;
    if (this.#setSinceCheck < CHECK_EVERY) return;
    this.#setSinceCheck = 0;
    const ofDomain = new Map<string, number>();
    let kept = 0;
    for (const cookie of this.#all().sort((a, b) => lastUse(b) - lastUse(a))) {
      const count = (ofDomain.get(cookie.domain!) ?? 0) + 1;
      if (isAlive(cookie) && kept < MOST_IN_ALL && count <= MOST_OF_DOMAIN) {
        ofDomain.set(cookie.domain!, count);
        kept++;
      } else this.#jar.store.removeCookie(cookie.domain!, cookie.path!, cookie.key, throwing);
    }
  }
}

/** Without the value in the message: it may be a secret. */
function checkPair(name: string, value: string): void {
  // oxlint-disable-next-line no-control-regex -- they are what is looked for
  if (/^[^\u0000-\u001f\u007f;=]*$/.test(name) && /^[^\u0000-\u001f\u007f;]*$/.test(value)) return;
  throw new UsageError(
    `the cookie ${JSON.stringify(name)} has a control character, a ";" or a "=" where none can be`,
    "COOKIE",
  );
}

function fromJson(toughCookie: CookiePackage, text: string): ToughJar {
  try {
    return restoreJar(toughCookie, JSON.parse(text) as object);
  } catch (cause) {
    throw new UsageError("the text is no saved cookie jar; it was made by JSON.stringify(jar)", "COOKIE_JAR", {
      cause,
    });
  }
}

function toStored(cookie: ToughCookie): StoredCookie {
  const expires = cookie.expiryTime();
  return Object.freeze({
    name: cookie.key,
    value: cookie.value,
    domain: cookie.domain ?? "",
    path: cookie.path ?? "/",
    secure: cookie.secure,
    httpOnly: cookie.httpOnly,
    hostOnly: cookie.hostOnly ?? true,
    expires: expires === undefined || !Number.isFinite(expires) ? null : expires,
  });
}

function isAlive(cookie: ToughCookie): boolean {
  return cookie.TTL() > 0;
}

function lastUse({ lastAccessed }: ToughCookie): number {
  return lastAccessed instanceof Date ? lastAccessed.getTime() : 0;
}

function nameAndValueBytes(header: string): number {
  const end = header.indexOf(";");
  return Buffer.byteLength(end === -1 ? header : header.slice(0, end));
}

function throwing(error: Error | null): void {
  if (error !== null) throw error;
}
