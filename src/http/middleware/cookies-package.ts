/**
 * The only file that loads the package `tough-cookie`, an optional peer, `^6`: it knows the rules of RFC 6265bis and the list of
 * public suffixes, which is nothing to write again.
 */
import { FibrilError } from "../../core/index.ts";
import { importOptional } from "../optional-package.ts";

/** A cookie of the package, as far as it is used. */
export interface ToughCookie {
  readonly key: string;
  readonly value: string;
  readonly domain: string | null;
  readonly path: string | null;
  readonly secure: boolean;
  readonly httpOnly: boolean;
  readonly hostOnly: boolean | null;
  readonly sameSite: string | undefined;
  readonly lastAccessed: Date | "Infinity" | null;
  expiryTime(): number | undefined;
  /** How long it still lives, in milliseconds, by the clock on the wall. */
  TTL(): number;
  cookieString(): string;
}

type Done = (error: Error | null) => void;

/** A jar of the package whose store answers at once. */
export interface ToughJar {
  readonly store: {
    putCookie(cookie: ToughCookie, done: Done): unknown;
    removeCookie(domain: string, path: string, key: string, done: Done): unknown;
    getAllCookies(done: (error: Error | null, cookies?: ToughCookie[]) => void): unknown;
  };
  setCookieSync(cookie: string, url: string, options: { readonly ignoreError: boolean }): ToughCookie | undefined;
  getCookiesSync(url: string): ToughCookie[];
  serializeSync(): object | undefined;
  removeAllCookiesSync(): void;
}

/** The parts of the package that are used. `import * as toughCookie from "tough-cookie"` fits. */
export interface CookiePackage {
  // Loose on purpose: its types must not be needed by who never uses cookies.
  readonly CookieJar: new (store: never, options: never) => object;
  readonly Cookie: new (parts: never) => object;
}

/** There is no package `tough-cookie`. Code: `COOKIE_PACKAGE_MISSING`. */
export class CookiePackageMissingError extends FibrilError {
  constructor(problem: string, options?: ErrorOptions) {
    super("COOKIE_PACKAGE_MISSING", `cannot keep cookies: ${problem}`, options);
  }
}

/** @param load Where it comes from, so that a test can take it away. */
export async function importToughCookie(
  load: () => Promise<unknown> = () => import("tough-cookie"),
): Promise<CookiePackage> {
  const missing = (problem: string, options?: ErrorOptions): Error => new CookiePackageMissingError(problem, options);
  const module = await importOptional("tough-cookie", "^6", load, missing);
  const { CookieJar, Cookie } = module as Partial<CookiePackage>;
  if (typeof CookieJar === "function" && typeof Cookie === "function") return module as CookiePackage;
  throw new CookiePackageMissingError('what was given as "tough-cookie" has no CookieJar; install tough-cookie 6');
}

/** A jar by the rules of browsers, as far as a client without pages can follow them. */
export function createJar(toughCookie: CookiePackage): ToughJar {
  const Jar = toughCookie.CookieJar as unknown as new (store: undefined, options: object) => ToughJar;
  return new Jar(undefined, {
    prefixSecurity: "silent",
    rejectPublicSuffixes: true,
    enforceSecureOriginOnStorage: true,
  });
}

export function restoreJar(toughCookie: CookiePackage, saved: object): ToughJar {
  const Jar = toughCookie.CookieJar as unknown as { deserializeSync(saved: object): ToughJar };
  return Jar.deserializeSync(saved);
}

export function createCookie(toughCookie: CookiePackage, parts: object): ToughCookie {
  const Cookie = toughCookie.Cookie as unknown as new (parts: object) => ToughCookie;
  return new Cookie(parts);
}
