/**
 * Which links a site's `robots.txt` lets us follow (RFC 9309), read once for each host and by whoever comes first.
 *
 * A file that is not there allows everything, one that the server fails to give allows nothing, and a host that cannot be reached
 * at all is looked at anyway: then the link itself says what is wrong.
 */
import { Cancelled, Future, until } from "fibril";
import type { Coroutine } from "fibril";
import type { Session } from "fibril/http";

/** What the package gives; its types describe an ES module, and it is none. */
interface Parsed {
  isAllowed(url: string, userAgent: string): boolean | undefined;
  getCrawlDelay(userAgent: string): number | undefined;
}

type Parse = (url: string, text: string) => Parsed;

type Rules = Parsed | "all" | "none";

const MOST_HOSTS = 10_000;
const LARGEST_BYTES = 500 * 1024; // more need not be read, says the RFC

export class Robots {
  readonly #session: Session;
  readonly #userAgent: string;
  readonly #slowDown: (origin: string, ratePerSecond: number) => void;
  readonly #rules = new Map<string, Future<Rules>>();

  /** @param slowDown Told of a `Crawl-delay`. */
  constructor(session: Session, userAgent: string, slowDown: (origin: string, ratePerSecond: number) => void) {
    this.#session = session;
    this.#userAgent = userAgent;
    this.#slowDown = slowDown;
  }

  *allows(url: string): Coroutine<boolean> {
    const { origin } = new URL(url);
    let rules = this.#rules.get(origin);
    if (rules === undefined) {
      rules = new Future<Rules>({ name: `robots.txt of ${origin}`, external: true });
      this.#rules.set(origin, rules);
      this.#forgetOldest();
      rules.resolve(yield* this.#read(origin));
    }
    const found = yield* rules;
    if (found === "all" || found === "none") return found === "all";
    return found.isAllowed(url, this.#userAgent) !== false;
  }

  *#read(origin: string): Coroutine<Rules> {
    try {
      const response = yield* this.#session.get(`${origin}/robots.txt`, { maxBodyBytes: LARGEST_BYTES });
      if (response.status >= 400) {
        yield* response.discard();
        return response.status >= 500 ? "none" : "all";
      }
      const text = yield* response.text();
      const { default: parse } = yield* until(import("robots-parser")); // other modes need not load it
      const rules = (parse as unknown as Parse)(response.url, text);
      const seconds = rules.getCrawlDelay(this.#userAgent);
      if (seconds !== undefined && seconds > 0) this.#slowDown(origin, 1 / seconds);
      return rules;
    } catch (error) {
      if (error instanceof Cancelled) throw error;
      return "all";
    }
  }

  #forgetOldest(): void {
    if (this.#rules.size <= MOST_HOSTS) return;
    for (const [origin] of this.#rules) {
      this.#rules.delete(origin);
      return;
    }
  }
}
