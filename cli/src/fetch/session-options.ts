/** What the command line says about requests, as options of the session. */
import type { SessionOptions } from "fibril/http";
import type { CookieFile } from "./cookie-file.ts";
import type { Settings } from "./settings.ts";
import { loadUndiciClient } from "./undici-client.ts";

export function sessionOptions(settings: Settings, cookies: CookieFile | null): SessionOptions {
  const { concurrency, perHost, timeoutMs, maxTimeMs, maxBytes, mode } = settings;
  const undici = loadUndiciClient();
  return {
    name: "fetch",
    limit: concurrency,
    limitPerHost: perHost, // the queue keeps to it already; this is for where redirects lead
    timeout: { connectMs: timeoutMs, headersMs: timeoutMs, idleMs: timeoutMs, totalMs: maxTimeMs },
    maxBodyBytes: maxBytes,
    headers: settings.headers,
    // A body is saved, counted and continued as it was sent.
    decompress: mode !== "get",
    ...(undici === undefined ? {} : { undici }),
    ...(cookies === null ? {} : { cookies: cookies.jar }),
  };
}
