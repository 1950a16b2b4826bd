/**
 * The cookies.txt of Netscape, as curl, wget and browsers' extensions write it: seven fields a line, separated by tabs.
 *
 *     domain  includeSubdomains  path  secure  expires  name  value
 *
 * A line that begins with `#HttpOnly_` is a cookie, other lines with `#` are comments. `expires` is in seconds since 1970; 0
 * means a cookie of the session.
 */
import { UsageError } from "../../core/index.ts";

/** A cookie as plain data. */
export interface StoredCookie {
  readonly name: string;
  readonly value: string;
  /** Without a leading dot. */
  readonly domain: string;
  readonly path: string;
  /** Sent over https only. */
  readonly secure: boolean;
  readonly httpOnly: boolean;
  /** Sent to `domain` itself only, not to its subdomains. */
  readonly hostOnly: boolean;
  /** Milliseconds since 1970; `null` for a cookie without an end of its own. */
  readonly expires: number | null;
}

const HTTP_ONLY = "#HttpOnly_";

/** @throws {UsageError} that names the line, when one is no cookie. */
export function parseCookiesTxt(text: string): StoredCookie[] {
  const cookies: StoredCookie[] = [];
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const isHttpOnly = raw.startsWith(HTTP_ONLY);
    const line = isHttpOnly ? raw.slice(HTTP_ONLY.length) : raw;
    if (line.trim() === "" || (!isHttpOnly && line.startsWith("#"))) continue;
    const fields = line.split("\t");
    const [domain, subdomains, path, secure, expires, name, value = ""] = fields;
    const seconds = Number(expires);
    if (fields.length < 6 || fields.length > 7 || domain === "" || !path!.startsWith("/") || !(seconds >= 0)) {
      throw new UsageError(
        `line ${index + 1} of the cookies.txt is no cookie; expected 7 fields separated by tabs: ` +
          "domain, includeSubdomains, path, secure, expires, name, value",
        "COOKIES_TXT",
      );
    }
    cookies.push({
      name: name!,
      value,
      domain: domain!.replace(/^\./, "").toLowerCase(),
      path: path!,
      secure: secure!.toUpperCase() === "TRUE",
      httpOnly: isHttpOnly,
      hostOnly: subdomains!.toUpperCase() !== "TRUE",
      expires: seconds === 0 ? null : seconds * 1_000,
    });
  }
  return cookies;
}

/** Cookies that would break out of their fields are left out: a server may put a tab into a path. */
export function formatCookiesTxt(cookies: readonly StoredCookie[]): string {
  const lines = cookies.filter(fitsALine).map(({ name, value, domain, path, secure, httpOnly, hostOnly, expires }) => {
    const fields = [
      hostOnly ? domain : `.${domain}`,
      hostOnly ? "FALSE" : "TRUE",
      path,
      secure ? "TRUE" : "FALSE",
      expires === null ? "0" : String(Math.max(1, Math.floor(expires / 1_000))),
      name,
      value,
    ];
    return (httpOnly ? HTTP_ONLY : "") + fields.join("\t");
  });
  return `# Netscape HTTP Cookie File\n\n${lines.map((line) => `${line}\n`).join("")}`;
}

function fitsALine({ domain, path, name, value }: StoredCookie): boolean {
  // oxlint-disable-next-line no-control-regex -- they are what is looked for
  return ![domain, path, name, value].some((text) => /[\u0000-\u001f\u007f]/.test(text));
}
