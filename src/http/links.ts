/**
 * `Link` headers: where the next page is, and other relations of a response.
 *
 * Source: RFC 8288 §3 and its appendix B, which says how to read what servers really send: what cannot be read is skipped, and
 * the first `rel` of a link counts. An `anchor` makes the link one of another document; such links are left out (§3.2).
 */

/** One relation of a response to another resource. */
export interface Link {
  /** Absolute. */
  readonly url: string;
  /** `next`, `prev`, `canonical`, …; a link with several relations is given several times. */
  readonly relation: string;
  /** `title`, `type`, … by lower-case name; the first of each. */
  readonly parameters: Readonly<Record<string, string>>;
}

/** @param base What relative targets are relative to. */
export function parseLinks(values: readonly string[], base: string): readonly Link[] {
  return values.flatMap((value) => new LinkReader(value, base).read());
}

const PARAMETER = /[\t ]*;[\t ]*([^\s=;,]+)?[\t ]*(?:=[\t ]*(?:"((?:[^"\\]|\\.)*)"|([^\s;,]*)))?[\t ]*/y;

class LinkReader {
  readonly #text: string;
  readonly #base: string;
  #at = 0;

  constructor(text: string, base: string) {
    this.#text = text;
    this.#base = base;
  }

  read(): Link[] {
    const links: Link[] = [];
    while (this.#at < this.#text.length) {
      const start = this.#text.indexOf("<", this.#at);
      const end = this.#text.indexOf(">", start + 1);
      if (start === -1 || end === -1) break;
      this.#at = end + 1;
      const parameters = this.#parameters();
      links.push(...this.#linksTo(this.#text.slice(start + 1, end).trim(), parameters));
      const comma = this.#text.indexOf(",", this.#at);
      if (comma === -1) break;
      this.#at = comma + 1;
    }
    return links;
  }

  #parameters(): Readonly<Record<string, string>> {
    const parameters: Record<string, string> = Object.create(null) as Record<string, string>;
    PARAMETER.lastIndex = this.#at;
    for (let match = PARAMETER.exec(this.#text); match !== null; match = PARAMETER.exec(this.#text)) {
      this.#at = PARAMETER.lastIndex;
      const name = match[1]?.toLowerCase();
      if (name === undefined || name in parameters) continue;
      parameters[name] = match[2] === undefined ? (match[3] ?? "") : match[2].replace(/\\(.)/g, "$1");
    }
    return parameters;
  }

  #linksTo(target: string, parameters: Readonly<Record<string, string>>): Link[] {
    if (parameters["anchor"] !== undefined || !URL.canParse(target, this.#base)) return [];
    const url = new URL(target, this.#base).href;
    const relations = (parameters["rel"] ?? "").split(/\s+/).filter((relation) => relation !== "");
    return relations.map((relation) => ({ url, relation, parameters }));
  }
}
