/**
 * Which links were seen, and which pages wait to hear whether one is broken.
 *
 * A link is asked once, however many pages have it; each of those pages is named when it is broken. What was seen takes 16 bytes for each
 * link, and pages are remembered for links that are not decided, or broken.
 */
import { KeyTable } from "../journal/key-table.ts";
import { hash53 } from "../text-hash.ts";

const PENDING = 0;
const GOOD = 1;
const BROKEN = 2;

/** A link in the footer of every page shall not fill the memory while it is looked at. */
const MOST_PAGES = 100;

export class LinkBook {
  readonly #states = new KeyTable();
  readonly #pages = new Map<number, string[]>();
  readonly #problems = new Map<number, string>();

  /** Whether it is the first time. */
  isNew(url: string): boolean {
    const key = hash53(url);
    if (this.#states.get(key) !== undefined) return false;
    this.#states.set(key, PENDING);
    return true;
  }

  /** A page has a link that is not new. @returns what is wrong with it, if that is known. */
  seenOn(url: string, page: string): string | undefined {
    const key = hash53(url);
    if (this.#states.get(key) !== PENDING) return this.#problems.get(key);
    const pages = this.#pages.get(key);
    if (pages === undefined) this.#pages.set(key, [page]);
    else if (pages.length < MOST_PAGES) pages.push(page);
    return undefined;
  }

  /** @param problem `null` when it is good. @returns the other pages that have it. */
  decided(url: string, problem: string | null): readonly string[] {
    const key = hash53(url);
    this.#states.set(key, problem === null ? GOOD : BROKEN);
    if (problem !== null) this.#problems.set(key, problem);
    const pages = this.#pages.get(key) ?? [];
    this.#pages.delete(key);
    return pages;
  }
}
